package timeline

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// WriterSetSchema is the schema of a change to the set of writers.
const WriterSetSchema = "chiolog.writer-set.v1"

// A WriterSet is the payload of writer.set-changed (DESIGN §2). Size and Root
// are those of the map after it.
type WriterSet struct {
	Added    []string        `json:"added"` // key texts
	IssuedAt uint64          `json:"issued_at"`
	Origin   string          `json:"origin"`
	Removed  []RemovedWriter `json:"removed"`
	Root     chio.Hash       `json:"root"`
	Schema   string          `json:"schema"`
	Size     uint64          `json:"size"`
}

// A RemovedWriter leaves the set; positions past SuspectAfter are suspect.
type RemovedWriter struct {
	Key          string  `json:"key"`
	SuspectAfter *uint64 `json:"suspect_after,omitempty"`
}

// A Writer is the value of a writer map's entry (S-5): positions.
type Writer struct {
	From         uint64  `json:"from"`
	SuspectAfter *uint64 `json:"suspect_after,omitempty"`
	Until        *uint64 `json:"until,omitempty"`
}

// Range returns the positions at which the writer may sign.
func (w Writer) Range() Span {
	if w.Until == nil {
		return Span{w.From, math.MaxUint64}
	}
	return Span{w.From, *w.Until}
}

// Suspect reports whether a leaf of the writer at position is suspect.
func (w Writer) Suspect(position uint64) bool {
	return w.SuspectAfter != nil && position > *w.SuspectAfter
}

// ParseWriter reads the value of a writer map's entry.
func ParseWriter(value []byte) (Writer, error) {
	var w Writer
	if err := jcs.Unmarshal(value, &w, jcs.StrictNumbers); err != nil {
		return w, fmt.Errorf("S-5: %w", err)
	}
	switch {
	case w.From == 0:
		return w, fmt.Errorf("S-5: from 0, positions count from 1")
	case w.Until != nil && *w.Until <= w.From:
		return w, fmt.Errorf("S-5: until %d, from %d", *w.Until, w.From)
	case w.SuspectAfter != nil && w.Until == nil:
		return w, fmt.Errorf("S-5: suspect_after without until")
	case w.SuspectAfter != nil && (*w.SuspectAfter+1 < w.From || *w.SuspectAfter >= *w.Until):
		return w, fmt.Errorf("S-5: suspect_after %d outside [%d, %d)", *w.SuspectAfter, w.From-1, *w.Until)
	}
	return w, nil
}

// Writers is the set of writers with its map, the replay of writer.set-changed
// events. It is not safe for concurrent use.
type Writers struct {
	Map  Map
	byID map[chio.Hash]Writer
	text map[string]bool // every key text that was ever in the set, and whether it is now
}

// Get returns the entry of a key that is or was a writer.
func (w *Writers) Get(k chio.Key) (Writer, bool) {
	entry, ok := w.byID[k.ID()]
	return entry, ok
}

// Current returns the key texts of the writers in the set now, in no order.
func (w *Writers) Current() []string {
	keys := make([]string, 0, len(w.text))
	for text, in := range w.text {
		if in {
			keys = append(keys, text)
		}
	}
	return keys
}

// All returns the key texts of all that are or were writers, in no order.
func (w *Writers) All() []string { return slices.Collect(maps.Keys(w.text)) }

// Change returns the payload that adds and removes writers by an event at
// position, and the set after it; w stays as it is. A key that ever had a role
// in t or was a writer before is not added (K-1).
func (w *Writers) Change(t *Timeline, position, issuedAt uint64, added []string, removed []RemovedWriter) (*WriterSet, *Writers, error) {
	after := w.clone()
	set := &WriterSet{Added: []string{}, IssuedAt: issuedAt, Origin: t.Origin(), Removed: []RemovedWriter{}, Schema: WriterSetSchema}
	set.Added = append(set.Added, added...)
	set.Removed = append(set.Removed, removed...)
	if err := after.apply(t, position, set); err != nil {
		return nil, nil, err
	}
	set.Size, set.Root = uint64(after.Map.Len()), after.Map.Root()
	return set, after, nil
}

