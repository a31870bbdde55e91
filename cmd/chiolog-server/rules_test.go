package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/logserver"
	"github.com/chiolog/chiolog/logserver/trillianlog"
)

// A ruled is a running log whose whole tree can be read, also what is not
// published.
type ruled struct {
	*running
	tree logserver.Tree
}

// start opens the log of the site with its configuration changed.
func (s *site) start(t *testing.T, change func(*logserver.Config)) (*ruled, error) {
	t.Helper()
	r := &ruled{}
	s.change = func(c *logserver.Config) {
		r.tree = c.Tree
		if change != nil {
			change(c)
		}
	}
	var err error
	r.running, err = s.open(t)
	return r, err
}

func (s *site) mustStart(t *testing.T, change func(*logserver.Config)) *ruled {
	t.Helper()
	r, err := s.start(t, change)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// An ownLeaf is a leaf of the log's own.
type ownLeaf struct {
	*timeline.LogEntry
	index uint64
}

// own returns the log's own leaves.
func (r *ruled) own(t *testing.T) (leaves []ownLeaf) {
	t.Helper()
	size, _ := r.tree.Head()
	err := r.tree.Entries(t.Context(), 0, size, func(index uint64, entry []byte) error {
		e, err := timeline.ParseLogEntry(entry)
		if errors.Is(err, timeline.ErrNotLogAuthored) {
			return nil
		}
		leaves = append(leaves, ownLeaf{e, index})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return leaves
}

// statuses returns the statuses among own leaves.
func statuses(t *testing.T, leaves []ownLeaf) (list []*timeline.Status) {
	t.Helper()
	for _, leaf := range leaves {
		if leaf.Event != timeline.EventStatus {
			continue
		}
		s, err := timeline.ParseStatus(leaf.LogEntry, testOrigin)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// published returns all published checkpoints.
func (s *site) published(t *testing.T) (list []api.Checkpoint) {
	t.Helper()
	h, err := logserver.OpenHistory(filepath.Join(s.dir(), ".publication", "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for seq := uint64(1); ; seq++ {
		next, err := h.Read(seq-1, seq, 1)
		if err != nil {
			return list
		}
		list = append(list, next...)
	}
}

// TestS_2_StatusesOfARun: statuses count up by one, their time never falls, not
// even with the clock, and each leaf of the log's own is by the active key.
func TestS_2_StatusesOfARun(t *testing.T) {
	s := newSite(t)
	s.writers = []string{newTestWriter(1).text()}
	var r *ruled
	for i, hours := range []int{0, 2, -9, 0, 12} {
		s.now = s.now.Add(time.Duration(hours) * time.Hour)
		if i == 3 {
			s.writers = []string{newTestWriter(2).text()}
		}
		r = s.mustStart(t, nil)
		r.publish(t)
		r.close()
	}
	leaves := r.own(t)
	for _, leaf := range leaves {
		if !leaf.Key.Equal(s.key.PublicKey()) {
			t.Errorf("leaf %d, %s, is signed by %s", leaf.index, leaf.Event, leaf.Key.Text())
		}
	}
	list := statuses(t, leaves)
	if len(list) < 4 {
		t.Fatalf("%d statuses", len(list))
	}
	for i, status := range list {
		if status.Sequence != uint64(i+1) || i > 0 && status.IssuedAt < list[i-1].IssuedAt {
			t.Errorf("status %d: sequence %d, issued at %d", i+1, status.Sequence, status.IssuedAt)
		}
	}
}

// TestS_2_StatusThatDoesNotFollow: a log whose tail has a status that is not the
// next one, or not by the active key, does not go on from it.
func TestS_2_StatusThatDoesNotFollow(t *testing.T) {
	writer := newTestWriter(1)
	for _, c := range []struct {
		name   string
		signer *testWriter // nil for the log's key
		change func(*timeline.Status)
		ok     bool
	}{
		{"the next one", nil, func(*timeline.Status) {}, true},
		{"a sequence left out", nil, func(s *timeline.Status) { s.Sequence++ }, false},
		{"a sequence again", nil, func(s *timeline.Status) { s.Sequence--; s.IssuedAt++ }, false},
		{"a time before the last one", nil, func(s *timeline.Status) { s.IssuedAt-- }, false},
		{"by a writer", &writer, func(*timeline.Status) {}, false},
	} {
		s := newSite(t)
		s.writers = []string{writer.text()}
		r := s.mustStart(t, nil)
		r.publish(t)
		r.close()
		list := statuses(t, r.own(t))
		next := *list[len(list)-1]
		next.Sequence++
		c.change(&next)
		by := s.key.writer
		if c.signer != nil {
			by = *c.signer
		}
		s.inject(t, by, &next)
		r, err := s.start(t, nil)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			r.append(t, s.key.writer.receipt(t, 1))
			r.publish(t)
		}
	}
}

// inject appends a status to the tree of a log that is not open.
func (s *site) inject(t *testing.T, by testWriter, status *timeline.Status) {
	t.Helper()
	m, err := status.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	draft, err := timeline.NewDraft(m, by.key)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := draft.Entry(chio.SignatureText(by.key.Algorithm(), by.sign(draft.SignedBytes())))
	if err != nil {
		t.Fatal(err)
	}
	id, err := identity(entry)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := trillianlog.OpenFile(t.Context(), s.dir(), trillianlog.Options{Identity: identity})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	ticket, err := tree.Queue(t.Context(), trillianlog.Entry{Value: entry, Identity: id})
	if err == nil {
		_, err = ticket.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// checkS3 checks that no published checkpoint covers an event or a writer change
// without a later status.
func (r *ruled) checkS3(t *testing.T) {
	t.Helper()
	leaves := r.own(t)
	for _, c := range r.site.published(t) {
		last := ""
		for _, leaf := range leaves {
			if leaf.index < c.Size && leaf.Event != timeline.EventRollback {
				last = leaf.Event
			}
		}
		if last != timeline.EventStatus {
			t.Errorf("S-3: checkpoint of size %d ends in %s without a status", c.Size, last)
		}
	}
}

// TestS_3_ChangeAndStatusUnderOneCheckpoint removes a writer and breaks off
// between the change and its status.
func TestS_3_ChangeAndStatusUnderOneCheckpoint(t *testing.T) {
	for _, c := range []struct {
		name   string
		status *faultyTree // nil if the status does not fail
		dies   bool
	}{
		{"one run", nil, false},
		{"dies before the status", nil, true},
		{"status fails", &faultyTree{countdown: 2}, false},
		{"status fails, dies", &faultyTree{countdown: 2}, true},
		{"status is in and fails", &faultyTree{countdown: 2, kept: true}, false},
		{"status is in and fails, dies", &faultyTree{countdown: 2, kept: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.writers = []string{newTestWriter(1).text()}
			r := s.mustStart(t, nil)
			r.publish(t)
			r.close()

			s.writers = []string{}
			r = s.mustStart(t, func(config *logserver.Config) {
				if c.status != nil {
					c.status.Tree, config.Tree = config.Tree, c.status
				}
			})
			leaves := r.own(t)
			change := leaves[len(leaves)-1]
			if change.Event != timeline.EventWriterSet {
				t.Fatalf("last leaf of its own is %s", change.Event)
			}
			if c.status != nil {
				if err := r.Publish(t.Context()); !errors.Is(err, errFault) {
					t.Fatal(err)
				}
				if list := s.published(t); list[len(list)-1].Size > change.index {
					t.Errorf("size %d is published without a status after the change at %d", list[len(list)-1].Size, change.index)
				}
			}
			if c.dies {
				r.close()
				s.writers = nil
				r = s.mustStart(t, nil)
			}
			r.publish(t)
			list := s.published(t)
			if list[len(list)-1].Size <= change.index {
				t.Errorf("size %d does not cover the change at %d", list[len(list)-1].Size, change.index)
			}
			r.checkS3(t)
		})
	}
}

// TestS_3_StatusInterval: a status is due at the interval and not a second before.
func TestS_3_StatusInterval(t *testing.T) {
	for interval, seconds := range map[time.Duration]int64{0: 3600, 10 * time.Minute: 600} {
		s := newSite(t)
		start := time.Unix(1790000000, 0)
		now := start
		r := s.mustStart(t, func(c *logserver.Config) {
			c.StatusInterval = interval
			c.Now = func() time.Time { return now }
		})
		r.publish(t)
		for _, c := range []struct {
			after    int64
			receipts int
			statuses int
			signed   int // documents more than before
		}{
			{0, 0, 1, 0},
			{seconds - 1, 0, 1, 0},
			{seconds - 1, 1, 1, 2}, // a checkpoint and a statement alone
			{seconds, 0, 2, 3},
			{2*seconds - 1, 1, 2, 2},
			{2 * seconds, 1, 3, 3},
		} {
			now = start.Add(time.Duration(c.after) * time.Second)
			for range c.receipts {
				r.append(t, s.key.writer.receipt(t, int(c.after)))
			}
			before := len(s.key.signed)
			r.publish(t)
			if got := len(statuses(t, r.own(t))); got != c.statuses || len(s.key.signed)-before != c.signed {
				t.Errorf("interval %d s, after %d s: %d statuses, %d documents signed; want %d and %d",
					seconds, c.after, got, len(s.key.signed)-before, c.statuses, c.signed)
			}
		}
		r.checkS3(t)
	}
}

// reservedEvents are the names of DESIGN §2.
var reservedEvents = []string{
	"authority.genesis", "authority.rotated", "authority.rotation-aborted", "authority.recovered", "authority.retired", "authority.revoked",
	"log.status", "log.frozen", "revocation.delta", "trusted-issuer.set-changed", "writer.set-changed", "peer-pin.changed",
	"control-token.rotated", "witness-roster.changed", "attestation.recorded", "evidence.recorded", "foreign-checkpoint.observed", "rollback.accepted",
}

// withMetadata returns a receipt or child receipt with metadata.
func (w testWriter) withMetadata(t *testing.T, child bool, n int, metadata map[string]any) []byte {
	t.Helper()
	if !child {
		return w.change(t, n, map[string]any{"metadata": metadata})
	}
	body := map[string]any{
		"id": fmt.Sprint("child ", w.text(), n), "timestamp": 1710000000, "session_id": "s", "parent_request_id": "p", "request_id": "r",
		"operation_kind": "tool_call", "terminal_state": map[string]any{"state": "completed"}, "outcome_hash": "o", "policy_hash": "p",
		"kernel_key": w.text(), "metadata": metadata,
	}
	body["signature"] = chio.SignatureText(w.key.Algorithm(), w.sign(canonical(t, body)))
	return canonical(t, body)
}

// A submission is a receipt with metadata that is reserved or looks like it.
type submission struct {
	name     string
	body     []byte
	reserved bool
}

func submissions(t *testing.T, signers map[string]testWriter) (list []submission) {
	t.Helper()
	type row struct {
		metadata map[string]any
		reserved bool
	}
	rows := []row{
		{map[string]any{"key_event": map[string]any{}}, true},
		{map[string]any{"key_event": nil}, true},
		{map[string]any{"key_terms": "terms"}, true},
		{map[string]any{"event": "something.else", "key_terms": 1}, true},
		{map[string]any{"event": "something.else"}, false},
		{map[string]any{"event": "Log.status"}, false},
		{map[string]any{"event": "log.status.v1"}, false},
		{map[string]any{"events": "log.status", "key_events": 1, "terms": 1}, false},
		{map[string]any{"inner": map[string]any{"event": "log.status", "key_event": 1}}, false},
	}
	for _, event := range reservedEvents {
		rows = append(rows, row{map[string]any{"event": event}, true})
	}
	n := 0
	for by, w := range signers {
		for _, child := range []bool{false, true} {
			for _, r := range rows {
				n++
				name := fmt.Sprintf("%v by %s, child %t", r.metadata, by, child)
				body := w.withMetadata(t, child, n, r.metadata)
				list = append(list, submission{name, body, r.reserved})
				if r.reserved { // escapes are another way to write the same names
					escaped := strings.NewReplacer(`"key_`, `"key\u005f`, `"event"`, `"\u0065vent"`).Replace(string(body))
					list = append(list, submission{name + ", escaped", []byte(escaped), true})
				}
			}
		}
	}
	return list
}

// TestK_8_ReservedOnEveryPath: nobody submits what only the log writes, neither
// the holder of the log's own key nor a writer, whole or as a child, alone or in
// a stream; what only looks like it is taken.
func TestK_8_ReservedOnEveryPath(t *testing.T) {
	for _, stream := range []bool{false, true} {
		s := newSite(t)
		writer := newTestWriter(1)
		s.writers = []string{writer.text()}
		r := s.mustStart(t, nil)
		url := r.serve(t).URL + api.PathReceipts
		list := submissions(t, map[string]testWriter{"the log's key": s.key.writer, "a writer": writer})
		var answers []answer
		if stream {
			var lines []byte
			for _, sub := range list {
				lines = append(append(lines, sub.body...), '\n')
			}
			a := request(t, http.MethodPost, url, api.TypeNDJSON, lines)
			for line := range bytes.Lines(a.body) {
				answers = append(answers, answer{status: a.status, body: line})
			}
		} else {
			for _, sub := range list {
				answers = append(answers, request(t, http.MethodPost, url, api.TypeJSON, sub.body))
			}
		}
		if len(answers) != len(list) {
			t.Fatalf("%d answers for %d receipts", len(answers), len(list))
		}
		accepted := 0
		for i, sub := range list {
			code := ""
			if stream {
				var line api.Submitted
				answers[i].decode(t, &line)
				if line.Error != nil {
					code = line.Error.Code
				}
			} else if answers[i].status != http.StatusOK {
				var e api.Error
				answers[i].decode(t, &e)
				code = e.Code
				if answers[i].status != http.StatusUnprocessableEntity {
					t.Errorf("%s: status %d", sub.name, answers[i].status)
				}
			}
			switch {
			case sub.reserved && code != api.CodeReservedEvent, !sub.reserved && code != "":
				t.Errorf("%s, stream %t: code %q", sub.name, stream, code)
			case !sub.reserved:
				accepted++
			}
		}
		if size, _ := r.tree.Head(); size != uint64(len(r.own(t))+accepted) {
			t.Errorf("stream %t: size %d after %d receipts were accepted", stream, size, accepted)
		}
	}
}

// TestK_9_OneKey: the key of genesis signs from position 1 on, and writes; the
// key that authorised it, and anybody else's, does neither.
func TestK_9_OneKey(t *testing.T) {
	s := newSite(t)
	r := s.mustStart(t, nil)
	for n, w := range []testWriter{s.key.writer, newTestWriter(0x11), newTestWriter(2)} {
		_, err := r.Append(t.Context(), w.receipt(t, n))
		var denied *logserver.NotWriterError
		if n == 0 && err != nil || n != 0 && (!errors.As(err, &denied) || denied.Range != nil) {
			t.Errorf("receipt by key %d: %v", n, err)
		}
	}
	r.publish(t)
	s.now = s.now.Add(2 * time.Hour)
	r.publish(t)
	replay := timeline.New(testOrigin)
	for _, leaf := range r.own(t) {
		if leaf.KeyEvent != nil {
			if err := replay.Apply(leaf.index, leaf.LogEntry); err != nil {
				t.Fatal(err)
			}
		}
		state, ok := replay.Key(leaf.Key)
		if !ok || !state.Sign.Contains(leaf.index+1) {
			t.Errorf("%s at position %d is by %s, which signs in %v", leaf.Event, leaf.index+1, leaf.Key.Text(), state.Sign)
		}
	}
	want := timeline.Span{From: 1, To: math.MaxUint64}
	if keys := replay.Keys(); len(keys) != 1 || keys[0].Sign != want || keys[0].Write != want {
		t.Errorf("keys %+v, want one from 1 on", keys)
	}
}

// TestK_10_EverySizeIsTheActiveKeys: size 0 is the genesis key's, and every
// published checkpoint has one line, by the key that is active at its size.
func TestK_10_EverySizeIsTheActiveKeys(t *testing.T) {
	s := newSite(t)
	r := s.mustStart(t, nil)
	for n := range 4 {
		r.append(t, s.key.writer.receipt(t, n))
		r.publish(t)
	}
	empty := checkpoint.Checkpoint{Origin: testOrigin, Root: checkpoint.EmptyRoot()}.String()
	if !slices.Contains(s.key.signed, empty) {
		t.Error("size 0 was not signed")
	}
	vkey, err := checkpoint.NewVKey(testOrigin, s.key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := checkpoint.NewVKey(testOrigin, newTestWriter(9).key)
	if err != nil {
		t.Fatal(err)
	}
	list := s.published(t)
	if len(list) != 4 {
		t.Errorf("%d checkpoints", len(list))
	}
	for _, c := range list {
		n, _, err := checkpoint.Open([]byte(c.Note), vkey)
		if err != nil || len(n.Signatures) != 1 || c.Size == 0 {
			t.Errorf("size %d: %d lines, %v", c.Size, len(n.Signatures), err)
		}
		if _, _, err := checkpoint.Open([]byte(c.Note), stranger); !errors.Is(err, checkpoint.ErrUnsigned) {
			t.Errorf("size %d to who knows another key: %v", c.Size, err)
		}
		statement, err := checkpoint.ParseStatement(c.Statement)
		if err != nil || statement.Check() != nil || statement.Body.KernelKey != s.key.writer.text() {
			t.Errorf("statement %d is by %s: %v", c.CheckpointSeq, statement.Body.KernelKey, err)
		}
	}
	r.close()
	for seed, want := range map[byte]error{9: logserver.ErrUnknownKey, 7: nil} {
		o := &site{home: s.home, key: &backend{writer: newTestWriter(seed)}, now: s.now}
		r := o.mustOpen(t)
		r.append(t, s.key.writer.receipt(t, 100+int(seed)))
		if err := r.Publish(t.Context()); !errors.Is(err, want) || (len(o.key.signed) > 0) != (want == nil) {
			t.Errorf("started with key %d: %v, %d documents signed", seed, err, len(o.key.signed))
		}
		r.close()
	}
}

// An eagerTree queues an entry when the log is about to append one of its own.
type eagerTree struct {
	logserver.Tree
	entry   []byte
	pending logserver.Pending
}

func (e *eagerTree) Exclusive(ctx context.Context, fn func(uint64, logserver.AppendFunc) error) error {
	if e.pending == nil {
		id, err := identity(e.entry)
		if err != nil {
			return err
		}
		if e.pending, err = e.Tree.Queue(ctx, e.entry, id); err != nil {
			return err
		}
	}
	return e.Tree.Exclusive(ctx, fn)
}

// TestK_11_NothingQueuedAcrossAClose: what a writer's range took is before the
// closing event and stays good, later receipts are 403 with the close.
func TestK_11_NothingQueuedAcrossAClose(t *testing.T) {
	s := newSite(t)
	gone, stays := newTestWriter(1), newTestWriter(2)
	s.writers = []string{gone.text(), stays.text()}
	r := s.mustStart(t, nil)
	first := r.append(t, gone.receipt(t, 1))
	r.publish(t)
	unpublished := r.append(t, gone.receipt(t, 2))
	r.close()

	s.writers = []string{stays.text()}
	eager := &eagerTree{entry: gone.receipt(t, 3)}
	r = s.mustStart(t, func(c *logserver.Config) { eager.Tree, c.Tree = c.Tree, eager })
	queued, _, err := eager.pending.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leaves := r.own(t)
	closing := leaves[len(leaves)-1]
	if closing.Event != timeline.EventWriterSet || queued >= closing.index || unpublished.Index >= closing.index {
		t.Fatalf("%s at %d closes the range; before it were receipts at %d and %d", closing.Event, closing.index, unpublished.Index, queued)
	}
	url := r.serve(t).URL + api.PathReceipts
	denied := request(t, http.MethodPost, url, api.TypeJSON, gone.receipt(t, 4)).wantError(t, "after the close", http.StatusForbidden, api.CodeForbidden)
	if denied.Close == nil || *denied.Close != closing.index+1 {
		t.Errorf("refused with %+v, the close is at position %d", denied, closing.index+1)
	}
	if a := request(t, http.MethodPost, url, api.TypeJSON, stays.receipt(t, 4)); a.status != http.StatusOK {
		t.Errorf("the other writer: %d %s", a.status, a.body)
	}
	if a := r.append(t, gone.receipt(t, 3)); !a.Duplicate || a.Index != queued {
		t.Errorf("what was queued before the close, sent again: %+v", a)
	}
	r.publish(t)
	for _, index := range []uint64{first.Index, unpublished.Index, queued} {
		entry, err := r.tree.Entry(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		var receipt struct{ ID string }
		if err := json.Unmarshal(entry, &receipt); err != nil {
			t.Fatal(err)
		}
		if result := r.verify(t, receipt.ID); result.Verdict != bundle.Verified {
			t.Errorf("receipt at %d, of before the close: %v, %v", index, result.Verdict, result.Failure)
		}
	}
}
