package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/tile"
	"github.com/chiolog/chiolog/formats/timeline"
)

// replay takes the log's own leaf at index, the next of them.
func (a *audit) replay(index uint64, e *timeline.LogEntry) error {
	if e.KeyEvent != nil {
		if err := a.timeline.Apply(index, e); err != nil {
			return violation(ruleOf(err, "K-2"), entryName(index), err)
		}
		a.unsaid = &index
		return nil
	}
	active, ok := a.timeline.Active(index + 1)
	if !ok || !active.Equal(e.Key) {
		return violation("S-2", entryName(index), fmt.Errorf("%s signed by %s, not by the key active there", e.Event, e.Key.Text()))
	}
	switch e.Event {
	case timeline.EventWriterSet:
		if err := a.writers.Apply(a.timeline, index, e); err != nil {
			return violation("S-5", entryName(index), err)
		}
		a.unsaid = &index
	case timeline.EventStatus:
		return a.replayStatus(index, e)
	default:
		if err := timeline.CheckPayload(e, a.head.Origin); err != nil {
			return violation("K-8", entryName(index), err)
		}
	}
	return nil
}

// ruleOf returns the number of the rule that a key event breaks.
func ruleOf(err error, otherwise string) string {
	var event *timeline.EventError
	if errors.As(err, &event) {
		return event.Rule
	}
	return otherwise
}

// replayStatus compares a status with the state after the leaves before it.
func (a *audit) replayStatus(index uint64, e *timeline.LogEntry) error {
	s, err := timeline.ParseStatus(e, a.head.Origin)
	if err == nil {
		err = a.checkStatus(s)
	}
	if err != nil {
		return violation("S-1", entryName(index), err)
	}
	if a.status == nil && s.Sequence != 1 {
		err = fmt.Errorf("the first status has sequence %d", s.Sequence)
	} else if a.status != nil {
		err = a.status.CheckSuccessor(s)
	}
	if err != nil {
		return violation("S-2", entryName(index), err)
	}
	a.status, a.unsaid = s, nil
	a.report.LastStatus = s.IssuedAt
	return nil
}

func (a *audit) checkStatus(s *timeline.Status) error {
	events := timeline.KeyEventsStatus{Count: a.timeline.Count(), Head: a.timeline.Head()}
	writers := a.writers.Map.Status()
	switch {
	case s.KeyEvents != events:
		return fmt.Errorf("key_events count %d and head %s, the leaves give %d and %s", s.KeyEvents.Count, s.KeyEvents.Head.Hash, events.Count, events.Head.Hash)
	case s.Writers != writers:
		return fmt.Errorf("writers size %d and root %s, the leaves give %d and %s", s.Writers.Size, s.Writers.Root, writers.Size, writers.Root)
	case s.Revocations != timeline.RevocationsStatus{}:
		return fmt.Errorf("revocations sequence %d, there is no delta in the log", s.Revocations.Sequence)
	}
	seq := s.Statement.CheckpointSeq
	if reached := uint64(len(a.statements.hashes)); seq > reached {
		return fmt.Errorf("statement %d, the last one published before it is %d", seq, reached)
	}
	if seq > 0 && s.Statement.SHA256.Hash != a.statements.hashes[seq-1] {
		return fmt.Errorf("statement %d hashes to %s, the published one to %s", seq, s.Statement.SHA256.Hash, a.statements.hashes[seq-1])
	}
	return nil
}

// checkSigner judges the signer of ordinary receipts in the last bundle, as
// V-7 does.
func (a *audit) checkSigner(s signer) error {
	check := func(span timeline.Span) error {
		for _, position := range []uint64{s.first, s.last} {
			if !span.Contains(position) {
				return violation("V-7", entryName(position-1), fmt.Errorf("signer %s may sign at positions [%d, %d), not at %d", s.key.Text(), span.From, span.To, position))
			}
		}
		return nil
	}
	if state, ok := a.timeline.Key(s.key); ok {
		return check(state.Write)
	}
	refuse := func(what string) error {
		return violation("V-7", entryName(s.first-1), fmt.Errorf("signer %s %s", s.key.Text(), what))
	}
	if role, ok := a.timeline.Role(s.key); ok {
		return refuse("is a " + string(role) + " and never a writer")
	}
	for _, l := range a.policy.Logs {
		if pinned, ok := l.Key.ChioKey(); ok && pinned.Equal(s.key) {
			return refuse("is pinned as the key of log " + l.Origin() + " and never a writer")
		}
	}
	w, ok := a.writers.Get(s.key)
	if !ok {
		return refuse("is no writer of this log")
	}
	return check(w.Range())
}

// A published is a statement with its note, in the chain.
type published struct {
	body checkpoint.Body
	note checkpoint.Note
	head checkpoint.Checkpoint
}

// statements reads the published statements of a log one after the other. It
// keeps of each the hash of its body, and one page of them at a time.
type statements struct {
	client *Client
	page   []api.Checkpoint
	after  uint64
	more   bool // there is another page
	chain  checkpoint.Chain
	hashes []chio.Hash // of those reached
}

// nextStatement fetches the next statement that the checkpoint covers. Later
// ones came since: what they say of the leaves cannot be compared.
func (a *audit) nextStatement(ctx context.Context) error {
	s := &a.statements
	a.next = nil
	for len(s.page) == 0 {
		if !s.more {
			return nil
		}
		answer, err := s.client.Checkpoints(ctx, s.after, api.MaxCheckpoints)
		if err != nil {
			return err
		}
		if answer.Next != 0 && answer.Next <= s.after {
			return fmt.Errorf("fetching checkpoints after %d: the next page is after %d", s.after, answer.Next)
		}
		s.page, s.after, s.more = answer.Checkpoints, answer.Next, answer.Next != 0
	}
	row := s.page[0]
	s.page = s.page[1:]
	if row.Size > a.head.Size {
		s.page, s.more = nil, false
		return nil
	}
	p, err := a.readStatement(row)
	if err == nil {
		err = s.chain.Append(checkpoint.Statement{Body: p.body, Signature: p.signature})
	}
	if err != nil {
		return violation("chio-wire 4.4", statementName(row.CheckpointSeq), err)
	}
	a.next = &p.published
	return nil
}

