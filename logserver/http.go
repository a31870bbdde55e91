package logserver

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/tile"
	"github.com/gorilla/mux"
)

// server answers for a log over HTTP.
type server struct {
	log   *Log
	files fs.FS // checkpoint, tiles and entry bundles

	streams chan struct{} // as many as there are NDJSON submissions under way
}

// Handler returns the public HTTP front of the log. files has its tiles and
// entry bundles under their tlog-tiles paths; files that it opens should be
// io.Seekers, as those of os.DirFS are.
func (l *Log) Handler(files fs.FS) http.Handler {
	s := &server{log: l, files: files, streams: make(chan struct{}, maxStreams)}
	r := mux.NewRouter()
	r.HandleFunc(api.PathReceipts, s.submit).Methods(http.MethodPost)
	get := func(path string, h func(http.ResponseWriter, *http.Request) error) {
		r.HandleFunc(path, func(w http.ResponseWriter, req *http.Request) {
			if err := h(w, req); err != nil {
				s.respondError(w, err)
			}
		}).Methods(http.MethodGet, http.MethodHead)
	}
	get(api.PathReceipts, s.find)
	get("/v1/receipts/{id:[0-9a-f]{64}}", s.find)
	get(api.PathInclusion, s.inclusion)
	get(api.PathConsistency, s.consistency)
	get(api.PathBundle, s.bundle)
	get(api.PathCheckpoints, s.checkpoints)
	get(api.PathStatus, s.status)
	get(api.PathCheckpoint, s.checkpoint)
	get(api.PathTile+"{path:.*}", s.tile)
	get(api.PathHealth, func(w http.ResponseWriter, _ *http.Request) error {
		respond(w, http.StatusOK, map[string]string{"status": "ok"})
		return nil
	})
	get(api.PathReady, s.ready)
	r.Handle(api.PathMetrics, l.metrics.handler()).Methods(http.MethodGet)
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.respondError(w, &api.Error{Code: api.CodeNotFound, Message: "no such path"})
	})
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.respondError(w, &api.Error{Code: api.CodeMethod, Message: "method " + req.Method + " is not allowed here"})
	})
	return r
}

func (s *server) ready(w http.ResponseWriter, _ *http.Request) error {
	if err := s.log.Ready(); err != nil {
		s.log.log.Debug("not ready", "err", err)
		return &api.Error{Code: api.CodeUnavailable, Message: "not ready: " + notReady(err), RetryAfter: 5 * time.Second}
	}
	respond(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

// notReady says in public why the log is not ready; its own log says more.
func notReady(err error) string {
	for _, known := range []error{ErrUnknownKey, ErrRolledBack, ErrNotPublished, errPublishing} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "the log takes no more entries until its operator has looked after it"
}

// found looks up the receipt that a request names by its id.
func (s *server) found(r *http.Request) (index uint64, entry []byte, err error) {
	id := mux.Vars(r)["id"]
	if id == "" {
		id = r.URL.Query().Get("id")
	}
	if id == "" {
		return 0, nil, badRequest("no id given", "ask with ?id=")
	}
	return s.log.Find(r.Context(), id)
}

func (s *server) find(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r, "id"); err != nil {
		return err
	}
	index, entry, err := s.found(r)
	if err != nil {
		return err
	}
	parsed, err := receipt.ParseCanonical(entry)
	if err != nil {
		return fmt.Errorf("reading leaf %d: %w", index, errors.New(err.Error()))
	}
	respond(w, http.StatusOK, api.Receipt{ID: parsed.ID, Index: index, LeafHash: hexOf(parsed.LeafHash()), Receipt: entry})
	return nil
}

func (s *server) inclusion(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "id", "index", "leaf_hash", "size")
	if err != nil {
		return err
	}
	size, err := q.number("size", 0)
	if err != nil {
		return err
	}
	if q.given("size") == 1 && size == 0 {
		return badRequest("nothing is in the tree of size 0", "leave size out for the published one")
	}
	if q.given("id")+q.given("index")+q.given("leaf_hash") != 1 {
		return badRequest("name one leaf", "by id, index or leaf_hash")
	}
	var index uint64
	switch {
	case q.given("id") == 1:
		index, _, err = s.found(r)
	case q.given("index") == 1:
		index, err = q.number("index", 0)
	default:
		var hash chio.Hash
		if hash, err = parseHash(q.get("leaf_hash")); err == nil {
			index, err = s.log.IndexOf(r.Context(), hash)
		}
	}
	if err != nil {
		return err
	}
	path, under, leafHash, err := s.log.Inclusion(r.Context(), index, size)
	if err != nil {
		return err
	}
	respond(w, http.StatusOK, api.InclusionProof{Index: index, LeafHash: hexOf(leafHash), Size: under, Path: hexPath(path)})
	return nil
}

func (s *server) consistency(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "from", "to")
	if err != nil {
		return err
	}
	from, err := q.number("from", 0)
	if err != nil {
		return err
	}
	to, err := q.number("to", 0)
	if err != nil {
		return err
	}
	if q.given("from") == 0 || q.given("to") == 0 || from == 0 || from > to {
		return badRequest("from and to are two sizes, 1 ≤ from ≤ to", "nothing is proved from the empty tree")
	}
	path, err := s.log.Consistency(r.Context(), from, to)
	if err != nil {
		return err
	}
	respond(w, http.StatusOK, api.ConsistencyProof{From: from, To: to, Path: hexPath(path)})
	return nil
}

