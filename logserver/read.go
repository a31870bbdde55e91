package logserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/timeline"
)

// A view is what the public sees of the log: the last published checkpoint and
// the state that it covers. It never changes.
type view struct {
	size          uint64
	checkpointSeq uint64
	note          []byte
	statusIndex   uint64
	events        []uint64
	timeline      []chio.Key
	writers       *timeline.Writers
	superseded    chan struct{} // closed when the next view is there

	// context returns the status and the key events with their inclusion
	// paths: the same for every bundle under this checkpoint.
	context func(context.Context) (*logContext, error)
}

type logContext struct {
	status bundle.Leaf
	events []bundle.Leaf
}

// showPublished makes the published checkpoint of the record what readers see.
// The caller holds the pass's lock, and the own state is that at its size.
func (l *Log) showPublished() {
	p := l.record.Published
	v := &view{
		size: p.Size, checkpointSeq: p.Statement.Body.CheckpointSeq, note: []byte(p.Note),
		statusIndex: p.Status, events: p.Events, writers: l.own.writers, superseded: make(chan struct{}),
	}
	for _, k := range l.own.timeline.Keys() {
		v.timeline = append(v.timeline, k.Key)
	}
	v.context = l.contextOf(v)
	if old := l.view.Swap(v); old != nil {
		close(old.superseded)
	} else {
		close(l.first)
	}
}

// contextOf reads the context of a view once, when it is first asked for. A
// failure is not kept.
func (l *Log) contextOf(v *view) func(context.Context) (*logContext, error) {
	var mu sync.Mutex
	var done *logContext
	return func(ctx context.Context) (*logContext, error) {
		mu.Lock()
		defer mu.Unlock()
		if done != nil {
			return done, nil
		}
		c := &logContext{}
		var err error
		if c.status, err = l.leaf(ctx, v.statusIndex, v.size); err != nil {
			return nil, err
		}
		for _, index := range v.events {
			e, err := l.leaf(ctx, index, v.size)
			if err != nil {
				return nil, err
			}
			c.events = append(c.events, e)
		}
		done = c
		return c, nil
	}
}

// leaf returns the leaf at index with its inclusion path under size.
func (l *Log) leaf(ctx context.Context, index, size uint64) (bundle.Leaf, error) {
	entry, err := l.cfg.Tree.Entry(ctx, index)
	if err != nil {
		return bundle.Leaf{}, fmt.Errorf("reading leaf %d: %w", index, err)
	}
	path, err := l.cfg.Tree.InclusionProof(ctx, index, size)
	if err != nil {
		return bundle.Leaf{}, fmt.Errorf("proving leaf %d under size %d: %w", index, size, err)
	}
	return bundle.Leaf{Index: index, Leaf: entry, Path: append(bundle.Hashes{}, path...)}, nil
}

// Errors of the reading calls.
var (
	// ErrNotFound reports a receipt that is not in the log.
	ErrNotFound = errors.New("not in the log")
	// ErrNotPublished reports a leaf that no published checkpoint covers yet.
	ErrNotPublished = errors.New("sequenced, but not under a published checkpoint yet")
)

// A SizeError reports a size beyond the published one.
type SizeError struct{ Asked, Published uint64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("size %d is not published, the log is at %d", e.Asked, e.Published)
}

// published returns the current view.
func (l *Log) published() (*view, error) {
	if v := l.view.Load(); v != nil {
		return v, nil
	}
	return nil, ErrNotPublished
}

// AwaitPublished waits until a published checkpoint covers index and returns
// its size.
func (l *Log) AwaitPublished(ctx context.Context, index uint64) (size uint64, err error) {
	for {
		next := l.first
		if v := l.view.Load(); v != nil {
			if index < v.size {
				return v.size, nil
			}
			next = v.superseded
		}
		select {
		case <-next:
		case <-ctx.Done():
			return 0, fmt.Errorf("waiting for leaf %d: %w", index, ErrNotPublished)
		case <-l.stop:
			return 0, fmt.Errorf("waiting for leaf %d: %w", index, ErrNotPublished)
		}
	}
}

// Find returns the index and entry of the receipt with an id: the hash of a
// semantic receipt, or the free text of a child receipt by any key of the log
// or its writers. Of several with one free text it is the first.
func (l *Log) Find(ctx context.Context, id string) (index uint64, entry []byte, err error) {
	found := false
	for _, identity := range l.identities(id) {
		at, ok, err := l.cfg.Tree.IndexOfIdentity(ctx, identity)
		if err != nil {
			return 0, nil, fmt.Errorf("looking up receipt %.80q: %w", id, err)
		}
		if ok && (!found || at < index) {
			index, found = at, true
		}
	}
	if !found {
		return 0, nil, fmt.Errorf("receipt %.80q: %w", id, ErrNotFound)
	}
	if entry, err = l.cfg.Tree.Entry(ctx, index); err != nil {
		return 0, nil, fmt.Errorf("reading leaf %d: %w", index, err)
	}
	return index, entry, nil
}

// identities lists what the receipt with an id may be filed under.
func (l *Log) identities(id string) [][32]byte {
	var list [][32]byte
	if hash, err := chio.ParseHex(id); err == nil {
		list = append(list, hash)
	}
	child := func(key string) {
		list = append(list, sha256.Sum256([]byte(key+"\x00"+id)))
	}
	l.ranges.RLock()
	defer l.ranges.RUnlock()
	for _, k := range l.own.timeline.Keys() {
		child(k.Key.Text())
	}
	for _, key := range l.own.writers.All() {
		child(key)
	}
	return list
}

