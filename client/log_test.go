package client

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/internal/jcs"
)

// vectors has a whole log of 13 entries with its proofs and a policy.
const vectors = "../testdata/chiolog"

func readVector(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectors, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A testLog serves the log of the vectors, whose 13 entries are published, and
// appends what is submitted. It judges receipts by the rules of receipts and
// knows nothing of writers.
type testLog struct {
	http.ServeMux
	t testing.TB

	mu       sync.Mutex
	entries  [][]byte
	leaves   [][32]byte
	byID     map[string]uint64
	requests []string // method, path and query of each

	bundles   map[string][]byte // by receipt id
	published atomic.Uint64     // size
}

func newTestLog(t testing.TB) *testLog {
	l := &testLog{t: t, byID: map[string]uint64{}, bundles: map[string][]byte{}}
	l.published.Store(13)
	var log struct{ Entries []string }
	if err := json.Unmarshal(readVector(t, "log.json"), &log); err != nil {
		t.Fatal(err)
	}
	for _, e := range log.Entries {
		if _, err := l.append([]byte(e)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"kernel", "writer", "suspect", "beside"} {
		data := readVector(t, "bundle-"+name+".tlog-proof")
		p, err := bundle.ParseProof(data)
		if err != nil {
			t.Fatal(err)
		}
		l.bundles[l.idAt(p.Index)] = data
	}
	l.HandleFunc("POST "+api.PathReceipts, l.submit)
	l.HandleFunc("GET "+api.PathReceipts, l.receipt)
	l.HandleFunc("GET "+api.PathInclusion, l.inclusion)
	l.HandleFunc("GET "+api.PathConsistency, l.consistency)
	l.HandleFunc("GET "+api.PathBundle, l.bundle)
	l.HandleFunc("GET "+api.PathStatus, func(w http.ResponseWriter, r *http.Request) { w.Write(readVector(t, "status.tlog-proof")) })
	l.HandleFunc("GET "+api.PathCheckpoint, func(w http.ResponseWriter, r *http.Request) { w.Write(l.note()) })
	l.HandleFunc("GET "+api.PathCheckpoints, func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, api.Checkpoints{Checkpoints: []api.Checkpoint{{CheckpointSeq: 2, Size: 13, Note: string(l.note())}}})
	})
	return l
}

// serve returns a client of the log behind a real listener.
func (l *testLog) serve(opts ...Option) *Client { return serve(l.t, l.counted(), opts...) }

func serve(t testing.TB, h http.Handler, opts ...Option) *Client {
	t.Helper()
	s := httptest.NewServer(http.StripPrefix("/prefix", h))
	t.Cleanup(s.Close)
	return newClient(t, s.URL+"/prefix", opts...)
}

func newClient(t testing.TB, url string, opts ...Option) *Client {
	t.Helper()
	c, err := New(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (l *testLog) counted() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.requests = append(l.requests, r.Method+" "+r.URL.RequestURI())
		l.mu.Unlock()
		l.ServeHTTP(w, r)
	})
}

func (l *testLog) idAt(index uint64) string {
	r, err := receipt.ParseCanonical(l.entries[index])
	if err != nil {
		l.t.Fatal(err)
	}
	return r.ID
}

// append adds a receipt, or finds it.
func (l *testLog) append(data []byte) (api.Submitted, *api.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, err := receipt.Parse(data)
	if err != nil {
		return api.Submitted{}, &api.Error{Code: api.CodeMalformed, Message: err.Error()}
	}
	if err := r.Verify(); err != nil {
		e := &api.Error{Code: api.CodeInvalidReceipt, Message: err.Error(), Hint: "sign it again"}
		if rule, ok := err.(*receipt.Error); ok {
			e.Rule = string(rule.Rule)
		}
		return api.Submitted{}, e
	}
	index, duplicate := l.byID[r.ID]
	if !duplicate {
		index = uint64(len(l.entries))
		l.entries = append(l.entries, bytes.Clone(r.Canonical()))
		l.leaves = append(l.leaves, r.LeafHash())
		l.byID[r.ID] = index
	}
	return api.Submitted{ID: r.ID, Index: index, LeafHash: chio.Hash(r.LeafHash()).Hex(), Duplicate: duplicate}, nil
}

func (l *testLog) submit(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") == api.TypeNDJSON {
		lines := bufio.NewScanner(r.Body)
		lines.Buffer(nil, api.MaxReceipt+1)
		for lines.Scan() {
			s, e := l.append(lines.Bytes())
			s.Error = e
			writeJSON(w, s)
		}
		return
	}
	var body bytes.Buffer
	body.ReadFrom(r.Body)
	s, e := l.append(body.Bytes())
	if e != nil {
		writeError(w, e)
		return
	}
	writeJSON(w, s)
}

