package client

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
)

// head returns the checkpoint of the vectors' log at a size.
func (l *testLog) head(size int) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{Origin: "example.com/log", Size: uint64(size), Root: rootOf(l.leaves[:size])}
}

func TestReceipt(t *testing.T) {
	l := newTestLog(t)
	c := l.serve()
	for _, index := range []uint64{4, 9} { // an id of hex digits, and a free one
		got, err := c.Receipt(t.Context(), l.idAt(index))
		if err != nil || got.Index != index || !bytes.Equal(got.Receipt, l.entries[index]) {
			t.Errorf("receipt %d: %+v, %v", index, got, err)
		}
	}
	var e *api.Error
	if _, err := c.Receipt(t.Context(), "a/b?c=d&e"); !errors.As(err, &e) || e.Code != api.CodeNotFound {
		t.Errorf("unknown id: %v", err)
	}
}

func TestInclusionProof(t *testing.T) {
	l := newTestLog(t)
	c := l.serve()
	note, err := c.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	head, err := checkpoint.Parse(note.Text)
	if err != nil || head.Root != l.head(13).Root {
		t.Fatalf("checkpoint %+v, %v", head, err)
	}
	for index := range uint64(13) {
		for _, ref := range []Ref{ByID(l.idAt(index)), ByIndex(index), ByLeafHash(l.leaves[index])} {
			p, err := c.InclusionProof(t.Context(), ref, 0)
			if err != nil || p.Index != index {
				t.Fatalf("%v: %+v, %v", ref, p, err)
			}
			if err := VerifyInclusion(p, l.leaves[index], head); err != nil {
				t.Errorf("%v: %v", ref, err)
			}
		}
	}
	p, err := c.InclusionProof(t.Context(), ByIndex(2), 4)
	if err != nil || VerifyInclusion(p, l.leaves[2], l.head(4)) != nil {
		t.Fatalf("at size 4: %+v, %v", p, err)
	}
	other := func(change func(*api.InclusionProof)) api.InclusionProof {
		o := p
		o.Path = append([]string{}, p.Path...)
		change(&o)
		return o
	}
	for _, tt := range []struct {
		name string
		p    api.InclusionProof
		leaf [32]byte
		head checkpoint.Checkpoint
	}{
		{"other leaf", p, l.leaves[3], l.head(4)},
		{"other index", other(func(p *api.InclusionProof) { p.Index = 3 }), l.leaves[2], l.head(4)},
		{"other checkpoint", p, l.leaves[2], l.head(13)},
		{"other root", p, l.leaves[2], checkpoint.Checkpoint{Size: 4}},
		{"hash in upper case", other(func(p *api.InclusionProof) { p.Path[0] = "AB" + p.Path[0][2:] }), l.leaves[2], l.head(4)},
		{"path cut", other(func(p *api.InclusionProof) { p.Path = p.Path[1:] }), l.leaves[2], l.head(4)},
		{"path of a giant", other(func(p *api.InclusionProof) { p.Path = make([]string, 1000) }), l.leaves[2], l.head(4)},
	} {
		if VerifyInclusion(tt.p, tt.leaf, tt.head) == nil {
			t.Errorf("%s: verified", tt.name)
		}
	}
}

