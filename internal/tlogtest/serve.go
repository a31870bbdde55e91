package tlogtest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/tile"
)

// Serve starts an HTTP server with the log's Handler, which ends with the test,
// and returns its URL.
func (l *Log) Serve() string {
	s := httptest.NewServer(l.Handler())
	l.t.Cleanup(s.Close)
	return s.URL
}

// Handler answers as a log server does: submissions, receipts, proofs,
// bundles, status files, checkpoints, tiles and entry bundles. A submission is
// checked only as far as it must be read; with ?wait=published it is published
// at once, otherwise when the test publishes.
//
// Requests are served one at a time; the test must not use the log while one is
// under way.
func (l *Log) Handler() http.Handler {
	s := &server{log: l}
	mux := http.NewServeMux()
	get := func(path string, h func(*http.Request) (any, *api.Error)) {
		mux.HandleFunc("GET "+path, s.answer(h))
	}
	mux.HandleFunc("POST "+api.PathReceipts, s.submit)
	get(api.PathReceipts, s.receipt)
	get(api.PathReceipt, s.receipt)
	get(api.PathInclusion, s.inclusion)
	get(api.PathConsistency, s.consistency)
	get(api.PathBundle, s.bundle)
	get(api.PathStatus, s.status)
	get(api.PathCheckpoints, s.checkpoints)
	get(api.PathCheckpoint, func(*http.Request) (any, *api.Error) {
		if l.Published() == nil {
			return nil, errNotPublished
		}
		return l.Published().Note.Bytes(), nil
	})
	get(api.PathTile, s.tile)
	get(api.PathHealth, func(*http.Request) (any, *api.Error) { return map[string]string{"status": "ok"}, nil })
	get(api.PathReady, func(*http.Request) (any, *api.Error) { return map[string]string{"status": "ready"}, nil })
	return mux
}

type server struct {
	mu  sync.Mutex
	log *Log
}

var (
	errNotFound     = &api.Error{Code: api.CodeNotFound, Message: "not in the log"}
	errNotPublished = &api.Error{Code: api.CodeNotPublished, Message: "sequenced, but not published"}
	errBadRequest   = &api.Error{Code: api.CodeBadRequest, Message: "bad parameters"}
)

// answer serves bytes as they are and anything else as JSON.
func (s *server) answer(h func(*http.Request) (any, *api.Error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		body, failed := h(r)
		if failed != nil {
			respond(w, failed.Status(), failed)
			return
		}
		if data, ok := body.([]byte); ok {
			w.Header().Set("Content-Type", api.TypeProof)
			w.Write(data)
			return
		}
		respond(w, http.StatusOK, body)
	}
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", api.TypeJSON)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// submit takes one receipt, or one on each line of NDJSON.
func (s *server) submit(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		respond(w, http.StatusBadRequest, errBadRequest)
		return
	}
	publish := r.URL.Query().Get("wait") == api.WaitPublished
	if r.Header.Get("Content-Type") != api.TypeNDJSON {
		answer := s.append(data, publish)
		if answer.Error != nil {
			respond(w, answer.Error.Status(), answer.Error)
			return
		}
		respond(w, http.StatusOK, answer)
		return
	}
	w.Header().Set("Content-Type", api.TypeNDJSON)
	enc := json.NewEncoder(w)
	for line := range bytes.Lines(data) {
		enc.Encode(s.append(line, publish))
	}
}

func (s *server) append(data []byte, publish bool) api.Submitted {
	r, err := receipt.Parse(data)
	if err != nil {
		return api.Submitted{Error: &api.Error{Code: api.CodeMalformed, Message: err.Error()}}
	}
	if err := r.Verify(); err != nil {
		return api.Submitted{Error: &api.Error{Code: api.CodeInvalidReceipt, Message: err.Error()}}
	}
	answer := api.Submitted{ID: r.ID, LeafHash: chio.Hash(r.LeafHash()).Hex(), ParameterHashMismatch: !r.ParameterHashValid()}
	answer.Index, answer.Duplicate = s.find(func(o *receipt.Receipt) bool { return o.Identity() == r.Identity() })
	if !answer.Duplicate {
		answer.Index = s.log.Add(r.Canonical())
	}
	if publish {
		answer.Size = s.log.Publish().Size
	}
	return answer
}

// find returns the index of the first receipt that is wanted.
func (s *server) find(wanted func(*receipt.Receipt) bool) (index uint64, ok bool) {
	for i, entry := range s.log.entries {
		if r, err := receipt.ParseCanonical(entry); err == nil && wanted(r) {
			return uint64(i), true
		}
	}
	return 0, false
}

// named returns the index of the entry that a request names.
func (s *server) named(r *http.Request) (index uint64, failed *api.Error) {
	q := r.URL.Query()
	id := r.PathValue("id") + q.Get("id")
	switch {
	case q.Has("index"):
		index, err := strconv.ParseUint(q.Get("index"), 10, 63)
		if err != nil || index >= s.log.Size() {
			return 0, errNotFound
		}
		return index, nil
	case q.Has("leaf_hash"):
		index, ok := s.find(func(o *receipt.Receipt) bool { return chio.Hash(o.LeafHash()).Hex() == q.Get("leaf_hash") })
		if !ok {
			return 0, errNotFound
		}
		return index, nil
	}
	index, ok := s.find(func(o *receipt.Receipt) bool { return o.ID == id })
	if !ok {
		return 0, errNotFound
	}
	return index, nil
}

