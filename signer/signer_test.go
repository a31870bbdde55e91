package signer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/checkpointdb"
)

const origin = "example.com/log"

// memoryKey signs with a key in memory; wrong makes it misbehave.
type memoryKey struct {
	private ed25519.PrivateKey
	limit   int
	wrong   func(*Signature)
}

func newKey(seed byte) *memoryKey {
	return &memoryKey{private: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)), limit: 4096}
}

func (k *memoryKey) PublicKey() chio.Key {
	return chio.NewEd25519(k.private.Public().(ed25519.PublicKey))
}
func (k *memoryKey) MaxMessage() int { return k.limit }

func (k *memoryKey) Sign(_ context.Context, message []byte) (Signature, error) {
	s := Signature{Key: k.PublicKey(), Text: chio.SignatureText(chio.Ed25519, ed25519.Sign(k.private, message))}
	if k.wrong != nil {
		k.wrong(&s)
	}
	return s, nil
}

func TestSignChecksTheKeyService(t *testing.T) {
	key := newKey(7)
	if _, err := Sign(t.Context(), key, key.PublicKey(), []byte("m")); err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]func(*Signature){
		"another key named":       func(s *Signature) { s.Key = newKey(8).PublicKey() },
		"signature of other text": func(s *Signature) { s.Text = chio.SignatureText(chio.Ed25519, ed25519.Sign(key.private, []byte("x"))) },
		"no signature":            func(s *Signature) { s.Text = "" },
	} {
		key.wrong = wrong
		if sig, err := Sign(t.Context(), key, key.PublicKey(), []byte("m")); err == nil || sig != "" {
			t.Errorf("%s: %q, %v", name, sig, err)
		}
	}
	key.wrong, key.limit = nil, 3
	if _, err := Sign(t.Context(), key, key.PublicKey(), []byte("mmmm")); err == nil {
		t.Error("a message over the key service's limit is signed")
	}
}

func TestSignCanonical(t *testing.T) {
	key := newKey(7)
	data, signature, err := SignCanonical(t.Context(), key, map[string]any{"b": 1, "a": "\u007f"})
	if err != nil || string(data) != `{"a":"\u007f","b":1}` {
		t.Fatalf("%s, %v", data, err)
	}
	if err := key.PublicKey().Verify(data, signature); err != nil {
		t.Error(err)
	}
}

// A harness drives a Signer as a log does.
type harness struct {
	*Signer
	key    *memoryKey
	path   string
	file   *checkpointdb.File
	leaves [][32]byte
	chain  checkpoint.Frontier
	last   *checkpoint.Statement
	size   uint64
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{key: newKey(7), path: filepath.Join(t.TempDir(), "guard")}
	h.open(t)
	if err := h.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *harness) open(t *testing.T) {
	t.Helper()
	if h.file != nil {
		h.file.Close()
	}
	var err error
	if h.file, err = checkpointdb.OpenFile(h.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.file.Close() })
	if h.Signer, err = New(origin, h.key, h.file); err != nil {
		t.Fatal(err)
	}
}

// request adds n leaves and asks for a checkpoint over them.
func (h *harness) request(n int) Request {
	batch := make([][32]byte, n)
	for i := range batch {
		batch[i] = checkpoint.LeafHash(fmt.Appendf(nil, "leaf %d", int(h.size)+i))
	}
	all := append(append([][32]byte{}, h.leaves...), batch...)
	var tree checkpoint.Frontier
	for _, leaf := range all {
		tree.Append(leaf)
	}
	body, _ := NextBody(h.last, h.chain, batch, h.key.PublicKey(), 1780000000)
	return Request{Body: body, Size: tree.Size(), Root: tree.Root(), Leaves: batch}
}

