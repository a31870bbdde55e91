package tlogtest

import (
	"math/bits"
	"slices"

	"github.com/chiolog/chiolog/formats/checkpoint"
)

// A tree is an RFC 6962 tree that keeps the roots of all its complete subtrees:
// hashes[l][i] covers the 2^l leaves from i·2^l on.
type tree struct{ hashes [][][32]byte }

func (t *tree) size() uint64 {
	if len(t.hashes) == 0 {
		return 0
	}
	return uint64(len(t.hashes[0]))
}

func (t *tree) append(leaf [32]byte) {
	for l := 0; ; l++ {
		if l == len(t.hashes) {
			t.hashes = append(t.hashes, nil)
		}
		t.hashes[l] = append(t.hashes[l], leaf)
		n := len(t.hashes[l])
		if n%2 == 1 {
			return
		}
		leaf = checkpoint.NodeHash(t.hashes[l][n-2], leaf)
	}
}

// root is MTH over the leaves [from, to) of RFC 6962 §2.1, where from is a
// multiple of the subtree's width.
func (t *tree) root(from, to uint64) [32]byte {
	n := to - from
	if n == 0 {
		return checkpoint.EmptyRoot()
	}
	if n&(n-1) == 0 {
		l := bits.TrailingZeros64(n)
		return t.hashes[l][from>>l]
	}
	k := splitPoint(n)
	return checkpoint.NodeHash(t.root(from, from+k), t.root(from+k, to))
}

// splitPoint is the largest power of two below n.
func splitPoint(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }

// inclusion is PATH of RFC 6962 §2.1.1, leaf's sibling first.
func (t *tree) inclusion(index, from, to uint64) [][32]byte {
	if to-from == 1 {
		return nil
	}
	k := from + splitPoint(to-from)
	if index < k {
		return append(t.inclusion(index, from, k), t.root(k, to))
	}
	return append(t.inclusion(index, k, to), t.root(from, k))
}

// consistency is SUBPROOF of RFC 6962 §2.1.2; whole says that the reader knows
// the root of [from, m).
func (t *tree) consistency(m, from, to uint64, whole bool) [][32]byte {
	if m == to {
		if whole {
			return nil
		}
		return [][32]byte{t.root(from, to)}
	}
	k := from + splitPoint(to-from)
	if m <= k {
		return append(t.consistency(m, from, k, whole), t.root(k, to))
	}
	return append(t.consistency(m, k, to, false), t.root(from, k))
}

// clone returns the tree of the first size leaves.
func (t *tree) clone(size uint64) tree {
	c := tree{}
	for l, hashes := range t.hashes {
		if n := size >> l; n > 0 {
			c.hashes = append(c.hashes, slices.Clone(hashes[:n]))
		}
	}
	return c
}
