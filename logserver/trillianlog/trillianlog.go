// Package trillianlog is the log's view of Trillian: entries go in, indexes,
// roots and proofs come out. It is the only package that knows Trillian and
// gRPC.
//
// Entries go in through the QueueLeaf handler of Trillian's log server, and
// roots are made by its log.IntegrateBatch, both unmodified and in this
// process, over a tilestore. A pass starts as soon as an entry waits and takes
// what has come in since the last one began; when nothing waits, nothing runs.
package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chiolog/chiolog/logserver/tilestore"
	"github.com/go-logr/logr"
	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	trillog "github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/trees"
	"k8s.io/klog/v2"
)

// Options are what a log needs to know. The zero value is usable.
type Options struct {
	// Logger gets what an operator should see. Nil discards it.
	Logger *slog.Logger
	// Now is the clock, time.Now if nil. It may jump: the times of roots are
	// at least 1 ns apart and never go back.
	Now func() time.Time
	// Identity computes the identity of an entry from its value, as the caller
	// of Queue does. Nil means that it is the leaf hash. See tilestore.Options.
	Identity func(value []byte) ([32]byte, error)
	// QueueLeaves and QueueBytes bound what waits in memory; beyond, Queue
	// returns ErrQueueFull. Default 65,536 leaves and 256 MiB.
	QueueLeaves int
	QueueBytes  int
}

// maxBatch is the number of leaves that one pass takes at most.
const maxBatch = 4096

// A Log is a log kept by Trillian. It is safe for concurrent use.
type Log struct {
	store  *tilestore.Store
	tree   *trillian.Tree
	client *client
	clock  *clock
	log    *slog.Logger

	passMu sync.Mutex // one pass, or one Exclusive, at a time

	passes   atomic.Uint64
	passTime atomic.Int64 // as time.Duration, over all passes

	mu      sync.Mutex
	waiters map[[32]byte]*waiter
	err     error // of the pass that failed; no other follows

	head atomic.Pointer[head]
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{} // closed when the sequencer has ended
}

type head struct {
	size uint64
	root [32]byte
}

// Trillian logs and counts into package variables. What it has to say comes
// back as errors, and its figures are of no use beside ours.
var silence = sync.OnceFunc(func() {
	klog.SetLogger(logr.Discard())
	trillog.InitMetrics(noMetrics{})
})

// OpenFile opens the log whose files are in a directory, or makes an empty one,
// and starts its sequencer. The directory is locked until Close; see
// tilestore.Open for its errors.
func OpenFile(ctx context.Context, dir string, opts Options) (*Log, error) {
	silence()
	store, err := tilestore.Open(dir, tilestore.Options{
		Logger:      opts.Logger,
		QueueLeaves: opts.QueueLeaves,
		QueueBytes:  opts.QueueBytes,
		Identity:    opts.Identity,
	})
	if err != nil {
		return nil, err
	}
	l, err := open(ctx, store, opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening log %s: %w", dir, err), store.Close())
	}
	return l, nil
}

