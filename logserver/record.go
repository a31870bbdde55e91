package logserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/jcs"
	"github.com/chiolog/chiolog/signer"
)

const recordSchema = "chiolog.publication.v1"

// A record is where publication stands: changed by compare-and-swap, durable
// before what it says is acted on.
type record struct {
	// Assumed says that the operator's word was needed and is not in the log yet.
	Assumed   bool       `json:"assumed,omitempty"`
	Intent    *intent    `json:"intent,omitempty"` // fixed and not published yet
	Origin    string     `json:"origin"`
	Published *published `json:"published,omitempty"`
	Schema    string     `json:"schema"`
	// Writers is the set that the configuration last named, nil if it never did.
	Writers *[]string `json:"writers,omitempty"`
}

// An intent is a checkpoint that will be signed and no other of its sequence.
// Note and Statement are its signatures, once committed.
type intent struct {
	Body      checkpoint.Body       `json:"body"`
	Note      string                `json:"note,omitempty"`
	Root      chio.Hash             `json:"root"`
	Size      uint64                `json:"size"`
	Statement *checkpoint.Statement `json:"statement,omitempty"`
}

// A published is the last published checkpoint, and which leaves before its
// size are the log's own.
type published struct {
	Chain      []chio.Hash          `json:"chain"`
	Events     []uint64             `json:"events"`
	Note       string               `json:"note"`
	Root       chio.Hash            `json:"root"`
	Size       uint64               `json:"size"`
	Statement  checkpoint.Statement `json:"statement"`
	Status     uint64               `json:"status"` // index of the last status
	WriterSets []uint64             `json:"writer_sets"`
}

// chain returns the frontier of the chain leaves up to p.
func (p *published) chain() (checkpoint.Frontier, error) {
	if p == nil {
		return checkpoint.Frontier{}, nil
	}
	hashes := make([][32]byte, len(p.Chain))
	for i, h := range p.Chain {
		hashes[i] = h
	}
	return checkpoint.NewFrontier(p.Statement.Body.CheckpointSeq, hashes)
}

// position returns how far publication has come.
func (p *published) position() signer.Position {
	if p == nil {
		return signer.Position{}
	}
	return signer.Position{Size: p.Size, CheckpointSeq: p.Statement.Body.CheckpointSeq}
}

func (l *Log) loadRecord() error {
	stored, err := l.cfg.State.Latest()
	if err != nil {
		return fmt.Errorf("publication record: %w", err)
	}
	l.record = record{Origin: l.cfg.Origin, Schema: recordSchema}
	if stored == nil {
		return nil
	}
	var r record
	if err := jcs.Unmarshal(stored, &r, jcs.StrictNumbers); err != nil {
		return fmt.Errorf("publication record: %w", err)
	}
	if r.Schema != recordSchema || r.Origin != l.cfg.Origin {
		return otherLog(r.Origin, l.cfg.Origin)
	}
	l.record, l.stored = r, stored
	return nil
}

// swapRecord makes next the record, durably.
func (l *Log) swapRecord(next record) error {
	stored, err := jcs.Marshal(next)
	if err != nil {
		return fmt.Errorf("publication record: %w", err)
	}
	if err := l.cfg.State.Swap(l.stored, stored); err != nil {
		return fmt.Errorf("publication record: %w", err)
	}
	l.record, l.stored = next, stored
	return nil
}

// checkGenesis refuses the store of another log that has published nothing yet;
// one that has says so in its record.
func (l *Log) checkGenesis(ctx context.Context) error {
	if size, _ := l.cfg.Tree.Head(); size == 0 || l.stored != nil {
		return nil
	}
	entry, err := l.cfg.Tree.Entry(ctx, 0)
	if err != nil {
		return fmt.Errorf("reading the genesis: %w", err)
	}
	e, err := timeline.ParseLogEntry(entry)
	if err != nil {
		return fmt.Errorf("reading the genesis: %w", err)
	}
	envelope, err := timeline.ParseEnvelope(e.KeyEvent)
	if err != nil {
		return fmt.Errorf("reading the genesis: %w", err)
	}
	if envelope.Body.LogID != l.cfg.Origin {
		return otherLog(envelope.Body.LogID, l.cfg.Origin)
	}
	return nil
}

