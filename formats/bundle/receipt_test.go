package bundle_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/tlogtest"
)

// under returns the bundle of entry in a log that goes on from f.
func (f *fixture) under(entry []byte, edits ...func(*parts)) []byte {
	fork := f.Fork(f.Size())
	index := fork.Add(entry)
	fork.Publish()
	return fork.Bundle(index, edits...)
}

func TestV_7_Inclusion(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	bad := refused("V-7", bundle.ClassInclusion)
	own := f.Published()
	f.Append(20)
	runRows(t, []row{
		{"included", f.Bundle(f.kernel), o, verified()},
		{"index above", f.Bundle(f.kernel, func(p *parts) { p.Index++ }), o, bad},
		{"index below", f.Bundle(f.kernel, func(p *parts) { p.Index-- }), o, bad},
		{"index of the size", f.Bundle(f.kernel, func(p *parts) { p.Index = f.Size() }), o, bad},
		{"hash dropped", f.Bundle(f.kernel, func(p *parts) { p.Path = p.Path[1:] }), o, bad},
		{"hash added", f.Bundle(f.kernel, func(p *parts) { p.Path = append(p.Path, p.Path[0]) }), o, bad},
		{"no path", f.Bundle(f.kernel, func(p *parts) { p.Path = nil }), o, bad},
		{"path at another size", f.Bundle(f.kernel, func(p *parts) { p.Path = f.Inclusion(f.kernel, own.Size) }), o, bad},
		{"another receipt", f.Bundle(f.kernel, func(p *parts) { p.Extra.Receipt = f.Entry(f.writer) }), o, bad},
		{"what is no receipt", f.Bundle(f.kernel, func(p *parts) { p.Extra.Receipt = []byte("{}") }), o, bad},
		{"hybrid receipt of nowhere", f.Bundle(f.kernel, func(p *parts) {
			p.Extra.Receipt = bytes.Replace(p.Extra.Receipt, []byte(`"kernel_key":"`), []byte(`"kernel_key":"hybrid:`), 1)
		}), o, bad},
	})
}

func TestV_7_Receipt(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	bad := refused("V-7", bundle.ClassReceipt)
	receipt := func(edits ...func(tlogtest.Object)) []byte { return tlogtest.Receipt(f.Kernel, "r", f.Time, edits...) }
	set := tlogtest.Set
	observed := func(o tlogtest.Object) {
		o["receipt_kind"], o["boundary_class"], o["trust_level"], o["observation_outcome"] = "trace_observation", "detect_only", "verified", "observed"
		delete(o, "decision")
	}
	resigned := func(old, new string) []byte { return bytes.Replace(receipt(), []byte(old), []byte(new), 1) }
	id := tlogtest.HexSum(nil)
	runRows(t, []row{
		{"good", f.under(receipt()), o, verified()},
		{"observation", f.under(receipt(observed)), o, verified()},
		{"observation with a decision", f.under(receipt(observed, set("decision", tlogtest.Object{"verdict": "allow"}))), o, bad},
		{"kind of nothing", f.under(receipt(set("receipt_kind", "rumour"))), o, bad},
		{"trust that the kind has not", f.under(receipt(set("trust_level", "verified"))), o, bad},
		{"unknown member", f.under(receipt(set("tool", "read"))), o, bad},
		{"another id", f.under(resigned(`"id":"`+idOf(receipt()), `"id":"`+id)), o, bad},
		{"another signature", f.under(bytes.Replace(receipt(), signatureOf(receipt()), signatureOf(f.Entry(f.kernel)), 1)), o, bad},
		{"signed by another key", f.under(tlogtest.Receipt(nobody, "r", f.Time, set("kernel_key", f.Kernel.Text()))), o, bad},
		{"child", f.under(tlogtest.ChildReceipt(f.Kernel, "c", f.Time)), o, verified()},
		{"child signed by another key", f.under(tlogtest.ChildReceipt(nobody, "c", f.Time, set("kernel_key", f.Kernel.Text()))), o, bad},
		{"legacy", f.under(tlogtest.LegacyReceipt(f.Kernel, "l", f.Time)), o, bad},
		{"no receipt at all", f.under([]byte("{}")), o, bad},
		{"hybrid key", f.under(receipt(set("kernel_key", "hybrid:00"))), o, untold("V-7", bundle.ClassReceipt)},
	})
}

