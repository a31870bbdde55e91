package tilestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chiolog/chiolog/formats/tile"
	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/tree"
	"github.com/google/trillian/types"
	"github.com/transparency-dev/merkle/compact"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// committed is the tree as the last pass left it.
type committed struct {
	types.LogRootV1
	signed []byte // the LogRootV1 as Trillian marshalled it
}

func parseRoot(signed []byte) (*committed, error) {
	c := &committed{signed: signed}
	if err := c.UnmarshalBinary(signed); err != nil {
		return nil, fmt.Errorf("parsing log root: %w", err)
	}
	if len(c.RootHash) != tile.HashSize {
		return nil, fmt.Errorf("root hash has %d bytes, not %d", len(c.RootHash), tile.HashSize)
	}
	return c, nil
}

// A readTX reads the tree as it was when the transaction began. Nothing that
// is committed ever changes, so that it only has to keep to its size.
type readTX struct {
	store *Store
	at    *committed // nil before InitLog
}

func (tx *readTX) Commit(context.Context) error { return nil }
func (tx *readTX) Close() error                 { return nil }

func (tx *readTX) size() uint64 {
	if tx.at == nil {
		return 0
	}
	return tx.at.TreeSize
}

func (tx *readTX) LatestSignedLogRoot(context.Context) (*trillian.SignedLogRoot, error) {
	if tx.at == nil {
		return nil, storage.ErrTreeNeedsInit
	}
	return &trillian.SignedLogRoot{LogRoot: tx.at.signed}, nil
}

func (tx *readTX) GetMerkleNodes(_ context.Context, ids []compact.NodeID) ([]tree.Node, error) {
	nodes := make([]tree.Node, len(ids))
	for i, id := range ids {
		if !complete(id, tx.size()) {
			return nil, status.Errorf(codes.NotFound, "node %d at level %d is not in a tree of size %d", id.Index, id.Level, tx.size())
		}
		h, err := tx.store.node(placeOf(id))
		if err != nil {
			return nil, fmt.Errorf("reading node %d at level %d: %w", id.Index, id.Level, err)
		}
		nodes[i] = tree.Node{ID: id, Hash: h}
	}
	return nodes, nil
}

// maxRange is the number of leaves that GetLeavesByRange returns at most.
const maxRange = 4 * tile.Width

func (tx *readTX) GetLeavesByRange(ctx context.Context, start, count int64) ([]*trillian.LogLeaf, error) {
	if start < 0 || count <= 0 {
		return nil, status.Errorf(codes.InvalidArgument, "no range of %d leaves begins at %d", count, start)
	}
	from := min(uint64(start), tx.size())
	to := min(from+uint64(min(count, maxRange)), tx.size())
	leaves := make([]*trillian.LogLeaf, 0, to-from)
	for from < to {
		more, err := tx.store.leaves(ctx, from, to)
		if err != nil {
			return nil, err
		}
		leaves = append(leaves, more...)
		from += uint64(len(more))
	}
	return leaves, nil
}

// GetLeavesByHash returns for each hash the leaf with the lowest index, if
// there is one.
func (tx *readTX) GetLeavesByHash(ctx context.Context, leafHashes [][]byte, _ bool) ([]*trillian.LogLeaf, error) {
	var leaves []*trillian.LogLeaf
	for _, h := range leafHashes {
		if len(h) != tile.HashSize {
			return nil, status.Errorf(codes.InvalidArgument, "leaf hash has %d bytes, not %d", len(h), tile.HashSize)
		}
		index, ok, err := tx.store.IndexOfLeafHash(ctx, hash(h))
		if err != nil {
			return nil, err
		}
		if !ok || index >= tx.size() {
			continue
		}
		leaf, err := tx.store.leaf(ctx, index)
		if err != nil {
			return nil, err
		}
		leaves = append(leaves, leaf)
	}
	return leaves, nil
}

// A writeTX is one pass. What it is given stays in memory until Commit.
type writeTX struct {
	readTX
	popped    []*trillian.LogLeaf
	sequenced []*trillian.LogLeaf
	nodes     []tree.Node
	root      []byte
	closed    bool
}

func (tx *writeTX) DequeueLeaves(_ context.Context, limit int, cutoff time.Time) ([]*trillian.LogLeaf, error) {
	leaves := tx.store.queue.pop(limit, cutoff)
	tx.popped = append(tx.popped, leaves...)
	return leaves, nil
}