func (l *testLog) receipt(w http.ResponseWriter, r *http.Request) {
	index, ok := l.byID[r.FormValue("id")]
	if !ok {
		writeError(w, &api.Error{Code: api.CodeNotFound, Message: "no receipt with this id"})
		return
	}
	writeJSON(w, api.Receipt{ID: r.FormValue("id"), Index: index, LeafHash: hex.EncodeToString(l.leaves[index][:]), Receipt: l.entries[index]})
}

func (l *testLog) inclusion(w http.ResponseWriter, r *http.Request) {
	index, ok := l.byID[r.FormValue("id")]
	if text := r.FormValue("index"); text != "" {
		index, _ = strconv.ParseUint(text, 10, 64)
		ok = true
	}
	for i, leaf := range l.leaves {
		if hex.EncodeToString(leaf[:]) == r.FormValue("leaf_hash") {
			index, ok = uint64(i), true
		}
	}
	size := l.published.Load()
	if text := r.FormValue("size"); text != "" {
		size, _ = strconv.ParseUint(text, 10, 64)
	}
	switch {
	case !ok:
		writeError(w, &api.Error{Code: api.CodeNotFound, Message: "no such entry"})
	case index >= size:
		w.Header().Set("Retry-After", "2")
		writeError(w, &api.Error{Code: api.CodeNotPublished, Message: "not under a checkpoint"})
	default:
		writeJSON(w, api.InclusionProof{Index: index, Size: size, LeafHash: hex.EncodeToString(l.leaves[index][:]), Path: inclusionPath(index, l.leaves[:size])})
	}
}

func (l *testLog) consistency(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.ParseUint(r.FormValue("from"), 10, 64)
	to, _ := strconv.ParseUint(r.FormValue("to"), 10, 64)
	writeJSON(w, api.ConsistencyProof{From: from, To: to, Path: consistencyPath(from, l.leaves[:to], true)})
}

func (l *testLog) bundle(w http.ResponseWriter, r *http.Request) {
	if data, ok := l.bundles[r.FormValue("id")]; ok {
		w.Write(data)
		return
	}
	writeError(w, &api.Error{Code: api.CodeNotFound, Message: "no receipt with this id"})
}

// note returns the checkpoint of size 13.
func (l *testLog) note() []byte {
	p, err := bundle.ParseProof(readVector(l.t, "bundle-kernel.tlog-proof"))
	if err != nil {
		l.t.Fatal(err)
	}
	return p.Checkpoint
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", api.TypeJSON)
	json.NewEncoder(w).Encode(v)
}

func writeError(w http.ResponseWriter, e *api.Error) {
	w.Header().Set("Content-Type", api.TypeJSON)
	w.WriteHeader(e.Status())
	json.NewEncoder(w).Encode(e)
}

// rootOf, inclusionPath and consistencyPath are RFC 6962 §2.1 as it is written.
func rootOf(leaves [][32]byte) [32]byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := splitAt(len(leaves))
	return checkpoint.NodeHash(rootOf(leaves[:k]), rootOf(leaves[k:]))
}

func splitAt(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

func inclusionPath(m uint64, leaves [][32]byte) []string {
	if len(leaves) == 1 {
		return []string{}
	}
	k := splitAt(len(leaves))
	if m < uint64(k) {
		return append(inclusionPath(m, leaves[:k]), hexOf(rootOf(leaves[k:])))
	}
	return append(inclusionPath(m-uint64(k), leaves[k:]), hexOf(rootOf(leaves[:k])))
}

func consistencyPath(m uint64, leaves [][32]byte, whole bool) []string {
	if m == uint64(len(leaves)) {
		if whole {
			return []string{}
		}
		return []string{hexOf(rootOf(leaves))}
	}
	k := splitAt(len(leaves))
	if m <= uint64(k) {
		return append(consistencyPath(m, leaves[:k], whole), hexOf(rootOf(leaves[k:])))
	}
	return append(consistencyPath(m-uint64(k), leaves[k:], false), hexOf(rootOf(leaves[:k])))
}

func hexOf(h [32]byte) string { return hex.EncodeToString(h[:]) }

func testPolicy(t testing.TB) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(readVector(t, "policy.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newReceipt returns a receipt like that at index 12 with another time, signed
// by the key of the vectors' kernel.
func newReceipt(t testing.TB, l *testLog, timestamp int) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(l.entries[12], &doc); err != nil {
		t.Fatal(err)
	}
	delete(doc, "id")
	delete(doc, "signature")
	doc["timestamp"] = timestamp
	body, err := jcs.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(body)
	doc["id"] = hex.EncodeToString(id[:])
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	doc["signature"] = hex.EncodeToString(ed25519.Sign(key, fmt.Appendf(nil, `{"body":%s,"id":"%x"}`, body, id)))
	data, err := jcs.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// transport has requests answered by a handler without a network, so that a
// bubble of synctest owns all goroutines.
type transport struct{ http.Handler }

func (h transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func offline(t testing.TB, h http.Handler, opts ...Option) *Client {
	return newClient(t, "http://log.example", append([]Option{WithHTTPClient(&http.Client{Transport: transport{h}})}, opts...)...)
}
