// Package tlogtest is an in-memory log for the tests of those who read logs:
// its trees, receipts, key events, statuses, checkpoints, cosignatures and
// proofs are real, and all of it is the same in every run.
//
// It can also lie in every way. The exported fields of a Log say who signs what
// at which time; edits change statuses and bundles before or after they are
// signed; Add appends any bytes; Fork returns a log that tells another history.
//
//	log := tlogtest.New(t, "example.com/log", tlogtest.WithWitnesses(3)).Append(100)
//	other := log.Fork(60).Append(80) // differs from entry 60 on
//
// A Log has no lock: a test uses it from one goroutine at a time. The handler
// of Serve has one of its own, see there. Misuse ends the test.
package tlogtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/timeline"
)

// Start is the time of a new log, in Unix seconds.
const Start = 1_790_000_000

// A Log is an in-memory log. Its exported fields may be changed at any time and
// hold for what is made from then on.
type Log struct {
	Time      uint64 // Unix seconds: of receipts, events, statuses, checkpoints
	Kernel    Key    // signs the receipts of Append
	Author    Key    // signs log-authored leaves: Kernel unless the log lies
	Signers   []Key  // sign notes; the first signs statements: Kernel unless the log lies
	Witnesses []*Witness

	t       testing.TB
	origin  string
	salt    string // tells the receipts of forks from each other
	forks   int
	made    int // receipts that Append made
	tree    tree
	entries [][]byte
	own     own
	chain   checkpoint.Chain
	history []*Published
}

// own is what the log's own leaves say, as its readers replay it.
type own struct {
	timeline *timeline.Timeline
	events   []uint64  // indexes
	head     chio.Hash // envelope hash of the last of them
	writers  timeline.Writers
	status   *timeline.Status // the last one
	statusAt uint64           // its index
	changed  bool             // an event or writer change came after it
}

// An Option changes a Log that New makes.
type Option func(*config)

type config struct {
	witnesses int
	kernel    Key
	author    *Key
	genesis   []func(*timeline.Genesis)
	metadata  []func(*timeline.Metadata)
}

// WithWitnesses gives the log witnesses w1 to wN.
func WithWitnesses(n int) Option { return func(c *config) { c.witnesses = n } }

// WithKernel sets the key that genesis introduces, by default the key of
// "kernel/" and the origin.
func WithKernel(k Key) Option { return func(c *config) { c.kernel = k } }

// WithAuthor has another key than the kernel's sign the log's own leaves,
// genesis included.
func WithAuthor(k Key) Option { return func(c *config) { c.author = &k } }

// WithGenesis changes what genesis says before it is authorised.
func WithGenesis(edit func(*timeline.Genesis)) Option {
	return func(c *config) { c.genesis = append(c.genesis, edit) }
}

// WithGenesisMetadata changes the genesis receipt after it was authorised and
// before it is signed.
func WithGenesisMetadata(edit func(*timeline.Metadata)) Option {
	return func(c *config) { c.metadata = append(c.metadata, edit) }
}

// New returns a log with its genesis as the only leaf and nothing published.
// Its recovery policy is none, its bootstrap key that of "bootstrap/" and the
// origin.
func New(t testing.TB, origin string, opts ...Option) *Log {
	t.Helper()
	c := config{kernel: NewKey("kernel/" + origin)}
	for _, opt := range opts {
		opt(&c)
	}
	l := &Log{
		Time: Start, Kernel: c.kernel, Author: c.kernel, Signers: []Key{c.kernel},
		t: t, origin: origin, own: own{timeline: timeline.New(origin)},
	}
	if c.author != nil {
		l.Author = *c.author
	}
	for i := range c.witnesses {
		l.Witnesses = append(l.Witnesses, NewWitness(fmt.Sprintf("w%d", i+1)))
	}
	bootstrap := NewKey("bootstrap/" + origin)
	g := timeline.Genesis{Origin: origin, Key: l.Kernel.Key, Bootstrap: bootstrap.Key, Recovery: timeline.NoRecovery(), IssuedAt: l.Time}
	for _, edit := range c.genesis {
		edit(&g)
	}
	m := must(g.Metadata(bootstrap.SignText))(t)
	for _, edit := range c.metadata {
		edit(&m)
	}
	l.addOwn(m)
	return l
}

// must ends the test if something failed that only misuse makes fail.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		if err != nil {
			t.Helper()
			t.Fatalf("tlogtest: %v", err)
		}
		return v
	}
}

// Origin returns the origin.
func (l *Log) Origin() string { return l.origin }

// Size returns the number of entries, published or not.
func (l *Log) Size() uint64 { return l.tree.size() }

// Entry returns the entry at index.
func (l *Log) Entry(index uint64) []byte { return l.entries[index] }

// Root returns the root of the tree of the given size.
func (l *Log) Root(size uint64) [32]byte { return l.tree.root(0, size) }

// Inclusion returns the path of the leaf at index in the tree of size.
func (l *Log) Inclusion(index, size uint64) [][32]byte { return l.tree.inclusion(index, 0, size) }

