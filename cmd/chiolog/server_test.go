package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/timeline"
)

// A testLog serves the log of the vectors, with the proofs that they have. It
// judges what is submitted by the rules of receipts.
type testLog struct {
	*httptest.Server
	requests atomic.Int64

	mu      sync.Mutex
	entries []*receipt.Receipt
	index   map[string]uint64 // by id
	bundles map[string][]byte // by id
	note    []byte
}

func newTestLog(vectors string) (*testLog, error) {
	l := &testLog{index: map[string]uint64{}, bundles: map[string][]byte{}}
	data, err := os.ReadFile(filepath.Join(vectors, "log.json"))
	if err != nil {
		return nil, err
	}
	var log struct{ Entries []string }
	if err := json.Unmarshal(data, &log); err != nil {
		return nil, err
	}
	for _, entry := range log.Entries {
		r, err := receipt.ParseCanonical([]byte(entry))
		if err != nil {
			return nil, err
		}
		l.add(r)
	}
	for _, name := range []string{"kernel", "suspect", "beside"} {
		data, err := os.ReadFile(filepath.Join(vectors, "bundle-"+name+".tlog-proof"))
		if err != nil {
			return nil, err
		}
		p, err := bundle.ParseProof(data)
		if err != nil {
			return nil, err
		}
		l.bundles[l.entries[p.Index].ID], l.note = data, p.Checkpoint
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+api.PathReceipts, l.submit)
	mux.HandleFunc("GET "+api.PathReceipts, l.receipt)
	mux.HandleFunc("GET "+api.PathBundle, l.bundle)
	mux.HandleFunc("GET "+api.PathCheckpoint, func(w http.ResponseWriter, _ *http.Request) { w.Write(l.note) })
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.requests.Add(1)
		mux.ServeHTTP(w, r)
	}))
	return l, nil
}

func (l *testLog) add(r *receipt.Receipt) (index uint64, duplicate bool) {
	if index, ok := l.index[r.ID]; ok {
		return index, true
	}
	index = uint64(len(l.entries))
	l.entries, l.index[r.ID] = append(l.entries, r), index
	return index, false
}

func (l *testLog) submit(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, api.MaxReceipt+1)
	for lines.Scan() {
		json.NewEncoder(w).Encode(l.append(lines.Bytes()))
	}
}

func (l *testLog) append(line []byte) api.Submitted {
	refuse := func(code string, err error) api.Submitted {
		return api.Submitted{Error: &api.Error{Code: code, Message: err.Error()}}
	}
	r, err := receipt.Parse(line)
	if err != nil {
		return refuse(api.CodeMalformed, err)
	}
	if err := r.Verify(); err != nil {
		return refuse(api.CodeInvalidReceipt, err)
	}
	if name, ok := timeline.Reserved(r); ok {
		return api.Submitted{Error: &api.Error{Code: api.CodeReservedEvent, Message: name, Hint: "only the log writes these"}}
	}
	index, duplicate := l.add(r)
	return api.Submitted{
		ID: r.ID, Index: index, LeafHash: chio.Hash(r.LeafHash()).Hex(), Duplicate: duplicate, ParameterHashMismatch: !r.ParameterHashValid(),
	}
}

func (l *testLog) receipt(w http.ResponseWriter, r *http.Request) {
	index, ok := l.index[r.FormValue("id")]
	if !ok {
		notFound(w)
		return
	}
	e := l.entries[index]
	json.NewEncoder(w).Encode(api.Receipt{ID: e.ID, Index: index, LeafHash: chio.Hash(e.LeafHash()).Hex(), Receipt: e.Canonical()})
}

func (l *testLog) bundle(w http.ResponseWriter, r *http.Request) {
	data, ok := l.bundles[r.FormValue("id")]
	if !ok {
		notFound(w)
		return
	}
	w.Write(data)
}

func notFound(w http.ResponseWriter) {
	e := &api.Error{Code: api.CodeNotFound, Message: "no receipt with this id"}
	w.Header().Set("Content-Type", api.TypeJSON)
	w.WriteHeader(e.Status())
	json.NewEncoder(w).Encode(e)
}