// TestV_7_ReceiptBeside: a receipt given beside the bundle is the one in it,
// whatever its white space.
func TestV_7_ReceiptBeside(t *testing.T) {
	f := newFixture(t)
	inside, bare := f.Bundle(f.kernel), f.Bundle(f.kernel, func(p *parts) { p.Extra.Receipt = nil })
	given := func(receipt []byte) bundle.Options { return bundle.Options{Policy: f.Policy(2), Receipt: receipt} }
	entry := f.Entry(f.kernel)
	loose := append([]byte(" "), bytes.Replace(entry, []byte(","), []byte(",\n\t"), 1)...)
	runRows(t, []row{
		{"both", inside, given(entry), verified()},
		{"both, with white space", inside, given(loose), verified()},
		{"beside", bare, given(entry), verified()},
		{"beside, with white space", bare, given(loose), verified()},
		{"another one beside what is inside", inside, given(f.Entry(f.writer)), refused("V-7", bundle.ClassReceipt)},
		{"another one beside", bare, given(f.Entry(f.writer)), refused("V-7", bundle.ClassInclusion)},
		{"no JSON beside", bare, given([]byte("receipt")), refused("V-7", bundle.ClassReceipt)},
		{"empty file beside", bare, given([]byte{}), refused("V-7", bundle.ClassReceipt)},
		{"member twice", bare, given(bytes.Replace(entry, []byte(`"action"`), []byte(`"timestamp":0,"action"`), 1)), refused("V-7", bundle.ClassReceipt)},
	})
}

func TestV_7_NoReceipt(t *testing.T) {
	f := newFixture(t)
	bare := f.Bundle(f.kernel, func(p *parts) { p.Extra.Receipt = nil })
	runRows(t, []row{
		{"neither", bare, bundle.Options{Policy: f.Policy(2)}, untold("V-7", bundle.ClassNoReceipt)},
		{"beside", bare, bundle.Options{Policy: f.Policy(2), Receipt: f.Entry(f.kernel)}, verified()},
		{"status file", f.StatusFile(tlogtest.Question{}), bundle.Options{Policy: f.Policy(2)}, untold("V-7", bundle.ClassNoReceipt)},
	})
}

func TestV_7_ParameterHash(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	action := func(hash string) []byte {
		return tlogtest.Receipt(f.Kernel, "r", f.Time, tlogtest.Set("action", tlogtest.Object{"parameters": tlogtest.Object{}, "parameter_hash": hash}))
	}
	runRows(t, []row{
		{"hash of the parameters", f.under(action(tlogtest.HexSum([]byte("{}")))), o, verified()},
		{"hash of other parameters", f.under(action(tlogtest.HexSum([]byte("[]")))), o, refused("V-7", bundle.ClassParameterHash)},
		{"no hash", f.under(action("")), o, refused("V-7", bundle.ClassParameterHash)},
	})
}