func TestCheckConsistency(t *testing.T) {
	l := newTestLog(t)
	c := l.serve()
	for m := 1; m <= 13; m++ {
		for n := m; n <= 13; n++ {
			if err := c.CheckConsistency(t.Context(), l.head(m), l.head(n)); err != nil {
				t.Errorf("%d to %d: %v", m, n, err)
			}
		}
	}
	forked := l.head(4)
	forked.Root[0] ^= 1
	alien := l.head(4)
	alien.Origin = "example.com/other"
	for _, tt := range []struct {
		name     string
		from, to checkpoint.Checkpoint
		proof    bool // the log is at fault
	}{
		{"other history", forked, l.head(13), true},
		{"other root of one size", forked, l.head(4), true},
		{"shrinking", l.head(5), l.head(4), true},
		{"two logs", alien, l.head(13), false},
		{"from nothing", checkpoint.Checkpoint{Origin: "example.com/log", Root: checkpoint.EmptyRoot()}, l.head(4), false},
	} {
		err := c.CheckConsistency(t.Context(), tt.from, tt.to)
		if err == nil || errors.Is(err, checkpoint.ErrProof) != tt.proof {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestStatusFile(t *testing.T) {
	l := newTestLog(t)
	c := l.serve()
	key := chio.Hash{1}
	data, err := c.StatusFile(t.Context(), StatusQuery{From: []uint64{4, 5}, Writers: []chio.Hash{key}, Revocations: []chio.Hash{key}})
	if err != nil || !bytes.Equal(data, readVector(t, "status.tlog-proof")) {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	want := "GET /v1/status?from=4&from=5&revocation=" + key.String() + "&writer=" + key.String()
	if got := l.requests[0]; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if _, err := c.StatusFile(t.Context(), StatusQuery{From: make([]uint64, api.MaxProofs)}); err != nil {
		t.Errorf("as many proofs as allowed: %v", err)
	}
	if _, err := c.StatusFile(t.Context(), StatusQuery{From: make([]uint64, api.MaxProofs), Writers: []chio.Hash{key}}); err == nil {
		t.Error("one proof more than allowed is no error")
	}
}

func TestCheckpoints(t *testing.T) {
	l := newTestLog(t)
	c := l.serve()
	got, err := c.Checkpoints(t.Context(), 1, api.MaxCheckpoints)
	if err != nil || len(got.Checkpoints) != 1 || l.requests[0] != "GET /v1/checkpoints?after=1&limit=1000" {
		t.Errorf("%+v, %v, asked %s", got, err, l.requests)
	}
	for _, limit := range []int{-1, 0, api.MaxCheckpoints + 1} {
		if _, err := c.Checkpoints(t.Context(), 0, limit); err == nil {
			t.Errorf("limit %d is no error", limit)
		}
	}
	note := []byte("not a note\n")
	c = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(note) }))
	if _, err := c.Checkpoint(t.Context()); !errors.Is(err, checkpoint.ErrNote) {
		t.Errorf("Checkpoint of %q: %v", note, err)
	}
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLog(t)
		l.published.Store(4)
		c := offline(t, l)
		if _, err := c.InclusionProof(t.Context(), ByIndex(12), 0); !hasCode(err, api.CodeNotPublished) {
			t.Errorf("InclusionProof does not wait: %v", err)
		}
		start := time.Now()
		// Far longer than the patience with a busy log.
		time.AfterFunc(time.Hour, func() { l.published.Store(13) })
		p, err := c.Await(t.Context(), ByIndex(12))
		if err != nil || VerifyInclusion(p, l.leaves[12], l.head(13)) != nil {
			t.Errorf("Await: %+v, %v", p, err)
		}
		if waited := time.Since(start); waited < time.Hour || waited > time.Hour+2*time.Second {
			t.Errorf("waited %v", waited)
		}
		if _, err := c.Await(t.Context(), ByID("unknown")); !hasCode(err, api.CodeNotFound) {
			t.Errorf("unknown entry: %v", err)
		}
	})
}

func hasCode(err error, code string) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == code
}

func TestProve(t *testing.T) {
	l := newTestLog(t)
	c := l.serve()
	p := testPolicy(t)
	kernel, beside, suspect := l.idAt(12), l.idAt(10), l.idAt(7)

	got, err := c.Prove(t.Context(), kernel, p)
	if err != nil || got.Receipt != nil || got.Result.Verdict != bundle.Verified || !bytes.Equal(got.Bundle, l.bundles[kernel]) {
		t.Errorf("receipt in the bundle: %+v, %v", got, err)
	}
	got, err = c.Prove(t.Context(), beside, p)
	if err != nil || !bytes.Equal(got.Receipt, l.entries[10]) {
		t.Errorf("receipt beside the bundle: %v", err)
	}
	if got, err = c.Prove(t.Context(), suspect, nil); err != nil || got.Result != nil {
		t.Errorf("without a policy: %+v, %v", got, err)
	}
	var verdict *VerdictError
	if _, err = c.Prove(t.Context(), suspect, p); !errors.As(err, &verdict) || verdict.Result.Verdict != bundle.Suspect {
		t.Errorf("suspect: %v", err)
	}
	if _, err = c.Prove(t.Context(), "unknown", p); !hasCode(err, api.CodeNotFound) {
		t.Errorf("unknown id: %v", err)
	}

	good := l.bundles[kernel]
	l.bundles[kernel] = bytes.Replace(good, []byte("index 12\n"), []byte("index 11\n"), 1)
	var failure *bundle.Failure
	if _, err = c.Prove(t.Context(), kernel, p); !errors.As(err, &failure) || failure.Class != bundle.ClassInclusion {
		t.Errorf("other index: %v", err)
	}
	// A proof of another receipt verifies, and is not what was asked for.
	l.bundles[kernel] = l.bundles[l.idAt(4)]
	if _, err = c.Prove(t.Context(), kernel, p); !errors.Is(err, errOtherReceipt) {
		t.Errorf("proof of another receipt: %v", err)
	}
	if _, err = c.Prove(t.Context(), kernel, nil); !errors.Is(err, errOtherReceipt) {
		t.Errorf("proof of another receipt, no policy: %v", err)
	}
	l.bundles[kernel] = []byte("nothing of the kind\n")
	if _, err = c.Prove(t.Context(), kernel, p); err == nil {
		t.Error("no proof at all is no error")
	}
}
