// Package storetest is the suite that every storage of a log passes. It drives
// the storage with Trillian's own log.IntegrateBatch and log server.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	trillog "github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/types"
	"github.com/google/trillian/util/clock"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Store is what the suite needs: a storage of one tree. Its identities are
// IdentityOf the values.
type Store interface {
	storage.LogStorage
	Admin() storage.AdminStorage
	Tree() *trillian.Tree
	Close() error
}

// Open opens the store named so: what was committed to a store of this name
// that has been closed is in it.
type Open func(t testing.TB, name string) Store

// IdentityOf is the identity of the suite's leaves: not their leaf hash.
func IdentityOf(value []byte) ([32]byte, error) {
	return sha256.Sum256(append([]byte("identity of "), value...)), nil
}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	trillog.InitMetrics(nil)
	for name, test := range map[string]func(*Harness){
		"AdminIsReadOnly":            testAdmin,
		"DequeueIsFirstInFirstOut":   testFIFO,
		"DuplicateOfIntegratedLeaf":  testIntegratedDuplicate,
		"DuplicateOfQueuedLeaf":      testQueuedDuplicate,
		"EmptyPassMakesNoRoot":       testEmptyPass,
		"GuardWindowKeepsLeavesBack": testGuardWindow,
		"NodesOfEveryLevel":          testNodes,
		"PersistsAcrossReopen":       testReopen,
		"RangesEndAtTheTree":         testRanges,
		"RefusesOtherTrees":          testOtherTree,
		"RefusesWhatFilesCannotHold": testLeafLimits,
		"RollbackRequeuesInOrder":    testRollback,
		"SnapshotStaysAtItsRoot":     testSnapshot,
		"TR_1_RootIsUnsigned":        testRoot,
		"TR_3_NoAddSequencedLeaves":  testAddSequenced,
		"TR_5_TreeNeedsInit":         testNeedsInit,
	} {
		t.Run(name, func(t *testing.T) {
			h := &Harness{TB: t, open: open}
			h.Reopen()
			t.Cleanup(func() { h.Store.Close() })
			test(h)
		})
	}
}

// A Harness is a store under test with a clock that always goes forward.
type Harness struct {
	testing.TB
	Store Store
	open  Open
	ticks atomic.Int64
}

// NewHarness returns a harness for a store, with a clock that is later than its
// last root.
func NewHarness(t testing.TB, store Store) *Harness {
	trillog.InitMetrics(nil)
	h := &Harness{TB: t, Store: store}
	h.ticks.Store(max(int64(h.Root().TimestampNanos)-clockStart.UnixNano(), 0))
	return h
}

// Reopen closes the store and opens it again.
func (h *Harness) Reopen() {
	h.Helper()
	if h.Store != nil {
		if err := h.Store.Close(); err != nil {
			h.Fatal(err)
		}
	}
	h.Store = h.open(h.TB, "log")
}

var clockStart = time.Unix(1_800_000_000, 0)

// Now implements clock.TimeSource.
func (h *Harness) Now() time.Time { return clockStart.Add(time.Duration(h.ticks.Add(1))) }

// NewTimer implements clock.TimeSource.
func (h *Harness) NewTimer(d time.Duration) clock.Timer { return clock.System.NewTimer(d) }

// Init makes the root of size 0 by Trillian's InitLog.
func (h *Harness) Init() {
	h.Helper()
	if err := h.initLog(); err != nil {
		h.Fatal(err)
	}
}

func (h *Harness) initLog() error {
	s := server.NewTrillianLogRPCServer(extension.Registry{AdminStorage: h.Store.Admin(), LogStorage: h.Store}, h)
	_, err := s.InitLog(h.Context(), &trillian.InitLogRequest{LogId: h.Store.Tree().TreeId})
	return err
}

// Leaf makes a leaf as Trillian's log server hands it to a storage.
func Leaf(value []byte) *trillian.LogLeaf {
	id, _ := IdentityOf(value)
	return &trillian.LogLeaf{
		LeafValue:        value,
		MerkleLeafHash:   rfc6962.DefaultHasher.HashLeaf(value),
		LeafIdentityHash: id[:],
	}
}

// Value is the value of the suite's leaf i.
func Value(i int) []byte { return fmt.Appendf(nil, "leaf %d", i) }

// Queue queues the leaves [from, to).
func (h *Harness) Queue(from, to int) {
	h.Helper()
	for i := from; i < to; i++ {
		if q := h.QueueOne(Value(i)); q.Status.GetCode() != 0 {
			h.Fatalf("leaf %d: %v", i, q.Status)
		}
	}
}

// QueueOne queues one leaf.
func (h *Harness) QueueOne(value []byte) *trillian.QueuedLogLeaf {
	h.Helper()
	queued, err := h.Store.QueueLeaves(h.Context(), h.Store.Tree(), []*trillian.LogLeaf{Leaf(value)}, h.Now())
	if err != nil {
		h.Fatal(err)
	}
	return queued[0]
}

