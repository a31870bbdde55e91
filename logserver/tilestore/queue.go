package tilestore

import (
	"context"
	"sync"
	"time"

	"github.com/chiolog/chiolog/formats/tile"
	"github.com/google/trillian"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A queue holds the leaves that wait for a pass, in memory: whoever queued one
// waits until the pass is durable before it tells anybody. It is first in,
// first out, and safe for concurrent use.
type queue struct {
	maxLeaves, maxBytes int

	mu      sync.Mutex
	waiting []*trillian.LogLeaf
	// pending has every leaf that is waiting, or in a pass which is not
	// committed yet, by its identity.
	pending map[hash]*trillian.LogLeaf
	bytes   int // of the values of the pending leaves
}

type queueFirst struct{}

// QueueFirst returns a context under which QueueLeaves puts leaves in front of
// all that wait.
func QueueFirst(ctx context.Context) context.Context {
	return context.WithValue(ctx, queueFirst{}, true)
}

// checkLeaf refuses leaves that the files have no form for.
func checkLeaf(leaf *trillian.LogLeaf) error {
	switch {
	case leaf == nil:
		return status.Error(codes.InvalidArgument, "no leaf")
	case len(leaf.LeafValue) == 0 || len(leaf.LeafValue) > tile.MaxEntry:
		return status.Errorf(codes.InvalidArgument, "leaf value has %d bytes, not 1 to %d", len(leaf.LeafValue), tile.MaxEntry)
	case len(leaf.ExtraData) > 0:
		return status.Error(codes.InvalidArgument, "leaf has extra data, which a tlog-tiles log cannot keep")
	case len(leaf.MerkleLeafHash) != tile.HashSize:
		return status.Errorf(codes.InvalidArgument, "Merkle leaf hash has %d bytes, not %d", len(leaf.MerkleLeafHash), tile.HashSize)
	case len(leaf.LeafIdentityHash) != tile.HashSize:
		return status.Errorf(codes.InvalidArgument, "leaf identity hash has %d bytes, not %d", len(leaf.LeafIdentityHash), tile.HashSize)
	}
	return nil
}

// QueueLeaves queues leaves for the next pass and returns at once: nothing is
// durable yet. A leaf whose identity is queued or in the log already is not
// queued; its status is AlreadyExists and the returned leaf the first one, with
// LeafIndex −1 while that is still queued. The store keeps the leaves' byte
// slices, which must not change any more. A full queue is ResourceExhausted.
func (s *Store) QueueLeaves(ctx context.Context, tree *trillian.Tree, leaves []*trillian.LogLeaf, queueTimestamp time.Time) ([]*trillian.QueuedLogLeaf, error) {
	if err := s.checkTree(tree); err != nil {
		return nil, err
	}
	if err := s.Err(); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	for _, leaf := range leaves {
		if err := checkLeaf(leaf); err != nil {
			return nil, err
		}
	}
	at := timestamppb.New(queueTimestamp)
	queued := make([]*trillian.QueuedLogLeaf, len(leaves))
	for i, leaf := range leaves {
		first, err := s.queueOne(ctx, leaf, at)
		if err != nil {
			return nil, err
		}
		if first == nil {
			queued[i] = &trillian.QueuedLogLeaf{Leaf: leaf}
			continue
		}
		queued[i] = &trillian.QueuedLogLeaf{Leaf: first, Status: alreadyExists}
	}
	return queued, nil
}

var alreadyExists = status.New(codes.AlreadyExists, "the identity is in the log or queued").Proto()

// queueOne queues a leaf, or returns the first leaf with its identity.
func (s *Store) queueOne(ctx context.Context, leaf *trillian.LogLeaf, at *timestamppb.Timestamp) (*trillian.LogLeaf, error) {
	id := hash(leaf.LeafIdentityHash)
	first, index, ok, err := s.pushUnlessKnown(ctx, &id, leaf, at)
	if err != nil || !ok {
		return first, err
	}
	return s.leaf(ctx, index)
}

// pushUnlessKnown queues a leaf. If its identity is queued already it returns
// a copy of the first leaf, if it is in the log that leaf's index and ok.
func (s *Store) pushUnlessKnown(ctx context.Context, id *hash, leaf *trillian.LogLeaf, at *timestamppb.Timestamp) (first *trillian.LogLeaf, index uint64, ok bool, err error) {
	// The lock is held from the search in the runs to the push, so that no
	// entry moves from the recent ones to a run, past this search, in between.
	s.index.mu.RLock()
	defer s.index.mu.RUnlock()
	if s.index.shut {
		return nil, 0, false, ErrClosed
	}
	if index, ok, err = s.index.findInRuns(id); ok || err != nil {
		return nil, index, ok, err
	}
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if first := q.pending[*id]; first != nil {
		return copyQueued(first), 0, false, nil
	}
	if index, ok = s.index.findRecent(id); ok {
		return nil, index, true, nil
	}
	return nil, 0, false, q.push(ctx, *id, leaf, at)
}

// copyQueued copies what a pass does not change meanwhile.
func copyQueued(leaf *trillian.LogLeaf) *trillian.LogLeaf {
	return &trillian.LogLeaf{
		LeafValue:        leaf.LeafValue,
		MerkleLeafHash:   leaf.MerkleLeafHash,
		LeafIdentityHash: leaf.LeafIdentityHash,
		LeafIndex:        -1,
		QueueTimestamp:   leaf.QueueTimestamp,
	}
}

// push queues a copy of leaf, for the caller may go on using the message. The
// caller holds mu.
func (q *queue) push(ctx context.Context, id hash, leaf *trillian.LogLeaf, at *timestamppb.Timestamp) error {
	if len(q.pending) >= q.maxLeaves || q.bytes+len(leaf.LeafValue) > q.maxBytes {
		return status.Errorf(codes.ResourceExhausted, "queue is full: %d leaves of %d bytes wait", len(q.pending), q.bytes)
	}
	leaf = copyQueued(leaf)
	leaf.QueueTimestamp = at
	q.pending[id] = leaf
	q.bytes += len(leaf.LeafValue)
	if ctx.Value(queueFirst{}) != nil {
		q.waiting = append([]*trillian.LogLeaf{leaf}, q.waiting...)
	} else {
		q.waiting = append(q.waiting, leaf)
	}
	return nil
}

// pop takes up to limit leaves that were queued at cutoff or before, and not
// many more bytes than maxPass.
func (q *queue) pop(limit int, cutoff time.Time) []*trillian.LogLeaf {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < min(limit, len(q.waiting)) && size < maxPass {
		leaf := q.waiting[n]
		if leaf.QueueTimestamp.AsTime().After(cutoff) {
			break
		}
		size += len(leaf.LeafValue)
		n++
	}
	leaves := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return leaves
}

// unpop puts leaves back where pop took them from.
func (q *queue) unpop(leaves []*trillian.LogLeaf) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(leaves[:len(leaves):len(leaves)], q.waiting...)
}

// done forgets leaves that are committed.
func (q *queue) done(entries []entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range entries {
		delete(q.pending, entries[i].identity)
		q.bytes -= len(entries[i].value)
	}
}

// Queued returns the number of leaves that wait for a pass.
func (s *Store) Queued() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.waiting)
}
