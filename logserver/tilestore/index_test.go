package tilestore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/chiolog/chiolog/logserver/tilestore/storetest"
)

// hashOf is the i-th of many hashes; space keeps identities and leaf hashes apart.
func hashOf(space byte, i uint64) hash {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte{space}, i))
}

func newIndex(t *testing.T) *index {
	dir := t.TempDir()
	for _, sub := range []string{"index", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	x, err := openIndex(filepath.Join(dir, "index"), filepath.Join(dir, "tmp"), slog.New(slog.DiscardHandler), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.close)
	return x
}

// appendEntries adds a segment of n entries to an index, and retires it.
func appendEntries(t *testing.T, x *index, n uint64) {
	t.Helper()
	first := x.indexed()
	x.begin(first)
	for i := first; i < first+n; i++ {
		x.add([]entry{{identity: hashOf('i', i)}}, []hash{hashOf('l', i)})
	}
	if err := x.retire(); err != nil {
		t.Fatal(err)
	}
}

// checkIndex checks that an index finds every stride-th of size entries and no other.
func checkIndex(t *testing.T, x *index, size, stride uint64) {
	t.Helper()
	for i := uint64(0); i < size; i += stride {
		id, leaf := hashOf('i', i), hashOf('l', i)
		if got, ok, err := x.find(&id); got != i || !ok || err != nil {
			t.Fatalf("identity %d: %d, %t, %v", i, got, ok, err)
		}
		got, ok, err := x.findLeaf(&leaf, func(at uint64) (bool, error) { return at == i, nil })
		if got != i || !ok || err != nil {
			t.Fatalf("leaf hash %d: %d, %t, %v", i, got, ok, err)
		}
		unknown := hashOf('u', i)
		if _, ok, err := x.find(&unknown); ok || err != nil {
			t.Fatalf("unknown identity %d: %t, %v", i, ok, err)
		}
	}
}

func TestRunsAreMergedAndFound(t *testing.T) {
	x := newIndex(t)
	size := uint64(0)
	for n := uint64(0); n < 200; n++ {
		appendEntries(t, x, 90+n%40)
		size += 90 + n%40
		if len(x.runs) > 12 {
			t.Fatalf("%d runs of %d entries", len(x.runs), size)
		}
	}
	checkIndex(t, x, size, 7)
	files, err := os.ReadDir(x.dir)
	if err != nil || len(files) != len(x.runs) {
		t.Errorf("%d files of %d runs: %v", len(files), len(x.runs), err)
	}
	again, err := openIndex(x.dir, x.tmp, x.log, x.failed)
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	checkIndex(t, again, size, 31)
}

// Runs that a merge has replaced may be there after a crash: before the merge
// they were whole as well.
func TestReplacedRunsAreRemoved(t *testing.T) {
	x := newIndex(t)
	appendEntries(t, x, 100)
	old := x.runs[0].path
	data, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	appendEntries(t, x, 300)
	if len(x.runs) != 1 {
		t.Fatalf("%d runs", len(x.runs))
	}
	if err := os.WriteFile(old, data, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := openIndex(x.dir, x.tmp, x.log, x.failed)
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	checkIndex(t, again, 400, 1)
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("replaced run: %v", err)
	}
}

// Leaf hashes with the same first bytes, in several blocks, are told apart by
// the whole hash, and the lowest index counts.
func TestLeafHashesWithOnePrefix(t *testing.T) {
	x := newIndex(t)
	x.begin(0)
	const n = 3000
	same := func(i uint64) hash {
		h := hashOf('l', i)
		copy(h[:leafKey], "the same")
		return h
	}
	for i := range uint64(n) {
		x.add([]entry{{identity: hashOf('i', i)}}, []hash{same(i / 2)})
	}
	if err := x.retire(); err != nil {
		t.Fatal(err)
	}
	for i := uint64(0); i < n; i += 101 {
		want := same(i / 2)
		got, ok, err := x.findLeaf(&want, func(at uint64) (bool, error) { return same(at/2) == want, nil })
		if got != i/2*2 || !ok || err != nil {
			t.Errorf("leaf hash %d: %d, %t, %v", i, got, ok, err)
		}
	}
}

// Keys that are not spread evenly are found all the same.
func TestUnevenIdentities(t *testing.T) {
	x := newIndex(t)
	x.begin(0)
	const n = 5000
	key := func(i uint64) (h hash) {
		binary.BigEndian.PutUint64(h[24:], i*i)
		return h
	}
	for i := range uint64(n) {
		x.add([]entry{{identity: key(i)}}, []hash{hashOf('l', i)})
	}
	if err := x.retire(); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(n) {
		id := key(i)
		if got, ok, err := x.find(&id); got != i || !ok || err != nil {
			t.Fatalf("identity %d: %d, %t, %v", i, got, ok, err)
		}
	}
}

func TestChangedBlockIsReported(t *testing.T) {
	x := newIndex(t)
	appendEntries(t, x, 50) // one block
	f, err := os.OpenFile(x.runs[0].path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff}, 2000); err != nil {
		t.Fatal(err)
	}
	id := hashOf('i', 1)
	if _, _, err := x.find(&id); !errors.Is(err, ErrIndexCorrupt) {
		t.Errorf("changed block: %v", err)
	}
}

