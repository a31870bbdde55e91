package checkpoint

import (
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// ErrMismatch reports a record that says something else than the statement it
// belongs to.
var ErrMismatch = errors.New("record and checkpoint statement disagree")

// A Path is the list of hashes in a Merkle proof of Chio; empty, it is [] and
// never null.
type Path []chio.Hash

// MarshalJSON implements json.Marshaler.
func (p Path) MarshalJSON() ([]byte, error) {
	return jcs.Marshal(append([]chio.Hash{}, p...))
}

func (p Path) hashes() [][32]byte {
	out := make([][32]byte, len(p))
	for i, h := range p {
		out[i] = h
	}
	return out
}

// A MerkleProof is Chio's inclusion proof (chio-wire §3.2), an RFC 6962 audit path.
type MerkleProof struct {
	TreeSize  uint64 `json:"tree_size"`
	LeafIndex uint64 `json:"leaf_index"`
	AuditPath Path   `json:"audit_path"` // leaf's sibling first
}

// Verify returns nil if p proves that the tree of this root has the leaf hash,
// else ErrProof.
func (p MerkleProof) Verify(leaf [32]byte, root chio.Hash) error {
	return VerifyInclusion(leaf, p.LeafIndex, p.TreeSize, p.AuditPath.hashes(), root)
}

// A ReceiptProof proves a receipt in the batch of a statement (chio-wire §4.8).
type ReceiptProof struct {
	CheckpointSeq uint64      `json:"checkpoint_seq"`
	ReceiptSeq    uint64      `json:"receipt_seq"` // position in the log
	LeafIndex     uint64      `json:"leaf_index"`  // in the batch
	MerkleRoot    chio.Hash   `json:"merkle_root"`
	Proof         MerkleProof `json:"proof"`
}

// Verify returns nil if p proves that the receipt with this leaf hash is in the
// batch of a statement, which must have passed Check, at the place that
// receipt_seq says: Chio does not compare the two, and without that a proof
// could give a receipt any position of the batch. The error is ErrMismatch or
// ErrProof.
func (p ReceiptProof) Verify(leaf [32]byte, b Body) error {
	refuse := func(what string) error {
		return fmt.Errorf("proof of receipt %d in checkpoint statement %d: %s: %w", p.ReceiptSeq, b.CheckpointSeq, what, ErrMismatch)
	}
	switch {
	case p.CheckpointSeq != b.CheckpointSeq:
		return refuse("is for another statement")
	case p.MerkleRoot != b.MerkleRoot:
		return refuse("another root")
	case p.Proof.TreeSize != b.TreeSize:
		return refuse("another tree size")
	case p.ReceiptSeq < b.BatchStartSeq || p.ReceiptSeq > b.BatchEndSeq:
		return refuse("not in the batch")
	case p.LeafIndex != p.ReceiptSeq-b.BatchStartSeq || p.Proof.LeafIndex != p.LeafIndex:
		return refuse("leaf index is not that of the receipt")
	}
	return p.Proof.Verify(leaf, b.MerkleRoot)
}
