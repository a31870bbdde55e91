package trillianlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/trillian"
	"github.com/google/trillian/types"
)

// ErrBeyondTree reports a proof for a tree, or in one, that the log does not have.
var ErrBeyondTree = errors.New("beyond the tree")

// InclusionProof returns the hashes that prove the entry at index in the tree
// of the given size, from the leaf up; none if size is 1.
func (l *Log) InclusionProof(ctx context.Context, index, size uint64) ([][32]byte, error) {
	if now, _ := l.Head(); index >= size || size > now {
		return nil, fmt.Errorf("inclusion of entry %d in size %d of %d: %w", index, size, now, ErrBeyondTree)
	}
	resp, err := l.client.GetInclusionProof(ctx, &trillian.GetInclusionProofRequest{
		LogId: l.tree.TreeId, LeafIndex: int64(index), TreeSize: int64(size),
	})
	if err != nil {
		return nil, fmt.Errorf("proving entry %d in size %d: %w", index, size, err)
	}
	hashes, err := proofHashes(resp.Proof, resp.SignedLogRoot, size)
	if err != nil {
		return nil, fmt.Errorf("proving entry %d in size %d: %w", index, size, err)
	}
	return hashes, nil
}

// ConsistencyProof returns the hashes that prove that the tree of size to
// begins with the one of size from; none if from is 0 or to.
func (l *Log) ConsistencyProof(ctx context.Context, from, to uint64) ([][32]byte, error) {
	if now, _ := l.Head(); from > to || to > now {
		return nil, fmt.Errorf("consistency of sizes %d and %d of %d: %w", from, to, now, ErrBeyondTree)
	}
	if from == 0 || from == to {
		return nil, nil // by definition (MK-3); Trillian has none from size 0
	}
	resp, err := l.client.GetConsistencyProof(ctx, &trillian.GetConsistencyProofRequest{
		LogId: l.tree.TreeId, FirstTreeSize: int64(from), SecondTreeSize: int64(to),
	})
	if err != nil {
		return nil, fmt.Errorf("proving size %d in size %d: %w", from, to, err)
	}
	hashes, err := proofHashes(resp.Proof, resp.SignedLogRoot, to)
	if err != nil {
		return nil, fmt.Errorf("proving size %d in size %d: %w", from, to, err)
	}
	return hashes, nil
}

// proofHashes returns the hashes of a proof in a tree of the given size.
// Trillian answers without a proof when its root is smaller than that, as
// a stale replica's may be; an empty proof is something else (TR-4).
func proofHashes(proof *trillian.Proof, signed *trillian.SignedLogRoot, size uint64) ([][32]byte, error) {
	var root types.LogRootV1
	if err := root.UnmarshalBinary(signed.GetLogRoot()); err != nil {
		return nil, fmt.Errorf("reading log root: %w", err)
	}
	if proof == nil || root.TreeSize < size {
		return nil, fmt.Errorf("root of size %d: %w", root.TreeSize, ErrBeyondTree)
	}
	hashes := make([][32]byte, len(proof.Hashes))
	for i, h := range proof.Hashes {
		if len(h) != len(hashes[i]) {
			return nil, fmt.Errorf("hash %d of the proof has %d bytes", i, len(h))
		}
		hashes[i] = [32]byte(h)
	}
	return hashes, nil
}
