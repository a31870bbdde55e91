package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/checkpointdb"
	"github.com/chiolog/chiolog/logserver"
	"github.com/chiolog/chiolog/signer"
)

// A faultyTree fails one append of the log's own leaves, before or after the
// leaf is in.
type faultyTree struct {
	logserver.Tree
	countdown int
	kept      bool
}

func (f *faultyTree) Exclusive(ctx context.Context, fn func(uint64, logserver.AppendFunc) error) error {
	f.countdown--
	if f.countdown != 0 {
		return f.Tree.Exclusive(ctx, fn)
	}
	if f.kept {
		if err := f.Tree.Exclusive(ctx, fn); err != nil {
			return err
		}
	}
	return errFault
}

// A fault is one break of a start or of a pass: at which change of what.
type fault struct {
	where string // guard, record or tree
	at    int
	kept  bool // the change that is reported as failed is durable
}

func faults(guard, record, tree int) (list []fault) {
	for where, n := range map[string]int{"guard": guard, "record": record, "tree": tree} {
		for at := 1; at <= n; at++ {
			list = append(list, fault{where, at, false}, fault{where, at, true})
		}
	}
	return list
}

// A guarded is a site whose guard can fail, and whose key can be watched.
type guarded struct {
	*site
	file   *checkpointdb.File
	before func(message string, record, guard []byte) // each signature, if set
}

type watchedKey struct {
	*backend
	before func(message string)
}

func (k watchedKey) Sign(ctx context.Context, message []byte) (signer.Signature, error) {
	k.before(string(message))
	return k.backend.Sign(ctx, message)
}

// startWith opens the log with a fault; the zero fault is none.
func (g *guarded) startWith(t *testing.T, f fault) (*ruled, error) {
	t.Helper()
	g.stop()
	return g.start(t, func(c *logserver.Config) {
		var err error
		if g.file, err = checkpointdb.OpenFile(filepath.Join(g.home, "guard-that-fails")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.stop() })
		guard, record := logserver.State(g.file), c.State
		switch f.where {
		case "guard":
			guard = &faultyState{State: guard, countdown: f.at, kept: f.kept}
		case "record":
			c.State = &faultyState{State: c.State, countdown: f.at, kept: f.kept}
		case "tree":
			c.Tree = &faultyTree{Tree: c.Tree, countdown: f.at, kept: f.kept}
		}
		key := watchedKey{g.key, func(message string) {
			if g.before == nil {
				return
			}
			r, err1 := record.Latest()
			s, err2 := guard.Latest()
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			g.before(message, r, s)
		}}
		if c.Signer, err = signer.New(testOrigin, key, guard); err != nil {
			t.Fatal(err)
		}
	})
}

func (g *guarded) stop() {
	if g.file != nil {
		g.file.Close()
		g.file = nil
	}
}

// breakOff runs a pass that appends a receipt, and demands that it fails.
func (g *guarded) breakOff(t *testing.T, f fault, n int) {
	t.Helper()
	r, err := g.startWith(t, f)
	if err == nil {
		r.append(t, g.key.writer.receipt(t, n))
		if err = r.Publish(t.Context()); err == nil {
			t.Fatalf("%+v was never reached", f)
		}
		if f.where != "tree" {
			r.append(t, g.key.writer.receipt(t, n+1)) // what comes later changes nothing
		}
		r.close()
	}
	if !errors.Is(err, errFault) {
		t.Fatalf("%+v: %v", f, err)
	}
}

// A lineage signs checkpoints of given leaves, as a store would ask for them.
type lineage struct {
	*signer.Signer
	key    *backend
	file   *checkpointdb.File
	leaves [][32]byte
	chain  checkpoint.Frontier
	last   *checkpoint.Statement
}

func (l *lineage) open(t *testing.T, path string) {
	t.Helper()
	if l.file != nil {
		l.file.Close()
	}
	var err error
	if l.file, err = checkpointdb.OpenFile(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.file.Close() })
	if l.Signer, err = signer.New(testOrigin, l.key, l.file); err != nil {
		t.Fatal(err)
	}
}

// request asks for the checkpoint over leaves whose batch begins at index from.
func (l *lineage) request(leaves [][32]byte, from int) signer.Request {
	var tree checkpoint.Frontier
	for _, leaf := range leaves {
		tree.Append(leaf)
	}
	body, _ := signer.NextBody(l.last, l.chain, leaves[from:], l.key.PublicKey(), 1780000000)
	return signer.Request{Body: body, Size: tree.Size(), Root: tree.Root(), Leaves: leaves[from:]}
}