// Consistency returns the proof from size m to size n, 1 ≤ m ≤ n.
func (l *Log) Consistency(m, n uint64) [][32]byte { return l.tree.consistency(m, 0, n, true) }

// Timeline returns the key timeline as readers of all leaves replay it.
func (l *Log) Timeline() *timeline.Timeline { return l.own.timeline }

// Writers returns the set of writers.
func (l *Log) Writers() *timeline.Writers { return &l.own.writers }

// Add appends entries, whatever they are, publishes nothing and returns the
// index of the last one.
func (l *Log) Add(entries ...[]byte) (index uint64) {
	for _, entry := range entries {
		l.entries = append(l.entries, slices.Clone(entry))
		l.tree.append(checkpoint.LeafHash(entry))
		l.replay(l.Size()-1, entry)
	}
	return l.Size() - 1
}

// replay takes the log's own leaves into account. What a reader would refuse
// changes nothing.
func (l *Log) replay(index uint64, entry []byte) {
	e, err := timeline.ParseLogEntry(entry)
	if err != nil {
		return
	}
	switch {
	case e.KeyEvent != nil:
		// A genesis that readers refuse still is what the log has as one.
		if l.own.timeline.Apply(index, e) == nil || index == 0 {
			l.own.events = append(slices.Clip(l.own.events), index)
			l.own.head = timeline.EnvelopeHash(e.KeyEvent)
			l.own.changed = true
		}
	case e.Event == timeline.EventWriterSet && l.own.writers.Apply(l.own.timeline, index, e) == nil:
		l.own.changed = true
	case e.Event == timeline.EventStatus:
		if s, err := timeline.ParseStatus(e, l.origin); err == nil {
			l.own.status, l.own.statusAt, l.own.changed = s, index, false
		}
	}
}

// Append appends n receipts by the kernel and publishes a checkpoint over them.
func (l *Log) Append(n int) *Log {
	l.t.Helper()
	for range n {
		l.made++
		l.Add(Receipt(l.Kernel, fmt.Sprintf("receipt%s/%d", l.salt, l.made), l.Time))
	}
	l.Publish()
	return l
}

// addOwn appends the log-authored leaf that says m, signed by Author.
func (l *Log) addOwn(m timeline.Metadata) (index uint64) {
	l.t.Helper()
	draft := must(timeline.NewDraft(m, l.Author.Key))(l.t)
	signature, _ := l.Author.SignText(draft.SignedBytes())
	return l.Add(must(draft.Entry(signature))(l.t))
}

// Status appends a status of the log's state and returns its index. Edits
// change it before it is signed.
func (l *Log) Status(edits ...func(*timeline.Status)) (index uint64) {
	l.t.Helper()
	s := timeline.Status{
		IssuedAt:  l.Time,
		KeyEvents: timeline.KeyEventsStatus{Count: uint64(len(l.own.events)), Head: chio.OptionalHash{Hash: l.own.head, Valid: true}},
		Origin:    l.origin,
		Schema:    timeline.StatusSchema,
		Sequence:  1,
		Writers:   l.own.writers.Map.Status(),
	}
	if l.own.status != nil {
		s.Sequence = l.own.status.Sequence + 1
	}
	if p := l.Published(); p != nil {
		s.Statement.CheckpointSeq = p.Statement.Body.CheckpointSeq
		s.Statement.SHA256.Hash = must(p.Statement.Body.SHA256())(l.t)
		s.Statement.SHA256.Valid = true
	}
	for _, edit := range edits {
		edit(&s)
	}
	return l.addOwn(must(s.Metadata())(l.t))
}

// SetWriters appends the writer.set-changed that adds and removes writers, and
// returns its index.
func (l *Log) SetWriters(added []Key, removed ...timeline.RemovedWriter) (index uint64) {
	l.t.Helper()
	var texts []string
	for _, k := range added {
		texts = append(texts, k.Text())
	}
	set, _, err := l.own.writers.Change(l.own.timeline, l.Size()+1, l.Time, texts, removed)
	if err != nil {
		l.t.Fatalf("tlogtest: %v", err)
	}
	return l.addOwn(must(set.Metadata())(l.t))
}

// Fork returns a log with the same keys and the same first size entries, whose
// later receipts are others. What is published of at most that size is the same
// too. The log itself goes on as if there were no other; it can be forked
// several times, each time into another history.
func (l *Log) Fork(size uint64) *Log {
	l.forks++
	f := *l
	f.salt = fmt.Sprintf("%s/fork-%d", l.salt, l.forks)
	f.forks = 0
	f.Signers, f.Witnesses = slices.Clone(l.Signers), slices.Clone(l.Witnesses)
	f.tree, f.entries = l.tree.clone(size), slices.Clone(l.entries[:size])
	f.own = own{timeline: timeline.New(l.origin)}
	for i, entry := range f.entries {
		f.replay(uint64(i), entry)
	}
	f.history, f.chain = nil, checkpoint.Chain{}
	for _, p := range l.history {
		if p.Size > size {
			continue
		}
		f.history = append(f.history, p)
		if p.Statement.Body.CheckpointSeq > f.chain.Size() {
			must(0, f.chain.Append(p.Statement))(l.t)
		}
	}
	return &f
}
