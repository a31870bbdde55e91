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

// CheckPayload reports what is wrong with the payload of a log-authored
// receipt of the log origin, by itself: the schema of its event, its members
// and the origin. Key events have no payload; Timeline.Apply judges them.
func CheckPayload(e *LogEntry, origin string) error {
	var err error
	var schema, of string
	switch e.Event {
	case EventStatus:
		_, err := ParseStatus(e, origin)
		return err
	case EventWriterSet:
		_, err := parseWriterSet(e, origin)
		return err
	case EventRollback:
		var r RollbackAccepted
		err = jcs.Unmarshal(e.Payload, &r, jcs.StrictNumbers)
		schema, of = r.Schema, r.Origin
	default:
		return fmt.Errorf("payload of %s: this version does not know its schema", e.Event)
	}
	if err != nil {
		return fmt.Errorf("payload of %s: %w", e.Event, err)
	}
	if schema != RollbackSchema || of != origin {
		return fmt.Errorf("payload of %s: schema %q and origin %q, want %s and %q", e.Event, schema, of, RollbackSchema, origin)
	}
	return nil
}
