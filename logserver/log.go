// Package logserver is a log: it appends receipts, publishes checkpoints and
// answers for them over HTTP (DESIGN §2 to §6).
//
// A receipt is checked, queued, and answered for once the pass that holds it
// is durable. At a fixed cadence Publish turns what is in the tree into the
// next checkpoint; publish.go has that pass from top to bottom.
package logserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/signer"
)

// A Tree is the verifiable log that holds the leaves. Sizes and roots only
// grow, also across a restart. It is safe for concurrent use.
type Tree interface {
	// Queue queues an entry and returns what to wait on. Two entries with one
	// identity are one leaf.
	Queue(ctx context.Context, entry []byte, identity [32]byte) (Pending, error)
	// Exclusive sequences all that was queued before, then lets fn append
	// entries one by one, the first at index size, with none between them.
	Exclusive(ctx context.Context, fn func(size uint64, appendOne AppendFunc) error) error

	Head() (size uint64, root [32]byte)
	// Materialise makes all files of a tree of this size readable and durable.
	Materialise(ctx context.Context, size uint64) error
	// PublishCheckpoint replaces the public checkpoint file.
	PublishCheckpoint(note []byte) error

	Entry(ctx context.Context, index uint64) ([]byte, error)
	Entries(ctx context.Context, from, to uint64, fn func(index uint64, entry []byte) error) error
	LeafHashes(ctx context.Context, from, to uint64) ([][32]byte, error)
	IndexOfIdentity(ctx context.Context, identity [32]byte) (uint64, bool, error)
	IndexOfLeafHash(ctx context.Context, leafHash [32]byte) (uint64, bool, error)
	InclusionProof(ctx context.Context, index, size uint64) ([][32]byte, error)
	ConsistencyProof(ctx context.Context, from, to uint64) ([][32]byte, error)

	// Passes returns how many passes there were since the start, and how long
	// they took altogether.
	Passes() (count uint64, took time.Duration)

	// Err returns why the tree takes no more entries, nil while it does.
	Err() error
}

// A Pending is a queued entry. Wait returns once the entry with its identity
// is durable in the tree; stored is the first entry's bytes if the tree had
// one with this identity before, else nil.
type Pending = interface {
	Wait(ctx context.Context) (index uint64, stored []byte, err error)
}

// An AppendFunc appends one entry and returns its index once it is durable.
type AppendFunc = func(ctx context.Context, entry []byte, identity [32]byte) (index uint64, err error)

// State keeps the publication record. Swap must be durable on return and fail
// unless old is the stored value, nil for none.
type State interface {
	Latest() ([]byte, error)
	Swap(old, new []byte) error
}

// Config is what a Log is made of.
type Config struct {
	Origin  string
	Tree    Tree
	Signer  *signer.Signer
	State   State
	History *History // the published checkpoints

	// Genesis returns the metadata of the first event. It is called only when
	// the log is empty.
	Genesis func(issuedAt uint64) (timeline.Metadata, error)
	// Writers are the key texts of the writers that flags, environment and
	// config file name; nil if they name none, and then the recorded set stands.
	Writers []string
	// AssumeCurrent is the operator's word that the store is the newest there
	// is, where the guard cannot tell.
	AssumeCurrent bool

	CheckpointInterval time.Duration    // at least MinInterval; 0 for DefaultInterval
	StatusInterval     time.Duration    // 0 for DefaultStatusInterval
	Now                func() time.Time // nil for time.Now
	Logger             *slog.Logger     // nil discards
}

// Cadences.
const (
	DefaultInterval       = time.Second
	MinInterval           = 50 * time.Millisecond
	DefaultStatusInterval = time.Hour
)

// A Log is one log. It is safe for concurrent use.
type Log struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics

	// ranges is held for reading from the check that a signer may write to the
	// moment that its receipt is queued, and for writing while the log appends
	// a leaf of its own: so nothing is queued across the close of a range.
	ranges sync.RWMutex
	own    own

	// unpublished is when the oldest leaf was queued that no intent covers yet,
	// in Unix nanoseconds; 0 if there is none.
	unpublished atomic.Int64

	pass   sync.Mutex // serialises publication and the log's own leaves
	record record
	stored []byte // the record as it lies in State

	view   atomic.Pointer[view]
	first  chan struct{} // closed when the first view is there
	halted atomic.Pointer[haltError]
	stop   chan struct{} // closed when halted is set
	// failing is since when passes fail, in Unix nanoseconds; 0 while they do not.
	failing atomic.Int64
	// statusAt is when this process appended its last status, or started: a
	// clock that jumps must not put the next one off.
	statusAt time.Time
}

// A haltError says why a log signs nothing more. It goes on to append.
type haltError struct{ err error }

