package tlogtest

import (
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
)

// A Published is a checkpoint in its two encodings, with the state of the log
// that it covers.
type Published struct {
	checkpoint.Checkpoint
	Note      checkpoint.Note
	Statement checkpoint.Statement

	own own
}

// Published returns the last published checkpoint, nil if there is none.
func (l *Log) Published() *Published {
	if len(l.history) == 0 {
		return nil
	}
	return l.history[len(l.history)-1]
}

// At returns the last published checkpoint of a size, nil if there is none.
func (l *Log) At(size uint64) *Published {
	for i := len(l.history) - 1; i >= 0; i-- {
		if l.history[i].Size == size {
			return l.history[i]
		}
	}
	return nil
}

// History returns all published checkpoints.
func (l *Log) History() []*Published { return l.history }

// Publish publishes a checkpoint over all entries, after a status if the log's
// own state has changed since the last one (S-3). Without new entries it
// publishes nothing and returns the last one. Edits change the checkpoint
// before it is signed and cosigned.
func (l *Log) Publish(edits ...func(*checkpoint.Checkpoint)) *Published {
	l.t.Helper()
	if l.own.status == nil || l.own.changed {
		l.Status()
	}
	last := l.Published()
	if last != nil && last.Size == l.Size() && len(edits) == 0 {
		return last
	}
	return l.publish(edits)
}

func (l *Log) publish(edits []func(*checkpoint.Checkpoint)) *Published {
	l.t.Helper()
	p := &Published{Checkpoint: checkpoint.Checkpoint{Origin: l.origin, Size: l.Size(), Root: l.Root(l.Size())}, own: l.own}
	for _, edit := range edits {
		edit(&p.Checkpoint)
	}
	p.Note = l.Sign(p.Checkpoint)
	if l.chain.Last().BatchEndSeq < l.Size() {
		p.Statement = l.statement(l.Size())
	} else {
		p.Statement = l.Published().Statement
	}
	l.history = append(l.history, p)
	return p
}

// Sign returns the note of a checkpoint, be it true or not, signed by Signers
// and cosigned by the witnesses.
func (l *Log) Sign(c checkpoint.Checkpoint) checkpoint.Note {
	l.t.Helper()
	n := checkpoint.Note{Text: c.String()}
	for _, k := range l.Signers {
		n.Signatures = append(n.Signatures, k.SignNote(c.Origin, n.Text))
	}
	for _, w := range l.Witnesses {
		if w.Absent {
			continue
		}
		timestamp := w.Time
		if timestamp == 0 {
			timestamp = l.Time
		}
		n.Signatures = append(n.Signatures, w.Cosign(n.Text, timestamp))
	}
	return n
}

// statement makes the Chio statement of the batch that ends at size, signed by
// the first of Signers, and takes it into the chain.
func (l *Log) statement(size uint64) checkpoint.Statement {
	l.t.Helper()
	last := l.chain.Last()
	b := checkpoint.Body{
		Schema:        checkpoint.SchemaV2,
		CheckpointSeq: last.CheckpointSeq + 1,
		BatchStartSeq: last.BatchEndSeq + 1,
		BatchEndSeq:   size,
		TreeSize:      size - last.BatchEndSeq,
		MerkleRoot:    l.batchRoot(last.BatchEndSeq, size),
		IssuedAt:      l.Time,
		KernelKey:     l.Signers[0].Text(),
	}
	if last.CheckpointSeq > 0 {
		b.PreviousSHA256 = must(last.SHA256())(l.t).Hex()
	}
	frontier := l.chain.Frontier()
	frontier.Append(b.ChainLeaf())
	root := chio.Hash(frontier.Root())
	b.ChainRoot = &root
	signature, _ := l.Signers[0].SignText(must(b.Canonical())(l.t))
	s := checkpoint.Statement{Body: b, Signature: signature}
	must(0, l.chain.Append(s))(l.t)
	return s
}

// batchRoot is the root of the tree of a batch alone.
func (l *Log) batchRoot(from, to uint64) [32]byte {
	var f checkpoint.Frontier
	for _, h := range l.tree.hashes[0][from:to] {
		f.Append(h)
	}
	return f.Root()
}
