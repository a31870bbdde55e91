package checkpoint

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// The schemas of a statement. New statements are of version 2.
const (
	SchemaV1 = "chio.checkpoint_statement.v1"
	SchemaV2 = "chio.checkpoint_statement.v2"
)

// The rules that a single statement can break (chio-wire §4.2).
var (
	ErrSchema             = errors.New("unknown statement schema")
	ErrSeq                = errors.New("checkpoint_seq is below 1")
	ErrBatch              = errors.New("batch_start_seq is below 1 or above batch_end_seq")
	ErrTreeSize           = errors.New("tree_size is not the length of the batch")
	ErrIssuedAt           = errors.New("issued_at is below 1")
	ErrPrevious           = errors.New("previous_checkpoint_sha256 is not 64 lowercase hex digits")
	ErrChainRoot          = errors.New("chain_root is missing, not allowed or not the root of the chain")
	ErrKernelKey          = errors.New("kernel_key is not a public key")
	ErrStatementSignature = errors.New("signature of the statement does not verify under its kernel_key")
)

// A Statement is a Chio kernel checkpoint: a signed statement about one batch of
// entries.
type Statement struct {
	Body      Body   `json:"body"`
	Signature string `json:"signature"` // over Body.Canonical, in Chio's text form
}

// A Body is the signed part of a statement. Entries are counted from 1: the
// sequence of an entry is its position.
type Body struct {
	Schema        string    `json:"schema"`          // SchemaV1 or SchemaV2
	CheckpointSeq uint64    `json:"checkpoint_seq"`  // from 1
	BatchStartSeq uint64    `json:"batch_start_seq"` // sequence of the batch's first entry
	BatchEndSeq   uint64    `json:"batch_end_seq"`   // sequence of its last entry
	TreeSize      uint64    `json:"tree_size"`       // number of entries in the batch
	MerkleRoot    chio.Hash `json:"merkle_root"`     // of the batch alone
	IssuedAt      uint64    `json:"issued_at"`       // Unix seconds
	KernelKey     string    `json:"kernel_key"`      // text of the signing key
	// PreviousSHA256 is the SHA256 of the predecessor's body in hex, "" in the first.
	PreviousSHA256 string `json:"previous_checkpoint_sha256,omitempty"`
	// ChainRoot is the root over the chain leaves of all statements up to this one.
	// Version 1 has none, and version 2 none if its author did not know the chain.
	ChainRoot *chio.Hash `json:"chain_root,omitempty"`
}

// ParseStatement reads the canonical bytes of a statement. Unknown, missing and
// null members and numbers from 2^53 on are refused. It does not check the
// statement's rules or its signature: that is for Check.
func ParseStatement(canonical []byte) (Statement, error) {
	var s Statement
	if err := jcs.Unmarshal(canonical, &s, jcs.StrictNumbers); err != nil {
		return Statement{}, fmt.Errorf("reading checkpoint statement: %w", err)
	}
	return s, nil
}

// Canonical returns the canonical bytes of the statement. The only error is a
// string that is not UTF-8, which no parsed statement has.
func (s Statement) Canonical() ([]byte, error) { return jcs.Marshal(s) }

// Canonical returns the canonical bytes of the body, which are the signed bytes.
// Its error is that of Statement.Canonical.
func (b Body) Canonical() ([]byte, error) { return jcs.Marshal(b) }

// SHA256 returns the hash of the body's canonical bytes, by which the next
// statement names this one.
func (b Body) SHA256() (chio.Hash, error) {
	data, err := b.Canonical()
	if err != nil {
		return chio.Hash{}, err
	}
	return sha256.Sum256(data), nil
}

// ChainLeaf returns the leaf hash that a statement adds to the chain (chio-wire
// §4.3). It has no time, key or signature in it, so that a statement that is
// issued again with another clock has the same leaf.
func (b Body) ChainLeaf() [32]byte {
	return LeafHash(fmt.Appendf(nil, `{"batch_end_seq":%d,"batch_start_seq":%d,"checkpoint_seq":%d,"merkle_root":"%s"}`,
		b.BatchEndSeq, b.BatchStartSeq, b.CheckpointSeq, b.MerkleRoot))
}

// LogID returns Chio's name for the log of the statement's key, which another
// key changes.
func (b Body) LogID() (string, error) {
	key, err := chio.ParseKey(b.KernelKey)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKernelKey, err)
	}
	return LogID(key), nil
}

// LogID returns Chio's name for the log that a key signs (chio-wire §4.5).
func LogID(key chio.Key) string {
	material := []byte(key.Text())
	if key.Algorithm() == chio.Ed25519 {
		material = key.Ed25519()
	}
	return "local-log-" + chio.Hash(sha256.Sum256(material)).Hex()
}

// Check returns nil if the body obeys the rules for a single statement (chio-wire
// §4.2), else the error of the first rule that it breaks. A statement of version
// 2 after the first may lack its chain_root: then it commits to no history.
func (b Body) Check() error {
	refuse := func(rule error) error {
		return fmt.Errorf("checkpoint statement %d: %w", b.CheckpointSeq, rule)
	}
	switch {
	case b.Schema != SchemaV1 && b.Schema != SchemaV2:
		return refuse(ErrSchema)
	case b.CheckpointSeq == 0:
		return refuse(ErrSeq)
	case b.BatchStartSeq == 0 || b.BatchEndSeq < b.BatchStartSeq:
		return refuse(ErrBatch)
	case b.TreeSize != b.BatchEndSeq-b.BatchStartSeq+1:
		return refuse(ErrTreeSize)
	case b.IssuedAt == 0:
		return refuse(ErrIssuedAt)
	case b.Schema == SchemaV1 && b.ChainRoot != nil:
		return refuse(ErrChainRoot)
	case b.Schema == SchemaV2 && b.CheckpointSeq == 1 && (b.ChainRoot == nil || *b.ChainRoot != b.ChainLeaf()):
		return refuse(ErrChainRoot)
	}
	if b.PreviousSHA256 != "" {
		if _, err := chio.ParseHex(b.PreviousSHA256); err != nil {
			return refuse(ErrPrevious)
		}
	}
	if _, err := chio.ParseKey(b.KernelKey); err != nil {
		return refuse(fmt.Errorf("%w: %w", ErrKernelKey, err))
	}
	return nil
}

// Check returns nil if the body obeys the rules for a single statement and the
// signature is one by its kernel_key. Whether that key may sign for a log is
// not a question of the statement.
func (s Statement) Check() error {
	if err := s.Body.Check(); err != nil {
		return err
	}
	key, err := chio.ParseKey(s.Body.KernelKey)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKernelKey, err)
	}
	data, err := s.Body.Canonical()
	if err != nil {
		return err
	}
	if err := key.Verify(data, s.Signature); err != nil {
		return fmt.Errorf("checkpoint statement %d: %w: %w", s.Body.CheckpointSeq, ErrStatementSignature, err)
	}
	return nil
}