// Bundle returns the bundle of the leaf at index under the published
// checkpoint (DESIGN §6).
func (l *Log) Bundle(ctx context.Context, index uint64, entry []byte) ([]byte, error) {
	v, err := l.published()
	if err != nil {
		return nil, err
	}
	if index >= v.size {
		return nil, fmt.Errorf("leaf %d: %w", index, ErrNotPublished)
	}
	c, err := v.context(ctx)
	if err != nil {
		return nil, err
	}
	extra := &bundle.Extra{Schema: bundle.Schema, Receipt: entry, Status: &c.status, Events: c.events}
	r, err := receipt.ParseCanonical(entry)
	if err != nil {
		return nil, fmt.Errorf("reading leaf %d: %w", index, err)
	}
	if !v.isTimelineKey(r.Key) {
		extra.Writer = []timeline.MapProof{v.writers.Map.Prove(r.Key.ID())}
	}
	data, err := extra.Fit()
	if err != nil {
		return nil, fmt.Errorf("bundle of leaf %d: %w", index, err)
	}
	path, err := l.cfg.Tree.InclusionProof(ctx, index, v.size)
	if err != nil {
		return nil, fmt.Errorf("proving leaf %d under size %d: %w", index, v.size, err)
	}
	return (&bundle.Proof{Extra: data, Index: index, Path: path, Checkpoint: v.note}).Bytes(), nil
}

func (v *view) isTimelineKey(k chio.Key) bool {
	for _, t := range v.timeline {
		if t.Equal(k) {
			return true
		}
	}
	return false
}

// StatusFile returns the status file of the published checkpoint with the
// proofs asked for: consistency from sizes, and entries of the writer and
// revocation maps.
func (l *Log) StatusFile(ctx context.Context, from []uint64, writers, revocations []chio.Hash) ([]byte, error) {
	v, err := l.published()
	if err != nil {
		return nil, err
	}
	c, err := v.context(ctx)
	if err != nil {
		return nil, err
	}
	extra := &bundle.Extra{Schema: bundle.Schema, Status: &c.status, Events: c.events}
	for _, m := range from {
		if m > v.size {
			return nil, &SizeError{Asked: m, Published: v.size}
		}
		// Equal sizes compare roots, and nothing is proved from the empty tree.
		if m == 0 || m == v.size || slices.ContainsFunc(extra.Consistency, func(c bundle.Consistency) bool { return c.Size == m }) {
			continue
		}
		path, err := l.cfg.Tree.ConsistencyProof(ctx, m, v.size)
		if err != nil {
			return nil, fmt.Errorf("proving %d to %d: %w", m, v.size, err)
		}
		extra.Consistency = append(extra.Consistency, bundle.Consistency{Size: m, Path: append(bundle.Hashes{}, path...)})
	}
	for _, key := range writers {
		extra.Writer = append(extra.Writer, v.writers.Map.Prove(key))
	}
	var none timeline.Map
	for _, key := range revocations {
		extra.Revocation = append(extra.Revocation, none.Prove(key))
	}
	data, err := extra.Canonical()
	if err != nil {
		return nil, fmt.Errorf("status file: %w", err)
	}
	return (&bundle.Proof{Extra: data, Index: c.status.Index, Path: c.status.Path, Checkpoint: v.note}).Bytes(), nil
}

// IndexOf returns the index and entry of the leaf with a leaf hash.
func (l *Log) IndexOf(ctx context.Context, leafHash [32]byte) (uint64, error) {
	index, ok, err := l.cfg.Tree.IndexOfLeafHash(ctx, leafHash)
	if err != nil {
		return 0, fmt.Errorf("looking up leaf hash %x: %w", leafHash, err)
	}
	if !ok {
		return 0, fmt.Errorf("leaf hash %x: %w", leafHash, ErrNotFound)
	}
	return index, nil
}

// Inclusion proves the leaf at index under size, 0 for the published one.
func (l *Log) Inclusion(ctx context.Context, index, size uint64) (path [][32]byte, under uint64, leafHash [32]byte, err error) {
	v, err := l.published()
	if err != nil {
		return nil, 0, leafHash, err
	}
	if size == 0 {
		size = v.size
	}
	if size > v.size {
		return nil, 0, leafHash, &SizeError{Asked: size, Published: v.size}
	}
	if index >= size {
		if sequenced, _ := l.cfg.Tree.Head(); index < v.size || index >= sequenced {
			return nil, 0, leafHash, fmt.Errorf("leaf %d under size %d: %w", index, size, ErrNotFound)
		}
		return nil, 0, leafHash, fmt.Errorf("leaf %d: %w", index, ErrNotPublished)
	}
	if path, err = l.cfg.Tree.InclusionProof(ctx, index, size); err != nil {
		return nil, 0, leafHash, fmt.Errorf("proving leaf %d under size %d: %w", index, size, err)
	}
	hashes, err := l.cfg.Tree.LeafHashes(ctx, index, index+1)
	if err != nil {
		return nil, 0, leafHash, fmt.Errorf("reading leaf hash %d: %w", index, err)
	}
	return path, size, hashes[0], nil
}

// Consistency proves that the tree of size from is the beginning of that of
// size to, both at most the published size.
func (l *Log) Consistency(ctx context.Context, from, to uint64) ([][32]byte, error) {
	v, err := l.published()
	if err != nil {
		return nil, err
	}
	if to > v.size {
		return nil, &SizeError{Asked: to, Published: v.size}
	}
	if from == to {
		return nil, nil
	}
	path, err := l.cfg.Tree.ConsistencyProof(ctx, from, to)
	if err != nil {
		return nil, fmt.Errorf("proving %d to %d: %w", from, to, err)
	}
	return path, nil
}

// checkpointNote returns the published note.
func (l *Log) checkpointNote() ([]byte, error) {
	v, err := l.published()
	if err != nil {
		return nil, err
	}
	return bytes.Clone(v.note), nil
}
