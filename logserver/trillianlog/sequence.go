package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chiolog/chiolog/logserver/tilestore"
	"github.com/google/trillian"
	trillog "github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/storage"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An Entry is what goes into the log: its bytes, 1 to 65,535 of them, and the
// identity by which it is a duplicate of another. The log keeps Value, which
// must not change any more.
type Entry struct {
	Value    []byte
	Identity [32]byte
}

// Sequenced is the place of an entry in the log.
type Sequenced struct {
	Index     uint64
	LeafHash  [32]byte
	Duplicate bool   // an entry with this identity came first: this is its place
	Value     []byte // what the log has at Index, if Duplicate
}

var (
	// ErrQueueFull reports that too much waits to be sequenced: try again later.
	ErrQueueFull = errors.New("too many entries wait to be sequenced")
	// ErrDuplicate reports an identity that the log has, or that waits to be
	// sequenced, where a new one was needed.
	ErrDuplicate = errors.New("an entry with this identity is in the log or waits to be sequenced")
)

// A waiter is one identity on its way into the log.
type waiter struct {
	users int           // tickets and calls of Queue, guarded by Log.mu
	done  chan struct{} // closed when what follows is set
	seq   Sequenced
	err   error
}

// A Ticket is the wait for an entry to be sequenced.
type Ticket struct {
	w         *waiter
	duplicate bool
}

// Wait returns the place of the entry as soon as the pass that holds its
// identity is durable. If ctx ends before, the entry stays queued. Any other
// error means that the log has failed, and that nobody knows whether it has
// the entry.
func (t *Ticket) Wait(ctx context.Context) (Sequenced, error) {
	select {
	case <-t.w.done:
	default:
		select {
		case <-t.w.done:
		case <-ctx.Done():
			return Sequenced{}, ctx.Err()
		}
	}
	seq := t.w.seq
	if seq.Duplicate = t.duplicate; !seq.Duplicate {
		seq.Value = nil
	}
	return seq, t.w.err
}

// Queue queues an entry for the next pass and returns at once. The entry is in
// the log, durably, when the ticket's Wait says so. An entry whose identity is
// queued already gets a ticket for that one. ErrQueueFull asks to come later.
func (l *Log) Queue(ctx context.Context, e Entry) (*Ticket, error) {
	// The waiter is there before the leaf is, so that no pass can miss it.
	w, err := l.join(e.Identity)
	if err != nil {
		return nil, err
	}
	first, err := l.queueLeaf(ctx, e)
	switch {
	case err != nil:
		l.leave(e.Identity, w)
		return nil, err
	case first == nil || first.LeafIndex < 0:
		return &Ticket{w, first != nil}, nil
	}
	l.leave(e.Identity, w)
	return &Ticket{known(first), true}, nil
}

// known is the waiter of a leaf that is in the log.
func known(leaf *trillian.LogLeaf) *waiter {
	w := &waiter{done: make(chan struct{}), seq: place(leaf)}
	close(w.done)
	return w
}

func place(leaf *trillian.LogLeaf) Sequenced {
	return Sequenced{Index: uint64(leaf.LeafIndex), LeafHash: [32]byte(leaf.MerkleLeafHash), Value: leaf.LeafValue}
}

// queueLeaf hands a leaf to Trillian. If its identity is known it returns the
// first leaf with it, whose index is negative while that one is queued.
func (l *Log) queueLeaf(ctx context.Context, e Entry) (first *trillian.LogLeaf, err error) {
	resp, err := l.client.QueueLeaf(ctx, &trillian.QueueLeafRequest{
		LogId: l.tree.TreeId,
		Leaf:  &trillian.LogLeaf{LeafValue: e.Value, LeafIdentityHash: e.Identity[:]},
	})
	switch {
	case status.Code(err) == codes.ResourceExhausted:
		return nil, fmt.Errorf("%w: %w", ErrQueueFull, err)
	case err != nil:
		return nil, fmt.Errorf("queueing entry: %w", err)
	}
	switch s := resp.QueuedLeaf; codes.Code(s.Status.GetCode()) {
	case codes.OK:
		return nil, nil
	case codes.AlreadyExists:
		return s.Leaf, nil
	default:
		return nil, fmt.Errorf("queueing entry: %w", status.ErrorProto(s.Status))
	}
}

// join returns the waiter of an identity, with one more user.
func (l *Log) join(id [32]byte) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	w := l.waiters[id]
	if w == nil {
		w = &waiter{done: make(chan struct{})}
		l.waiters[id] = w
	}
	w.users++
	return w, nil
}

// leave takes back a join. A waiter without a user waits for nothing.
func (l *Log) leave(id [32]byte, w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.users--; w.users == 0 && l.waiters[id] == w {
		delete(l.waiters, id)
	}
}

