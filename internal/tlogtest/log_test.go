package tlogtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/tile"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/tlogtest"
)

const origin = "example.com/log"

// TestTree compares every root and proof with those of the merkle library.
func TestTree(t *testing.T) {
	l := tlogtest.New(t, origin)
	want := testonly.New(rfc6962.DefaultHasher)
	want.AppendData(l.Entry(0))
	for i := range 70 {
		entry := []byte(fmt.Sprint(i))
		l.Add(entry)
		want.AppendData(entry)
	}
	flat := func(path [][32]byte) []byte { return bundleHashes(path) }
	for n := uint64(0); n <= l.Size(); n++ {
		if root := l.Root(n); !bytes.Equal(root[:], want.HashAt(n)) {
			t.Errorf("root of size %d", n)
		}
		for i := range n {
			path, err := want.InclusionProof(i, n)
			if err != nil || !bytes.Equal(flat(l.Inclusion(i, n)), bytes.Join(path, nil)) {
				t.Errorf("inclusion of %d in %d: %v", i, n, err)
			}
			path, err = want.ConsistencyProof(i+1, n)
			if err != nil || !bytes.Equal(flat(l.Consistency(i+1, n)), bytes.Join(path, nil)) {
				t.Errorf("consistency of %d with %d: %v", i+1, n, err)
			}
		}
	}
}

func bundleHashes(path [][32]byte) (flat []byte) {
	for _, h := range path {
		flat = append(flat, h[:]...)
	}
	return flat
}