func TestV_7_Reserved(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	bad := refused("V-7", bundle.ClassReserved)
	with := func(metadata tlogtest.Object) []byte {
		return tlogtest.Receipt(f.Kernel, "r", f.Time, tlogtest.Set("metadata", metadata))
	}
	// log returns the bundle of a leaf that author signed as one of the log's
	// own, after a status that tells nothing of it.
	log := func(author tlogtest.Key, add func(*tlogtest.Log) uint64) []byte {
		fork := f.Fork(f.Size())
		status := fork.Status()
		fork.Author = author
		index := add(fork)
		fork.Author = fork.Kernel
		fork.Publish()
		return fork.Bundle(index, func(p *parts) {
			leaf := fork.Leaf(status, fork.Size())
			p.Extra.Status = &leaf
			p.Extra.Events = []bundle.Leaf{fork.Leaf(0, fork.Size())}
		})
	}
	addStatus := func(l *tlogtest.Log) uint64 { return l.Status() }
	addWriters := func(l *tlogtest.Log) uint64 { return l.SetWriters([]tlogtest.Key{nobody}) }
	// event is a log-authored receipt with any payload.
	event := func(name, payload string) func(*tlogtest.Log) uint64 {
		return func(l *tlogtest.Log) uint64 {
			draft, err := timeline.NewDraft(timeline.Metadata{Event: name, Payload: []byte(payload)}, f.Kernel.Key)
			if err != nil {
				t.Fatal(err)
			}
			signature, err := f.Kernel.SignText(draft.SignedBytes())
			if err != nil {
				t.Fatal(err)
			}
			entry, err := draft.Entry(signature)
			if err != nil {
				t.Fatal(err)
			}
			return l.Add(entry)
		}
	}
	rollback := func(change ...string) string {
		return strings.NewReplacer(change...).Replace(`{"checkpoint_seq":1,"issued_at":1780000000,"origin":"` + testOrigin + `","root":"` + f.Timeline().Head().Hash.String() + `","schema":"chiolog.rollback-accepted.v1","size":2}`)
	}
	second := tlogtest.New(t, testOrigin, tlogtest.WithGenesis(func(g *timeline.Genesis) { g.IssuedAt++ })).Entry(0)
	runRows(t, []row{
		{"event of the caller's own", f.under(with(tlogtest.Object{"event": "my.event"})), o, verified()},
		{"event of the log in an ordinary receipt", f.under(with(tlogtest.Object{"event": timeline.EventStatus})), o, bad},
		{"key_event in an ordinary receipt", f.under(with(tlogtest.Object{"key_event": 1})), o, bad},
		{"key_terms in an ordinary receipt", f.under(with(tlogtest.Object{"key_terms": 1})), o, bad},
		{"names deeper inside", f.under(with(tlogtest.Object{"deep": tlogtest.Object{"key_event": 1, "event": "log.status"}})), o, verified()},
		{"status", log(f.Kernel, addStatus), o, verified()},
		{"status by a writer", log(writerKey, addStatus), o, bad},
		{"status by nobody", log(nobody, addStatus), o, bad},
		{"writer change", log(f.Kernel, addWriters), o, verified()},
		{"writer change by a writer", log(writerKey, addWriters), o, bad},
		{"rollback", log(f.Kernel, event(timeline.EventRollback, rollback())), o, verified()},
		{"rollback of another log", log(f.Kernel, event(timeline.EventRollback, rollback(testOrigin, "example.com/other"))), o, bad},
		{"rollback of another schema", log(f.Kernel, event(timeline.EventRollback, rollback(".v1", ".v2"))), o, bad},
		{"rollback with another member", log(f.Kernel, event(timeline.EventRollback, rollback(`"size":2`, `"size":2,"why":"x"`))), o, bad},
		{"event of unknown schema", log(f.Kernel, event("log.frozen", rollback())), o, bad},
		{"status of another log", log(f.Kernel, event(timeline.EventStatus, rollback())), o, bad},
		{"genesis", f.Bundle(0), o, verified()},
		{"second genesis", log(f.Kernel, func(l *tlogtest.Log) uint64 { return l.Add(second) }), o, bad},
		{"genesis again", log(f.Kernel, func(l *tlogtest.Log) uint64 { return l.Add(l.Entry(0)) }), o, bad},
	})
}

func TestV_7_Writer(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	bad := refused("V-7", bundle.ClassWriter)
	proofs := func(ids ...tlogtest.Key) func(*parts) {
		return func(p *parts) {
			p.Extra.Writer = nil
			for _, k := range ids {
				p.Extra.Writer = append(p.Extra.Writer, f.Writers().Map.Prove(k.ID()))
			}
		}
	}
	runRows(t, []row{
		{"in the set", f.Bundle(f.writer), o, verified()},
		{"child receipt", f.Bundle(f.child), o, verified()},
		{"before it was added", f.Bundle(f.early), o, bad},
		{"before it was removed", f.Bundle(f.leaver), o, verified()},
		{"after it was removed", f.Bundle(f.late), o, bad},
		{"never added", f.under(tlogtest.Receipt(nobody, "r", f.Time)), o, bad},
		{"no proof", f.Bundle(f.writer, proofs()), o, bad},
		{"proof of another", f.Bundle(f.writer, proofs(leaverKey)), o, bad},
		{"proof of another too", f.Bundle(f.writer, proofs(leaverKey, writerKey)), o, verified()},
		{"proof of another's entry", f.Bundle(f.writer, proofs(leaverKey), func(p *parts) { p.Extra.Writer[0].Key = writerKey.ID() }), o, bad},
		{"value changed", f.Bundle(f.early, func(p *parts) { p.Extra.Writer[0].Value = []byte(`{"from":1}`) }), o, bad},
		{"sibling changed", f.Bundle(f.writer, func(p *parts) { p.Extra.Writer[0].Siblings[0] ^= 1 }), o, bad},
		{"sibling dropped", f.Bundle(f.writer, func(p *parts) { p.Extra.Writer[0].Siblings = p.Extra.Writer[0].Siblings[32:] }), o, bad},
		{"proof of an older root", f.Bundle(f.writer, func(p *parts) {
			old := f.Fork(f.late - 1)
			p.Extra.Writer = []timeline.MapProof{old.Writers().Map.Prove(writerKey.ID())}
		}), o, bad},
		{"bootstrap key", f.under(tlogtest.Receipt(bootstrap, "r", f.Time)), o, bad},
	})
}