func open(ctx context.Context, store *tilestore.Store, opts Options) (*Log, error) {
	l := &Log{
		store:   store,
		tree:    store.Tree(),
		clock:   &clock{now: opts.Now},
		log:     opts.Logger,
		waiters: make(map[[32]byte]*waiter),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	if l.clock.now == nil {
		l.clock.now = time.Now
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.client = &client{
		server: server.NewTrillianLogRPCServer(extension.Registry{
			AdminStorage:  store.Admin(),
			LogStorage:    store,
			QuotaManager:  quota.Noop(),
			MetricFactory: noMetrics{},
		}, l.clock),
		tree:   l.tree,
		queued: l.wakeUp,
	}
	if _, ok := store.Head(); !ok {
		if _, err := l.client.InitLog(ctx, &trillian.InitLogRequest{LogId: l.tree.TreeId}); err != nil {
			return nil, fmt.Errorf("initialising the tree: %w", err)
		}
	}
	if err := l.readHead(); err != nil {
		return nil, err
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go l.sequence(trees.NewContext(ctx, l.tree))
	return l, nil
}

// readHead sets the head to the root that the store has committed.
func (l *Log) readHead() error {
	root, ok := l.store.Head()
	if !ok {
		return storage.ErrTreeNeedsInit
	}
	if now := l.head.Load(); now != nil && root.TreeSize < now.size {
		return fmt.Errorf("root of size %d after one of size %d", root.TreeSize, now.size)
	}
	l.clock.advance(int64(root.TimestampNanos))
	l.head.Store(&head{root.TreeSize, [32]byte(root.RootHash)})
	return nil
}

// Client returns Trillian's own interface to the log, which calls the log
// server's handlers in this process. The byte slices of queued leaves must not
// change any more.
func (l *Log) Client() trillian.TrillianLogClient { return l.client }

// TreeID returns the id by which Client knows the tree.
func (l *Log) TreeID() int64 { return l.tree.TreeId }

// Dir returns the directory of the log's files.
func (l *Log) Dir() string { return l.store.Dir() }

// Head returns the size and root of the last pass. They never go back (TR-7).
func (l *Log) Head() (size uint64, root [32]byte) {
	h := l.head.Load()
	return h.size, h.root
}

// Passes returns how many passes there were since the log was opened, and how
// long they took altogether.
func (l *Log) Passes() (count uint64, took time.Duration) {
	return l.passes.Load(), time.Duration(l.passTime.Load())
}

// Materialise makes the files of a tree of the given size, which the log has
// reached, complete and durable; see tilestore.Store.Materialise.
func (l *Log) Materialise(ctx context.Context, size uint64) error {
	return l.store.Materialise(ctx, size)
}

// PublishCheckpoint replaces the checkpoint among the log's files, durably. The
// files for its size must have been materialised (TT-20).
func (l *Log) PublishCheckpoint(data []byte) error { return l.store.WriteCheckpoint(data) }

// Entry returns the entry at an index, which must not be changed.
func (l *Log) Entry(ctx context.Context, index uint64) (entry []byte, err error) {
	err = l.store.ReadEntries(ctx, index, index+1, func(_ uint64, value []byte) error {
		entry = value
		return nil
	})
	return entry, err
}

// Entries calls f for each entry in [from, to), in order, and returns its first
// error. f must not change the values.
func (l *Log) Entries(ctx context.Context, from, to uint64, f func(index uint64, value []byte) error) error {
	return l.store.ReadEntries(ctx, from, to, f)
}

// LeafHashes returns the leaf hashes of the entries in [from, to).
func (l *Log) LeafHashes(ctx context.Context, from, to uint64) ([][32]byte, error) {
	return l.store.LeafHashes(ctx, from, to)
}

// IndexOfIdentity returns the index of the entry with an identity, if there is one.
func (l *Log) IndexOfIdentity(ctx context.Context, id [32]byte) (uint64, bool, error) {
	return l.store.IndexOfIdentity(ctx, id)
}

// IndexOfLeafHash returns the lowest index with a leaf hash, if there is one.
func (l *Log) IndexOfLeafHash(ctx context.Context, h [32]byte) (uint64, bool, error) {
	return l.store.IndexOfLeafHash(ctx, h)
}

// Err returns why the log takes no more entries, nil while it does. What is in
// it can still be read.
func (l *Log) Err() error {
	l.mu.Lock()
	err := l.err
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.store.Err()
}

// ErrClosed reports a call to a log that was closed.
var ErrClosed = errors.New("log is closed")

// Close ends the sequencer after the pass that runs, and closes the store.
// Entries that still wait are not sequenced: their tickets get ErrClosed.
func (l *Log) Close() error {
	l.stop()
	<-l.done
	l.fail(ErrClosed)
	return l.store.Close()
}