// sign signs r and goes on from it.
func (h *harness) sign(t *testing.T, r Request) Signed {
	t.Helper()
	signed, err := h.Sign(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := checkpoint.ParseStatement(signed.Statement)
	if err != nil {
		t.Fatal(err)
	}
	h.leaves = append(h.leaves, r.Leaves...)
	h.chain.Append(r.Body.ChainLeaf())
	h.last, h.size = &statement, r.Size
	return signed
}

func TestSignerSignsAChain(t *testing.T) {
	h := newHarness(t)
	vkey, err := checkpoint.NewVKey(origin, h.key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	var chain checkpoint.Chain
	for _, n := range []int{1, 5, 300, 1} {
		signed := h.sign(t, h.request(n))
		note, _, err := checkpoint.Open(signed.Note, vkey)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := checkpoint.Parse(note.Text); err != nil || c.Size != h.size || c.Origin != origin {
			t.Errorf("checkpoint %+v, %v", c, err)
		}
		if err := chain.Append(*h.last); err != nil {
			t.Error(err)
		}
		h.open(t) // the guard is all that a signer knows
	}
	if p, ok := h.Position(); !ok || p != (Position{Size: 307, CheckpointSeq: 4}) {
		t.Errorf("Position() = %+v, %t", p, ok)
	}
}

func TestSignerRepeatsWhatItSigned(t *testing.T) {
	h := newHarness(t)
	r := h.request(3)
	first := h.sign(t, r)
	h.open(t)
	again, err := h.Sign(t.Context(), r)
	if err != nil || !bytes.Equal(again.Note, first.Note) || !bytes.Equal(again.Statement, first.Statement) {
		t.Errorf("asked again: %v, other bytes than before", err)
	}
}

func TestSignerRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(h *harness, r *Request)
		want   error
	}{
		{"nothing wrong", func(*harness, *Request) {}, nil},
		{"another root", func(_ *harness, r *Request) { r.Root[0] ^= 1 }, ErrContradiction},
		{"another leaf", func(_ *harness, r *Request) { r.Leaves[0][0] ^= 1 }, ErrContradiction},
		{"a leaf too few", func(_ *harness, r *Request) { r.Leaves = r.Leaves[1:] }, ErrOutOfStep},
		{"an older size", func(h *harness, r *Request) { r.Size = h.size }, ErrOutOfStep},
		{"a sequence left out", func(_ *harness, r *Request) { r.Body.CheckpointSeq++ }, ErrOutOfStep},
		{"an older sequence", func(_ *harness, r *Request) { r.Body.CheckpointSeq -= 2 }, ErrOutOfStep},
		{"same sequence, other time", func(h *harness, r *Request) { *r = h.lastRequest(); r.Body.IssuedAt++ }, ErrContradiction},
		{"same sequence, other root", func(h *harness, r *Request) { *r = h.lastRequest(); r.Root[0] ^= 1 }, ErrContradiction},
		{"same sequence, other size", func(h *harness, r *Request) { *r = h.lastRequest(); r.Size++ }, ErrContradiction},
		{"another batch root", func(_ *harness, r *Request) { r.Body.MerkleRoot[0] ^= 1 }, ErrContradiction},
		{"another chain root", func(_ *harness, r *Request) { x := *r.Body.ChainRoot; x[0] ^= 1; r.Body.ChainRoot = &x }, ErrContradiction},
		{"no chain root", func(_ *harness, r *Request) { r.Body.ChainRoot = nil }, ErrContradiction},
		{"another key", func(_ *harness, r *Request) { r.Body.KernelKey = newKey(8).PublicKey().Text() }, ErrContradiction},
		{"another predecessor", func(_ *harness, r *Request) { r.Body.PreviousSHA256 = strings.Repeat("0", 64) }, ErrContradiction},
		{"a time before the last one", func(_ *harness, r *Request) { r.Body.IssuedAt -= 10 }, ErrContradiction},
	} {
		h := newHarness(t)
		h.sign(t, h.request(2))
		before, err := h.file.Latest()
		if err != nil {
			t.Fatal(err)
		}
		before = bytes.Clone(before)
		r := h.request(3)
		tt.change(h, &r)
		signed, err := h.Sign(t.Context(), r)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		if err == nil {
			continue
		}
		if signed.Note != nil || signed.Statement != nil {
			t.Errorf("%s: a signature leaves with an error", tt.name)
		}
		if after, _ := h.file.Latest(); !bytes.Equal(before, after) {
			t.Errorf("%s: the guard changed", tt.name)
		}
	}
}

// lastRequest asks for what was signed last.
func (h *harness) lastRequest() Request {
	var tree checkpoint.Frontier
	for _, leaf := range h.leaves {
		tree.Append(leaf)
	}
	return Request{Body: h.last.Body, Size: h.size, Root: tree.Root()}
}

// TestKeyIsPinned: a key service that changes its key signs nothing.
func TestKeyIsPinned(t *testing.T) {
	h := newHarness(t)
	h.sign(t, h.request(1))
	r := h.request(1)
	h.key.private = newKey(8).private
	if signed, err := h.Sign(t.Context(), r); err == nil || signed.Note != nil {
		t.Errorf("after the key service changed its key: %v", err)
	}
	h.open(t)
	if _, err := h.Sign(t.Context(), r); !errors.Is(err, ErrContradiction) {
		t.Errorf("another key under the guard of the first: %v", err)
	}
}

func TestSignerWithoutGuard(t *testing.T) {
	h := newHarness(t)
	r := h.request(1)
	if err := h.Begin(t.Context()); !errors.Is(err, ErrContradiction) {
		t.Errorf("second Begin: %v", err)
	}
	file, err := checkpointdb.OpenFile(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s, err := New(origin, h.key, file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(t.Context(), r); !errors.Is(err, ErrNoGuard) {
		t.Errorf("signing without a guard: %v", err)
	}
	if _, err := New("example.com/other", h.key, h.file); err == nil {
		t.Error("the guard of another log is taken")
	}
}

// failingState cannot store.
type failingState struct{ State }

func (failingState) Swap(_, _ []byte) error { return errors.New("disk full") }

func TestNoSignatureWithoutAGuardThatIsStored(t *testing.T) {
	h := newHarness(t)
	r := h.request(1)
	s, err := New(origin, h.key, failingState{h.file})
	if err != nil {
		t.Fatal(err)
	}
	if signed, err := s.Sign(t.Context(), r); err == nil || signed.Note != nil {
		t.Errorf("signed %q, %v", signed.Note, err)
	}
}

func TestRestore(t *testing.T) {
	h := newHarness(t)
	h.sign(t, h.request(2))
	signed := h.sign(t, h.request(2))
	var tree checkpoint.Frontier
	for _, leaf := range h.leaves {
		tree.Append(leaf)
	}
	r := Restoration{Tree: tree, Chain: h.chain, Note: signed.Note, Statement: h.last}
	if err := h.Restore(Restoration{}); !errors.Is(err, ErrContradiction) {
		t.Errorf("restoring to an earlier size: %v", err)
	}
	file, err := checkpointdb.OpenFile(filepath.Join(t.TempDir(), "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if h.Signer, err = New(origin, h.key, file); err != nil {
		t.Fatal(err)
	}
	if err := h.Restore(r); err != nil {
		t.Fatal(err)
	}
	h.sign(t, h.request(3))
}
