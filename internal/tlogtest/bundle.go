package tlogtest

import (
	"fmt"
	"strings"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/timeline"
)

// Parts are what a bundle or status file is made of.
type Parts struct {
	Index uint64
	Path  [][32]byte
	Note  checkpoint.Note
	Extra *bundle.Extra // nil for a plain tlog-proof
}

// Bytes returns the file. What is in Extra stays in it, whatever its size.
func (p *Parts) Bytes() []byte {
	proof := bundle.Proof{Index: p.Index, Path: p.Path, Checkpoint: p.Note.Bytes()}
	if p.Extra != nil {
		extra, err := p.Extra.Canonical()
		if err != nil {
			panic("tlogtest: " + err.Error()) // a receipt or leaf that is not JSON
		}
		proof.Extra = extra
	}
	return proof.Bytes()
}

// Leaf returns the leaf at index with its path in the tree of size.
func (l *Log) Leaf(index, size uint64) bundle.Leaf {
	return bundle.Leaf{Index: index, Leaf: l.entries[index], Path: append(bundle.Hashes{}, l.Inclusion(index, size)...)}
}

// Bundle returns the bundle of the entry at index under the last published
// checkpoint. Edits change its parts after everything was signed.
func (l *Log) Bundle(index uint64, edits ...func(*Parts)) []byte {
	l.t.Helper()
	if l.Published() == nil {
		l.t.Fatal("tlogtest: nothing is published")
	}
	return l.BundleUnder(l.Published(), index, edits...)
}

// BundleUnder is Bundle under one of the log's published checkpoints.
func (l *Log) BundleUnder(p *Published, index uint64, edits ...func(*Parts)) []byte {
	l.t.Helper()
	if index >= p.Size {
		l.t.Fatalf("tlogtest: entry %d is not under size %d", index, p.Size)
	}
	extra := l.context(p)
	extra.Receipt = l.entries[index]
	if r, err := receipt.ParseCanonical(l.entries[index]); err == nil {
		if _, ok := p.own.timeline.Key(r.Key); !ok {
			extra.Writer = []timeline.MapProof{p.own.writers.Map.Prove(r.Key.ID())}
		}
	}
	fit := must(extra.Fit())(l.t)
	extra = must(bundle.ParseExtra(fit))(l.t)
	return l.finish(p, index, extra, edits)
}

// context returns an extra with status and events, each under p.
func (l *Log) context(p *Published) *bundle.Extra {
	status := l.Leaf(p.own.statusAt, p.Size)
	extra := &bundle.Extra{Schema: bundle.Schema, Status: &status}
	for _, index := range p.own.events {
		extra.Events = append(extra.Events, l.Leaf(index, p.Size))
	}
	return extra
}

func (l *Log) finish(p *Published, index uint64, extra *bundle.Extra, edits []func(*Parts)) []byte {
	parts := &Parts{Index: index, Path: l.Inclusion(index, p.Size), Note: p.Note, Extra: extra}
	for _, edit := range edits {
		edit(parts)
	}
	return parts.Bytes()
}

// A Question is what a status file is asked for beside status and events.
type Question struct {
	From        []uint64    // consistency from these sizes
	Writers     []chio.Hash // key IDs
	Revocations []chio.Hash // keys of the revocation map, which is empty
}

// StatusFile returns the status file of the last published checkpoint. Edits
// change its parts after everything was signed.
func (l *Log) StatusFile(q Question, edits ...func(*Parts)) []byte {
	l.t.Helper()
	p := l.Published()
	if p == nil {
		l.t.Fatal("tlogtest: nothing is published")
	}
	extra := l.context(p)
	for _, m := range q.From {
		if 0 < m && m < p.Size {
			extra.Consistency = append(extra.Consistency, bundle.Consistency{Size: m, Path: append(bundle.Hashes{}, l.Consistency(m, p.Size)...)})
		}
	}
	for _, key := range q.Writers {
		extra.Writer = append(extra.Writer, p.own.writers.Map.Prove(key))
	}
	var revocations timeline.Map
	for _, key := range q.Revocations {
		extra.Revocation = append(extra.Revocation, revocations.Prove(key))
	}
	return l.finish(p, p.own.statusAt, extra, edits)
}

// PolicyText returns a policy that pins keys of the log, by default the
// kernel's, and all its witnesses, with a quorum of any k of them; 0 is quorum
// none.
func (l *Log) PolicyText(k int, pins ...Key) string {
	if len(pins) == 0 {
		pins = []Key{l.Kernel}
	}
	var b strings.Builder
	for _, pin := range pins {
		fmt.Fprintf(&b, "log %s\n", pin.VKey(l.origin))
	}
	var names []string
	for _, w := range l.Witnesses {
		fmt.Fprintf(&b, "witness %s %s\n", w.Name, w.VKey())
		names = append(names, w.Name)
	}
	if k == 0 {
		b.WriteString("quorum none\n")
		return b.String()
	}
	fmt.Fprintf(&b, "group quorum-of-%d %d %s\nquorum quorum-of-%d\n", k, k, strings.Join(names, " "), k)
	return b.String()
}

// Policy returns PolicyText, parsed.
func (l *Log) Policy(k int, pins ...Key) *policy.Policy {
	l.t.Helper()
	return must(policy.Parse([]byte(l.PolicyText(k, pins...))))(l.t)
}