// grow signs a checkpoint over n leaves more.
func (l *lineage) grow(t *testing.T, n int) {
	t.Helper()
	from := len(l.leaves)
	for i := range n {
		l.leaves = append(l.leaves, checkpoint.LeafHash(fmt.Appendf(nil, "leaf %d", from+i)))
	}
	r := l.request(l.leaves, from)
	signed, err := l.Sign(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := checkpoint.ParseStatement(signed.Statement)
	if err != nil {
		t.Fatal(err)
	}
	l.chain.Append(r.Body.ChainLeaf())
	l.last = &statement
}

// TestCP_6_SignerRemembersEveryCheckpoint: what does not go on from the last
// signed checkpoint is not signed, also by a signer that knows of it from its
// guard alone.
func TestCP_6_SignerRemembersEveryCheckpoint(t *testing.T) {
	more := [][32]byte{{1}, {2}}
	rewritten := func(l *lineage) [][32]byte {
		leaves := append(slices.Clone(l.leaves), more...)
		leaves[0] = [32]byte{9}
		return leaves
	}
	for _, c := range []struct {
		name    string
		request func(l *lineage) signer.Request
		want    error
	}{
		{"two leaves more", func(l *lineage) signer.Request { return l.request(append(slices.Clone(l.leaves), more...), 5) }, nil},
		{"two leaves more after another first leaf", func(l *lineage) signer.Request { return l.request(rewritten(l), 5) }, signer.ErrContradiction},
		{"a batch that begins too early", func(l *lineage) signer.Request { return l.request(append(slices.Clone(l.leaves), more...), 4) }, signer.ErrOutOfStep},
		{"the same size, another root", func(l *lineage) signer.Request {
			r := l.request(rewritten(l)[:5], 5)
			r.Body = l.last.Body
			return r
		}, signer.ErrContradiction},
		{"a smaller size", func(l *lineage) signer.Request { return l.request(l.leaves[:4], 4) }, signer.ErrOutOfStep},
		{"the last one again", func(l *lineage) signer.Request {
			r := l.request(l.leaves, 5)
			r.Body = l.last.Body
			return r
		}, nil},
	} {
		for _, restarted := range []bool{false, true} {
			l := &lineage{key: &backend{writer: newTestWriter(7)}}
			path := filepath.Join(t.TempDir(), "guard")
			l.open(t, path)
			if err := l.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			l.grow(t, 3)
			l.grow(t, 2)
			if restarted {
				l.open(t, path)
			}
			before := len(l.key.signed)
			_, err := l.Sign(t.Context(), c.request(l))
			if !errors.Is(err, c.want) {
				t.Errorf("%s, restarted %t: %v, want %v", c.name, restarted, err, c.want)
			}
			if err != nil && len(l.key.signed) != before {
				t.Errorf("%s, restarted %t: refused, but the key signed %q", c.name, restarted, l.key.signed[before:])
			}
			if err := l.Begin(t.Context()); !errors.Is(err, signer.ErrContradiction) {
				t.Errorf("%s, restarted %t: the empty tree is signed again: %v", c.name, restarted, err)
			}
		}
	}
}

// TestCP_6_StoreOfAnotherHistory: a store that is as long as the one that was
// signed, but has other leaves, gets no signature.
func TestCP_6_StoreOfAnotherHistory(t *testing.T) {
	for _, other := range []bool{false, true} {
		s, o := newSite(t), newSite(t)
		for n, x := range []*site{s, o} {
			r := x.mustOpen(t)
			r.append(t, x.key.writer.receipt(t, n))
			r.publish(t)
			r.close()
		}
		if other {
			if err := os.RemoveAll(s.dir()); err != nil {
				t.Fatal(err)
			}
			copyDir(t, o.dir(), s.dir())
		}
		r := s.mustOpen(t)
		before := len(s.key.signed)
		r.append(t, s.key.writer.receipt(t, 2))
		err := r.Publish(t.Context())
		if !other {
			if err != nil {
				t.Errorf("its own store: %v", err)
			}
			continue
		}
		if !errors.Is(err, signer.ErrContradiction) || r.Ready() == nil || len(s.key.signed) != before {
			t.Errorf("another history: %v, ready %v, %d signatures", err, r.Ready(), len(s.key.signed)-before)
		}
	}
}

// TestCP_7_LogSignsUnderItsOrigin looks at the note as it is published.
func TestCP_7_LogSignsUnderItsOrigin(t *testing.T) {
	s := newSite(t)
	r := s.mustOpen(t)
	r.publish(t)
	data, err := os.ReadFile(filepath.Join(s.dir(), "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{testOrigin: nil, "example.com/lag": checkpoint.ErrUnsigned} {
		vkey, err := checkpoint.NewVKey(name, s.key.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		n, _, err := checkpoint.Open(data, vkey)
		if !errors.Is(err, want) {
			t.Errorf("read by who knows the key as %s: %v, want %v", name, err, want)
		}
		if origin, _, _ := strings.Cut(n.Text, "\n"); err == nil && origin != name {
			t.Errorf("checkpoint of %s is signed by %s", origin, name)
		}
	}
}

// TestP_1_FirstStartIsCompleted breaks a first start off at every change of guard,
// record and tree: it rolls back or goes forward to one and the same beginning.
func TestP_1_FirstStartIsCompleted(t *testing.T) {
	for _, f := range faults(2, 4, 3) {
		g := &guarded{site: newSite(t)}
		g.writers = []string{newTestWriter(1).text()}
		g.breakOff(t, f, 1)
		r, err := g.startWith(t, fault{})
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		a := r.append(t, g.key.writer.receipt(t, 9))
		byWriter := r.append(t, newTestWriter(1).receipt(t, 10))
		r.publish(t)
		r.mustVerify(t, a.Receipt.ID)
		r.mustVerify(t, byWriter.Receipt.ID)
		events := map[string]int{}
		for _, leaf := range r.own(t) {
			events[leaf.Event]++
		}
		if events[timeline.EventGenesis] != 1 || r.own(t)[0].Event != timeline.EventGenesis || events[timeline.EventWriterSet] != 1 {
			t.Errorf("%+v: the log begins with %v", f, events)
		}
		r.checkS3(t)
		checkHistory(t, g.site)
		g.key.contradictions(t)
		r.close()
		g.stop()
	}
}

// TestP_1_GuardBeforeGenesis: nothing is signed for the tree before the guard is
// durable, and a tree with a genesis does not go on without it.
func TestP_1_GuardBeforeGenesis(t *testing.T) {
	g := &guarded{site: newSite(t)}
	g.before = func(message string, _, guard []byte) {
		if strings.Contains(message, timeline.EventGenesis) && guard == nil {
			t.Error("genesis was signed before the guard was durable")
		}
	}
	r, err := g.startWith(t, fault{})
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	path := g.file.Path()
	guard, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g.stop()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := g.startWith(t, fault{}); err == nil || !strings.Contains(err.Error(), "guard") {
		t.Errorf("start without the guard: %v", err)
	}
	g.stop()
	if err := os.WriteFile(path, guard, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err = g.startWith(t, fault{}); err != nil {
		t.Fatalf("start with the guard: %v", err)
	}
	r.publish(t)
}

// bodies returns the statement bodies that the key signed, by checkpoint_seq.
func (b *backend) bodies() map[uint64][]string {
	all := map[uint64][]string{}
	for _, message := range b.signed {
		var body checkpoint.Body
		if json.Unmarshal([]byte(message), &body) == nil && body.Schema == checkpoint.SchemaV2 {
			all[body.CheckpointSeq] = append(all[body.CheckpointSeq], message)
		}
	}
	return all
}

// TestP_3_OneStatementForEachSequence breaks a pass off at every change of guard
// and record, lets receipts and time go on, and compares what was signed.
func TestP_3_OneStatementForEachSequence(t *testing.T) {
	again := 0
	for _, f := range faults(1, 3, 0) {
		g := &guarded{site: newSite(t)}
		r, err := g.startWith(t, fault{})
		if err != nil {
			t.Fatal(err)
		}
		r.append(t, g.key.writer.receipt(t, 0))
		r.publish(t)
		r.close()
		g.breakOff(t, f, 1)
		g.now = g.now.Add(24 * time.Hour)
		if r, err = g.startWith(t, fault{}); err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		r.append(t, g.key.writer.receipt(t, 9))
		r.publish(t)
		bodies := g.key.bodies()
		for seq, list := range bodies {
			again += len(list) - 1
			if bodies[seq] = slices.Compact(list); len(bodies[seq]) != 1 {
				t.Errorf("%+v: %d statements for checkpoint_seq %d:\n%s", f, len(bodies[seq]), seq, strings.Join(bodies[seq], "\n"))
			}
		}
		list := g.published(t)
		if len(list) < 2 || len(list) != len(bodies) {
			t.Errorf("%+v: %d checkpoints, %d statements", f, len(list), len(bodies))
		}
		for _, c := range list {
			statement, err := checkpoint.ParseStatement(c.Statement)
			if err != nil {
				t.Fatal(err)
			}
			body, err := statement.Body.Canonical()
			if err != nil || !slices.Equal(bodies[c.CheckpointSeq], []string{string(body)}) {
				t.Errorf("%+v: published statement %d is not the one that was signed, %v", f, c.CheckpointSeq, err)
			}
		}
		g.key.contradictions(t)
		r.close()
		g.stop()
	}
	if again == 0 {
		t.Error("no fault made a statement be signed again")
	}
}

// TestP_3_BodyIsDurableBeforeItIsSigned looks into the record at each signature.
func TestP_3_BodyIsDurableBeforeItIsSigned(t *testing.T) {
	g := &guarded{site: newSite(t)}
	seen := map[bool]int{}
	g.before = func(message string, record, _ []byte) {
		if strings.HasPrefix(message, `{"batch_end_seq":`) {
			seen[bytes.Contains(record, []byte(message))]++
		}
	}
	r, err := g.startWith(t, fault{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		r.append(t, g.key.writer.receipt(t, n))
		r.publish(t)
	}
	if !maps.Equal(seen, map[bool]int{true: 3}) {
		t.Errorf("bodies that were durable when they were signed, and not: %v", seen)
	}
}
