package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/google/trillian"
	trillog "github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/storage"
	"github.com/transparency-dev/merkle/compact"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

func testNeedsInit(h *Harness) {
	for range 2 {
		if _, err := h.Store.SnapshotForTree(h.Context(), h.Store.Tree()); !errors.Is(err, storage.ErrTreeNeedsInit) {
			h.Errorf("snapshot before InitLog: %v", err)
		}
		if _, err := h.Integrate(h.Store, 1); err == nil {
			h.Error("integrated before InitLog")
		}
		h.Reopen()
	}
	h.Init()
	h.CheckTree(0)
	h.wantCode(h.initLog(), codes.AlreadyExists)
	h.Grow(0, 3)
	h.Reopen()
	h.wantCode(h.initLog(), codes.AlreadyExists)
	h.CheckTree(3)
}

// testRoot reads the root's bytes by the layout of LogRootV1: nothing is added
// to them, and no signature comes with them.
func testRoot(h *Harness) {
	h.Init()
	h.Grow(0, 3)
	for range 2 {
		h.snapshot(func(tx storage.ReadOnlyLogTreeTX) {
			signed, err := tx.LatestSignedLogRoot(h.Context())
			if err != nil {
				h.Fatal(err)
			}
			want := binary.BigEndian.AppendUint16(nil, 1)
			want = binary.BigEndian.AppendUint64(want, 3)
			want = append(append(want, 32), RootOf(3)...)
			want = binary.BigEndian.AppendUint64(want, h.Root().TimestampNanos)
			want = append(want, make([]byte, 8+2)...) // no revision, no metadata
			if !bytes.Equal(signed.LogRoot, want) {
				h.Errorf("root is %x, want %x", signed.LogRoot, want)
			}
			if only := (&trillian.SignedLogRoot{LogRoot: want}); !proto.Equal(signed, only) {
				h.Errorf("beside the root there is more: %v", signed)
			}
		})
		h.Reopen()
	}
}

func testEmptyPass(h *Harness) {
	h.Init()
	before := h.Root()
	if n, err := h.Integrate(h.Store, 10); n != 0 || err != nil {
		h.Errorf("integrated %d: %v", n, err)
	}
	if h.Root().TimestampNanos != before.TimestampNanos {
		h.Error("an empty pass made a root")
	}
}

func testFIFO(h *Harness) {
	h.Init()
	h.Queue(0, 10)
	for size := 3; size <= 9; size += 3 {
		if n, err := h.Integrate(h.Store, 3); n != 3 || err != nil {
			h.Fatalf("integrated %d: %v", n, err)
		}
		h.CheckTree(size) // one root a pass, over the leaves that came first
	}
}