// TestV_7_OtherRole: who is a witness by the reader's policy is no writer to
// it, whatever the log says.
func TestV_7_OtherRole(t *testing.T) {
	l := tlogtest.New(t, testOrigin, tlogtest.WithWitnesses(3))
	witness := l.Witnesses[0].Key
	l.SetWriters([]tlogtest.Key{witness})
	index := l.Add(tlogtest.Receipt(witness, "r", l.Time))
	l.Publish()
	data := l.Bundle(index)
	pinned := l.Policy(2)
	l.Witnesses = l.Witnesses[1:]
	runRows(t, []row{
		{"pinned witness", data, bundle.Options{Policy: pinned}, refused("V-7", bundle.ClassWriter)},
		{"not pinned", data, bundle.Options{Policy: l.Policy(2)}, verified()},
	})
}

func TestV_7_Suspect(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	suspect := want{verdict: bundle.Suspect}
	runRows(t, []row{
		{"last trusted position", f.Bundle(f.suspectEarly), o, verified()},
		{"after it", f.Bundle(f.suspectLater), o, suspect},
		// Suspect stands whatever V-8 says.
		{"after it, old", f.Bundle(f.suspectLater), bundle.Options{Policy: f.Policy(2), Now: f.Time + 10, MaxAge: 1}, suspect},
		{"after it, in the future", f.Bundle(f.suspectLater), bundle.Options{Policy: f.Policy(2), Now: f.Time - 301, MaxAge: 1}, suspect},
		{"last trusted position, old", f.Bundle(f.suspectEarly), bundle.Options{Policy: f.Policy(2), Now: f.Time + 10, MaxAge: 1}, untold("V-8", bundle.ClassStale)},
	})
	if r := bundle.Verify(f.Bundle(f.suspectLater), o); r.AsOf != f.Time || r.Verdict.ExitStatus() != 1 {
		t.Errorf("as of %d, exit status %d", r.AsOf, r.Verdict.ExitStatus())
	}
}

func TestV_8_AsOf(t *testing.T) {
	l := tlogtest.New(t, testOrigin, tlogtest.WithWitnesses(3))
	now := l.Time
	l.Witnesses[0].Time, l.Witnesses[1].Time, l.Witnesses[2].Time = now-20, now+10, now-5
	l.Append(1)
	data := l.Bundle(1)
	for _, tt := range []struct {
		quorum int
		asOf   uint64
	}{
		{0, now},      // the status's time
		{1, now},      // quorum time now+10, the status is older
		{2, now - 5},  // quorum time
		{3, now - 20}, // quorum time
	} {
		if r := bundle.Verify(data, bundle.Options{Policy: l.Policy(tt.quorum)}); outcome(r) != verified() || r.AsOf != tt.asOf {
			t.Errorf("quorum of %d: as of %d (%v), want %d", tt.quorum, r.AsOf, r.Failure, tt.asOf)
		}
	}
}

