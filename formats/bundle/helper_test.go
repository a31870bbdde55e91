package bundle_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/tlogtest"
)

const testOrigin = "example.com/log"

// Keys of the tests' logs.
var (
	writerKey  = tlogtest.NewKey("writer")  // in the set
	leaverKey  = tlogtest.NewKey("leaver")  // removed
	suspectKey = tlogtest.NewKey("suspect") // removed with suspect_after
	nobody     = tlogtest.NewKey("nobody")  // of no role
	bootstrap  = tlogtest.NewKey("bootstrap/" + testOrigin)
)

// A fixture is a log with three witnesses and a receipt of each kind, under one
// checkpoint.
type fixture struct {
	*tlogtest.Log
	kernel, writer, child     uint64 // indexes of receipts that are verified
	leaver, suspectEarly      uint64 // the last trusted ones of removed writers
	early, late, suspectLater uint64 // before from, at or after until, after suspect_after
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{Log: tlogtest.New(t, testOrigin, tlogtest.WithWitnesses(3))}
	receipt := func(key tlogtest.Key, name string) uint64 { return f.Add(tlogtest.Receipt(key, name, f.Time)) }
	f.early = receipt(writerKey, "early")
	f.SetWriters([]tlogtest.Key{writerKey, leaverKey, suspectKey})
	f.kernel = receipt(f.Kernel, "kernel")
	f.writer = receipt(writerKey, "writer")
	f.child = f.Add(tlogtest.ChildReceipt(writerKey, "child", f.Time))
	f.suspectEarly = receipt(suspectKey, "suspect early")
	f.suspectLater = receipt(suspectKey, "suspect later")
	f.leaver = receipt(leaverKey, "leaver")
	suspectAfter := f.suspectEarly + 1
	f.SetWriters(nil, timeline.RemovedWriter{Key: leaverKey.Text()}, timeline.RemovedWriter{Key: suspectKey.Text(), SuspectAfter: &suspectAfter})
	f.late = receipt(leaverKey, "late")
	f.Publish()
	return f
}

// A want is what a verification should come to.
type want struct {
	verdict bundle.Verdict
	class   bundle.Class
	rule    string // V-n
	key     string // K-n of a key event
}

func verified() want { return want{verdict: bundle.Verified} }

func refused(rule string, class bundle.Class) want {
	return want{verdict: bundle.NotVerified, class: class, rule: rule}
}

func untold(rule string, class bundle.Class) want {
	return want{verdict: bundle.CouldNotTell, class: class, rule: rule}
}

func badEvent(rule string) want {
	return want{verdict: bundle.NotVerified, class: bundle.ClassKeyEvent, rule: "V-4", key: rule}
}

func outcome(r *bundle.Result) want {
	w := want{verdict: r.Verdict}
	if r.Failure != nil {
		w.class, w.rule = r.Failure.Class, r.Failure.Rule
		var event *timeline.EventError
		if errors.As(r.Failure, &event) {
			w.key = event.Rule
		}
	}
	return w
}

// A row is one bundle with the options of its verification.
type row struct {
	name string
	data []byte
	o    bundle.Options
	want want
}

func runRows(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if result := bundle.Verify(r.data, r.o); outcome(result) != r.want {
				t.Errorf("got %+v (%v), want %+v", outcome(result), result.Failure, r.want)
			}
		})
	}
}

func mustPolicy(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return p
}

// replaced returns data with the one occurrence of old replaced.
func replaced(t testing.TB, data []byte, old, new string) []byte {
	t.Helper()
	if n := strings.Count(string(data), old); n != 1 {
		t.Fatalf("%q is in the file %d times", old, n)
	}
	return []byte(strings.Replace(string(data), old, new, 1))
}

// withExtra returns a proof with another extra line, as given.
func withExtra(t testing.TB, data []byte, edit func(extra string) string) []byte {
	t.Helper()
	p, err := bundle.ParseProof(data)
	if err != nil {
		t.Fatal(err)
	}
	p.Extra = []byte(edit(string(p.Extra)))
	return p.Bytes()
}

// unknownLine is a signature line by a key that no policy names.
func unknownLine(name string, n int) checkpoint.Signature {
	return checkpoint.Signature{Name: name, KeyID: 0x01020304, Bytes: make([]byte, n)}
}

// addLine returns an edit that adds a signature line to the note.
func addLine(sig checkpoint.Signature) func(*tlogtest.Parts) {
	return func(p *tlogtest.Parts) {
		p.Note.Signatures = append([]checkpoint.Signature{sig}, p.Note.Signatures...)
	}
}