func TestBloomPassesFewStrangers(t *testing.T) {
	const n = 20_000
	filter := make(bloom, bloomSize(n))
	for i := range uint64(n) {
		h := hashOf('i', i)
		filter.add(&h)
	}
	strangers := 0
	for i := range uint64(n) {
		known, stranger := hashOf('i', i), hashOf('u', i)
		if !filter.has(&known) {
			t.Fatalf("identity %d is missing", i)
		}
		if filter.has(&stranger) {
			strangers++
		}
	}
	if strangers > n/40 {
		t.Errorf("%d of %d strangers pass", strangers, n)
	}
}

func TestCacheKeepsToItsLimit(t *testing.T) {
	c := newCache[int, int](100)
	for i := range 50 {
		c.put(i, -i, 10)
		c.get(0)
	}
	if v, ok := c.get(49); v != -49 || !ok {
		t.Error("the latest value is gone")
	}
	if _, ok := c.get(0); !ok {
		t.Error("a value that was always in use is gone")
	}
	if _, ok := c.get(5); ok || c.cost > 100 || len(c.byKey) != 10 {
		t.Errorf("%d values cost %d of 100", len(c.byKey), c.cost)
	}
	c.put(99, 0, 101)
	if _, ok := c.get(99); ok {
		t.Error("a value above the limit was kept")
	}
}

// After a write that failed the store takes nothing more, until it is opened
// again: nobody knows what is on the disk.
func TestFailedCommitFailsTheStore(t *testing.T) {
	h, s := newHarness(t)
	h.Grow(0, 10)
	h.Queue(10, 12)
	s.writer.file.Close()
	if _, err := h.Integrate(s, 10); err == nil {
		t.Fatal("committed to a closed file")
	}
	h.CheckTree(10) // reads go on
	if _, err := h.Integrate(s, 10); err == nil || s.Err() == nil {
		t.Error("a failed store goes on")
	}
	if _, err := s.QueueLeaves(t.Context(), s.tree, leaves(storetest.Value(20)), h.Now()); err == nil {
		t.Error("a failed store takes leaves")
	}
	if err := errors.Join(s.Materialise(t.Context(), 10), s.WriteCheckpoint(nil)); err == nil {
		t.Error("a failed store writes files")
	}
	s.Close()
	reopened(t, s.Dir(), 10)
}

// What is in memory and in segments stays bounded when nobody publishes.
func TestTailIsBounded(t *testing.T) {
	s := openSmall(t, t.TempDir(), 50_000)
	h := storetest.NewHarness(t, s)
	h.Init()
	for size := 0; size < 40_000; size += 500 {
		h.Grow(size, 500)
		s.tail.mu.RLock()
		n := len(s.tail.entries)
		s.tail.mu.RUnlock()
		if n > 10_000 {
			t.Fatalf("%d entries in the tail at size %d", n, size)
		}
	}
	if n := len(segmentFiles(t, s.Dir())); n > maxSegments+2 {
		t.Errorf("%d segments", n)
	}
	h.CheckTree(40_000)
}