// TestV_8_OlderStatus: a status may be older than the checkpoint, and then is
// what dates it.
func TestV_8_OlderStatus(t *testing.T) {
	f := newFixture(t)
	f.Append(1)
	f.Time += 100
	f.Status()
	f.Append(1)
	data := f.Bundle(f.kernel, func(p *parts) {
		leaf := f.Leaf(f.late+1, f.Size())
		p.Extra.Status = &leaf
	})
	for _, tt := range []struct {
		data []byte
		asOf uint64
	}{{f.Bundle(f.kernel), f.Time}, {data, f.Time - 100}} {
		if r := bundle.Verify(tt.data, bundle.Options{Policy: f.Policy(3)}); outcome(r) != verified() || r.AsOf != tt.asOf {
			t.Errorf("as of %d (%v), want %d", r.AsOf, r.Failure, tt.asOf)
		}
	}
}

func TestV_8_Freshness(t *testing.T) {
	f := newFixture(t)
	data, policy := f.Bundle(f.kernel), f.Policy(2)
	at := func(now, maxAge uint64) bundle.Options {
		return bundle.Options{Policy: policy, Now: now, MaxAge: maxAge}
	}
	stale := untold("V-8", bundle.ClassStale)
	runRows(t, []row{
		{"no limit", data, at(f.Time+1e9, 0), verified()},
		{"no limit, in the future", data, at(0, 0), verified()},
		{"as old as allowed", data, at(f.Time+60, 60), verified()},
		{"a second older", data, at(f.Time+61, 60), stale},
		{"now", data, at(f.Time, 60), verified()},
		{"300 s in the future", data, at(f.Time-300, 60), verified()},
		{"301 s in the future", data, at(f.Time-301, 60), stale},
		{"largest limit", data, at(f.Time+1e9, 1<<64-1), verified()},
	})
}

// TestVerdicts: the values that a command prints and exits with.
func TestVerdicts(t *testing.T) {
	for v, want := range map[bundle.Verdict]struct {
		text string
		exit int
	}{
		bundle.Verified: {"verified", 0}, bundle.NotVerified: {"not verified", 1},
		bundle.CouldNotTell: {"could not tell", 2}, bundle.Suspect: {"suspect", 1},
	} {
		if v.String() != want.text || v.ExitStatus() != want.exit {
			t.Errorf("%q with exit status %d, want %q and %d", v, v.ExitStatus(), want.text, want.exit)
		}
	}
}

// idOf and signatureOf return the members of a canonical receipt.
func idOf(entry []byte) string        { return memberOf(entry, `"id":"`) }
func signatureOf(entry []byte) []byte { return []byte(memberOf(entry, `"signature":"`)) }

func memberOf(entry []byte, start string) string {
	_, rest, _ := strings.Cut(string(entry), start)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// TestV_1_ExtraForm: leaves and receipt are objects, a consistency proof is
// from a size above 0 and there once.
func TestV_1_ExtraForm(t *testing.T) {
	for _, tt := range []struct {
		name, extra string
		ok          bool
	}{
		{"receipt", `{"receipt":{},"schema":"chiolog.bundle.v1"}`, true},
		{"receipt null", `{"receipt":null,"schema":"chiolog.bundle.v1"}`, false},
		{"receipt array", `{"receipt":[],"schema":"chiolog.bundle.v1"}`, false},
		{"leaves", `{"events":[{"index":0,"leaf":{},"path":""}],"schema":"chiolog.bundle.v1","status":{"index":1,"leaf":{},"path":""}}`, true},
		{"event text", `{"events":[{"index":0,"leaf":"x","path":""}],"schema":"chiolog.bundle.v1","status":{"index":1,"leaf":{},"path":""}}`, false},
		{"status null", `{"events":[{"index":0,"leaf":{},"path":""}],"schema":"chiolog.bundle.v1","status":{"index":1,"leaf":null,"path":""}}`, false},
		{"consistency", `{"consistency":[{"path":"","size":1},{"path":"","size":2}],"schema":"chiolog.bundle.v1"}`, true},
		{"consistency from 0", `{"consistency":[{"path":"","size":0}],"schema":"chiolog.bundle.v1"}`, false},
		{"consistency twice", `{"consistency":[{"path":"","size":1},{"path":"","size":1}],"schema":"chiolog.bundle.v1"}`, false},
	} {
		if _, err := bundle.ParseExtra([]byte(tt.extra)); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
