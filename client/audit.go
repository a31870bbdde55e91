package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/tile"
	"github.com/chiolog/chiolog/formats/timeline"
)

// An AuditError is a rule that a log breaks. Every other error of Audit means
// that it could not be told.
type AuditError struct {
	Rule  string // such as "TT-9", "S-3" or "chio-wire 4.4"
	Where string // what breaks it: "entry 17", "tile/1/000.p/3", "statement 4"
	Err   error
}

func (e *AuditError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Where, e.Rule, e.Err) }

func (e *AuditError) Unwrap() error { return e.Err }

// violation returns an *AuditError, or an ordinary error for what only another
// implementation can judge.
func violation(rule, where string, err error) error {
	if errors.Is(err, chio.ErrHybrid) {
		return fmt.Errorf("%s: %w", where, err)
	}
	return &AuditError{rule, where, err}
}

func entryName(index uint64) string { return fmt.Sprintf("entry %d", index) }

// AuditOptions are the options of Audit. The zero value will do.
type AuditOptions struct {
	// Progress, if not nil, is told how many of total entries have been judged.
	// Calls do not overlap.
	Progress func(done, total uint64)
	// Workers is the number of bundles fetched and verified at a time, which
	// bounds the memory for them at 16 MiB each; 0 is two for each core.
	Workers int
}

// An AuditReport says what an audit that found nothing wrong has seen.
type AuditReport struct {
	Origin     string
	Size       uint64
	Root       [32]byte
	Receipts   uint64 // of writers
	OwnLeaves  uint64 // that the log wrote itself; with Receipts, they are Size
	Writers    uint64 // that are in the set now
	Flagged    uint64 // receipts whose parameter hash is not that of the parameters
	Statements uint64
	LastStatus uint64 // issued_at of the last status, in Unix seconds
	AsOf       uint64 // in Unix seconds, as V-8 dates what is known
}

// Audit reads all of a log that its newest checkpoint covers and recomputes it:
// the checkpoint under p, every hash tile from the entries (TT-9), every
// receipt, its signer at its position, the log's own leaves in their order, and
// every published statement with its note. What is broken in the first bundle
// that breaks a rule is an *AuditError.
//
// It keeps 24 bytes and a map's overhead for each entry: of identities the
// first 16 bytes, on which two receipts agree by accident never, and on purpose
// with 2^64 attempts, which would make an honest log look wrong.
func (c *Client) Audit(ctx context.Context, p *policy.Policy, o AuditOptions) (*AuditReport, error) {
	note, err := c.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	verified, err := p.VerifyCosigned(note)
	if err != nil {
		return nil, violation("V-2", "checkpoint", err)
	}
	a := newAudit(c, p, verified.Checkpoint)
	if err := a.entries(ctx, o); err != nil {
		return nil, err
	}
	if err := a.finish(ctx, note); err != nil {
		return nil, err
	}
	a.report.AsOf = a.report.LastStatus
	if !p.NoWitnesses() {
		a.report.AsOf = min(a.report.AsOf, verified.QuorumTime)
	}
	return &a.report, nil
}

// An audit is the state of one Audit. Bundles are read by several goroutines,
// which use client, policy and head only; all else belongs to the one that
// takes their results in order.
type audit struct {
	client *Client
	policy *policy.Policy
	head   checkpoint.Checkpoint
	report AuditReport

	tree  checkpoint.Frontier
	batch checkpoint.Frontier // of the entries after the last statement
	upper [][][32]byte        // hashes of the unfinished tile at level 1 + i
	seen  map[[16]byte]uint64 // index by truncated identity

	timeline *timeline.Timeline
	writers  timeline.Writers
	status   *timeline.Status
	unsaid   *uint64 // index of the last change that no status follows (S-3)

	statements statements
	next       *published // statement, not reached yet; nil if there is none
}

func newAudit(c *Client, p *policy.Policy, head checkpoint.Checkpoint) *audit {
	var witnesses []chio.Key
	for _, w := range p.Witnesses {
		if key, ok := w.Key.ChioKey(); ok {
			witnesses = append(witnesses, key)
		}
	}
	return &audit{
		client: c, policy: p, head: head,
		report:     AuditReport{Origin: head.Origin, Size: head.Size, Root: head.Root},
		seen:       map[[16]byte]uint64{},
		timeline:   timeline.New(head.Origin, witnesses...),
		statements: statements{client: c, more: true},
	}
}