func statementName(seq uint64) string { return fmt.Sprintf("statement %d", seq) }

type signedStatement struct {
	published
	signature string
}

// readStatement reads both encodings of a checkpoint, which must be about one
// size of this log.
func (a *audit) readStatement(row api.Checkpoint) (p signedStatement, err error) {
	s, err := checkpoint.ParseStatement(row.Statement)
	if err != nil {
		return p, err
	}
	p.body, p.signature = s.Body, s.Signature
	if p.note, err = checkpoint.ParseNote([]byte(row.Note)); err != nil {
		return p, err
	}
	if p.head, err = checkpoint.Parse(p.note.Text); err != nil {
		return p, err
	}
	switch {
	case p.head.Origin != a.head.Origin:
		return p, fmt.Errorf("the note is of log %s", p.head.Origin)
	case s.Body.CheckpointSeq != row.CheckpointSeq:
		return p, fmt.Errorf("the statement has checkpoint_seq %d", s.Body.CheckpointSeq)
	case p.head.Size != row.Size || s.Body.BatchEndSeq != row.Size:
		return p, fmt.Errorf("listed for size %d, the note has size %d and the statement ends at %d", row.Size, p.head.Size, s.Body.BatchEndSeq)
	}
	return p, nil
}

// reached judges the statement of a size, if there is one, once all leaves
// under it have been taken.
func (a *audit) reached(ctx context.Context, size uint64) error {
	p := a.next
	if p == nil || p.body.BatchEndSeq != size {
		return nil
	}
	where := statementName(p.body.CheckpointSeq)
	if root := a.batch.Root(); p.body.MerkleRoot != root {
		return violation("chio-wire 4.2", where, fmt.Errorf("merkle_root is %s, the entries of its batch give %s", p.body.MerkleRoot, chio.Hash(root)))
	}
	if err := a.checkHead(where, p.note, p.head); err != nil {
		return err
	}
	if active, ok := a.timeline.Active(size); !ok || active.Text() != p.body.KernelKey {
		return violation("V-6", where, fmt.Errorf("kernel_key %s is not the key active at size %d", p.body.KernelKey, size))
	}
	hash, err := p.body.SHA256()
	if err != nil {
		return violation("chio-wire 4.4", where, err)
	}
	a.statements.hashes = append(a.statements.hashes, hash)
	a.report.Statements++
	a.batch = checkpoint.Frontier{}
	return a.nextStatement(ctx)
}

// checkHead judges a checkpoint of the size that the replay has reached: its
// root, its signature by the key active there, and that a status follows every
// change (S-3).
func (a *audit) checkHead(where string, note checkpoint.Note, head checkpoint.Checkpoint) error {
	if root := a.tree.Root(); head.Root != root {
		return violation("CP-4", where, fmt.Errorf("root of size %d is %s, the entries give %s", head.Size, chio.Hash(head.Root), chio.Hash(root)))
	}
	active, ok := a.timeline.Active(head.Size)
	if !ok {
		return violation("V-6", where, fmt.Errorf("no key is active at size %d", head.Size))
	}
	vkey, err := checkpoint.NewVKey(head.Origin, active)
	if err != nil {
		return violation("V-6", where, err)
	}
	signed, err := note.Verify(vkey)
	if err == nil && !signed {
		err = fmt.Errorf("no signature by the key active at size %d, %s", head.Size, active.Text())
	}
	if err != nil {
		return violation("V-6", where, err)
	}
	if a.unsaid != nil {
		return violation("S-3", where, fmt.Errorf("no status at size %d follows the change at index %d", head.Size, *a.unsaid))
	}
	return nil
}

// finish judges what can be told only when all entries have been read.
func (a *audit) finish(ctx context.Context, note checkpoint.Note) error {
	if err := a.checkEdge(ctx); err != nil {
		return err
	}
	if err := a.checkHead("checkpoint", note, a.head); err != nil {
		return err
	}
	if a.status == nil {
		return violation("V-3", "checkpoint", errors.New("the log has no status"))
	}
	if end := a.statements.chain.Last().BatchEndSeq; end != a.head.Size {
		return violation("chio-wire 4.4", "checkpoint", fmt.Errorf("the last statement up to size %d ends at %d", a.head.Size, end))
	}
	a.report.Writers = uint64(len(a.writers.Current()))
	for _, l := range a.policy.Logs {
		if key, ok := l.Key.ChioKey(); ok && l.Origin() == a.head.Origin {
			if _, ok := a.timeline.Key(key); ok {
				return nil
			}
		}
	}
	return violation("V-5", "checkpoint", fmt.Errorf("no key that the policy pins for %q is in its key timeline", a.head.Origin))
}

// checkEdge compares the partial tiles above level 0.
func (a *audit) checkEdge(ctx context.Context) error {
	for i, hashes := range a.upper {
		if len(hashes) == 0 {
			continue
		}
		t := tile.Tile{Level: i + 1, Index: a.head.Size >> (8 * (i + 2)), Width: len(hashes)}
		if err := a.checkTile(ctx, t, hashes); err != nil {
			return err
		}
	}
	return nil
}
