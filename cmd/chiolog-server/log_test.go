package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/checkpointdb"
	"github.com/chiolog/chiolog/logserver"
	"github.com/chiolog/chiolog/logserver/trillianlog"
	"github.com/chiolog/chiolog/signer"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// A backend signs with a key in memory and remembers every message.
type backend struct {
	writer testWriter
	mu     sync.Mutex
	signed []string
}

func (b *backend) PublicKey() chio.Key { return b.writer.key }
func (b *backend) MaxMessage() int     { return timeline.MaxSigned }

func (b *backend) Sign(_ context.Context, message []byte) (signer.Signature, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.signed = append(b.signed, string(message))
	return signer.Signature{Key: b.writer.key, Text: chio.SignatureText(b.writer.key.Algorithm(), b.writer.sign(message))}, nil
}

// contradictions reports two different checkpoints of one size, or statements
// of one checkpoint_seq, among all that was ever signed.
func (b *backend) contradictions(t *testing.T) {
	t.Helper()
	seen := map[string]string{}
	for _, message := range b.signed {
		var key string
		if c, err := checkpoint.Parse(message); err == nil {
			key = "size " + strings.Split(message, "\n")[1] + " of " + c.Origin
		} else if s, err := checkpoint.ParseStatement([]byte(`{"body":` + message + `,"signature":""}`)); err == nil {
			key = fmt.Sprintf("checkpoint_seq %d", s.Body.CheckpointSeq)
		} else {
			continue
		}
		if old, ok := seen[key]; ok && old != message {
			t.Errorf("two documents for %s were signed:\n%s\n%s", key, old, message)
		}
		seen[key] = message
	}
}

// A site is where a test log lies, and what stays the same across its starts.
type site struct {
	home    string
	key     *backend
	mu      sync.Mutex // guards now
	now     time.Time
	change  func(*logserver.Config) // of the next start
	writers []string
}

func newSite(t *testing.T) *site {
	return &site{home: t.TempDir(), key: &backend{writer: newTestWriter(7)}, now: time.Unix(1780000000, 0)}
}

// A running is a log in this process.
type running struct {
	*logserver.Log
	site    *site
	closers []func() error
}

// step moves the site's clock; every reading is one second after the last.
func (s *site) step() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(time.Second)
	return s.now
}

func (s *site) dir() string { return filepath.Join(s.home, "log") }

