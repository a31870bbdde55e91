package checkpoint

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

var (
	// ErrProof reports an inclusion or consistency proof that does not prove it.
	ErrProof = errors.New("proof does not verify")
	// ErrFrontier reports hashes that are not a frontier of the given size.
	ErrFrontier = errors.New("not the frontier of a tree of that size")
)

// LeafHash returns the RFC 6962 hash of a leaf (MK-1).
func LeafHash(data []byte) (hash [32]byte) {
	h := sha256.New()
	h.Write([]byte{rfc6962.RFC6962LeafHashPrefix})
	h.Write(data)
	h.Sum(hash[:0])
	return hash
}

// NodeHash returns the RFC 6962 hash of an inner node (MK-1).
func NodeHash(left, right [32]byte) [32]byte {
	var buf [65]byte
	buf[0] = rfc6962.RFC6962NodeHashPrefix
	copy(buf[1:], left[:])
	copy(buf[33:], right[:])
	return sha256.Sum256(buf[:])
}

// EmptyRoot returns the root of the tree without leaves, the SHA-256 of nothing.
func EmptyRoot() [32]byte { return sha256.Sum256(nil) }

// VerifyInclusion returns nil if path, leaf's sibling first, proves that a tree
// of this size and root has the leaf hash at index (MK-2), else ErrProof.
func VerifyInclusion(leaf [32]byte, index, size uint64, path [][32]byte, root [32]byte) error {
	err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf[:], slicesOf(path), root[:])
	if err != nil {
		return fmt.Errorf("inclusion of leaf %d in size %d: %w", index, size, ErrProof)
	}
	return nil
}

// VerifyConsistency returns nil if path proves that the tree of size m and root
// rootM is the beginning of that of size n and rootN (MK-3), else ErrProof. Every
// tree begins with the empty one: if m is 0, nothing is proved about rootN, and
// the result is no evidence of anything.
func VerifyConsistency(m, n uint64, path [][32]byte, rootM, rootN [32]byte) error {
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, m, n, slicesOf(path), rootM[:], rootN[:])
	if err != nil || m == 0 && rootM != EmptyRoot() {
		return fmt.Errorf("consistency of size %d with %d: %w", m, n, ErrProof)
	}
	return nil
}

func slicesOf(path [][32]byte) [][]byte {
	out := make([][]byte, len(path))
	for i := range path {
		out[i] = path[i][:]
	}
	return out
}

// A Frontier is what must be known of a tree to append to it and to know its
// root: its size and the roots of its perfect subtrees, at most 64. The zero
// value is the empty tree. Frontiers are compared with == and copied by
// assignment; a copy is 2 kB and lives its own life.
type Frontier struct {
	size   uint64
	hashes [64][32]byte // one for each bit of size that is set, largest subtree first
}

// NewFrontier returns the frontier of a tree of the given size from what Hashes
// returned. Another number of hashes is ErrFrontier.
func NewFrontier(size uint64, hashes [][32]byte) (Frontier, error) {
	if len(hashes) != bits.OnesCount64(size) {
		return Frontier{}, fmt.Errorf("%d hashes for size %d: %w", len(hashes), size, ErrFrontier)
	}
	f := Frontier{size: size}
	copy(f.hashes[:], hashes)
	return f, nil
}

// Size returns the number of leaves.
func (f Frontier) Size() uint64 { return f.size }

// Hashes returns the roots of the perfect subtrees, largest first.
func (f Frontier) Hashes() [][32]byte {
	return slices.Clone(f.hashes[:bits.OnesCount64(f.size)])
}

// Clone returns a copy, as assignment makes it, where that should be visible.
func (f Frontier) Clone() Frontier { return f }

// Append adds a leaf by its hash.
func (f *Frontier) Append(leaf [32]byte) {
	n := bits.OnesCount64(f.size)
	for size := f.size; size&1 == 1; size >>= 1 {
		n--
		leaf = NodeHash(f.hashes[n], leaf)
		f.hashes[n] = [32]byte{}
	}
	f.hashes[n] = leaf
	f.size++
}

// Root returns the root of the tree.
func (f Frontier) Root() [32]byte {
	if f.size == 0 {
		return EmptyRoot()
	}
	last := bits.OnesCount64(f.size) - 1
	root := f.hashes[last]
	for _, left := range slices.Backward(f.hashes[:last]) {
		root = NodeHash(left, root)
	}
	return root
}