// published is named, for an entry under the published checkpoint.
func (s *server) published(r *http.Request) (index uint64, failed *api.Error) {
	index, failed = s.named(r)
	if failed == nil && (s.log.Published() == nil || index >= s.log.Published().Size) {
		failed = errNotPublished
	}
	return index, failed
}

func (s *server) receipt(r *http.Request) (any, *api.Error) {
	index, failed := s.named(r)
	if failed != nil {
		return nil, failed
	}
	parsed, err := receipt.ParseCanonical(s.log.Entry(index))
	if err != nil {
		return nil, errNotFound
	}
	return api.Receipt{ID: parsed.ID, Index: index, LeafHash: chio.Hash(parsed.LeafHash()).Hex(), Receipt: s.log.Entry(index)}, nil
}

func (s *server) inclusion(r *http.Request) (any, *api.Error) {
	index, failed := s.published(r)
	if failed != nil {
		return nil, failed
	}
	size := s.log.Published().Size
	if text := r.URL.Query().Get("size"); text != "" {
		asked, err := strconv.ParseUint(text, 10, 63)
		if err != nil || asked <= index {
			return nil, errBadRequest
		}
		if asked > size {
			return nil, &api.Error{Code: api.CodeSize, Message: "size is not published", Size: &size}
		}
		size = asked
	}
	leaf := s.log.tree.hashes[0][index]
	return api.InclusionProof{Index: index, LeafHash: chio.Hash(leaf).Hex(), Size: size, Path: hexPath(s.log.Inclusion(index, size))}, nil
}

func (s *server) consistency(r *http.Request) (any, *api.Error) {
	from, err1 := strconv.ParseUint(r.URL.Query().Get("from"), 10, 63)
	to, err2 := strconv.ParseUint(r.URL.Query().Get("to"), 10, 63)
	if err1 != nil || err2 != nil || from == 0 || from > to {
		return nil, errBadRequest
	}
	if p := s.log.Published(); p == nil || to > p.Size {
		return nil, errNotPublished
	}
	return api.ConsistencyProof{From: from, To: to, Path: hexPath(s.log.Consistency(from, to))}, nil
}

func hexPath(path [][32]byte) []string {
	out := []string{}
	for _, h := range path {
		out = append(out, chio.Hash(h).Hex())
	}
	return out
}

func (s *server) bundle(r *http.Request) (any, *api.Error) {
	index, failed := s.published(r)
	if failed != nil {
		return nil, failed
	}
	return s.log.Bundle(index), nil
}

func (s *server) status(r *http.Request) (any, *api.Error) {
	if s.log.Published() == nil {
		return nil, errNotPublished
	}
	var question Question
	for _, text := range r.URL.Query()["from"] {
		m, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return nil, errBadRequest
		}
		question.From = append(question.From, m)
	}
	for name, list := range map[string]*[]chio.Hash{"writer": &question.Writers, "revocation": &question.Revocations} {
		for _, text := range r.URL.Query()[name] {
			h, err := chio.ParseHash("0x" + strings.TrimPrefix(text, "0x"))
			if err != nil {
				return nil, errBadRequest
			}
			*list = append(*list, h)
		}
	}
	return s.log.StatusFile(question), nil
}

func (s *server) checkpoints(r *http.Request) (any, *api.Error) {
	after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 63)
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		limit = api.MaxCheckpoints
	}
	answer := api.Checkpoints{Checkpoints: []api.Checkpoint{}}
	for _, p := range s.log.history {
		seq := p.Statement.Body.CheckpointSeq
		if seq <= after {
			continue
		}
		if len(answer.Checkpoints) == limit {
			answer.Next = answer.Checkpoints[limit-1].CheckpointSeq
			break
		}
		answer.Checkpoints = append(answer.Checkpoints, api.Checkpoint{
			CheckpointSeq: seq, Size: p.Size, Note: p.Note.String(), Statement: Canonical(p.Statement),
		})
	}
	return answer, nil
}

// tile serves the tiles and entry bundles that the published tree needs.
func (s *server) tile(r *http.Request) (any, *api.Error) {
	t, err := tile.ParsePath(strings.TrimPrefix(r.URL.Path, "/"))
	p := s.log.Published()
	if err != nil || p == nil || t.Width > tile.WidthAt(t.Level, t.Index, p.Size) {
		return nil, errNotFound
	}
	first := t.Index * tile.Width
	data := []byte{}
	if t.Level == tile.Entries {
		for _, entry := range s.log.entries[first : first+uint64(t.Width)] {
			data = binary.BigEndian.AppendUint16(data, uint16(len(entry)))
			data = append(data, entry...)
		}
		return data, nil
	}
	for _, h := range s.log.tree.hashes[8*t.Level][first : first+uint64(t.Width)] {
		data = append(data, h[:]...)
	}
	return data, nil
}
