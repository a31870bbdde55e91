package checkpoint

import (
	"fmt"
	"slices"

	"github.com/chiolog/chiolog/formats/chio"
)

// The schemas of the records that Chio derives from statements (chio-wire §4.6).
const (
	PublicationSchema = "chio.checkpoint_publication.v1"
	CitationSchema    = "chio.checkpoint_witness.v1"
	ConsistencySchema = "chio.checkpoint_consistency_proof.v2"
)

// A Publication says what a statement publishes. It is unsigned: anyone can
// make it from the statement, and compare.
type Publication struct {
	Schema           string    `json:"schema"`
	LogID            string    `json:"log_id"`
	CheckpointSeq    uint64    `json:"checkpoint_seq"`
	CheckpointSHA256 string    `json:"checkpoint_sha256"`
	MerkleRoot       chio.Hash `json:"merkle_root"`
	PublishedAt      uint64    `json:"published_at"` // Unix seconds
	KernelKey        string    `json:"kernel_key"`
	LogTreeSize      uint64    `json:"log_tree_size"` // entries in the whole log
	EntryStartSeq    uint64    `json:"entry_start_seq"`
	EntryEndSeq      uint64    `json:"entry_end_seq"`
	PreviousSHA256   string    `json:"previous_checkpoint_sha256,omitempty"`
}

// NewPublication returns the publication record of a valid statement's body.
func NewPublication(b Body) (Publication, error) {
	id, hash, err := b.identity()
	if err != nil {
		return Publication{}, err
	}
	return Publication{
		Schema: PublicationSchema, LogID: id,
		CheckpointSeq: b.CheckpointSeq, CheckpointSHA256: hash,
		MerkleRoot: b.MerkleRoot, PublishedAt: b.IssuedAt, KernelKey: b.KernelKey,
		LogTreeSize: b.BatchEndSeq, EntryStartSeq: b.BatchStartSeq, EntryEndSeq: b.BatchEndSeq,
		PreviousSHA256: b.PreviousSHA256,
	}, nil
}

// identity returns the log ID and the body's hash in hex.
func (b Body) identity() (logID, sha256 string, err error) {
	if logID, err = b.LogID(); err != nil {
		return "", "", err
	}
	hash, err := b.SHA256()
	return logID, hash.Hex(), err
}

// A Citation is what Chio calls a checkpoint witness: the record that the next
// statement of the same log names this one. No third party is in it.
type Citation struct {
	Schema                  string `json:"schema"`
	LogID                   string `json:"log_id"` // of the cited statement's key
	CheckpointSeq           uint64 `json:"checkpoint_seq"`
	CheckpointSHA256        string `json:"checkpoint_sha256"`
	WitnessCheckpointSeq    uint64 `json:"witness_checkpoint_seq"`
	WitnessCheckpointSHA256 string `json:"witness_checkpoint_sha256"`
	WitnessedAt             uint64 `json:"witnessed_at"` // Unix seconds
}

// NewCitation returns the record that succ cites pred, which are bodies of valid
// statements. The error is ErrContinuity if it does not.
func NewCitation(pred, succ Body) (Citation, error) {
	if err := continues(pred, succ); err != nil {
		return Citation{}, err
	}
	id, hash, err := pred.identity()
	if err != nil {
		return Citation{}, err
	}
	_, succHash, err := succ.identity()
	if err != nil {
		return Citation{}, err
	}
	return Citation{
		Schema: CitationSchema, LogID: id,
		CheckpointSeq: pred.CheckpointSeq, CheckpointSHA256: hash,
		WitnessCheckpointSeq: succ.CheckpointSeq, WitnessCheckpointSHA256: succHash,
		WitnessedAt: succ.IssuedAt,
	}, nil
}

