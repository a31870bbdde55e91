package logserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/timeline"
)

// own is the state that a log's own leaves add up to. Writers and status are
// replaced, never changed, so that a view may keep them.
type own struct {
	timeline *timeline.Timeline
	writers  *timeline.Writers
	status   *timeline.Status // the last one, nil before the first

	events      []uint64 // indexes of the key events
	writerSets  []uint64 // indexes of the writer changes
	statusIndex uint64
	changed     bool                       // an event or a writer change has no status after it
	issuedAt    uint64                     // of the last own leaf
	rollback    *timeline.RollbackAccepted // the last one since the published checkpoint
}

// mayWrite returns nil if a receipt by key may be queued now (K-9).
func (o *own) mayWrite(key chio.Key) error {
	if state, ok := o.timeline.Key(key); ok {
		if state.Write.To == math.MaxUint64 {
			return nil
		}
		return &NotWriterError{Key: key.Text(), Range: &state.Write}
	}
	if w, ok := o.writers.Get(key); ok {
		if w.Until == nil {
			return nil
		}
		r := w.Range()
		return &NotWriterError{Key: key.Text(), Range: &r}
	}
	return &NotWriterError{Key: key.Text()}
}

// apply takes in the log-authored leaf at index.
func (o *own) apply(index uint64, e *timeline.LogEntry) error {
	if e.KeyEvent == nil {
		if active, ok := o.timeline.Active(index + 1); !ok || !active.Equal(e.Key) {
			return fmt.Errorf("%s is signed by %s, not by the key active at position %d", e.Event, e.Key.Text(), index+1)
		}
	}
	switch {
	case e.KeyEvent != nil:
		if err := o.timeline.Apply(index, e); err != nil {
			return err
		}
		o.events = append(o.events, index)
		o.changed = true
	case e.Event == timeline.EventWriterSet:
		after := &timeline.Writers{}
		*after = *o.writers
		if err := after.Apply(o.timeline, index, e); err != nil {
			return err
		}
		o.writers = after
		o.writerSets = append(o.writerSets, index)
		o.changed = true
	case e.Event == timeline.EventStatus:
		status, err := timeline.ParseStatus(e, o.timeline.Origin())
		if err != nil {
			return err
		}
		if o.status != nil {
			if err := o.status.CheckSuccessor(status); err != nil {
				return err
			}
		}
		o.status, o.statusIndex, o.changed = status, index, false
	case e.Event == timeline.EventRollback:
		rollback, err := timeline.ParseRollback(e, o.timeline.Origin())
		if err != nil {
			return err
		}
		o.rollback = rollback
	default:
		return timeline.CheckPayload(e, o.timeline.Origin())
	}
	o.issuedAt = max(o.issuedAt, e.IssuedAt)
	return nil
}

// loadOwn replays the log's own leaves: those that the record lists, which is
// what the published view shows, and then those in the tail that no checkpoint
// is published over yet.
func (l *Log) loadOwn(ctx context.Context) error {
	l.own = own{timeline: timeline.New(l.cfg.Origin), writers: &timeline.Writers{}}
	var from uint64
	if p := l.record.Published; p != nil {
		listed := append(append(cloneIndexes(p.Events), p.WriterSets...), p.Status)
		slices.Sort(listed)
		for _, index := range listed {
			entry, err := l.cfg.Tree.Entry(ctx, index)
			if err != nil {
				return fmt.Errorf("reading the log's own leaf %d: %w", index, err)
			}
			if err := l.own.load(index, entry); err != nil {
				return err
			}
		}
		l.showPublished()
		from = p.Size
	}
	size, _ := l.cfg.Tree.Head()
	return l.cfg.Tree.Entries(ctx, from, size, func(index uint64, entry []byte) error {
		if !bytes.Contains(entry, []byte(`"tool_server":"chiolog"`)) {
			return nil
		}
		return l.own.load(index, entry)
	})
}

// load applies the entry at index if it is the log's own.
func (o *own) load(index uint64, entry []byte) error {
	e, err := timeline.ParseLogEntry(entry)
	if errors.Is(err, timeline.ErrNotLogAuthored) {
		return nil
	}
	if err == nil {
		err = o.apply(index, e)
	}
	if err != nil {
		return fmt.Errorf("the log's own leaf %d: %w", index, err)
	}
	return nil
}

// appendOwn appends one leaf of the log's own, made by build for the position
// that it takes. The caller holds the pass's lock.
func (l *Log) appendOwn(ctx context.Context, build func(position uint64) (timeline.Metadata, error)) error {
	l.ranges.Lock()
	defer l.ranges.Unlock()
	return l.cfg.Tree.Exclusive(ctx, func(size uint64, appendOne AppendFunc) error {
		m, err := build(size + 1)
		if err != nil {
			return err
		}
		draft, err := timeline.NewDraft(m, l.cfg.Signer.PublicKey())
		if err != nil {
			return err
		}
		entry, err := l.cfg.Signer.SignEntry(ctx, draft)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Event, err)
		}
		r, err := receipt.ParseCanonical(entry)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Event, err)
		}
		e, err := timeline.ReadLogEntry(r)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Event, err)
		}
		index, err := appendOne(ctx, entry, r.Identity())
		if err != nil {
			return fmt.Errorf("appending %s: %w", m.Event, err)
		}
		if index != size {
			return fmt.Errorf("appending %s: it took index %d, not %d", m.Event, index, size)
		}
		l.log.Info("appended", "event", m.Event, "index", index)
		return l.own.apply(index, e)
	})
}

