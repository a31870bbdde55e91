package timeline

import (
	"fmt"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// RollbackSchema is the schema of rollback.accepted.
const RollbackSchema = "chiolog.rollback-accepted.v1"

// A RollbackAccepted records an operator's word that the store is the newest
// there is, where nothing else could tell (DESIGN §5). Size and Root are what
// signing goes on from.
type RollbackAccepted struct {
	CheckpointSeq uint64    `json:"checkpoint_seq"`
	IssuedAt      uint64    `json:"issued_at"` // Unix seconds
	Origin        string    `json:"origin"`
	Root          chio.Hash `json:"root"`
	Schema        string    `json:"schema"`
	Size          uint64    `json:"size"`
}

// Metadata returns the metadata of the rollback.accepted receipt that says r.
func (r *RollbackAccepted) Metadata() (Metadata, error) {
	payload, err := jcs.Marshal(r)
	if err != nil {
		return Metadata{}, fmt.Errorf("%s: %w", EventRollback, err)
	}
	return Metadata{Event: EventRollback, Payload: payload}, nil
}

// ParseRollback reads the payload of a rollback.accepted receipt of the log
// origin.
func ParseRollback(e *LogEntry, origin string) (*RollbackAccepted, error) {
	var r RollbackAccepted
	if e.Event != EventRollback {
		return nil, fmt.Errorf("receipt %s is not a %s", e.Event, EventRollback)
	}
	if err := jcs.Unmarshal(e.Payload, &r, jcs.StrictNumbers); err != nil {
		return nil, fmt.Errorf("%s: %w", EventRollback, err)
	}
	if r.Schema != RollbackSchema || r.Origin != origin {
		return nil, fmt.Errorf("%s: schema %q and origin %q, want %s and %q", EventRollback, r.Schema, r.Origin, RollbackSchema, origin)
	}
	return &r, nil
}

// CheckPayload reports what is wrong with the payload of a log-authored
// receipt of the log origin, by itself: the schema of its event, its members
// and the origin. Key events have no payload; Timeline.Apply judges them.
func CheckPayload(e *LogEntry, origin string) (err error) {
	switch e.Event {
	case EventStatus:
		_, err = ParseStatus(e, origin)
	case EventWriterSet:
		_, err = parseWriterSet(e, origin)
	case EventRollback:
		_, err = ParseRollback(e, origin)
	default:
		err = fmt.Errorf("payload of %s: this version does not know its schema", e.Event)
	}
	return err
}
