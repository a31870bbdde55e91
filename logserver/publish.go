package logserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/signer"
)

// Publish makes the next checkpoint if there is anything new, in the steps of
// DESIGN §4. A crash between any two of them is completed by the next pass:
// whoever finds an intent completes exactly that one.
func (l *Log) Publish(ctx context.Context) error {
	l.pass.Lock()
	defer l.pass.Unlock()
	if h := l.halted.Load(); h != nil {
		return h.err
	}
	return l.publish(ctx)
}

// publish is Publish under the pass's lock.
func (l *Log) publish(ctx context.Context) error {
	started := time.Now()
	oldest := l.unpublished.Swap(0)

	// 1. Read the root, after the log's own leaves are in.
	if l.record.Intent == nil {
		size, root, err := l.settle(ctx)
		if err != nil || size == l.record.Published.position().Size {
			return err
		}
		// 3. Fix the intent: from here on this sequence has one statement.
		if err := l.fixIntent(ctx, size, root); err != nil {
			return err
		}
	}
	in := l.record.Intent

	// 2. Everything that the checkpoint needs is readable before anybody can
	// see it. It may come after the intent, since the signature comes later
	// still, and so a pass that completes an older intent does it too.
	if err := l.cfg.Tree.Materialise(ctx, in.Size); err != nil {
		return fmt.Errorf("materialising size %d: %w", in.Size, err)
	}

	// 4. The signer derives root, batch root and chain root by itself.
	if in.Statement == nil {
		if err := l.sign(ctx, in); err != nil {
			return err
		}
	}

	// 6. This log has no witnesses: there is nothing to gather.

	// 7. Note and statement become visible together.
	if err := l.show(in); err != nil {
		return err
	}
	if oldest != 0 {
		l.metrics.mergeDelay.Observe(time.Since(time.Unix(0, oldest)).Seconds())
	}
	l.metrics.publishSeconds.Observe(time.Since(started).Seconds())
	l.log.Info("published", "size", in.Size, "checkpoint_seq", in.Body.CheckpointSeq, "elapsed", time.Since(started))
	return nil
}

// settle appends the status that is due and reads the root after it.
func (l *Log) settle(ctx context.Context) (size uint64, root [32]byte, err error) {
	have := l.record.Published.position().Size
	if size, _ := l.cfg.Tree.Head(); size < have {
		err := fmt.Errorf("%w: the tree has %d leaves, a checkpoint over %d is published", ErrRolledBack, size, have)
		l.halt(err)
		return 0, root, err
	}
	interval := uint64(l.cfg.StatusInterval.Seconds())
	due := l.own.status != nil && (l.now() >= l.own.status.IssuedAt+interval || time.Since(l.statusAt) >= l.cfg.StatusInterval)
	if l.own.changed || l.own.status == nil || due {
		if err := l.appendStatus(ctx); err != nil {
			return 0, root, fmt.Errorf("appending a status: %w", err)
		}
		l.statusAt = time.Now()
	}
	size, root = l.cfg.Tree.Head()
	return size, root, nil
}

// fixIntent prepares the statement over the new leaves and makes it durable.
func (l *Log) fixIntent(ctx context.Context, size uint64, root [32]byte) error {
	p := l.record.Published
	leaves, err := l.cfg.Tree.LeafHashes(ctx, p.position().Size, size)
	if err != nil {
		return fmt.Errorf("reading the leaf hashes of the batch: %w", err)
	}
	chain, err := p.chain()
	if err != nil {
		return fmt.Errorf("publication record: %w", err)
	}
	var last *checkpoint.Statement
	if p != nil {
		last = &p.Statement
	}
	body, _ := signer.NextBody(last, chain, leaves, l.cfg.Signer.PublicKey(), l.now())
	next := l.record
	next.Intent = &intent{Body: body, Root: root, Size: size}
	return l.swapRecord(next)
}

// sign is steps 4 and 5: signatures, then their commit. Until the commit they
// are neither logged nor shown.
func (l *Log) sign(ctx context.Context, in *intent) error {
	leaves, err := l.cfg.Tree.LeafHashes(ctx, l.record.Published.position().Size, in.Size)
	if err != nil {
		return fmt.Errorf("reading the leaf hashes of the batch: %w", err)
	}
	signed, err := l.cfg.Signer.Sign(ctx, signer.Request{
		Body: in.Body, Size: in.Size, Root: in.Root, Leaves: leaves, EventHead: l.own.timeline.Head(),
	})
	if err != nil {
		if errors.Is(err, signer.ErrContradiction) || errors.Is(err, signer.ErrOutOfStep) || errors.Is(err, signer.ErrNoGuard) {
			l.halt(err)
		}
		return err
	}
	statement, err := checkpoint.ParseStatement(signed.Statement)
	if err != nil {
		return err
	}
	committed := *in
	committed.Note, committed.Statement = string(signed.Note), &statement
	next := l.record
	next.Intent = &committed
	if err := l.swapRecord(next); err != nil {
		return err
	}
	*in = committed
	return nil
}

// show publishes a committed checkpoint: history, public file, record, view.
func (l *Log) show(in *intent) error {
	if err := l.cfg.History.Append(in.Size, in.Note, *in.Statement); err != nil {
		return err
	}
	if err := l.cfg.Tree.PublishCheckpoint([]byte(in.Note)); err != nil {
		return fmt.Errorf("publishing size %d: %w", in.Size, err)
	}
	chain, err := l.record.Published.chain()
	if err != nil {
		return fmt.Errorf("publication record: %w", err)
	}
	chain.Append(in.Body.ChainLeaf())
	p := &published{
		// No leaf of the log's own comes between intent and publication, so all
		// that are known lie below the size.
		Events: cloneIndexes(l.own.events), WriterSets: cloneIndexes(l.own.writerSets), Status: l.own.statusIndex,
		Note: in.Note, Root: in.Root, Size: in.Size, Statement: *in.Statement, Chain: []chio.Hash{},
	}
	for _, h := range chain.Hashes() {
		p.Chain = append(p.Chain, h)
	}
	next := l.record
	next.Intent, next.Published = nil, p
	if err := l.swapRecord(next); err != nil {
		return err
	}
	l.showPublished()
	return nil
}

// cloneIndexes never returns nil, which JSON would write as null.
func cloneIndexes(indexes []uint64) []uint64 { return append([]uint64{}, indexes...) }
