package checkpoint

import "fmt"

// EquivocationSchema is the schema of an Equivocation.
const EquivocationSchema = "chio.checkpoint_equivocation.v1"

// An EquivocationKind says how two statements conflict.
type EquivocationKind string

// The kinds of equivocation, in the order in which they are looked for (chio-wire §4.7).
const (
	ConflictingSeq         EquivocationKind = "conflicting_checkpoint_seq"
	ConflictingSize        EquivocationKind = "conflicting_log_tree_size"
	ConflictingPredecessor EquivocationKind = "conflicting_predecessor_witness"
)

// An Equivocation is the record that two valid statements conflict. First and
// second are ordered by sequence, then by hash.
type Equivocation struct {
	Schema         string           `json:"schema"`
	Kind           EquivocationKind `json:"kind"`
	LogID          string           `json:"log_id,omitempty"`        // if it is one log
	LogTreeSize    uint64           `json:"log_tree_size,omitempty"` // if it is one size
	FirstSeq       uint64           `json:"first_checkpoint_seq"`
	SecondSeq      uint64           `json:"second_checkpoint_seq"`
	FirstSHA256    string           `json:"first_checkpoint_sha256"`
	SecondSHA256   string           `json:"second_checkpoint_sha256"`
	PreviousSHA256 string           `json:"previous_checkpoint_sha256,omitempty"`
	// Harmless marks two statements that differ in issued_at alone: Chio calls
	// that an equivocation, but both say the same of the log.
	Harmless bool `json:"-"`
}

// FindEquivocation returns the equivocation of two statements, nil if there is
// none. A statement that is not valid proves nothing and is the error of its
// Check. Compare only statements of one log's lineage: those of two unrelated
// kernels conflict by sequence as a matter of course.
func FindEquivocation(a, b Statement) (*Equivocation, error) {
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("comparing statements: %w", err)
	}
	if err := b.Check(); err != nil {
		return nil, fmt.Errorf("comparing statements: %w", err)
	}
	first, second := a.Body, b.Body
	firstID, firstHash, err := first.identity()
	if err != nil {
		return nil, err
	}
	secondID, secondHash, err := second.identity()
	if err != nil {
		return nil, err
	}
	if firstHash == secondHash {
		return nil, nil
	}
	if first.CheckpointSeq > second.CheckpointSeq || first.CheckpointSeq == second.CheckpointSeq && firstHash > secondHash {
		first, second = second, first
		firstID, secondID = secondID, firstID
		firstHash, secondHash = secondHash, firstHash
	}
	e := &Equivocation{
		Schema: EquivocationSchema, Kind: conflict(first, second),
		FirstSeq: first.CheckpointSeq, SecondSeq: second.CheckpointSeq,
		FirstSHA256: firstHash, SecondSHA256: secondHash,
		PreviousSHA256: first.PreviousSHA256, Harmless: onlyLater(first, second),
	}
	if e.Kind == "" {
		return nil, nil
	}
	if e.PreviousSHA256 == "" {
		e.PreviousSHA256 = second.PreviousSHA256
	}
	if firstID == secondID {
		e.LogID = firstID
	}
	if e.Kind != ConflictingPredecessor && first.BatchEndSeq == second.BatchEndSeq {
		e.LogTreeSize = first.BatchEndSeq
	}
	return e, nil
}

// conflict returns the kind of equivocation of two bodies that differ, "" for none.
func conflict(a, b Body) EquivocationKind {
	switch {
	case a.CheckpointSeq == b.CheckpointSeq:
		return ConflictingSeq
	case a.KernelKey == b.KernelKey && a.BatchEndSeq == b.BatchEndSeq:
		return ConflictingSize
	case a.PreviousSHA256 != "" && a.PreviousSHA256 == b.PreviousSHA256:
		return ConflictingPredecessor
	}
	return ""
}

// onlyLater reports whether two bodies differ in issued_at alone.
func onlyLater(a, b Body) bool {
	sameRoot := (a.ChainRoot == nil) == (b.ChainRoot == nil) &&
		(a.ChainRoot == nil || *a.ChainRoot == *b.ChainRoot)
	a.IssuedAt, a.ChainRoot = b.IssuedAt, b.ChainRoot
	return sameRoot && a == b
}