func otherLog(holds, origin string) error {
	return fmt.Errorf("the store holds the log %q, not %q; give each log a store of its own", holds, origin)
}

// What checkGuard finds.
type guardState int

const (
	guardKnown   guardState = iota // guard and store go together
	guardNew                       // neither exists: a first start
	guardAssumed                   // only the operator's word says that the store is current
)

// checkGuard compares what the signer signed with what the store has (DESIGN
// §5).
func (l *Log) checkGuard() (guardState, error) {
	size, _ := l.cfg.Tree.Head()
	guard, ok := l.cfg.Signer.Position()
	have := l.record.Published.position()
	may := have // what the signer may have come to without the store knowing
	if in := l.record.Intent; in != nil {
		may = signer.Position{Size: in.Size, CheckpointSeq: in.Body.CheckpointSeq}
		if in.Statement != nil {
			have = may // its signatures are in the store
		}
	}
	switch {
	case size < may.Size:
		return 0, fmt.Errorf("%w: the tree has %d leaves, checkpoint %d was prepared over %d; restore the newest copy of the store", ErrRolledBack, size, may.CheckpointSeq, may.Size)
	case !ok && size == 0 && l.stored == nil:
		return guardNew, nil
	case ok && (guard.Size > size || guard.CheckpointSeq > may.CheckpointSeq):
		return 0, fmt.Errorf("%w: the guard signed checkpoint %d of size %d, the store knows checkpoint %d and has %d leaves; restore the newest copy of the store, the guard is right",
			ErrRolledBack, guard.CheckpointSeq, guard.Size, may.CheckpointSeq, size)
	case ok && guard.CheckpointSeq >= have.CheckpointSeq:
		return guardKnown, nil
	case !l.cfg.AssumeCurrent:
		what := "is missing"
		if ok {
			what = fmt.Sprintf("is at checkpoint %d, behind the store's %d", guard.CheckpointSeq, have.CheckpointSeq)
		}
		return 0, fmt.Errorf("the guard %s: nothing shows that this store is the newest; put the guard back, or start once with --assume-current if you are sure that nothing newer was ever signed", what)
	}
	return guardAssumed, nil
}

// restoreGuard makes a guard from what the store has, on the operator's word.
// That the word was needed is recorded first, so that no crash forgets it.
func (l *Log) restoreGuard(ctx context.Context) error {
	next := l.record
	next.Assumed = true
	if err := l.swapRecord(next); err != nil {
		return err
	}
	p, in := l.record.Published, l.record.Intent
	if p == nil && (in == nil || in.Statement == nil) {
		return l.cfg.Signer.Begin(ctx)
	}
	chain, err := p.chain()
	if err != nil {
		return err
	}
	r := signer.Restoration{Chain: chain, EventHead: l.own.timeline.Head()}
	var size uint64
	var root chio.Hash
	if p != nil {
		size, root, r.Note, r.Statement = p.Size, p.Root, []byte(p.Note), &p.Statement
	}
	if in != nil && in.Statement != nil {
		r.Chain.Append(in.Body.ChainLeaf())
		size, root, r.Note, r.Statement = in.Size, in.Root, []byte(in.Note), in.Statement
	}
	const step = 1 << 16
	for from := uint64(0); from < size; from += step {
		leaves, err := l.cfg.Tree.LeafHashes(ctx, from, min(from+step, size))
		if err != nil {
			return err
		}
		for _, leaf := range leaves {
			r.Tree.Append(leaf)
		}
	}
	if chio.Hash(r.Tree.Root()) != root {
		return errors.New("the store's leaves do not lead to the root that it signed")
	}
	return l.cfg.Signer.Restore(r)
}

func emptyRoot() chio.Hash { return sha256.Sum256(nil) }
