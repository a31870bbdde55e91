package timeline

import (
	"fmt"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// StatusSchema is the schema of a status.
const StatusSchema = "chiolog.status.v1"

// A Status says where all of the log's own state stands after the leaves
// before it (S-1). It dates what is known.
type Status struct {
	IssuedAt    uint64            `json:"issued_at"` // Unix seconds
	KeyEvents   KeyEventsStatus   `json:"key_events"`
	Origin      string            `json:"origin"`
	Revocations RevocationsStatus `json:"revocations"`
	Schema      string            `json:"schema"`
	Sequence    uint64            `json:"sequence"` // from 1
	Statement   StatementStatus   `json:"statement"`
	Writers     MapStatus         `json:"writers"`
}

// KeyEventsStatus counts the key events; Head is the last one's envelope hash.
type KeyEventsStatus struct {
	Count uint64            `json:"count"`
	Head  chio.OptionalHash `json:"head"`
}

// MapStatus is the size and root of a map.
type MapStatus struct {
	Root chio.Hash `json:"root"`
	Size uint64    `json:"size"`
}

// RevocationsStatus is where the revocation deltas stand; Head is the SHA-256
// of the last one's payload.
type RevocationsStatus struct {
	Head     chio.OptionalHash `json:"head"`
	Root     chio.Hash         `json:"root"`
	Sequence uint64            `json:"sequence"` // 0 before the first
	Size     uint64            `json:"size"`
}

// StatementStatus names the last published Chio statement by the hash of its
// body.
type StatementStatus struct {
	CheckpointSeq uint64            `json:"checkpoint_seq"` // 0 before the first
	SHA256        chio.OptionalHash `json:"sha256"`
}

// Status returns the map's size and root as a status has them.
func (m *Map) Status() MapStatus { return MapStatus{Root: m.Root(), Size: uint64(m.Len())} }

// ParseStatus reads the status of a log-authored receipt of the log origin.
func ParseStatus(e *LogEntry, origin string) (*Status, error) {
	if e.Event != EventStatus {
		return nil, fmt.Errorf("S-1: receipt %s is not a %s", e.Event, EventStatus)
	}
	var s Status
	if err := jcs.Unmarshal(e.Payload, &s, jcs.StrictNumbers); err != nil {
		return nil, fmt.Errorf("S-1: %w", err)
	}
	if err := s.check(origin); err != nil {
		return nil, fmt.Errorf("S-1: %w", err)
	}
	return &s, nil
}

// Metadata returns the metadata of the log.status receipt that says s.
func (s *Status) Metadata() (Metadata, error) {
	payload, err := jcs.Marshal(s)
	if err != nil {
		return Metadata{}, fmt.Errorf("status %d: %w", s.Sequence, err)
	}
	return Metadata{Event: EventStatus, Payload: payload}, nil
}

func (s *Status) check(origin string) error {
	zero := chio.Hash{}
	switch {
	case s.Schema != StatusSchema:
		return fmt.Errorf("schema %q, want %s", s.Schema, StatusSchema)
	case s.Origin != origin:
		return fmt.Errorf("origin %q, the log is %q", s.Origin, origin)
	case s.Sequence == 0:
		return fmt.Errorf("sequence 0, statuses count from 1")
	case s.KeyEvents.Count == 0 || !s.KeyEvents.Head.Valid:
		return fmt.Errorf("key_events count %d without a head: a log begins with its genesis", s.KeyEvents.Count)
	case (s.Writers.Size == 0) != (s.Writers.Root == zero):
		return fmt.Errorf("writers size %d with root %s", s.Writers.Size, s.Writers.Root)
	case (s.Revocations.Size == 0) != (s.Revocations.Root == zero):
		return fmt.Errorf("revocations size %d with root %s", s.Revocations.Size, s.Revocations.Root)
	case (s.Revocations.Sequence == 0) != !s.Revocations.Head.Valid:
		return fmt.Errorf("revocations sequence %d with head %q", s.Revocations.Sequence, s.Revocations.Head.Hash)
	case s.Revocations.Sequence == 0 && s.Revocations.Size != 0:
		return fmt.Errorf("revocations size %d before the first delta", s.Revocations.Size)
	case (s.Statement.CheckpointSeq == 0) != !s.Statement.SHA256.Valid:
		return fmt.Errorf("statement %d with hash %q", s.Statement.CheckpointSeq, s.Statement.SHA256.Hash)
	}
	return nil
}

// CheckSuccessor applies S-2 to two statuses that follow each other.
func (s *Status) CheckSuccessor(next *Status) error {
	if next.Sequence != s.Sequence+1 {
		return fmt.Errorf("S-2: status %d follows status %d", next.Sequence, s.Sequence)
	}
	if next.IssuedAt < s.IssuedAt {
		return fmt.Errorf("S-2: status %d is issued at %d, the one before at %d", next.Sequence, next.IssuedAt, s.IssuedAt)
	}
	return nil
}