// TestReceipts: what the log appends by itself is what a log server would take.
func TestReceipts(t *testing.T) {
	key := tlogtest.NewKey("writer")
	for name, entry := range map[string][]byte{
		"semantic": tlogtest.Receipt(key, "a", tlogtest.Start),
		"edited":   tlogtest.Receipt(key, "a", tlogtest.Start, tlogtest.Set("metadata", tlogtest.Object{"n": 1})),
		"child":    tlogtest.ChildReceipt(key, "a", tlogtest.Start),
		"legacy":   tlogtest.LegacyReceipt(key, "a", tlogtest.Start),
	} {
		r, err := receipt.ParseCanonical(entry)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := r.Verify(); err != nil || !r.ParameterHashValid() || !r.Key.Equal(key.Key) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSame: two logs that do the same are the same, byte for byte.
func TestSame(t *testing.T) {
	build := func() []byte {
		l := tlogtest.New(t, origin, tlogtest.WithWitnesses(2))
		l.SetWriters([]tlogtest.Key{tlogtest.NewKey("writer")})
		return l.Append(20).Bundle(7)
	}
	if !bytes.Equal(build(), build()) {
		t.Error("the second log differs")
	}
}

// TestHonest: the checkpoints of a log continue each other in both encodings,
// and every entry is verified by its bundle.
func TestHonest(t *testing.T) {
	l := tlogtest.New(t, origin, tlogtest.WithWitnesses(3)).Append(5)
	writer := tlogtest.NewKey("writer")
	l.SetWriters([]tlogtest.Key{writer})
	l.Add(tlogtest.Receipt(writer, "w", l.Time), tlogtest.ChildReceipt(writer, "c", l.Time))
	l.Time += 10
	l.Status()
	l.Append(300)
	if l.Publish(); len(l.History()) != 2 {
		t.Errorf("%d checkpoints", len(l.History()))
	}
	var chain checkpoint.Chain
	for _, p := range l.History() {
		if err := chain.Append(p.Statement); err != nil {
			t.Error(err)
		}
	}
	first, last := l.History()[0], l.Published()
	if err := checkpoint.VerifyConsistency(first.Size, last.Size, l.Consistency(first.Size, last.Size), first.Root, last.Root); err != nil {
		t.Error(err)
	}
	for i := range last.Size {
		if r := bundle.Verify(l.Bundle(i), bundle.Options{Policy: l.Policy(3)}); r.Verdict != bundle.Verified {
			t.Errorf("entry %d: %v", i, r.Failure)
		}
	}
	if r := bundle.Verify(l.BundleUnder(first, 3), bundle.Options{Policy: l.Policy(3)}); r.Verdict != bundle.Verified || r.Size != first.Size {
		t.Errorf("older bundle of size %d: %v", r.Size, r.Failure)
	}
	if l.At(first.Size) != first || l.At(1) != nil {
		t.Error("At")
	}
}

// TestFork: a fork and its log have the same checkpoints up to where they
// part, then checkpoints that verify and contradict each other.
func TestFork(t *testing.T) {
	l := tlogtest.New(t, origin, tlogtest.WithWitnesses(3)).Append(60)
	at := l.Size()
	forks := []*tlogtest.Log{l.Fork(at).Append(80), l.Fork(at).Append(80), l.Append(80)}
	roots := map[[32]byte]bool{}
	for _, f := range forks {
		if f.History()[0] != l.History()[0] || f.Size() != at+80 || len(f.History()) != 2 {
			t.Errorf("fork of size %d with %d checkpoints", f.Size(), len(f.History()))
		}
		if r := bundle.Verify(f.Bundle(at+3), bundle.Options{Policy: l.Policy(3)}); r.Verdict != bundle.Verified {
			t.Errorf("%v", r.Failure)
		}
		if f.Root(at) != l.Root(at) {
			t.Error("roots differ where the fork begins")
		}
		if err := checkpoint.CheckContinuity(f.History()[0].Statement, f.History()[1].Statement); err != nil {
			t.Error(err)
		}
		roots[f.Published().Root] = true
	}
	if len(roots) != 3 {
		t.Errorf("%d roots of three histories", len(roots))
	}
	e, err := checkpoint.FindEquivocation(forks[0].Published().Statement, forks[2].Published().Statement)
	if err != nil || e == nil || e.Kind != checkpoint.ConflictingSeq {
		t.Errorf("equivocation %v, %v", e, err)
	}
}

// TestForkState: a fork knows of the writers and statuses up to where it
// begins, and of no later ones.
func TestForkState(t *testing.T) {
	l := tlogtest.New(t, origin).Append(3)
	at := l.Size()
	writer := tlogtest.NewKey("writer")
	l.SetWriters([]tlogtest.Key{writer})
	before, after := l.Fork(at), l.Fork(l.Size())
	if _, ok := before.Writers().Get(writer.Key); ok {
		t.Error("writer in a fork from before it was added")
	}
	if _, ok := after.Writers().Get(writer.Key); !ok {
		t.Error("no writer in a fork from after it was added")
	}
	before.SetWriters([]tlogtest.Key{writer}) // may be added there
	if status := after.Status(); status != at+1 {
		t.Errorf("status at %d", status)
	}
}

// TestLies: each lie is one that a reader can see.
func TestLies(t *testing.T) {
	nobody := tlogtest.NewKey("nobody")
	for _, tt := range []struct {
		name  string
		class bundle.Class
		opts  []tlogtest.Option
		lie   func(l *tlogtest.Log)
		edit  func(*tlogtest.Parts)
	}{
		{name: "none"},
		{name: "checkpoint by another key", class: bundle.ClassSignerOutOfRange, lie: func(l *tlogtest.Log) { l.Signers = []tlogtest.Key{nobody} }},
		{name: "status by another key", class: bundle.ClassSignerOutOfRange, lie: func(l *tlogtest.Log) { l.Author = nobody }},
		{name: "genesis by another key", class: bundle.ClassKeyEvent, opts: []tlogtest.Option{tlogtest.WithAuthor(nobody)}},
		{name: "absent witness", class: bundle.ClassQuorum, lie: func(l *tlogtest.Log) { l.Witnesses[1].Absent = true }},
		{name: "wrong count", class: bundle.ClassTimelineIncomplete, lie: func(l *tlogtest.Log) {
			l.Status(func(s *timeline.Status) { s.KeyEvents.Count++ })
		}},
		{name: "event twice", class: bundle.ClassTimelineIncomplete, edit: func(p *tlogtest.Parts) {
			p.Extra.Events = append(p.Extra.Events, p.Extra.Events[0])
		}},
		{name: "wrong root", class: bundle.ClassStatus, lie: func(l *tlogtest.Log) {
			l.Publish(func(c *checkpoint.Checkpoint) { c.Root[0] ^= 1 })
		}},
	} {
		l := tlogtest.New(t, origin, append(tt.opts, tlogtest.WithWitnesses(3))...)
		index := l.Add(tlogtest.Receipt(l.Kernel, "r", l.Time))
		if tt.lie != nil {
			tt.lie(l)
		}
		l.Publish()
		edits := []func(*tlogtest.Parts){}
		if tt.edit != nil {
			edits = append(edits, tt.edit)
		}
		r := bundle.Verify(l.Bundle(index, edits...), bundle.Options{Policy: l.Policy(3)})
		switch {
		case tt.class == "":
			if r.Failure != nil {
				t.Errorf("%s: %v", tt.name, r.Failure)
			}
		case r.Failure == nil || r.Failure.Class != tt.class:
			t.Errorf("%s: %v, want %s", tt.name, r.Failure, tt.class)
		}
	}
}

// TestServe reads a log over HTTP.
func TestServe(t *testing.T) {
	l := tlogtest.New(t, origin, tlogtest.WithWitnesses(2)).Append(300)
	url := l.Serve()
	get := func(path string, status int) []byte {
		t.Helper()
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status {
			t.Errorf("%s: %s, %v\n%s", path, resp.Status, err, body)
		}
		return body
	}
	id := func(index uint64) string {
		r, err := receipt.ParseCanonical(l.Entry(index))
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	if !bytes.Equal(get(api.PathCheckpoint, 200), l.Published().Note.Bytes()) {
		t.Error("another checkpoint")
	}
	if !bytes.Equal(get(api.PathBundle+"?id="+id(9), 200), l.Bundle(9)) {
		t.Error("another bundle")
	}
	if !bytes.Equal(get(api.PathStatus+"?from=5", 200), l.StatusFile(tlogtest.Question{From: []uint64{5}})) {
		t.Error("another status file")
	}
	var found api.Receipt
	decode(t, get(api.PathReceipts+"/"+id(9), 200), &found)
	if found.Index != 9 || !bytes.Equal(found.Receipt, l.Entry(9)) {
		t.Errorf("receipt %+v", found)
	}
	var inclusion api.InclusionProof
	decode(t, get(api.PathInclusion+"?index=9&size=20", 200), &inclusion)
	if inclusion.Size != 20 || len(inclusion.Path) != len(l.Inclusion(9, 20)) {
		t.Errorf("inclusion %+v", inclusion)
	}
	var consistency api.ConsistencyProof
	decode(t, get(api.PathConsistency+"?from=9&to=20", 200), &consistency)
	if len(consistency.Path) != len(l.Consistency(9, 20)) {
		t.Errorf("consistency %+v", consistency)
	}
	var list api.Checkpoints
	decode(t, get(api.PathCheckpoints+"?after=0&limit=1", 200), &list)
	if len(list.Checkpoints) != 1 || list.Next != 0 || list.Checkpoints[0].Size != l.Size() {
		t.Errorf("checkpoints %+v", list)
	}
	serveTiles(t, l, func(path string) []byte { return get("/"+path, 200) })

	entry := tlogtest.Receipt(l.Kernel, "new", l.Time)
	submit := func(query string) (answer api.Submitted) {
		resp, err := http.Post(url+api.PathReceipts+query, api.TypeJSON, bytes.NewReader(entry))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		decode(t, body, &answer)
		return answer
	}
	first := submit("")
	get(api.PathInclusion+"?id="+first.ID, 503)
	second := submit("?wait=" + api.WaitPublished)
	if first.Duplicate || !second.Duplicate || second.Index != first.Index || second.Size != l.Size() {
		t.Errorf("submitted %+v, then %+v", first, second)
	}
	get(api.PathInclusion+"?id="+first.ID, 200)
	get(api.PathReceipts+"?id=none", 404)
}

// serveTiles checks the tree against the tiles and bundles that it needs.
func serveTiles(t *testing.T, l *tlogtest.Log, get func(path string) []byte) {
	var f checkpoint.Frontier
	n := 0
	for needed := range tile.Needed(l.Size()) {
		data := get(needed.Path())
		n++
		if needed.Level != tile.Entries {
			if _, err := tile.ParseHashes(data, needed.Width); err != nil {
				t.Errorf("%s: %v", needed.Path(), err)
			}
			continue
		}
		entries, err := tile.ParseBundle(data, needed.Width)
		if err != nil {
			t.Errorf("%s: %v", needed.Path(), err)
		}
		for _, entry := range entries {
			f.Append(checkpoint.LeafHash(entry))
		}
	}
	if f.Root() != l.Published().Root || n != 5 {
		t.Errorf("%d tiles and bundles with another root", n)
	}
}

func decode(t *testing.T, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Errorf("%v in %s", err, data)
	}
}
