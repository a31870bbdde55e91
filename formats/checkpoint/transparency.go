package checkpoint

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// TransparencySchema is the schema of a TransparencyProof.
const TransparencySchema = "chio.transparency.inclusion-proof.v2"

// ErrUnpinned reports a statement whose key the verifier has not pinned: what it
// says may be right, but nobody vouches for it.
var ErrUnpinned = errors.New("kernel_key of the statement is not pinned")

// A TransparencyProof is the proof of one receipt that Chio's own verifier takes
// (chio-wire §4.9). It trusts the key of the statement alone: no witness, no
// timeline. Its hashes are hex with or without "0x".
type TransparencyProof struct {
	Schema        string    `json:"schema"`
	ProofID       string    `json:"proof_id"`
	LogID         string    `json:"log_id"`
	ArtifactRef   string    `json:"artifact_ref"` // SHA-256 of the receipt's bytes
	RootHash      string    `json:"root_hash"`
	LeafHash      string    `json:"leaf_hash"`
	TreeSize      uint64    `json:"tree_size"`
	LeafIndex     uint64    `json:"leaf_index"`
	Checkpoint    string    `json:"checkpoint"` // a label, not empty
	InclusionPath []string  `json:"inclusion_path"`
	VerifiedAt    uint64    `json:"verified_at"` // Unix seconds
	Statement     Statement `json:"checkpoint_statement"`
}

// ParseTransparencyProof reads a proof, in canonical form or not. Unknown,
// missing and null members are refused.
func ParseTransparencyProof(data []byte) (TransparencyProof, error) {
	var p TransparencyProof
	canonical, err := jcs.Canonical(data)
	if err == nil {
		err = jcs.Unmarshal(canonical, &p, jcs.StrictNumbers)
	}
	if err != nil {
		return TransparencyProof{}, fmt.Errorf("reading transparency proof: %w", err)
	}
	return p, nil
}

// Verify returns nil if the proof holds for the receipt, given as the exact bytes
// that are in the tree, and one of the pinned keys signed the statement. The error
// is ErrMismatch, ErrProof, that of Statement.Check, or ErrUnpinned if nothing but
// the pin is missing.
func (p TransparencyProof) Verify(receipt []byte, pinned ...chio.Key) error {
	refuse := func(what string) error {
		return fmt.Errorf("transparency proof: %s: %w", what, ErrMismatch)
	}
	if err := p.Statement.Check(); err != nil {
		return fmt.Errorf("transparency proof: %w", err)
	}
	b := p.Statement.Body
	logID, err := b.LogID()
	if err != nil {
		return err
	}
	leaf := LeafHash(receipt)
	switch {
	case p.Schema != TransparencySchema:
		return refuse("unknown schema")
	case p.ProofID == "" || p.Checkpoint == "" || p.VerifiedAt == 0:
		return refuse("empty proof_id, checkpoint or verified_at")
	case p.LogID != logID:
		return refuse("log_id is not that of the statement's key")
	case !sameHash(p.ArtifactRef, sha256.Sum256(receipt)):
		return refuse("is for another receipt")
	case !sameHash(p.LeafHash, leaf):
		return refuse("another leaf hash")
	case !sameHash(p.RootHash, b.MerkleRoot) || p.TreeSize != b.TreeSize:
		return refuse("another root or size")
	}
	path := make([][32]byte, len(p.InclusionPath))
	for i, text := range p.InclusionPath {
		h, err := chio.ParseHex(strings.TrimPrefix(text, "0x"))
		if err != nil {
			return refuse("inclusion_path is not of hashes")
		}
		path[i] = h
	}
	if err := VerifyInclusion(leaf, p.LeafIndex, p.TreeSize, path, b.MerkleRoot); err != nil {
		return err
	}
	if !slices.ContainsFunc(pinned, func(k chio.Key) bool { return k.Text() == b.KernelKey }) {
		return fmt.Errorf("transparency proof: %w", ErrUnpinned)
	}
	return nil
}

// sameHash reports whether text is the hash in lowercase hex, with 0x or without.
func sameHash(text string, hash [32]byte) bool {
	return strings.TrimPrefix(text, "0x") == chio.Hash(hash).Hex()
}