func testRollback(h *Harness) {
	h.Init()
	h.Queue(0, 6)
	failed := errors.New("rolled back")
	err := h.Store.ReadWriteTransaction(h.Context(), h.Store.Tree(), func(ctx context.Context, tx storage.LogTreeTX) error {
		leaves, err := tx.DequeueLeaves(ctx, 4, h.Now())
		if len(leaves) != 4 || err != nil {
			h.Errorf("dequeued %d: %v", len(leaves), err)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		h.Fatal(err)
	}
	h.CheckTree(0)
	if q := h.QueueOne(Value(2)); codes.Code(q.Status.GetCode()) != codes.AlreadyExists {
		h.Errorf("a leaf that was rolled back could be queued again: %v", q.Status)
	}
	h.Queue(6, 8)
	if n, err := h.Integrate(h.Store, 100); n != 8 || err != nil {
		h.Fatalf("integrated %d: %v", n, err)
	}
	h.CheckTree(8)
}

func testQueuedDuplicate(h *Harness) {
	h.Init()
	h.Queue(0, 2)
	q := h.QueueOne(Value(1))
	if codes.Code(q.Status.GetCode()) != codes.AlreadyExists || !bytes.Equal(q.Leaf.LeafValue, Value(1)) || q.Leaf.LeafIndex != -1 {
		h.Errorf("duplicate of a queued leaf: %v", q)
	}
	// Dedup is by identity alone: the first value counts.
	other := Leaf([]byte("other value"))
	other.LeafIdentityHash = Leaf(Value(1)).LeafIdentityHash
	queued, err := h.Store.QueueLeaves(h.Context(), h.Store.Tree(), []*trillian.LogLeaf{other}, h.Now())
	if err != nil || !bytes.Equal(queued[0].Leaf.LeafValue, Value(1)) {
		h.Errorf("other value with a queued identity: %v, %v", queued, err)
	}
	if n, err := h.Integrate(h.Store, 10); n != 2 || err != nil {
		h.Fatalf("integrated %d: %v", n, err)
	}
	h.CheckTree(2)
}

func testIntegratedDuplicate(h *Harness) {
	h.Init()
	h.Grow(0, 300)
	for range 2 {
		for _, i := range []int{0, 255, 256, 299} {
			q := h.QueueOne(Value(i))
			if codes.Code(q.Status.GetCode()) != codes.AlreadyExists {
				h.Fatalf("duplicate of leaf %d: %v", i, q.Status)
			}
			h.checkLeaf(q.Leaf, i)
		}
		h.Reopen()
	}
	if n, err := h.Integrate(h.Store, 10); n != 0 || err != nil {
		h.Errorf("integrated %d: %v", n, err)
	}
}

func testGuardWindow(h *Harness) {
	h.Init()
	h.Queue(0, 3)
	n, err := trillog.IntegrateBatch(h.Context(), h.Store.Tree(), 10, time.Hour, 0, h, h.Store, quota.Noop())
	if n != 0 || err != nil {
		h.Errorf("integrated %d leaves that are in the guard window: %v", n, err)
	}
	if n, err = h.Integrate(h.Store, 10); n != 3 || err != nil {
		h.Errorf("integrated %d: %v", n, err)
	}
}

func testRanges(h *Harness) {
	h.Init()
	h.Grow(0, 600)
	h.snapshot(func(tx storage.ReadOnlyLogTreeTX) {
		for _, r := range []struct{ start, count, min int64 }{
			{0, 1, 1}, {255, 2, 1}, {599, 1, 1}, {599, 100, 1}, {600, 1, 0}, {1 << 40, 5, 0}, {0, 1 << 62, 1},
		} {
			leaves, err := tx.GetLeavesByRange(h.Context(), r.start, r.count)
			if err != nil || int64(len(leaves)) < r.min || int64(len(leaves)) > min(r.count, max(600-r.start, 0)) {
				h.Errorf("range %d+%d: %d leaves, %v", r.start, r.count, len(leaves), err)
			}
			for i, leaf := range leaves {
				h.checkLeaf(leaf, int(r.start)+i)
			}
		}
		for _, r := range []struct{ start, count int64 }{{-1, 1}, {0, 0}, {0, -1}} {
			if _, err := tx.GetLeavesByRange(h.Context(), r.start, r.count); err == nil {
				h.Errorf("range %d+%d was answered", r.start, r.count)
			}
		}
		want := Leaf(Value(300)).MerkleLeafHash
		leaves, err := tx.GetLeavesByHash(h.Context(), [][]byte{want, make([]byte, 32)}, true)
		if err != nil || len(leaves) != 1 {
			h.Fatalf("by hash: %v, %v", leaves, err)
		}
		h.checkLeaf(leaves[0], 300)
	})
}

func testNodes(h *Harness) {
	h.Init()
	size := 0
	for _, n := range []int{1, 1, 1, 4, 248, 1, 1, 255, 1000, 3} {
		h.Grow(size, n)
		size += n
		h.CheckTree(size)
	}
	h.snapshot(func(tx storage.ReadOnlyLogTreeTX) {
		for _, id := range []compact.NodeID{{Level: 0, Index: uint64(size)}, {Level: 10, Index: 1}, {Level: 63}, {Level: 200}} {
			if _, err := tx.GetMerkleNodes(h.Context(), []compact.NodeID{id}); err == nil {
				h.Errorf("node %v is not in a tree of size %d, but was returned", id, size)
			}
		}
	})
}

func testSnapshot(h *Harness) {
	h.Init()
	h.Grow(0, 255)
	h.snapshot(func(tx storage.ReadOnlyLogTreeTX) {
		h.Grow(255, 10)
		if root := h.rootOf(tx); root.TreeSize != 255 {
			h.Errorf("root of size %d", root.TreeSize)
		}
		if _, err := tx.GetMerkleNodes(h.Context(), []compact.NodeID{{Level: 8}}); err == nil {
			h.Error("a node that came later was returned")
		}
		leaves, err := tx.GetLeavesByRange(h.Context(), 250, 10)
		if err != nil || len(leaves) > 5 {
			h.Errorf("%d leaves of 5: %v", len(leaves), err)
		}
	})
	h.CheckTree(265)
}

func testReopen(h *Harness) {
	h.Init()
	tree := h.Store.Tree()
	size := 0
	for _, n := range []int{1, 255, 256, 600, 2} {
		h.Grow(size, n)
		size += n
		before := h.Root()
		h.Reopen()
		if after := h.Root(); after.TimestampNanos != before.TimestampNanos {
			h.Errorf("root of size %d has another time", size)
		}
		h.CheckTree(size)
	}
	if !proto.Equal(h.Store.Tree(), tree) {
		h.Errorf("tree %v was %v", h.Store.Tree(), tree)
	}
}

func testLeafLimits(h *Harness) {
	h.Init()
	for name, change := range map[string]func(*trillian.LogLeaf){
		"empty value":    func(l *trillian.LogLeaf) { l.LeafValue = nil },
		"65,536 bytes":   func(l *trillian.LogLeaf) { l.LeafValue = make([]byte, 65536) },
		"extra data":     func(l *trillian.LogLeaf) { l.ExtraData = []byte("x") },
		"short identity": func(l *trillian.LogLeaf) { l.LeafIdentityHash = l.LeafIdentityHash[:31] },
		"no leaf hash":   func(l *trillian.LogLeaf) { l.MerkleLeafHash = nil },
	} {
		leaf := Leaf([]byte("x"))
		change(leaf)
		_, err := h.Store.QueueLeaves(h.Context(), h.Store.Tree(), []*trillian.LogLeaf{leaf}, h.Now())
		if err == nil {
			h.Errorf("%s was taken", name)
		}
		h.wantCode(err, codes.InvalidArgument)
	}
	values := [][]byte{{0}, slices.Repeat([]byte("y"), 65535)}
	for _, v := range values {
		h.QueueOne(v)
	}
	if n, err := h.Integrate(h.Store, 10); n != 2 || err != nil {
		h.Fatalf("integrated %d: %v", n, err)
	}
	h.snapshot(func(tx storage.ReadOnlyLogTreeTX) {
		leaves, err := tx.GetLeavesByRange(h.Context(), 0, 2)
		if err != nil || len(leaves) != 2 || !bytes.Equal(leaves[0].LeafValue, values[0]) || !bytes.Equal(leaves[1].LeafValue, values[1]) {
			h.Errorf("shortest and longest leaf: %d leaves, %v", len(leaves), err)
		}
	})
}

func testOtherTree(h *Harness) {
	other := h.Store.Tree()
	other.TreeId++
	_, err := h.Store.SnapshotForTree(h.Context(), other)
	h.wantCode(err, codes.NotFound)
	_, err = h.Store.QueueLeaves(h.Context(), other, []*trillian.LogLeaf{Leaf(Value(0))}, h.Now())
	h.wantCode(err, codes.NotFound)
	err = h.Store.ReadWriteTransaction(h.Context(), other, func(context.Context, storage.LogTreeTX) error { return nil })
	h.wantCode(err, codes.NotFound)
}

// testAddSequenced: the tree is a LOG, which takes queued leaves only.
func testAddSequenced(h *Harness) {
	h.Init()
	if kind := h.Store.Tree().TreeType; kind != trillian.TreeType_LOG {
		h.Errorf("tree of type %v", kind)
	}
	_, err := h.Store.AddSequencedLeaves(h.Context(), h.Store.Tree(), []*trillian.LogLeaf{Leaf(Value(0))}, h.Now())
	h.wantCode(err, codes.Unimplemented)
	if n, err := h.Integrate(h.Store, 1); n != 0 || err != nil {
		h.Errorf("integrated %d leaves that were refused: %v", n, err)
	}
	h.Grow(0, 1)
	h.CheckTree(1)
}

func testAdmin(h *Harness) {
	tx, err := h.Store.Admin().Snapshot(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	trees, err := tx.ListTrees(h.Context(), true)
	if err != nil || len(trees) != 1 || !proto.Equal(trees[0], h.Store.Tree()) {
		h.Errorf("trees %v, %v", trees, err)
	}
	_, err = tx.GetTree(h.Context(), h.Store.Tree().TreeId+1)
	h.wantCode(err, codes.NotFound)
	err = h.Store.Admin().ReadWriteTransaction(h.Context(), func(ctx context.Context, tx storage.AdminTX) error {
		_, err := tx.CreateTree(ctx, h.Store.Tree())
		return err
	})
	h.wantCode(err, codes.Unimplemented)
}