// ownTime is the time of the next own leaf: never before the last one's.
func (l *Log) ownTime() uint64 { return max(l.now(), l.own.issuedAt) }

func (l *Log) appendGenesis(ctx context.Context) error {
	if l.cfg.Genesis == nil {
		return errors.New("the log is empty and no genesis was given")
	}
	return l.appendOwn(ctx, func(position uint64) (timeline.Metadata, error) {
		if position != 1 {
			return timeline.Metadata{}, fmt.Errorf("the log has %d leaves and no genesis among them", position-1)
		}
		return l.cfg.Genesis(l.now())
	})
}

// appendStatus appends a status that describes the state after all leaves
// before it (S-1).
func (l *Log) appendStatus(ctx context.Context) error {
	return l.appendOwn(ctx, func(uint64) (timeline.Metadata, error) {
		s := &timeline.Status{
			IssuedAt:  l.ownTime(),
			KeyEvents: timeline.KeyEventsStatus{Count: l.own.timeline.Count(), Head: l.own.timeline.Head()},
			Origin:    l.cfg.Origin,
			Schema:    timeline.StatusSchema,
			Sequence:  1,
			Writers:   l.own.writers.Map.Status(),
		}
		if l.own.status != nil {
			s.Sequence = l.own.status.Sequence + 1
		}
		if p := l.record.Published; p != nil {
			hash, err := p.Statement.Body.SHA256()
			if err != nil {
				return timeline.Metadata{}, err
			}
			s.Statement = timeline.StatementStatus{CheckpointSeq: p.Statement.Body.CheckpointSeq, SHA256: chio.OptionalHash{Hash: hash, Valid: true}}
		}
		return s.Metadata()
	})
}

// appendRollback records the operator's word, and that it is recorded.
func (l *Log) appendRollback(ctx context.Context) error {
	doc := &timeline.RollbackAccepted{IssuedAt: l.ownTime(), Origin: l.cfg.Origin, Schema: timeline.RollbackSchema, Root: emptyRoot()}
	if p := l.record.Published; p != nil {
		doc.CheckpointSeq, doc.Size, doc.Root = p.Statement.Body.CheckpointSeq, p.Size, p.Root
	}
	// A start that died before it could note the leaf has appended it already.
	if l.own.rollback == nil || l.own.rollback.CheckpointSeq != doc.CheckpointSeq || l.own.rollback.Size != doc.Size {
		if err := l.appendOwn(ctx, func(uint64) (timeline.Metadata, error) { return doc.Metadata() }); err != nil {
			return err
		}
	}
	next := l.record
	next.Assumed = false
	return l.swapRecord(next)
}

// setWriters makes the set of writers the configured one if the configuration
// names another than at the last start (DESIGN §9).
func (l *Log) setWriters(ctx context.Context) error {
	if l.cfg.Writers == nil {
		return nil
	}
	want := append([]string{}, l.cfg.Writers...)
	slices.Sort(want)
	want = slices.Compact(want)
	if l.record.Writers != nil && slices.Equal(want, *l.record.Writers) {
		return nil
	}
	current := l.own.writers.Current()
	slices.Sort(current)
	var removed []timeline.RemovedWriter
	for _, key := range current {
		if !slices.Contains(want, key) {
			removed = append(removed, timeline.RemovedWriter{Key: key})
		}
	}
	var added []string
	for _, key := range want {
		if !slices.Contains(current, key) {
			added = append(added, key)
		}
	}
	// All of it or nothing: a bad key must not leave half a change behind.
	if _, _, err := l.own.writers.Change(l.own.timeline, timeline.MaxNumber-1, 0, added, removed); err != nil {
		return fmt.Errorf("changing the writers: %w", err)
	}
	for _, w := range removed {
		l.log.Warn("a writer is removed for good: its key can never be added again", "key", w.Key)
	}
	// Small changes keep each event within what a key service signs.
	const perEvent = 8
	for len(added)+len(removed) > 0 {
		a := added[:min(perEvent, len(added))]
		r := removed[:min(perEvent-len(a), len(removed))]
		added, removed = added[len(a):], removed[len(r):]
		err := l.appendOwn(ctx, func(position uint64) (timeline.Metadata, error) {
			set, _, err := l.own.writers.Change(l.own.timeline, position, l.ownTime(), a, r)
			if err != nil {
				return timeline.Metadata{}, err
			}
			return set.Metadata()
		})
		if err != nil {
			return fmt.Errorf("changing the writers: %w", err)
		}
	}
	next := l.record
	next.Writers = &want
	return l.swapRecord(next)
}