func (s *server) bundle(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r, "id"); err != nil {
		return err
	}
	index, entry, err := s.found(r)
	if err != nil {
		return err
	}
	data, err := s.log.Bundle(r.Context(), index, entry)
	if err != nil {
		return err
	}
	return serveProof(w, data)
}

func (s *server) status(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "from", "writer", "revocation")
	if err != nil {
		return err
	}
	var from []uint64
	var writers, revocations []chio.Hash
	for _, text := range q.values["from"] {
		n, err := parseNumber("from", text)
		if err != nil {
			return err
		}
		from = append(from, n)
	}
	for name, list := range map[string]*[]chio.Hash{"writer": &writers, "revocation": &revocations} {
		for _, text := range q.values[name] {
			h, err := parseHash(text)
			if err != nil {
				return err
			}
			*list = append(*list, h)
		}
	}
	if len(from)+len(writers)+len(revocations) > api.MaxProofs {
		return badRequest(fmt.Sprintf("more than %d proofs asked for", api.MaxProofs), "ask in several requests")
	}
	data, err := s.log.StatusFile(r.Context(), from, writers, revocations)
	if err != nil {
		return err
	}
	return serveProof(w, data)
}

func serveProof(w http.ResponseWriter, data []byte) error {
	w.Header().Set("Content-Type", api.TypeProof)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data)
	return nil
}

func (s *server) checkpoints(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "after", "limit")
	if err != nil {
		return err
	}
	after, err := q.number("after", 0)
	if err != nil {
		return err
	}
	limit, err := q.number("limit", 100)
	if err != nil {
		return err
	}
	if limit < 1 || limit > api.MaxCheckpoints {
		return badRequest(fmt.Sprintf("limit is 1 to %d", api.MaxCheckpoints), "ask for more with after")
	}
	v, err := s.log.published()
	if err != nil {
		return err
	}
	list, err := s.log.cfg.History.Read(after, v.checkpointSeq, int(limit))
	if err != nil {
		return err
	}
	answer := api.Checkpoints{Checkpoints: list}
	if n := len(list); n > 0 && list[n-1].CheckpointSeq < v.checkpointSeq {
		answer.Next = list[n-1].CheckpointSeq
	}
	respond(w, http.StatusOK, answer)
	return nil
}

func (s *server) checkpoint(w http.ResponseWriter, _ *http.Request) error {
	note, err := s.log.checkpointNote()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8") // TT-2
	w.Header().Set("Cache-Control", "no-cache")                 // TT-3
	w.Header().Set("Content-Length", strconv.Itoa(len(note)))
	w.Write(note)
	return nil
}

// tile serves hash tiles and entry bundles as they lie in the store.
func (s *server) tile(w http.ResponseWriter, r *http.Request) error {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if _, err := tile.ParsePath(path); err != nil {
		return &api.Error{Code: api.CodeNotFound, Message: "no tile has this path"}
	}
	f, err := s.files.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &api.Error{Code: api.CodeNotFound, Message: "no such tile", Hint: "a partial tile is gone once the full one exists"}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")             // TT-5
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable") // TT-11
	if seeker, ok := f.(io.ReadSeeker); ok {
		http.ServeContent(w, r, "", time.Time{}, seeker)
		return nil
	}
	io.Copy(w, f)
	return nil
}

func badRequest(message, hint string) error {
	return &api.Error{Code: api.CodeBadRequest, Message: message, Hint: hint}
}

// repeatable are the parameters that may be given several times.
var repeatable = []string{"from", "writer", "revocation"}

// A parameters is a checked query: every name known.
type parameters struct{ values map[string][]string }

func query(r *http.Request, names ...string) (*parameters, error) {
	values := r.URL.Query()
	for name, given := range values {
		if !slices.Contains(names, name) {
			return nil, badRequest(fmt.Sprintf("unknown parameter %.40q", name), "known are "+strings.Join(names, ", "))
		}
		if len(given) > 1 && !slices.Contains(repeatable, name) {
			return nil, badRequest(fmt.Sprintf("parameter %s is given twice", name), "")
		}
	}
	return &parameters{values}, nil
}

// given returns 1 if the parameter is there, else 0.
func (p *parameters) given(name string) int { return min(len(p.values[name]), 1) }

func (p *parameters) get(name string) string {
	if p.given(name) == 0 {
		return ""
	}
	return p.values[name][0]
}

func (p *parameters) number(name string, absent uint64) (uint64, error) {
	if p.given(name) == 0 {
		return absent, nil
	}
	return parseNumber(name, p.get(name))
}

func parseNumber(name, text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, badRequest(fmt.Sprintf("%s %.40q is not a number below 2^63", name, text), "")
	}
	return n, nil
}

// parseHash reads 64 hex digits, with or without 0x.
func parseHash(text string) (chio.Hash, error) {
	h, err := chio.ParseHash("0x" + strings.TrimPrefix(text, "0x"))
	if err != nil {
		return h, badRequest(fmt.Sprintf("%.80q is not a hash", text), "64 lowercase hex digits")
	}
	return h, nil
}

func hexOf(h [32]byte) string { return hex.EncodeToString(h[:]) }

func hexPath(path [][32]byte) []string {
	out := make([]string, len(path))
	for i, h := range path {
		out[i] = hexOf(h)
	}
	return out
}