// A ConsistencyProof proves that the chain of one statement is the beginning of
// the next one's. Its tree sizes are the two checkpoint sequences. Both ends
// are tied to their statements by an inclusion proof, because else a key holder
// could have signed the root of an unrelated tree.
type ConsistencyProof struct {
	Schema                string      `json:"schema"`
	LogID                 string      `json:"log_id"`
	FromCheckpointSeq     uint64      `json:"from_checkpoint_seq"`
	ToCheckpointSeq       uint64      `json:"to_checkpoint_seq"`
	FromCheckpointSHA256  string      `json:"from_checkpoint_sha256"`
	ToCheckpointSHA256    string      `json:"to_checkpoint_sha256"`
	FromLogTreeSize       uint64      `json:"from_log_tree_size"`
	ToLogTreeSize         uint64      `json:"to_log_tree_size"`
	AppendedEntryStartSeq uint64      `json:"appended_entry_start_seq"`
	AppendedEntryEndSeq   uint64      `json:"appended_entry_end_seq"`
	FromChainRoot         chio.Hash   `json:"from_chain_root"`
	ToChainRoot           chio.Hash   `json:"to_chain_root"`
	ChainProofHashes      []chio.Hash `json:"chain_proof_hashes,omitempty"`
	FromLeafInclusion     MerkleProof `json:"from_leaf_inclusion"`
	ToLeafInclusion       MerkleProof `json:"to_leaf_inclusion"`
}

// Verify returns nil if p proves that the chain of from is the beginning of that
// of to. Both must be bodies of valid statements, adjacent and under one key: no
// such proof exists across a rotation. The error is ErrContinuity, ErrMismatch or
// ErrProof.
func (p ConsistencyProof) Verify(from, to Body) error {
	if err := continues(from, to); err != nil {
		return err
	}
	if err := p.matches(from, to); err != nil {
		return fmt.Errorf("consistency proof of checkpoint statements %d and %d: %w", from.CheckpointSeq, to.CheckpointSeq, err)
	}
	for _, end := range []struct {
		proof MerkleProof
		body  Body
	}{{p.FromLeafInclusion, from}, {p.ToLeafInclusion, to}} {
		if end.proof.TreeSize != end.body.CheckpointSeq || end.proof.LeafIndex != end.body.CheckpointSeq-1 {
			return fmt.Errorf("statement %d is not proved to be the last of its chain: %w", end.body.CheckpointSeq, ErrMismatch)
		}
		if err := end.proof.Verify(end.body.ChainLeaf(), *end.body.ChainRoot); err != nil {
			return fmt.Errorf("chain leaf of statement %d: %w", end.body.CheckpointSeq, err)
		}
	}
	return VerifyConsistency(from.CheckpointSeq, to.CheckpointSeq, Path(p.ChainProofHashes).hashes(), p.FromChainRoot, p.ToChainRoot)
}

// matches compares what the proof repeats of the two statements.
func (p ConsistencyProof) matches(from, to Body) error {
	fromID, fromHash, err := from.identity()
	if err != nil {
		return err
	}
	toID, toHash, err := to.identity()
	if err != nil {
		return err
	}
	if from.ChainRoot == nil || to.ChainRoot == nil {
		return fmt.Errorf("a statement has no chain_root: %w", ErrMismatch)
	}
	ok := p.Schema == ConsistencySchema && p.LogID == fromID && p.LogID == toID &&
		p.FromCheckpointSHA256 == fromHash && p.ToCheckpointSHA256 == toHash &&
		p.FromChainRoot == *from.ChainRoot && p.ToChainRoot == *to.ChainRoot &&
		slices.Equal(
			[]uint64{p.FromCheckpointSeq, p.ToCheckpointSeq, p.FromLogTreeSize, p.ToLogTreeSize, p.AppendedEntryStartSeq, p.AppendedEntryEndSeq},
			[]uint64{from.CheckpointSeq, to.CheckpointSeq, from.BatchEndSeq, to.BatchEndSeq, to.BatchStartSeq, to.BatchEndSeq})
	if !ok {
		return ErrMismatch
	}
	return nil
}