var (
	// ErrRolledBack reports a store that is older than what the signer signed
	// over it.
	ErrRolledBack = errors.New("the store is older than what was signed over it")
	// ErrUnknownKey reports a signing key that the log's timeline does not name
	// as active.
	ErrUnknownKey = errors.New("the signing key is not the log's active key")

	errPublishing = errors.New("publishing has been failing for a while")
)

// Open starts a log: the first start of an empty one makes its genesis. A Log
// whose signing key is not the active one opens, appends and signs nothing; see
// Ready.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if err := timeline.CheckOrigin(cfg.Origin); err != nil {
		return nil, err
	}
	if cfg.CheckpointInterval == 0 {
		cfg.CheckpointInterval = DefaultInterval
	}
	if cfg.CheckpointInterval < MinInterval {
		return nil, fmt.Errorf("checkpoint interval %v is below the minimum of %v", cfg.CheckpointInterval, MinInterval)
	}
	if cfg.StatusInterval == 0 {
		cfg.StatusInterval = DefaultStatusInterval
	}
	if cfg.StatusInterval < time.Second {
		return nil, fmt.Errorf("status interval %v is below the minimum of 1s", cfg.StatusInterval)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{cfg: cfg, log: cfg.Logger.With("origin", cfg.Origin), first: make(chan struct{}), stop: make(chan struct{}), statusAt: time.Now()}
	l.metrics = newMetrics(l)
	if err := l.loadRecord(); err != nil {
		return nil, err
	}
	if err := l.start(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// start brings guard, store and own state together.
func (l *Log) start(ctx context.Context) error {
	l.pass.Lock()
	defer l.pass.Unlock()
	if err := l.checkGenesis(ctx); err != nil {
		return err
	}
	guard, err := l.checkGuard()
	if err != nil {
		return err
	}
	if p := l.record.Published; p != nil {
		// The public file follows from the record, whatever became of it.
		if err := l.cfg.Tree.PublishCheckpoint([]byte(p.Note)); err != nil {
			return fmt.Errorf("putting the published checkpoint in its place: %w", err)
		}
	}
	if guard == guardNew {
		if err := l.cfg.Signer.Begin(ctx); err != nil {
			return err
		}
	}
	if err := l.loadOwn(ctx); err != nil {
		return err
	}
	if l.own.timeline.Count() == 0 {
		if err := l.appendGenesis(ctx); err != nil {
			return err
		}
	}
	if active := l.ActiveKey(); !active.Equal(l.cfg.Signer.PublicKey()) {
		err := fmt.Errorf("%w: the key given is %s, the timeline names %s; start with that key",
			ErrUnknownKey, l.cfg.Signer.PublicKey().Text(), active.Text())
		l.halt(err)
		return nil
	}
	if guard == guardAssumed {
		if err := l.restoreGuard(ctx); err != nil {
			return fmt.Errorf("making a new guard: %w", err)
		}
	}
	// What was begun is completed before the log says anything new of itself.
	if l.record.Intent != nil {
		if err := l.publish(ctx); err != nil {
			return fmt.Errorf("completing checkpoint %d: %w", l.record.Intent.Body.CheckpointSeq, err)
		}
	}
	if l.record.Assumed {
		if err := l.appendRollback(ctx); err != nil {
			return err
		}
	}
	return l.setWriters(ctx)
}

// halt stops signing until the process is started again.
func (l *Log) halt(err error) {
	if l.halted.CompareAndSwap(nil, &haltError{err}) {
		close(l.stop)
	}
	l.log.Error("the log signs nothing more", "err", err)
}

// Ready returns nil if the log appends and publishes, else why not.
func (l *Log) Ready() error {
	if h := l.halted.Load(); h != nil {
		return h.err
	}
	if err := l.cfg.Tree.Err(); err != nil {
		return err
	}
	if l.view.Load() == nil {
		return ErrNotPublished
	}
	if since := l.failing.Load(); since != 0 && time.Since(time.Unix(0, since)) > max(10*l.cfg.CheckpointInterval, 5*time.Second) {
		return errPublishing
	}
	return nil
}

// ActiveKey returns the key that signs the log's next checkpoint by its own
// timeline, whatever key the process holds.
func (l *Log) ActiveKey() chio.Key {
	l.ranges.RLock()
	defer l.ranges.RUnlock()
	key, _ := l.own.timeline.Active(timeline.MaxNumber)
	return key
}

// Origin returns the origin of the log.
func (l *Log) Origin() string { return l.cfg.Origin }

// now returns the time in Unix seconds.
func (l *Log) now() uint64 { return uint64(max(l.cfg.Now().Unix(), 1)) }

// Run publishes at the log's cadence until ctx ends. A failed pass is logged
// and tried again.
func (l *Log) Run(ctx context.Context) error {
	ticker := time.NewTicker(l.cfg.CheckpointInterval)
	defer ticker.Stop()
	for {
		if err := l.Publish(ctx); err == nil {
			l.failing.Store(0)
		} else if ctx.Err() == nil && l.halted.Load() == nil {
			l.failing.CompareAndSwap(0, time.Now().UnixNano())
			l.log.Warn("publishing failed, will try again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// An Appended is where a receipt lies in the log.
type Appended struct {
	Receipt   *receipt.Receipt // as stored: for a duplicate the first one's bytes
	Index     uint64
	Duplicate bool
}

// Errors of Append beside *receipt.Error.
var (
	// ErrLegacy reports a generation A receipt, which is evidence but no entry.
	ErrLegacy = errors.New("a legacy receipt cannot be appended")
	// ErrReserved reports metadata that only the log itself may write (K-8).
	ErrReserved = errors.New("metadata is reserved for the log's own receipts")
	// ErrConflict reports an id that another receipt has.
	ErrConflict = errors.New("another receipt with this id is in the log")
)

// A NotWriterError reports a signer that may not write now.
type NotWriterError struct {
	Key string
	// Range is the positions at which the key may write, if it ever could.
	Range *timeline.Span
}

func (e *NotWriterError) Error() string {
	if e.Range == nil {
		return fmt.Sprintf("key %s is neither the log's key nor a registered writer", e.Key)
	}
	return fmt.Sprintf("key %s may write at positions from %d, before %d", e.Key, e.Range.From, e.Range.To)
}

// Check reads a submitted receipt and applies every rule that does not depend
// on the state of the log. With an error it returns the receipt if it could be
// read, for its id alone.
func Check(src []byte) (*receipt.Receipt, error) {
	r, err := receipt.Parse(src)
	if err != nil {
		return nil, err
	}
	if r.Form == receipt.Legacy {
		return r, ErrLegacy
	}
	if name, ok := timeline.Reserved(r); ok {
		return r, fmt.Errorf("metadata %s: %w", name, ErrReserved)
	}
	return r, r.Verify()
}

// A Ticket is a receipt on its way into the log.
type Ticket struct {
	log     *Log
	receipt *receipt.Receipt
	pending Pending
	done    *Appended // set if there is nothing to wait for
	queued  time.Time
}

// Queue queues a receipt that Check returned, if its signer may write.
func (l *Log) Queue(ctx context.Context, r *receipt.Receipt) (*Ticket, error) {
	t := &Ticket{log: l, receipt: r, queued: time.Now()}
	l.ranges.RLock()
	denied := l.own.mayWrite(r.Key)
	var err error
	if denied == nil {
		t.pending, err = l.cfg.Tree.Queue(ctx, r.Canonical(), r.Identity())
	}
	l.ranges.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("queueing receipt %s: %w", r.ID, err)
	}
	if denied == nil {
		return t, nil
	}
	// What is in the log stays answered for after its signer's range closed.
	index, ok, err := l.cfg.Tree.IndexOfIdentity(ctx, r.Identity())
	if err != nil {
		return nil, fmt.Errorf("looking up receipt %s: %w", r.ID, err)
	}
	if !ok {
		return nil, denied
	}
	stored, err := l.cfg.Tree.Entry(ctx, index)
	if err != nil {
		return nil, fmt.Errorf("reading receipt %s: %w", r.ID, err)
	}
	t.done, err = duplicate(r, index, stored)
	return t, err
}

// Wait returns where the receipt lies once that is durable.
func (t *Ticket) Wait(ctx context.Context) (*Appended, error) {
	if t.done != nil {
		return t.done, nil
	}
	index, stored, err := t.pending.Wait(ctx)
	if err != nil {
		return nil, fmt.Errorf("sequencing receipt %s: %w", t.receipt.ID, err)
	}
	if stored != nil {
		return duplicate(t.receipt, index, stored)
	}
	t.log.unpublished.CompareAndSwap(0, t.queued.UnixNano())
	t.log.metrics.appended.Inc()
	t.log.metrics.sequenceSeconds.Observe(time.Since(t.queued).Seconds())
	return &Appended{Receipt: t.receipt, Index: index}, nil
}

// duplicate answers a receipt whose identity the log has: the same signed
// bytes are the same receipt, whatever the signature.
func duplicate(r *receipt.Receipt, index uint64, stored []byte) (*Appended, error) {
	first, err := receipt.ParseCanonical(stored)
	if err != nil {
		return nil, fmt.Errorf("reading the stored receipt at index %d: %w", index, err)
	}
	if string(first.SignedBytes()) != string(r.SignedBytes()) {
		return nil, fmt.Errorf("receipt %s at index %d: %w", r.ID, index, ErrConflict)
	}
	return &Appended{Receipt: first, Index: index, Duplicate: true}, nil
}

// Append checks a receipt, appends it and waits until it is durable.
func (l *Log) Append(ctx context.Context, src []byte) (*Appended, error) {
	r, err := Check(src)
	if err != nil {
		return nil, err
	}
	t, err := l.Queue(ctx, r)
	if err != nil {
		return nil, err
	}
	return t.Wait(ctx)
}