// open starts the log of the site.
func (s *site) open(t *testing.T) (*running, error) {
	t.Helper()
	r := &running{site: s}
	must := func(err error) {
		t.Helper()
		if err != nil {
			r.close()
			t.Fatal(err)
		}
	}
	tree, err := trillianlog.OpenFile(t.Context(), s.dir(), trillianlog.Options{Identity: identity})
	must(err)
	r.closers = append(r.closers, tree.Close)
	guard, err := checkpointdb.OpenFile(filepath.Join(s.home, "guard"))
	must(err)
	r.closers = append(r.closers, guard.Close)
	state, err := checkpointdb.OpenFile(filepath.Join(s.dir(), ".publication", "record"))
	must(err)
	r.closers = append(r.closers, state.Close)
	history, err := logserver.OpenHistory(filepath.Join(s.dir(), ".publication", "checkpoints"))
	must(err)
	r.closers = append(r.closers, history.Close)
	t.Cleanup(r.close)
	sig, err := signer.New(testOrigin, s.key, guard)
	if err != nil {
		r.close()
		return nil, err
	}
	cfg := logserver.Config{
		Origin: testOrigin, Tree: treeOf{tree}, Signer: sig, State: state, History: history, Writers: s.writers,
		Now: s.step,
		Genesis: func(issuedAt uint64) (timeline.Metadata, error) {
			bootstrap := newTestWriter(0x11)
			g := timeline.Genesis{Origin: testOrigin, Key: s.key.PublicKey(), Bootstrap: bootstrap.key, Recovery: timeline.NoRecovery(), IssuedAt: issuedAt}
			return g.Metadata(func(m []byte) (string, error) { return chio.SignatureText(chio.Ed25519, bootstrap.sign(m)), nil })
		},
	}
	if s.change != nil {
		s.change(&cfg)
		s.change = nil
	}
	if r.Log, err = logserver.Open(t.Context(), cfg); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (s *site) mustOpen(t *testing.T) *running {
	t.Helper()
	r, err := s.open(t)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *running) close() {
	for i := len(r.closers) - 1; i >= 0; i-- {
		r.closers[i]()
	}
	r.closers = nil
}

func (r *running) append(t *testing.T, entry []byte) *logserver.Appended {
	t.Helper()
	a, err := r.Append(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (r *running) publish(t *testing.T) {
	t.Helper()
	if err := r.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// verify fetches the bundle of a receipt and verifies it under the site's key.
func (r *running) verify(t *testing.T, id string) *bundle.Result {
	t.Helper()
	index, entry, err := r.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	data, err := r.Bundle(t.Context(), index, entry)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := checkpoint.NewVKey(testOrigin, r.site.key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse([]byte("log " + vkey.String() + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	return bundle.Verify(data, bundle.Options{Policy: p})
}

func (r *running) mustVerify(t *testing.T, id string) {
	t.Helper()
	if result := r.verify(t, id); result.Verdict != bundle.Verified {
		t.Errorf("receipt %s: %v, %v", id, result.Verdict, result.Failure)
	}
}

func TestAppendAndVerify(t *testing.T) {
	s := newSite(t)
	writer, stranger := newTestWriter(1), newTestWriter(2)
	s.writers = []string{writer.text()}
	r := s.mustOpen(t)
	byKernel := r.append(t, s.key.writer.receipt(t, 1))
	byWriter := r.append(t, writer.receipt(t, 2))
	child := r.append(t, writer.child(t, "child-1", "out"))
	if _, err := r.Bundle(t.Context(), byKernel.Index, byKernel.Receipt.Canonical()); !errors.Is(err, logserver.ErrNotPublished) {
		t.Errorf("bundle before publication: %v", err)
	}
	r.publish(t)
	for _, a := range []*logserver.Appended{byKernel, byWriter, child} {
		r.mustVerify(t, a.Receipt.ID)
	}
	var denied *logserver.NotWriterError
	if _, err := r.Append(t.Context(), stranger.receipt(t, 3)); !errors.As(err, &denied) {
		t.Errorf("receipt by a stranger: %v", err)
	}
	if _, err := r.Append(t.Context(), writer.child(t, "child-1", "other")); !errors.Is(err, logserver.ErrConflict) {
		t.Errorf("other signed bytes under one identity: %v", err)
	}
	again := r.append(t, writer.receipt(t, 2))
	if !again.Duplicate || again.Index != byWriter.Index {
		t.Errorf("duplicate: %+v, want index %d", again, byWriter.Index)
	}
	for _, event := range []string{timeline.EventStatus, timeline.EventGenesis, "revocation.delta"} {
		if _, err := r.Append(t.Context(), writer.change(t, 4, map[string]any{"metadata": map[string]any{"event": event}})); !errors.Is(err, logserver.ErrReserved) {
			t.Errorf("K-8: reserved event %s: %v", event, err)
		}
	}
	for _, member := range []string{"key_event", "key_terms"} {
		if _, err := r.Append(t.Context(), s.key.writer.change(t, 5, map[string]any{"metadata": map[string]any{member: 1}})); !errors.Is(err, logserver.ErrReserved) {
			t.Errorf("K-8: reserved member %s: %v", member, err)
		}
	}
	r.append(t, writer.change(t, 6, map[string]any{"metadata": map[string]any{"event": "something.else"}}))
}

func TestECDSATwiceIsOneLeaf(t *testing.T) {
	s := newSite(t)
	writer := newP256Writer(t)
	s.writers = []string{writer.text()}
	r := s.mustOpen(t)
	one, two := writer.receipt(t, 1), writer.receipt(t, 1)
	if bytes.Equal(one, two) {
		t.Fatal("two ECDSA signatures are equal")
	}
	first, second := r.append(t, one), r.append(t, two)
	if !second.Duplicate || second.Index != first.Index || !bytes.Equal(second.Receipt.Canonical(), one) {
		t.Errorf("second signature over the same body: %+v; want the first leaf and its bytes", second)
	}
	r.publish(t)
	r.mustVerify(t, first.Receipt.ID)
}

// TestDeterminism: the same keys, inputs and clock give the same bytes.
func TestDeterminism(t *testing.T) {
	run := func() map[string]string {
		s := newSite(t)
		writer := newTestWriter(1)
		s.writers = []string{writer.text()}
		r := s.mustOpen(t)
		files := map[string]string{}
		tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
		for i := range 600 {
			a := r.append(t, writer.receipt(t, i))
			if i%97 == 0 {
				r.publish(t)
				data, err := r.Bundle(t.Context(), a.Index, a.Receipt.Canonical())
				if err != nil {
					t.Fatal(err)
				}
				files["bundle "+a.Receipt.ID] = string(data)
			}
		}
		r.publish(t)
		r.close()
		err := filepath.WalkDir(s.dir(), func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(s.dir(), path)
			if err != nil || d.IsDir() || strings.HasPrefix(rel, ".") {
				return err
			}
			data, err := os.ReadFile(path)
			files[rel] = string(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; ; n++ {
			data, ok := files[filepath.FromSlash(tileEntries(n, files))]
			if !ok {
				break
			}
			for len(data) > 0 {
				size := int(data[0])<<8 | int(data[1])
				if err := tree.Append(rfc6962.DefaultHasher.HashLeaf([]byte(data[2:2+size])), nil); err != nil {
					t.Fatal(err)
				}
				data = data[2+size:]
			}
		}
		note, err := checkpoint.ParseNote([]byte(files["checkpoint"]))
		if err != nil {
			t.Fatal(err)
		}
		head, err := checkpoint.Parse(note.Text)
		if err != nil {
			t.Fatal(err)
		}
		root, err := tree.GetRootHash(nil)
		if err != nil || head.Size != tree.End() || string(head.Root[:]) != string(root) {
			t.Errorf("published size %d root %x, merkle has %d and %x, %v", head.Size, head.Root, tree.End(), root, err)
		}
		return files
	}
	a, b := run(), run()
	if len(a) < 10 || len(a) != len(b) {
		t.Errorf("%d and %d files", len(a), len(b))
	}
	for name, data := range a {
		if b[name] != data {
			t.Errorf("%s differs between two runs", name)
		}
	}
}

// tileEntries returns the name of entry bundle n among files, the widest.
func tileEntries(n int, files map[string]string) string {
	full := "tile/entries/00" + string(rune('0'+n))
	if _, ok := files[full]; ok {
		return full
	}
	best := ""
	for name := range files {
		if strings.HasPrefix(name, full+".p/") && (len(name) > len(best) || len(name) == len(best) && name > best) {
			best = name
		}
	}
	return best
}

func TestRestart(t *testing.T) {
	s := newSite(t)
	writer := newTestWriter(1)
	s.writers = []string{writer.text()}
	r := s.mustOpen(t)
	published := r.append(t, writer.receipt(t, 1))
	r.publish(t)
	pending := r.append(t, writer.receipt(t, 2))
	r.close()

	s.writers = nil // none configured: the recorded set stands
	r = s.mustOpen(t)
	r.mustVerify(t, published.Receipt.ID)
	r.publish(t)
	r.mustVerify(t, pending.Receipt.ID)
	r.append(t, writer.receipt(t, 3))
	r.close()

	s.writers = []string{} // configured as nobody: the writer is removed
	r = s.mustOpen(t)
	var denied *logserver.NotWriterError
	if _, err := r.Append(t.Context(), writer.receipt(t, 4)); !errors.As(err, &denied) || denied.Range == nil {
		t.Errorf("receipt by a removed writer: %v", err)
	}
	if a := r.append(t, writer.receipt(t, 1)); !a.Duplicate {
		t.Error("a receipt that is in is not answered for after its writer was removed")
	}
	r.publish(t)
	r.mustVerify(t, published.Receipt.ID)
	r.close()

	s.writers = []string{writer.text()}
	if _, err := s.open(t); err == nil || !strings.Contains(err.Error(), "K-1") {
		t.Errorf("a removed writer returns: %v", err)
	}
	s.writers = []string{}
	s.mustOpen(t)
	s.key.contradictions(t)
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestRolledBackStoreIsRefused(t *testing.T) {
	s := newSite(t)
	r := s.mustOpen(t)
	r.append(t, s.key.writer.receipt(t, 1))
	r.publish(t)
	r.close()
	older := filepath.Join(t.TempDir(), "older")
	copyDir(t, s.dir(), older)
	r = s.mustOpen(t)
	r.append(t, s.key.writer.receipt(t, 2))
	r.publish(t)
	r.close()
	if err := os.RemoveAll(s.dir()); err != nil {
		t.Fatal(err)
	}
	copyDir(t, older, s.dir())
	if _, err := s.open(t); !errors.Is(err, logserver.ErrRolledBack) {
		t.Errorf("older copy of the store under a newer guard: %v", err)
	}
	s.change = func(c *logserver.Config) { c.AssumeCurrent = true }
	if _, err := s.open(t); !errors.Is(err, logserver.ErrRolledBack) {
		t.Errorf("the operator's word overrides a guard that knows better: %v", err)
	}
	if err := os.RemoveAll(s.dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(t); err == nil {
		t.Error("an empty store under a guard starts")
	}
	s.key.contradictions(t)
}

func TestMissingGuard(t *testing.T) {
	s := newSite(t)
	r := s.mustOpen(t)
	r.append(t, s.key.writer.receipt(t, 1))
	r.publish(t)
	r.close()
	guard := filepath.Join(s.home, "guard")
	if err := os.Remove(guard); err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(t); err == nil || !strings.Contains(err.Error(), "--assume-current") {
		t.Errorf("missing guard: %v", err)
	}
	s.change = func(c *logserver.Config) { c.AssumeCurrent = true }
	r = s.mustOpen(t)
	r.append(t, s.key.writer.receipt(t, 2))
	r.publish(t)
	found := false
	for index := uint64(0); ; index++ {
		entry, err := r.entry(t, index)
		if err != nil {
			break
		}
		if e, err := timeline.ParseLogEntry(entry); err == nil && e.Event == timeline.EventRollback {
			found = true
		}
	}
	if !found {
		t.Error("the operator's word is not recorded in the log")
	}
	r.close()
	s.mustOpen(t) // the new guard serves without the word
	s.key.contradictions(t)
}

// TestGuardBehindACommittedIntent: signatures that are in the store count as
// signed, published or not.
func TestGuardBehindACommittedIntent(t *testing.T) {
	for _, missing := range []bool{false, true} {
		s := newSite(t)
		r := s.mustOpen(t)
		r.append(t, s.key.writer.receipt(t, 1))
		r.publish(t)
		r.close()
		guard := filepath.Join(s.home, "guard")
		older, err := os.ReadFile(guard)
		if err != nil {
			t.Fatal(err)
		}
		// The third swap of a pass publishes: before it the intent is committed.
		s.change = func(c *logserver.Config) { c.State = &faultyState{State: c.State, countdown: 3} }
		r = s.mustOpen(t)
		last := r.append(t, s.key.writer.receipt(t, 2))
		if err := r.Publish(t.Context()); !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		r.close()
		if missing {
			err = os.Remove(guard)
		} else {
			err = os.WriteFile(guard, older, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.open(t); err == nil || !strings.Contains(err.Error(), "--assume-current") {
			t.Errorf("guard missing %t: %v", missing, err)
		}
		s.change = func(c *logserver.Config) { c.AssumeCurrent = true }
		r = s.mustOpen(t)
		r.append(t, s.key.writer.receipt(t, 3))
		r.publish(t)
		r.mustVerify(t, last.Receipt.ID)
		r.close()
		s.mustOpen(t)
		checkHistory(t, s)
		s.key.contradictions(t)
	}
}

// TestTheOperatorsWordIsRecorded also when the start that it was given to did
// not come to it.
func TestTheOperatorsWordIsRecorded(t *testing.T) {
	s := newSite(t)
	r := s.mustOpen(t)
	r.publish(t)
	r.close()
	if err := os.Remove(filepath.Join(s.home, "guard")); err != nil {
		t.Fatal(err)
	}
	honest := s.key
	s.key = &backend{writer: newTestWriter(9)}
	s.change = func(c *logserver.Config) { c.AssumeCurrent = true }
	s.mustOpen(t).close() // a wrong key: the word is not used up
	s.key = honest
	if _, err := s.open(t); err == nil || !strings.Contains(err.Error(), "--assume-current") {
		t.Errorf("start without the word: %v", err)
	}
	// The swap after the one that notes the word is the guard's own; the next
	// one of the record notes that the leaf is in.
	s.change = func(c *logserver.Config) {
		c.AssumeCurrent = true
		c.State = &faultyState{State: c.State, countdown: 2}
	}
	if _, err := s.open(t); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	r = s.mustOpen(t)
	r.publish(t)
	n := 0
	for index := uint64(0); ; index++ {
		entry, err := r.entry(t, index)
		if err != nil {
			break
		}
		if e, err := timeline.ParseLogEntry(entry); err == nil && e.Event == timeline.EventRollback {
			n++
		}
	}
	if n == 0 {
		t.Error("the operator's word is not in the log")
	}
	s.key.contradictions(t)
}

// entry reads an entry back from the store's files.
func (r *running) entry(t *testing.T, index uint64) ([]byte, error) {
	t.Helper()
	_, _, hash, err := r.Inclusion(t.Context(), index, 0)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(r.site.dir(), tileEntries(0, r.files(t))))
	if err != nil {
		return nil, err
	}
	for i := uint64(0); len(data) > 0; i++ {
		size := int(data[0])<<8 | int(data[1])
		if entry := data[2 : 2+size]; i == index {
			if checkpoint.LeafHash(entry) != hash {
				t.Errorf("entry %d does not have the leaf hash that is proved", i)
			}
			return entry, nil
		}
		data = data[2+size:]
	}
	return nil, fs.ErrNotExist
}

func (r *running) files(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(filepath.Join(r.site.dir(), "tile"), func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(r.site.dir(), path)
		files[rel] = ""
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestUnknownKeyAppendsAndSignsNothing(t *testing.T) {
	s := newSite(t)
	r := s.mustOpen(t)
	kernel := s.key.writer
	r.append(t, kernel.receipt(t, 1))
	r.publish(t)
	r.close()
	honest := s.key
	s.key = &backend{writer: newTestWriter(9)}
	r = s.mustOpen(t)
	if err := r.Ready(); !errors.Is(err, logserver.ErrUnknownKey) {
		t.Errorf("Ready() = %v, want %v", err, logserver.ErrUnknownKey)
	}
	r.append(t, kernel.receipt(t, 2))
	if err := r.Publish(t.Context()); !errors.Is(err, logserver.ErrUnknownKey) {
		t.Errorf("Publish() = %v, want %v", err, logserver.ErrUnknownKey)
	}
	if len(s.key.signed) > 0 {
		t.Errorf("%d documents were signed by a key that the timeline does not name", len(s.key.signed))
	}
	r.close()
	s.key = honest
	r = s.mustOpen(t)
	r.publish(t)
	s.key.contradictions(t)
}

// A faultyState fails one swap, before or after it is stored.
type faultyState struct {
	logserver.State
	countdown int  // swaps until the fault
	kept      bool // the failing swap is stored all the same
}

var errFault = errors.New("injected fault")

func (f *faultyState) Swap(old, new []byte) error {
	f.countdown--
	if f.countdown != 0 {
		return f.State.Swap(old, new)
	}
	if f.kept {
		if err := f.State.Swap(old, new); err != nil {
			return err
		}
	}
	return errFault
}

// TestPublicationFaults breaks off publication at each change of the record
// and of the guard, stored and not, and starts again: what was begun is
// completed, and nothing that was ever signed contradicts.
func TestPublicationFaults(t *testing.T) {
	for _, kept := range []bool{false, true} {
		for swap := 1; swap <= 6; swap++ {
			s := newSite(t)
			r := s.mustOpen(t)
			first := r.append(t, s.key.writer.receipt(t, 1))
			r.publish(t)
			r.close()
			s.change = func(c *logserver.Config) { c.State = &faultyState{State: c.State, countdown: swap, kept: kept} }
			r = s.mustOpen(t)
			failed := false
			var last *logserver.Appended
			for i := range 2 {
				last = r.append(t, s.key.writer.receipt(t, 2+i))
				if err := r.Publish(t.Context()); errors.Is(err, errFault) {
					failed = true
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if !failed {
				t.Fatalf("swap %d was never made", swap)
			}
			r.close()
			r = s.mustOpen(t)
			r.append(t, s.key.writer.receipt(t, 9))
			r.publish(t)
			r.mustVerify(t, first.Receipt.ID)
			r.mustVerify(t, last.Receipt.ID)
			checkHistory(t, s)
			s.key.contradictions(t)
			r.close()
		}
	}
}

// checkHistory replays the published statements as one chain.
func checkHistory(t *testing.T, s *site) {
	t.Helper()
	h, err := logserver.OpenHistory(filepath.Join(s.dir(), ".publication", "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var chain checkpoint.Chain
	for seq := uint64(1); ; seq++ {
		list, err := h.Read(seq-1, seq, 1)
		if err != nil {
			if seq == 1 {
				t.Fatal(err)
			}
			return
		}
		statement, err := checkpoint.ParseStatement(list[0].Statement)
		if err != nil {
			t.Fatal(err)
		}
		if err := chain.Append(statement); err != nil {
			t.Errorf("statement %d: %v", seq, err)
		}
		note, err := checkpoint.ParseNote([]byte(list[0].Note))
		if err != nil {
			t.Fatal(err)
		}
		head, err := checkpoint.Parse(note.Text)
		if err != nil || head.Size != statement.Body.BatchEndSeq || head.Size != list[0].Size {
			t.Errorf("note %d of size %d beside a statement that ends at %d: %v", seq, head.Size, statement.Body.BatchEndSeq, err)
		}
	}
}

func TestIdleLogPublishesNothing(t *testing.T) {
	s := newSite(t)
	r := s.mustOpen(t)
	r.publish(t)
	before := len(s.key.signed)
	for range 5 {
		r.publish(t)
	}
	if got := len(s.key.signed); got != before {
		t.Errorf("%d documents were signed over nothing new", got-before)
	}
	// A status is due after an hour, and brings a checkpoint along.
	s.now = s.now.Add(time.Hour)
	r.publish(t)
	if got := len(s.key.signed); got != before+3 {
		t.Errorf("%d documents an hour later, want a status, a checkpoint and a statement", got-before)
	}
}

func TestLegacyReceiptIsRefused(t *testing.T) {
	data, err := os.ReadFile("../../testdata/chio/replay-receipts/00-clean.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	r := newSite(t).mustOpen(t)
	if _, err := r.Append(t.Context(), line); !errors.Is(err, logserver.ErrLegacy) {
		t.Errorf("legacy receipt: %v", err)
	}
	var broken *receipt.Error
	if _, err := r.Append(t.Context(), []byte("{")); !errors.As(err, &broken) || broken.Rule != receipt.RuleJSON {
		t.Errorf("half a receipt: %v", err)
	}
}