// Metadata returns the metadata of the writer.set-changed receipt that says s.
func (s *WriterSet) Metadata() (Metadata, error) {
	payload, err := jcs.Marshal(s)
	if err != nil {
		return Metadata{}, fmt.Errorf("writer set: %w", err)
	}
	return Metadata{Event: EventWriterSet, Payload: payload}, nil
}

// Apply replays the writer.set-changed leaf at index. On an error the set
// stays as it was.
func (w *Writers) Apply(t *Timeline, index uint64, e *LogEntry) error {
	set, err := parseWriterSet(e, t.Origin())
	if err != nil {
		return err
	}
	after := w.clone()
	if err := after.apply(t, index+1, set); err != nil {
		return err
	}
	if set.Size != uint64(after.Map.Len()) || set.Root != after.Map.Root() {
		return fmt.Errorf("writer set: states size %d and root %s, the map has %d and %s", set.Size, set.Root, after.Map.Len(), after.Map.Root())
	}
	*w = *after
	return nil
}

// parseWriterSet reads the payload of a writer.set-changed receipt.
func parseWriterSet(e *LogEntry, origin string) (*WriterSet, error) {
	if e.Event != EventWriterSet {
		return nil, fmt.Errorf("receipt %s is not a %s", e.Event, EventWriterSet)
	}
	var set WriterSet
	if err := jcs.Unmarshal(e.Payload, &set, jcs.StrictNumbers); err != nil {
		return nil, fmt.Errorf("writer set: %w", err)
	}
	if set.Schema != WriterSetSchema || set.Origin != origin {
		return nil, fmt.Errorf("writer set: schema %q, origin %q", set.Schema, set.Origin)
	}
	if set.Added == nil || set.Removed == nil {
		return nil, errors.New("writer set: added and removed are always arrays, not null")
	}
	return &set, nil
}

func (w *Writers) clone() *Writers {
	c := &Writers{byID: map[chio.Hash]Writer{}, text: map[string]bool{}}
	c.Map.entries = append(c.Map.entries, w.Map.entries...)
	maps.Copy(c.byID, w.byID)
	maps.Copy(c.text, w.text)
	return c
}

func (w *Writers) apply(t *Timeline, position uint64, set *WriterSet) error {
	for _, text := range set.Added {
		key, err := chio.ParseKey(text)
		if err != nil {
			return fmt.Errorf("writer %.80q: %w", text, err)
		}
		if key.SmallOrder() {
			return fmt.Errorf("K-1: writer %s: %w", text, chio.ErrSmallOrder)
		}
		if role, ok := t.Role(key); ok {
			return fmt.Errorf("K-1: writer %s is the log's %s already", text, role)
		}
		if _, ok := w.byID[key.ID()]; ok {
			return fmt.Errorf("K-1: writer %s was a writer before; a removed writer cannot return, give it a new key", text)
		}
		w.text[text] = true
		if err := w.set(key.ID(), Writer{From: position}); err != nil {
			return err
		}
	}
	for _, r := range set.Removed {
		key, err := chio.ParseKey(r.Key)
		if err != nil {
			return fmt.Errorf("writer %.80q: %w", r.Key, err)
		}
		entry, ok := w.byID[key.ID()]
		if !ok || entry.Until != nil {
			return fmt.Errorf("writer %s is not in the set", r.Key)
		}
		w.text[r.Key] = false
		entry.Until, entry.SuspectAfter = &position, r.SuspectAfter
		if err := w.set(key.ID(), entry); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writers) set(id chio.Hash, entry Writer) error {
	value, err := jcs.Marshal(entry)
	if err != nil {
		return err
	}
	if _, err := ParseWriter(value); err != nil {
		return err
	}
	w.byID[id] = entry
	w.Map.Set(id, value)
	return nil
}