// A job is a bundle to read. Its result is sent to done, which has room for it.
type job struct {
	tile tile.Tile
	done chan bundleResult
}

// entries reads all bundles, several at a time, and takes them in order.
func (a *audit) entries(ctx context.Context, o AuditOptions) error {
	if err := a.nextStatement(ctx); err != nil {
		return err
	}
	workers := o.Workers
	if workers <= 0 {
		workers = 2 * runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	jobs, ordered := make(chan job), make(chan job, 4*workers)
	wait.Go(func() { a.produce(ctx, jobs, ordered) })
	for range workers {
		wait.Go(func() {
			for j := range jobs {
				j.done <- a.readBundle(ctx, j.tile)
			}
		})
	}
	for j := range ordered {
		select {
		case r := <-j.done:
			if err := a.take(ctx, j.tile, r); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if o.Progress != nil {
			o.Progress(a.tree.Size(), a.head.Size)
		}
	}
	return ctx.Err()
}

// produce offers every bundle to the workers, and to the one who takes their
// results. The room in ordered bounds how far the workers run ahead.
func (a *audit) produce(ctx context.Context, jobs, ordered chan<- job) {
	defer close(jobs)
	defer close(ordered)
	for index := uint64(0); index*tile.Width < a.head.Size; index++ {
		j := job{tile.Tile{Level: tile.Entries, Index: index, Width: tile.WidthAt(0, index, a.head.Size)}, make(chan bundleResult, 1)}
		for _, to := range []chan<- job{ordered, jobs} {
			select {
			case to <- j:
			case <-ctx.Done():
				return
			}
		}
	}
}

// A bundleResult is what one bundle has, judged without what lies before it.
type bundleResult struct {
	leaves     [][32]byte
	identities [][16]byte
	own        map[uint64]*timeline.LogEntry // by index
	signers    map[string]signer             // of ordinary receipts, by key text
	flagged    uint64
	err        error
}

// A signer is a key with the first and last position that it signs in a bundle.
// Ranges are intervals, so all positions between are in one if these are.
type signer struct {
	key         chio.Key
	first, last uint64
}

// readBundle fetches a bundle and the level-0 tile of its leaf hashes.
func (a *audit) readBundle(ctx context.Context, t tile.Tile) bundleResult {
	r := bundleResult{own: map[uint64]*timeline.LogEntry{}, signers: map[string]signer{}}
	data, width, err := a.client.tile(ctx, t)
	if err != nil {
		return bundleResult{err: err}
	}
	entries, err := tile.ParseBundle(data, width)
	if err != nil {
		return bundleResult{err: violation("TT-14", t.Path(), err)}
	}
	for i, entry := range entries[:t.Width] {
		r.leaves = append(r.leaves, checkpoint.LeafHash(entry))
		if err := r.read(t.Index*tile.Width+uint64(i), entry); err != nil {
			return bundleResult{err: err}
		}
	}
	r.err = a.checkTile(ctx, tile.Tile{Index: t.Index, Width: t.Width}, r.leaves)
	return r
}

// read judges an entry by itself.
func (r *bundleResult) read(index uint64, entry []byte) error {
	parsed, err := receipt.ParseCanonical(entry)
	if err == nil && parsed.Form == receipt.Legacy {
		err = errors.New("a legacy receipt is no entry of a log")
	}
	if err != nil {
		return violation("V-7", entryName(index), err)
	}
	if _, own := timeline.Reserved(parsed); own {
		e, err := timeline.ReadLogEntry(parsed)
		if err != nil {
			return violation("K-8", entryName(index), err)
		}
		r.own[index] = e
	} else {
		if err := parsed.Verify(); err != nil {
			return violation("V-7", entryName(index), err)
		}
		s, ok := r.signers[parsed.Key.Text()]
		if !ok {
			s = signer{key: parsed.Key, first: index + 1}
		}
		s.last = index + 1
		r.signers[parsed.Key.Text()] = s
	}
	if !parsed.ParameterHashValid() {
		r.flagged++
	}
	identity := parsed.Identity()
	r.identities = append(r.identities, [16]byte(identity[:16]))
	return nil
}

// take replays what a bundle has, as the next one.
func (a *audit) take(ctx context.Context, t tile.Tile, r bundleResult) error {
	if r.err != nil {
		return r.err
	}
	var subtree checkpoint.Frontier
	for i, leaf := range r.leaves {
		index := t.Index*tile.Width + uint64(i)
		if other, ok := a.seen[r.identities[i]]; ok {
			return violation("DESIGN 2", entryName(index), fmt.Errorf("is the receipt of entry %d again", other))
		}
		a.seen[r.identities[i]] = index
		if own, ok := r.own[index]; ok {
			if err := a.replay(index, own); err != nil {
				return err
			}
		}
		a.tree.Append(leaf)
		a.batch.Append(leaf)
		subtree.Append(leaf)
		if err := a.reached(ctx, index+1); err != nil {
			return err
		}
	}
	for _, s := range r.signers {
		if err := a.checkSigner(s); err != nil {
			return err
		}
	}
	a.report.OwnLeaves += uint64(len(r.own))
	a.report.Receipts += uint64(len(r.leaves) - len(r.own))
	a.report.Flagged += r.flagged
	if t.Full() {
		return a.grow(ctx, 1, t.Index, subtree.Root())
	}
	return nil
}

// grow adds the hash of a full tile below, number index there, to the tile at
// level, and compares that one with the log's if it is full.
func (a *audit) grow(ctx context.Context, level int, index uint64, hash [32]byte) error {
	if len(a.upper) < level {
		a.upper = append(a.upper, nil)
	}
	hashes := append(a.upper[level-1], hash)
	a.upper[level-1] = hashes
	if len(hashes) < tile.Width {
		return nil
	}
	if err := a.checkTile(ctx, tile.Tile{Level: level, Index: index / tile.Width, Width: tile.Width}, hashes); err != nil {
		return err
	}
	// Roots of perfect subtrees add up as leaf hashes do.
	var subtree checkpoint.Frontier
	for _, h := range hashes {
		subtree.Append(h)
	}
	a.upper[level-1] = hashes[:0]
	return a.grow(ctx, level+1, index/tile.Width, subtree.Root())
}

// checkTile compares a hash tile of the log with the hashes that it must have.
func (a *audit) checkTile(ctx context.Context, t tile.Tile, want [][32]byte) error {
	data, width, err := a.client.tile(ctx, t)
	if err != nil {
		return err
	}
	hashes, err := tile.ParseHashes(data, width)
	if err != nil {
		return violation("TT-8", t.Path(), err)
	}
	for i, h := range want {
		if hashes[i] != h {
			return violation("TT-9", t.Path(), fmt.Errorf("hash %d is %x, the entries give %x", i, hashes[i], h))
		}
	}
	return nil
}

// tile fetches a tile or bundle that a verified checkpoint implies, or, if a
// partial one has gone, the full one (TT-12), and returns its width.
func (c *Client) tile(ctx context.Context, t tile.Tile) (data []byte, width int, err error) {
	get := func(t tile.Tile) ([]byte, error) {
		limit := int64(t.Width) * tile.HashSize
		if t.Level == tile.Entries {
			limit = int64(t.Width) * (2 + tile.MaxEntry)
		}
		data, err := c.bytes(ctx, request{path: t.Path(), limit: limit})
		if err != nil {
			return nil, fmt.Errorf("fetching %s: %w", t.Path(), err)
		}
		return data, nil
	}
	if data, err = get(t); err == nil || t.Full() || !notFound(err) {
		return data, t.Width, err
	}
	full := t
	full.Width = tile.Width
	if data, fullErr := get(full); fullErr == nil {
		return data, full.Width, nil
	}
	return nil, 0, err
}

// notFound reports whether a log answered that it has no such thing (TT-19).
func notFound(err error) bool {
	var fromLog *api.Error
	var other *AnswerError
	return errors.As(err, &fromLog) && fromLog.Code == api.CodeNotFound ||
		errors.As(err, &other) && other.Status == http.StatusNotFound
}