// wakeUp makes the sequencer look at the queue.
func (l *Log) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// sequence runs passes while anything waits, until ctx ends or one fails.
func (l *Log) sequence(ctx context.Context) {
	defer close(l.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		for n := 1; n > 0 && l.store.Queued() > 0 && ctx.Err() == nil; {
			var err error
			l.passMu.Lock()
			n, err = l.pass(context.WithoutCancel(ctx), maxBatch)
			l.passMu.Unlock()
			if err != nil {
				return
			}
		}
	}
}

// pass integrates up to limit leaves of those that wait, tells their waiters,
// and returns how many there were. An error fails the log. The caller holds passMu.
func (l *Log) pass(ctx context.Context, limit int) (int, error) {
	started := time.Now()
	rec := &recorder{LogStorage: l.store}
	// No root is ever made for no leaves: the interval after which that would
	// happen is 0, which stands for never.
	n, err := trillog.IntegrateBatch(ctx, l.tree, limit, 0, 0, l.clock, rec, quota.Noop())
	if err == nil {
		err = l.readHead()
	}
	if err != nil {
		err = fmt.Errorf("integrating entries: %w", err)
		l.log.Error("sequencing failed: the log takes no more entries", "dir", l.Dir(), "err", err)
		l.fail(err)
		return 0, err
	}
	l.passes.Add(1)
	l.passTime.Add(int64(time.Since(started)))
	l.resolve(rec.leaves)
	return n, nil
}

// resolve tells the waiters of leaves that are durable in the log.
func (l *Log) resolve(leaves []*trillian.LogLeaf) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, leaf := range leaves {
		id := [32]byte(leaf.LeafIdentityHash)
		if w := l.waiters[id]; w != nil {
			w.seq = place(leaf)
			close(w.done)
			delete(l.waiters, id)
		}
	}
}

// fail fails everybody who waits, and all who come later.
func (l *Log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
	for id, w := range l.waiters {
		w.err = l.err
		close(w.done)
		delete(l.waiters, id)
	}
}

// A recorder is a storage that remembers which leaves a pass sequenced.
type recorder struct {
	storage.LogStorage
	leaves []*trillian.LogLeaf
}

func (r *recorder) ReadWriteTransaction(ctx context.Context, tree *trillian.Tree, f storage.LogTXFunc) error {
	return r.LogStorage.ReadWriteTransaction(ctx, tree, func(ctx context.Context, tx storage.LogTreeTX) error {
		r.leaves = nil // f may be run again
		return f(ctx, recordingTX{tx, r})
	})
}

type recordingTX struct {
	storage.LogTreeTX
	rec *recorder
}

func (tx recordingTX) UpdateSequencedLeaves(ctx context.Context, leaves []*trillian.LogLeaf) error {
	tx.rec.leaves = append(tx.rec.leaves, leaves...)
	return tx.LogTreeTX.UpdateSequencedLeaves(ctx, leaves)
}

// An Exclusive is the log while nobody else can sequence anything.
type Exclusive struct{ log *Log }

// Exclusive sequences what was queued before the call, and then calls fn while
// the sequencer stands still: what others queue meanwhile comes after all that
// fn appends. It returns fn's error. fn must not wait for a Ticket.
func (l *Log) Exclusive(ctx context.Context, fn func(x *Exclusive) error) error {
	l.passMu.Lock()
	defer func() {
		l.passMu.Unlock()
		l.wakeUp() // the sequencer may have found nothing to do meanwhile
	}()
	for left := l.store.Queued(); left > 0; {
		if err := errors.Join(l.Err(), ctx.Err()); err != nil {
			return err
		}
		n, err := l.pass(context.WithoutCancel(ctx), min(left, maxBatch))
		if err != nil {
			return err
		}
		left -= n
	}
	if err := l.Err(); err != nil {
		return err
	}
	return fn(&Exclusive{l})
}

// Size returns the size of the tree, which only Append changes.
func (x *Exclusive) Size() uint64 {
	size, _ := x.log.Head()
	return size
}

// Append sequences one entry alone, at the index that Size returned before, and
// returns that index when the entry is durable. An identity that is not new is
// ErrDuplicate.
func (x *Exclusive) Append(ctx context.Context, e Entry) (uint64, error) {
	l, index := x.log, x.Size()
	if err := l.Err(); err != nil {
		return 0, err
	}
	first, err := l.queueLeaf(tilestore.QueueFirst(ctx), e)
	if err != nil {
		return 0, err
	}
	if first != nil {
		return 0, ErrDuplicate
	}
	if _, err := l.pass(context.WithoutCancel(ctx), 1); err != nil {
		return 0, err
	}
	if size := x.Size(); size != index+1 {
		return 0, fmt.Errorf("appending entry %d: the tree has size %d", index, size)
	}
	return index, nil
}