// Integrate runs log.IntegrateBatch over storage, which may wrap the store.
func (h *Harness) Integrate(s storage.LogStorage, limit int) (int, error) {
	return trillog.IntegrateBatch(h.Context(), h.Store.Tree(), limit, 0, 0, h, s, quota.Noop())
}

// Grow makes the tree of n more leaves, the first of them leaf from, in one pass.
func (h *Harness) Grow(from, n int) {
	h.Helper()
	h.Queue(from, from+n)
	if got, err := h.Integrate(h.Store, n); got != n || err != nil {
		h.Fatalf("integrated %d leaves of %d: %v", got, n, err)
	}
}

// Root returns the last root, the zero value if there is none.
func (h *Harness) Root() (root types.LogRootV1) {
	h.Helper()
	tx, err := h.Store.SnapshotForTree(context.Background(), h.Store.Tree())
	if errors.Is(err, storage.ErrTreeNeedsInit) {
		return root
	}
	if err != nil {
		h.Fatal(err)
	}
	return h.rootOf(tx)
}

func (h *Harness) rootOf(tx storage.ReadOnlyLogTreeTX) (root types.LogRootV1) {
	h.Helper()
	signed, err := tx.LatestSignedLogRoot(context.Background())
	if err != nil {
		h.Fatal(err)
	}
	if err := root.UnmarshalBinary(signed.LogRoot); err != nil {
		h.Fatal(err)
	}
	return root
}

// snapshot runs f in a read-only transaction.
func (h *Harness) snapshot(f func(tx storage.ReadOnlyLogTreeTX)) {
	h.Helper()
	tx, err := h.Store.SnapshotForTree(h.Context(), h.Store.Tree())
	if err != nil {
		h.Fatal(err)
	}
	defer tx.Close()
	f(tx)
	if err := tx.Commit(h.Context()); err != nil {
		h.Fatal(err)
	}
}

// CheckTree checks that the store has exactly the leaves [0, size), and the
// root and all nodes over them.
func (h *Harness) CheckTree(size int) {
	h.Helper()
	want := Nodes(size)
	root := h.Root()
	if root.TreeSize != uint64(size) || !bytes.Equal(root.RootHash, RootOf(size)) {
		h.Fatalf("root %x of size %d, want %x of size %d", root.RootHash, root.TreeSize, RootOf(size), size)
	}
	h.snapshot(func(tx storage.ReadOnlyLogTreeTX) {
		for i := 0; i < size; {
			leaves, err := tx.GetLeavesByRange(h.Context(), int64(i), int64(size-i))
			if err != nil || len(leaves) == 0 {
				h.Fatalf("leaves from %d on: %d, %v", i, len(leaves), err)
			}
			for _, leaf := range leaves {
				h.checkLeaf(leaf, i)
				i++
			}
		}
		var ids []compact.NodeID
		for id := range want {
			ids = append(ids, id)
		}
		nodes, err := tx.GetMerkleNodes(h.Context(), ids)
		if err != nil {
			h.Fatal(err)
		}
		for i, n := range nodes {
			if n.ID != ids[i] || !bytes.Equal(n.Hash, want[n.ID]) {
				h.Fatalf("node %v for %v: %x, want %x", n.ID, ids[i], n.Hash, want[n.ID])
			}
		}
	})
}

func (h *Harness) checkLeaf(leaf *trillian.LogLeaf, i int) {
	h.Helper()
	want := Leaf(Value(i))
	if leaf.LeafIndex != int64(i) || !bytes.Equal(leaf.LeafValue, want.LeafValue) ||
		!bytes.Equal(leaf.MerkleLeafHash, want.MerkleLeafHash) || !bytes.Equal(leaf.LeafIdentityHash, want.LeafIdentityHash) {
		h.Fatalf("leaf %d is %v", i, leaf)
	}
}

// Nodes returns all nodes of the tree of the leaves [0, size), computed by the
// merkle library.
func Nodes(size int) map[compact.NodeID][]byte {
	nodes := make(map[compact.NodeID][]byte)
	grow(size, func(id compact.NodeID, hash []byte) { nodes[id] = hash })
	return nodes
}

// RootOf returns the root of the leaves [0, size).
func RootOf(size int) []byte {
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	root, err := grow(size, nil).GetRootHash(nil)
	if err != nil {
		panic(err)
	}
	return root
}

func grow(size int, visit compact.VisitFn) *compact.Range {
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for i := range size {
		if err := r.Append(rfc6962.DefaultHasher.HashLeaf(Value(i)), visit); err != nil {
			panic(err)
		}
	}
	return r
}

func (h *Harness) wantCode(err error, want codes.Code) {
	h.Helper()
	if status.Code(err) != want {
		h.Errorf("error %v, want code %v", err, want)
	}
}