func (tx *writeTX) UpdateSequencedLeaves(_ context.Context, leaves []*trillian.LogLeaf) error {
	tx.sequenced = append(tx.sequenced, leaves...)
	return nil
}

func (tx *writeTX) SetMerkleNodes(_ context.Context, nodes []tree.Node) error {
	tx.nodes = append(tx.nodes, nodes...)
	return nil
}

func (tx *writeTX) StoreSignedLogRoot(_ context.Context, root *trillian.SignedLogRoot) error {
	tx.root = root.GetLogRoot()
	return nil
}

// Close puts the leaves back into the queue if the pass was not committed.
func (tx *writeTX) Close() error {
	if !tx.closed {
		tx.closed = true
		tx.store.queue.unpop(tx.popped)
	}
	return nil
}

// Commit makes the pass durable with one append and one sync, and only then
// visible.
func (tx *writeTX) Commit(ctx context.Context) error {
	switch {
	case tx.closed:
		return errors.New("transaction is closed")
	case tx.root == nil && len(tx.sequenced) == 0:
		return tx.Close() // nothing was due; what was dequeued goes back
	}
	next, p, err := tx.pass()
	if err != nil {
		return fmt.Errorf("pass after size %d: %w", tx.size(), err)
	}
	if err := tx.store.commit(next, p, tx.nodes); err != nil {
		return err
	}
	tx.closed = true
	return nil
}

// pass puts together what the transaction was given and checks that it is one
// whole pass: all that was dequeued, every new node and the root over it.
func (tx *writeTX) pass() (*committed, *pass, error) {
	if tx.root == nil {
		return nil, nil, errors.New("leaves were sequenced without a root")
	}
	next, err := parseRoot(tx.root)
	if err != nil {
		return nil, nil, err
	}
	old := tx.size()
	switch {
	case tx.at != nil && next.TimestampNanos <= tx.at.TimestampNanos:
		return nil, nil, fmt.Errorf("root's time %d is not after the last one's, %d", next.TimestampNanos, tx.at.TimestampNanos)
	case next.TreeSize != old+uint64(len(tx.sequenced)) || len(tx.sequenced) != len(tx.popped):
		return nil, nil, fmt.Errorf("root of size %d, %d leaves sequenced of %d", next.TreeSize, len(tx.sequenced), len(tx.popped))
	case uint64(len(tx.nodes)) != newNodes(old, next.TreeSize):
		return nil, nil, fmt.Errorf("%d nodes for size %d, not %d", len(tx.nodes), next.TreeSize, newNodes(old, next.TreeSize))
	}
	p := &pass{first: old, root: tx.root, entries: make([]entry, len(tx.sequenced))}
	if p.levels, err = tileHashes(old, next.TreeSize, tx.nodes); err != nil {
		return nil, nil, err
	}
	for i, leaf := range tx.sequenced {
		if leaf.LeafIndex != int64(old)+int64(i) || !bytes.Equal(leaf.MerkleLeafHash, p.levels[0][i][:]) {
			return nil, nil, fmt.Errorf("leaf %d is not the one that node %d was made of", leaf.LeafIndex, old+uint64(i))
		}
		p.entries[i] = entry{leaf.LeafValue, hash(leaf.LeafIdentityHash), leaf.QueueTimestamp.AsTime().UnixNano()}
		p.integrated = leaf.IntegrateTimestamp.AsTime().UnixNano()
	}
	return next, p, nil
}

// tileHashes picks the nodes that are hashes of tiles, in order, by tile level.
func tileHashes(old, size uint64, nodes []tree.Node) ([][]hash, error) {
	var levels [][]hash
	for k := 0; size>>(treeLevels*k) > old>>(treeLevels*k); k++ {
		levels = append(levels, make([]hash, size>>(treeLevels*k)-old>>(treeLevels*k)))
	}
	left := 0
	for k := range levels {
		left += len(levels[k])
	}
	for _, n := range nodes {
		if !complete(n.ID, size) || complete(n.ID, old) || len(n.Hash) != tile.HashSize {
			return nil, fmt.Errorf("node %d at level %d is not new in a tree of size %d", n.ID.Index, n.ID.Level, size)
		}
		if n.ID.Level%treeLevels != 0 {
			continue
		}
		k := n.ID.Level / treeLevels
		levels[k][n.ID.Index-old>>n.ID.Level] = hash(n.Hash)
		left--
	}
	if left != 0 {
		return nil, fmt.Errorf("tile hashes are missing or there twice: %d", left)
	}
	return levels, nil
}
