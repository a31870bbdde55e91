package trillianlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chiolog/chiolog/logserver/tilestore"
	"golang.org/x/mod/sumdb/tlog"
)

func openLog(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := OpenFile(t.Context(), dir, Options{Identity: identity})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func identity(value []byte) ([32]byte, error) {
	return sha256.Sum256(append([]byte("identity of "), value...)), nil
}

func entryOf(value string) Entry {
	id, _ := identity([]byte(value))
	return Entry{[]byte(value), id}
}

func number(i int) Entry { return entryOf("entry " + strconv.Itoa(i)) }

// queue queues an entry.
func queue(t testing.TB, l *Log, e Entry) *Ticket {
	t.Helper()
	ticket, err := l.Queue(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// wait waits for a ticket.
func wait(t testing.TB, ticket *Ticket) Sequenced {
	t.Helper()
	seq, err := ticket.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// grow appends entries number from to number to-1, and checks their places.
func grow(t testing.TB, l *Log, from, to int) {
	t.Helper()
	var tickets []*Ticket
	for i := from; i < to; i++ {
		tickets = append(tickets, queue(t, l, number(i)))
	}
	for i, ticket := range tickets {
		seq := wait(t, ticket)
		if seq.Index != uint64(from+i) || seq.Duplicate || seq.Value != nil ||
			seq.LeafHash != tlog.RecordHash(number(from+i).Value) {
			t.Fatalf("entry %d: %+v", from+i, seq)
		}
	}
}

func TestAppend(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	if size, root := l.Head(); size != 0 || root != sha256.Sum256(nil) {
		t.Errorf("fresh log has size %d and root %x", size, root)
	}
	grow(t, l, 0, 1000)
	for range 2 {
		seq := wait(t, queue(t, l, number(7)))
		if seq.Index != 7 || !seq.Duplicate || string(seq.Value) != "entry 7" || seq.LeafHash != tlog.RecordHash(seq.Value) {
			t.Errorf("duplicate: %+v", seq)
		}
		other := Entry{[]byte("other bytes"), number(8).Identity}
		if seq := wait(t, queue(t, l, other)); seq.Index != 8 || !seq.Duplicate || string(seq.Value) != "entry 8" {
			t.Errorf("other bytes with a known identity: %+v", seq)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = openLog(t, dir)
	}
	grow(t, l, 1000, 1010)
	for _, value := range []string{"", strings.Repeat("x", 65536)} {
		if _, err := l.Queue(t.Context(), entryOf(value)); err == nil {
			t.Errorf("entry of %d bytes was taken", len(value))
		}
	}
	if err := l.Err(); err != nil {
		t.Error(err)
	}
}

func TestReads(t *testing.T) {
	l := openLog(t, t.TempDir())
	grow(t, l, 0, 700)
	if err := l.Materialise(t.Context(), 700); err != nil {
		t.Fatal(err)
	}
	next := uint64(250)
	err := l.Entries(t.Context(), 250, 700, func(index uint64, value []byte) error {
		if index != next || !bytes.Equal(value, number(int(index)).Value) {
			t.Fatalf("entry %d: %q, want entry %d", index, value, next)
		}
		next++
		return nil
	})
	if err != nil || next != 700 {
		t.Errorf("read up to %d: %v", next, err)
	}
	stop := errors.New("stop")
	if err := l.Entries(t.Context(), 0, 700, func(uint64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	if value, err := l.Entry(t.Context(), 699); string(value) != "entry 699" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
	if _, err := l.Entry(t.Context(), 700); err == nil {
		t.Error("read an entry that is not there")
	}
	hashes, err := l.LeafHashes(t.Context(), 200, 700)
	if err != nil || len(hashes) != 500 {
		t.Fatalf("%d leaf hashes, %v", len(hashes), err)
	}
	for i, h := range hashes {
		if h != tlog.RecordHash(number(200+i).Value) {
			t.Fatalf("leaf hash %d", 200+i)
		}
	}
	for _, i := range []int{0, 699} {
		if index, ok, err := l.IndexOfIdentity(t.Context(), number(i).Identity); index != uint64(i) || !ok || err != nil {
			t.Errorf("identity of entry %d: %d, %t, %v", i, index, ok, err)
		}
		if index, ok, err := l.IndexOfLeafHash(t.Context(), tlog.RecordHash(number(i).Value)); index != uint64(i) || !ok || err != nil {
			t.Errorf("leaf hash of entry %d: %d, %t, %v", i, index, ok, err)
		}
	}
	if err := l.PublishCheckpoint([]byte("checkpoint\n")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(l.Dir(), "checkpoint")); string(got) != "checkpoint\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestProofs checks roots and proofs against x/mod's own tree.
func TestProofs(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var hashes []tlog.Hash
		for _, i := range indexes {
			hashes = append(hashes, stored[i])
		}
		return hashes, nil
	})
	sizes := []int{1, 2, 255, 256, 257, 1000, 65535, 65536, 65537}
	size := 0
	for _, next := range sizes {
		for i := size; i < next; i++ {
			hashes, err := tlog.StoredHashes(int64(i), number(i).Value, reader)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, hashes...)
		}
		for ; size < next; size = min(size+30_000, next) {
			grow(t, l, size, min(size+30_000, next))
		}
		if next == 1000 {
			l.Close()
			l = openLog(t, dir)
		}
		_, root := l.Head()
		if want, err := tlog.TreeHash(int64(size), reader); err != nil || root != want {
			t.Fatalf("size %d: root %x, want %x, %v", size, root, want, err)
		}
		for _, old := range append(sizes, size) {
			if old <= size {
				checkProofs(t, l, reader, uint64(old), uint64(size))
			}
		}
		if err := l.Materialise(t.Context(), uint64(size)); err != nil {
			t.Fatal(err)
		}
	}
}

func checkProofs(t *testing.T, l *Log, reader tlog.HashReader, old, size uint64) {
	t.Helper()
	got, err := l.ConsistencyProof(t.Context(), old, size)
	if err != nil {
		t.Fatal(err)
	}
	want, err := tlog.ProveTree(int64(size), int64(old), reader)
	if err != nil || !slices.Equal(asHashes(got), want) {
		t.Errorf("consistency of %d and %d: %d hashes, want %d, %v", old, size, len(got), len(want), err)
	}
	if got, err = l.InclusionProof(t.Context(), old-1, size); err != nil {
		t.Fatal(err)
	}
	included, err := tlog.ProveRecord(int64(size), int64(old-1), reader)
	if err != nil || !slices.Equal(asHashes(got), included) {
		t.Errorf("inclusion of %d in %d: %d hashes, want %d, %v", old-1, size, len(got), len(included), err)
	}
}

func asHashes(proof [][32]byte) (hashes []tlog.Hash) {
	for _, h := range proof {
		hashes = append(hashes, h)
	}
	return hashes
}

func TestTR_4_NoProofBeyondTheTree(t *testing.T) {
	l := openLog(t, t.TempDir())
	grow(t, l, 0, 10)
	for _, p := range []struct {
		index, size uint64
		ok          bool
	}{{9, 10, true}, {0, 1, true}, {9, 11, false}, {10, 10, false}, {10, 11, false}, {0, 0, false}, {0, 1 << 63, false}, {1 << 63, 1<<64 - 1, false}} {
		if _, err := l.InclusionProof(t.Context(), p.index, p.size); (err == nil) != p.ok {
			t.Errorf("inclusion of %d in %d: %v", p.index, p.size, err)
		}
	}
	for _, p := range []struct {
		from, to uint64
		ok       bool
	}{{1, 10, true}, {10, 10, true}, {0, 10, true}, {0, 0, true}, {1, 11, false}, {11, 11, false}, {0, 11, false}, {10, 9, false}, {1, 1 << 63, false}} {
		if _, err := l.ConsistencyProof(t.Context(), p.from, p.to); (err == nil) != p.ok {
			t.Errorf("consistency of %d and %d: %v", p.from, p.to, err)
		}
	}
}

func TestTR_7_TimeNeverGoesBack(t *testing.T) {
	dir := t.TempDir()
	for round, now := range []time.Time{time.Unix(2_000_000_000, 0), time.Unix(1_000_000_000, 0)} {
		l, err := OpenFile(t.Context(), dir, Options{Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			wait(t, queue(t, l, number(3*round+i)))
		}
		if root, _ := l.store.Head(); root.TreeSize != uint64(3*round+3) || root.TimestampNanos < 2_000_000_000e9 {
			t.Errorf("size %d at %d", root.TreeSize, root.TimestampNanos)
		}
		l.Close()
	}
}

func TestConcurrentDuplicates(t *testing.T) {
	l := openLog(t, t.TempDir())
	const writers, entries = 8, 400
	places := make([][entries]Sequenced, writers)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for _, i := range rand.Perm(entries) {
				ticket, err := l.Queue(t.Context(), number(i))
				if err != nil {
					t.Error(err)
					return
				}
				if places[w][i], err = ticket.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if size, _ := l.Head(); size != entries {
		t.Errorf("size %d, want %d", size, entries)
	}
	for i := range entries {
		first := 0
		for w := range writers {
			seq := places[w][i]
			if seq.Index != places[0][i].Index || seq.LeafHash != tlog.RecordHash(number(i).Value) {
				t.Fatalf("entry %d is at %+v and %+v", i, seq, places[0][i])
			}
			if !seq.Duplicate {
				first++
			} else if !bytes.Equal(seq.Value, number(i).Value) {
				t.Fatalf("entry %d: duplicate of %q", i, seq.Value)
			}
		}
		if first != 1 {
			t.Errorf("entry %d was the first of its identity %d times", i, first)
		}
	}
}

func TestExclusive(t *testing.T) {
	l := openLog(t, t.TempDir())
	var before []*Ticket
	for i := range 5000 {
		before = append(before, queue(t, l, number(i)))
	}
	var later *Ticket
	err := l.Exclusive(t.Context(), func(x *Exclusive) error {
		if x.Size() != 5000 {
			t.Errorf("size %d: what was queued before is not in the tree", x.Size())
		}
		later = queue(t, l, number(6000))
		for i := range uint64(3) {
			index, err := x.Append(t.Context(), entryOf(fmt.Sprint("exclusive ", i)))
			if err != nil || index != 5000+i || x.Size() != index+1 {
				t.Errorf("append %d: index %d, size %d, %v", i, index, x.Size(), err)
			}
		}
		for _, known := range []Entry{number(0), number(6000), entryOf("exclusive 1")} {
			if _, err := x.Append(t.Context(), known); !errors.Is(err, ErrDuplicate) {
				t.Errorf("append of a known identity: %v", err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, ticket := range before {
		if seq := wait(t, ticket); seq.Index != uint64(i) {
			t.Fatalf("entry %d is at %d", i, seq.Index)
		}
	}
	if seq := wait(t, later); seq.Index != 5003 {
		t.Errorf("what was queued meanwhile is at %d", seq.Index)
	}
	failed := errors.New("failed")
	if err := l.Exclusive(t.Context(), func(*Exclusive) error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
}

// A caller that goes away takes its wait along, not the entry.
func TestWaitEndsWithContext(t *testing.T) {
	l := openLog(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	var ticket *Ticket
	err := l.Exclusive(t.Context(), func(*Exclusive) error {
		ticket = queue(t, l, number(0))
		cancel()
		_, err := ticket.Wait(ctx)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
	if seq := wait(t, ticket); seq.Index != 0 {
		t.Errorf("entry is at %d", seq.Index)
	}
}

func TestFullQueue(t *testing.T) {
	l, err := OpenFile(t.Context(), t.TempDir(), Options{QueueLeaves: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var first *Ticket
	err = l.Exclusive(t.Context(), func(*Exclusive) error {
		first = queue(t, l, number(0))
		queue(t, l, number(1))
		_, err := l.Queue(t.Context(), number(2))
		return err
	})
	if !errors.Is(err, ErrQueueFull) {
		t.Errorf("third entry: %v", err)
	}
	wait(t, first) // and with it the second, of the same pass
	grow(t, l, 2, 3)
}

// A store that fails fails everybody who waits, and all who come later.
func TestFailedStoreFailsWaiters(t *testing.T) {
	l := openLog(t, t.TempDir())
	grow(t, l, 0, 1)
	var ticket *Ticket
	err := l.Exclusive(t.Context(), func(*Exclusive) error {
		ticket = queue(t, l, number(1))
		return l.store.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ticket.Wait(t.Context()); !errors.Is(err, tilestore.ErrClosed) {
		t.Errorf("wait: %v", err)
	}
	if _, err := l.Queue(t.Context(), number(2)); err == nil {
		t.Error("a failed log took an entry")
	}
	if l.Err() == nil {
		t.Error("a failed log is healthy")
	}
}

func TestCloseFailsWaiters(t *testing.T) {
	l := openLog(t, t.TempDir())
	grow(t, l, 0, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Queue(t.Context(), number(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("queue after close: %v", err)
	}
	if value, err := l.Entry(t.Context(), 0); string(value) != "entry 0" || err != nil {
		t.Errorf("entry in the tail after close: %q, %v", value, err)
	}
}
