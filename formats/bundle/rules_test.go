package bundle_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/tlogtest"
)

type parts = tlogtest.Parts

func TestV_1_Limits(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	limits := refused("V-1", bundle.ClassLimits)
	good := string(f.Bundle(f.kernel))

	// A line of an unknown key brings the file to any size: base64 in steps of
	// four, the name by single bytes.
	padded := func(size int) []byte {
		empty := len(f.Bundle(f.kernel, addLine(unknownLine("n", 2))))
		missing := size - empty
		data := f.Bundle(f.kernel, addLine(unknownLine("n"+strings.Repeat("n", missing%4), 2+missing/4*3)))
		if len(data) != size {
			t.Fatalf("padded to %d bytes, not %d", len(data), size)
		}
		return data
	}
	path := func(n int) [][32]byte { return make([][32]byte, n) }
	runRows(t, []row{
		{"no policy", []byte(good), bundle.Options{}, refused("V-1", bundle.ClassPolicy)},
		{"policy", []byte(good), o, verified()},
		{"1 MiB", padded(bundle.MaxBundle), o, verified()},
		{"1 MiB and a byte", padded(bundle.MaxBundle + 1), o, limits},
		{"path of 63", f.Bundle(f.kernel, func(p *parts) { p.Path = path(63) }), o, refused("V-7", bundle.ClassInclusion)},
		{"path of 64", f.Bundle(f.kernel, func(p *parts) { p.Path = path(64) }), o, limits},
		{"status path of 63", f.Bundle(f.kernel, func(p *parts) { p.Extra.Status.Path = path(63) }), o, refused("V-3", bundle.ClassStatus)},
		{"status path of 64", f.Bundle(f.kernel, func(p *parts) { p.Extra.Status.Path = path(64) }), o, limits},
		{"event path of 64", f.Bundle(f.kernel, func(p *parts) { p.Extra.Events[0].Path = path(64) }), o, limits},
		{"1024 events", f.Bundle(f.kernel, events(1024)), o, refused("V-4", bundle.ClassTimelineIncomplete)},
		{"1025 events", f.Bundle(f.kernel, events(1025)), o, limits},
		{"empty file", nil, o, limits},
		{"last line cut", []byte(good[:len(good)-1]), o, limits},
		{"bytes after the end", []byte(good + "\n"), o, limits},
		{"no note", []byte(good[:strings.Index(good, "\n\n")+2]), o, limits},
		{"note that is no checkpoint", f.Bundle(f.kernel, func(p *parts) { p.Note.Text = "hello\n" }), o, limits},
	})
}

// events returns an edit that has n events in the bundle.
func events(n int) func(*parts) {
	return func(p *parts) {
		p.Extra.Events = nil
		for range n {
			p.Extra.Events = append(p.Extra.Events, bundle.Leaf{Leaf: []byte("{}")})
		}
	}
}

func TestV_1_StrictExtra(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	limits := refused("V-1", bundle.ClassLimits)
	data := f.Bundle(f.writer)
	edited := func(old, new string) []byte {
		return withExtra(t, data, func(extra string) string {
			if strings.Count(extra, old) < 1 {
				t.Fatalf("no %q in the extra", old)
			}
			return strings.Replace(extra, old, new, 1)
		})
	}
	schema := `"schema":"chiolog.bundle.v1"`
	runRows(t, []row{
		{"as it is", edited(schema, schema), o, verified()},
		{"white space", edited(schema, " "+schema), o, limits},
		{"another schema", edited(schema, `"schema":"chiolog.bundle.v2"`), o, limits},
		{"no schema", edited(schema+",", ""), o, limits},
		{"duplicate member", edited(schema, schema+","+schema), o, limits},
		{"unknown member", edited(schema, schema+`,"t":1`), o, limits},
		{"members out of order", edited(`{"events":`, `{"schema":"chiolog.bundle.v1","events":`), o, limits},
		{"no status", f.Bundle(f.writer, func(p *parts) { p.Extra.Status = nil }), o, limits},
		{"no events", f.Bundle(f.writer, func(p *parts) { p.Extra.Events = nil }), o, limits},
		{"empty list", edited(`{"events":`, `{"consistency":[],"events":`), o, limits},
		{"line feed in a path", edited(`"path":"`, `"path":"\n`), o, limits},
		{"path of 31 bytes", edited(`"path":"`, `"path":"AAAA`), o, limits},
		{"index 2^53", f.Bundle(f.writer, func(p *parts) { p.Extra.Status.Index = 1 << 53 }), o, limits},
		{"index 2^53 - 1", f.Bundle(f.writer, func(p *parts) { p.Extra.Status.Index = 1<<53 - 1 }), o, refused("V-3", bundle.ClassStatus)},
		{"size 2^53", f.Bundle(f.writer, func(p *parts) {
			p.Extra.Consistency = []bundle.Consistency{{Size: 1 << 53}}
		}), o, limits},
		{"value with the number 2^53", f.Bundle(f.writer, func(p *parts) {
			p.Extra.Writer[0].Value = []byte(`{"from":9007199254740992}`)
		}), o, limits},
		{"value with the number 2^53 - 1", f.Bundle(f.writer, func(p *parts) {
			p.Extra.Writer[0].Value = []byte(`{"from":9007199254740991}`)
		}), o, refused("V-7", bundle.ClassWriter)},
		{"value with the number 2^53 that is not asked for", f.Bundle(f.kernel, func(p *parts) {
			p.Extra.Revocation = []timeline.MapProof{{End: timeline.EndOther, Siblings: []byte{}, Other: &timeline.OtherEntry{Value: []byte("9007199254740992")}}}
		}), o, limits},
	})
	// The limits of numbers do not hold inside a receipt.
	large := f.Add(tlogtest.Receipt(f.Kernel, "large", f.Time, tlogtest.Set("metadata", tlogtest.Object{"n": uint64(1 << 63)})))
	f.Publish()
	runRows(t, []row{{"receipt with the number 2^63", f.Bundle(large), o, verified()}})
}

func TestV_1_StrictNote(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	limits := refused("V-1", bundle.ClassLimits)
	good := f.Bundle(f.kernel)
	line := f.Published().Note.Signatures[1].String()
	double := bytes.Replace(good, []byte(line), []byte(line+line), 1)
	again := f.Witnesses[0].Cosign(f.Published().Note.Text, f.Time+1).String()
	// 76 bytes need two equal signs; the last letter before them has four bits
	// that stand for nothing.
	loose := strings.TrimSuffix(line, "==\n")
	if loose == line {
		loose = strings.TrimSuffix(line, "=\n")
	}
	padding := strings.TrimPrefix(line, loose)
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, loose[len(loose)-1])
	loose = loose[:len(loose)-1] + string(alphabet[last+1]) + padding
	runRows(t, []row{
		{"one line of a key", good, o, verified()},
		{"line twice", double, o, limits},
		{"two times of one witness", bytes.Replace(good, []byte(line), []byte(line+again), 1), o, limits},
		{"base64 that is not canonical", bytes.Replace(good, []byte(line), []byte(loose), 1), o, limits},
		{"line feed of another system", bytes.Replace(good, []byte(line), []byte(strings.TrimSuffix(line, "\n")+"\r\n"), 1), o, limits},
		{"size with a leading zero", replaced(t, good, fmt.Sprintf("\n%d\n", f.Size()), fmt.Sprintf("\n0%d\n", f.Size())), o, limits},
		{"index with a leading zero", replaced(t, good, fmt.Sprintf("index %d\n", f.kernel), fmt.Sprintf("index 0%d\n", f.kernel)), o, limits},
	})
}

func TestV_2_Origin(t *testing.T) {
	f := newFixture(t)
	data := f.Bundle(f.kernel)
	other := tlogtest.New(t, "example.com/other", tlogtest.WithKernel(f.Kernel))
	both := f.PolicyText(0) + fmt.Sprintf("log %s\n", nobody.VKey("example.com/other"))
	runRows(t, []row{
		{"pinned", data, bundle.Options{Policy: f.Policy(0)}, verified()},
		{"pinned beside another", data, bundle.Options{Policy: mustPolicy(t, both)}, verified()},
		{"key pinned for another origin", data, bundle.Options{Policy: other.Policy(0)}, refused("V-2", bundle.ClassOrigin)},
	})
}

func TestV_2_Signature(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	bad := refused("V-2", bundle.ClassSignature)
	spoil := func(i int) func(*parts) {
		return func(p *parts) {
			p.Note.Signatures = slices.Clone(p.Note.Signatures)
			sig := &p.Note.Signatures[i]
			sig.Bytes = slices.Clone(sig.Bytes)
			sig.Bytes[len(sig.Bytes)-1] ^= 1
		}
	}
	f.Witnesses[2].Time = f.Time + 7
	runRows(t, []row{
		{"all lines verify", f.Bundle(f.kernel), o, verified()},
		{"pinned log key", f.Bundle(f.kernel, spoil(0)), o, bad},
		{"pinned witness, needed", f.Bundle(f.kernel, spoil(1)), o, bad},
		{"pinned witness, not needed", f.Bundle(f.kernel, spoil(3)), bundle.Options{Policy: f.Policy(1)}, bad},
		{"witness that is not pinned", f.Bundle(f.kernel, spoil(3)), bundle.Options{Policy: mustPolicy(t, withoutWitness3(f))}, verified()},
		{"unknown key", f.Bundle(f.kernel, addLine(unknownLine("nobody.example", 64))), o, verified()},
		{"unknown key under the log's name", f.Bundle(f.kernel, addLine(unknownLine(testOrigin, 64))), o, verified()},
		{"known ID under another name", f.Bundle(f.kernel, addLine(checkpoint.Signature{
			Name: "nobody.example", KeyID: f.Kernel.VKey(testOrigin).KeyID(), Bytes: make([]byte, 64)})), o, verified()},
		{"time changed", f.Bundle(f.kernel, func(p *parts) {
			p.Note.Signatures = slices.Clone(p.Note.Signatures)
			p.Note.Signatures[1].Bytes = slices.Clone(p.Note.Signatures[1].Bytes)
			p.Note.Signatures[1].Bytes[7]++
		}), o, bad},
		{"extension line added to the signed text", f.Bundle(f.kernel, func(p *parts) { p.Note.Text += "extension\n" }), o, bad},
		{"another root", f.Bundle(f.kernel, func(p *parts) {
			c := f.Published().Checkpoint
			c.Root[0] ^= 1
			p.Note.Text = c.String()
		}), o, bad},
	})
	f.Append(1)
	f.Publish(func(c *checkpoint.Checkpoint) { c.Extensions = []string{"extension", "other 1"} })
	runRows(t, []row{{"extension lines signed", f.Bundle(f.kernel), o, verified()}})
}

// withoutWitness3 is a policy of two witnesses.
func withoutWitness3(f *fixture) string {
	w := f.Witnesses
	f.Witnesses = w[:2]
	defer func() { f.Witnesses = w }()
	return f.PolicyText(2)
}

func TestV_2_Quorum(t *testing.T) {
	f := newFixture(t)
	bad := refused("V-2", bundle.ClassQuorum)
	drop := func(lines ...int) func(*parts) {
		return func(p *parts) {
			var kept []checkpoint.Signature
			for i, sig := range p.Note.Signatures {
				if !slices.Contains(lines, i) {
					kept = append(kept, sig)
				}
			}
			p.Note.Signatures = kept
		}
	}
	runRows(t, []row{
		{"three of three", f.Bundle(f.kernel), bundle.Options{Policy: f.Policy(3)}, verified()},
		{"two of three", f.Bundle(f.kernel, drop(2)), bundle.Options{Policy: f.Policy(3)}, bad},
		{"two of two", f.Bundle(f.kernel, drop(2)), bundle.Options{Policy: f.Policy(2)}, verified()},
		{"one of two", f.Bundle(f.kernel, drop(2, 3)), bundle.Options{Policy: f.Policy(2)}, bad},
		{"none, none asked for", f.Bundle(f.kernel, drop(1, 2, 3)), bundle.Options{Policy: f.Policy(0)}, verified()},
	})
	var short *policy.QuorumError
	result := bundle.Verify(f.Bundle(f.kernel, drop(2, 3)), bundle.Options{Policy: f.Policy(2)})
	if !errors.As(result.Failure, &short) || *short != (policy.QuorumError{Have: 1, Need: 2}) {
		t.Errorf("failure %v", result.Failure)
	}
}

// TestV_2_WitnessPinnedTwice: one key cannot count as two witnesses.
func TestV_2_WitnessPinnedTwice(t *testing.T) {
	f := newFixture(t)
	again, err := checkpoint.NewCosignatureVKey("witness.example/other", f.Witnesses[0].Key.Ed25519())
	if err != nil {
		t.Fatal(err)
	}
	text := f.PolicyText(0)
	mustPolicy(t, text)
	if _, err := policy.Parse([]byte(text + "witness other " + again.String() + "\n")); !errors.Is(err, policy.ErrPolicy) {
		t.Errorf("policy with one witness key twice: %v", err)
	}
}

func TestV_3_NoStatus(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	plain := func(p *parts) { p.Extra = nil }
	bare := func(p *parts) { p.Extra.Status, p.Extra.Events = nil, nil }
	runRows(t, []row{
		{"status", f.Bundle(f.kernel), o, verified()},
		{"left out", f.Bundle(f.kernel, bare), o, untold("V-3", bundle.ClassNoStatus)},
		{"plain proof", f.Bundle(f.kernel, plain), bundle.Options{Policy: f.Policy(2), Receipt: f.Entry(f.kernel)}, untold("V-3", bundle.ClassNoStatus)},
		{"plain proof of a lie", f.Bundle(f.kernel, plain, func(p *parts) { p.Note.Text += "x\n" }), o, refused("V-2", bundle.ClassSignature)},
	})
	if err := bundle.VerifyC2SP(f.Bundle(f.kernel, plain), f.Entry(f.kernel), f.Policy(2)); err != nil {
		t.Errorf("plain proof, C2SP verification only: %v", err)
	}
}

func TestV_3_Status(t *testing.T) {
	f := newFixture(t)
	o := bundle.Options{Policy: f.Policy(2)}
	bad := refused("V-3", bundle.ClassStatus)
	set := func(leaf bundle.Leaf) func(*parts) { return func(p *parts) { p.Extra.Status = &leaf } }
	under := f.Size()
	status := f.Leaf(under-1, under)
	otherIndex, shortPath, otherLeaf := status, status, status
	otherIndex.Index--
	shortPath.Path = shortPath.Path[1:]
	otherLeaf.Leaf = bytes.Replace(status.Leaf, []byte(`"sequence":1`), []byte(`"sequence":2`), 1)
	rows := []row{
		{"as it is", f.Bundle(f.kernel, set(status)), o, verified()},
		{"another index", f.Bundle(f.kernel, set(otherIndex)), o, bad},
		{"a hash short", f.Bundle(f.kernel, set(shortPath)), o, bad},
		{"another leaf", f.Bundle(f.kernel, set(otherLeaf)), o, bad},
		{"leaf that is no status", f.Bundle(f.kernel, set(f.Leaf(2, under))), o, bad},
		{"leaf that is no event of the log", f.Bundle(f.kernel, set(f.Leaf(f.kernel, under))), o, bad},
	}
	// Statuses that the log signed, good and bad.
	for _, s := range []struct {
		name string
		edit func(*timeline.Status)
		want want
	}{
		{"sequence 2", func(s *timeline.Status) {}, verified()},
		{"sequence 0", func(s *timeline.Status) { s.Sequence = 0 }, bad},
		{"another origin", func(s *timeline.Status) { s.Origin = "example.com/other" }, bad},
		{"another schema", func(s *timeline.Status) { s.Schema = "chiolog.status.v2" }, bad},
		{"no events", func(s *timeline.Status) { s.KeyEvents = timeline.KeyEventsStatus{} }, bad},
		{"empty map with a root", func(s *timeline.Status) { s.Writers.Size = 0 }, bad},
	} {
		fork := f.Fork(under)
		index := fork.Status(s.edit)
		fork.Publish()
		data := fork.Bundle(f.kernel, func(p *parts) {
			leaf := fork.Leaf(index, index+1)
			p.Extra.Status = &leaf
			p.Extra.Events = []bundle.Leaf{fork.Leaf(0, index+1)}
		})
		rows = append(rows, row{s.name, data, o, s.want})
	}
	runRows(t, rows)
}

func TestV_4_Incomplete(t *testing.T) {
	f := newFixture(t)
	bad := refused("V-4", bundle.ClassTimelineIncomplete)
	// counting returns a bundle under a status that counts n events.
	counting := func(n uint64, edits ...func(*parts)) []byte {
		fork := f.Fork(f.Size())
		fork.Status(func(s *timeline.Status) { s.KeyEvents.Count = n })
		fork.Add(tlogtest.Receipt(f.Kernel, "after", f.Time))
		fork.Publish()
		return fork.Bundle(f.kernel, append([]func(*parts){func(p *parts) {
			for _, index := range []uint64{0, 2, 2, fork.Size() - 2, fork.Size() - 1} {
				p.Extra.Events = append(p.Extra.Events, fork.Leaf(index, fork.Size()))
			}
			p.Extra.Events = p.Extra.Events[1:]
		}}, edits...)...)
	}
	pick := func(order ...int) func(*parts) {
		return func(p *parts) {
			var picked []bundle.Leaf
			for _, i := range order {
				picked = append(picked, p.Extra.Events[i])
			}
			p.Extra.Events = picked
		}
	}
	o := bundle.Options{Policy: f.Policy(2)}
	runRows(t, []row{
		{"one of one", counting(1, pick(0)), o, verified()},
		{"one of two", counting(2, pick(0)), o, bad},
		{"two of one", counting(1, pick(0, 1)), o, bad},
		{"first not at index 0", counting(1, pick(1)), o, bad},
		{"one twice", counting(3, pick(0, 1, 2)), o, bad},
		{"falling", counting(3, pick(0, 3, 1)), o, bad},
		{"rising, one that is none", counting(2, pick(0, 1)), o, badEvent("K-2")},
		{"at the status", counting(2, pick(0, 3)), o, bad},
		{"after the status", counting(2, pick(0, 4)), o, bad},
		{"not included", counting(1, pick(0), func(p *parts) { p.Extra.Events[0].Path[0][0] ^= 1 }), o, bad},
		{"included at another size", counting(1, pick(0), func(p *parts) { p.Extra.Events[0].Path = p.Extra.Events[0].Path[1:] }), o, bad},
	})
	for name, head := range map[string]func(*timeline.Status){
		"head":         func(*timeline.Status) {},
		"another head": func(s *timeline.Status) { s.KeyEvents.Head.Hash[0] ^= 1 },
	} {
		fork := f.Fork(f.Size())
		fork.Status(head)
		fork.Publish()
		w := bad
		if name == "head" {
			w = verified()
		}
		runRows(t, []row{{name, fork.Bundle(f.kernel), o, w}})
	}
}

// rewritten returns an option that changes a genesis and authorises it again.
func rewritten(edit func(*timeline.Body, *timeline.Terms)) tlogtest.Option {
	return tlogtest.WithGenesisMetadata(func(m *timeline.Metadata) {
		envelope, err := timeline.ParseEnvelope(m.KeyEvent)
		if err != nil {
			panic(err)
		}
		terms, err := timeline.ParseTerms(m.KeyTerms)
		if err != nil {
			panic(err)
		}
		before := tlogtest.Canonical(terms)
		edit(&envelope.Body, terms)
		m.KeyTerms = tlogtest.Canonical(terms)
		if !bytes.Equal(before, m.KeyTerms) {
			envelope.Body.EventID = "key:" + tlogtest.HexSum(m.KeyTerms)
		}
		signed, err := envelope.Body.SignedBytes()
		if err != nil {
			panic(err)
		}
		envelope.Authorizations.Bootstrap.Signature, _ = bootstrap.SignText(signed)
		m.KeyEvent = tlogtest.Canonical(envelope)
	})
}

func TestV_4_KeyEvent(t *testing.T) {
	recovery := &timeline.RecoveryPolicy{PolicyID: "recovery-policy-1", Threshold: 1, Keys: map[string]string{"recovery-1": tlogtest.NewKey("recovery").Text()}}
	witnessInRecovery := &timeline.RecoveryPolicy{PolicyID: "recovery-policy-1", Threshold: 1, Keys: map[string]string{"recovery-1": tlogtest.NewWitness("w1").Key.Text()}}
	body := func(edit func(*timeline.Body)) tlogtest.Option {
		return rewritten(func(b *timeline.Body, _ *timeline.Terms) { edit(b) })
	}
	terms := func(edit func(*timeline.Terms)) tlogtest.Option {
		return rewritten(func(_ *timeline.Body, terms *timeline.Terms) { edit(terms) })
	}
	for _, g := range []struct {
		name string
		opt  tlogtest.Option
		want want
	}{
		{"good", body(func(*timeline.Body) {}), verified()},
		{"recovery policy", tlogtest.WithGenesis(func(g *timeline.Genesis) { g.Recovery = recovery }), verified()},
		{"K-1 log of another origin", body(func(b *timeline.Body) { b.LogID = "example.com/other" }), badEvent("K-1")},
		{"K-1 pinned witness as recovery key", tlogtest.WithGenesis(func(g *timeline.Genesis) { g.Recovery = witnessInRecovery }), badEvent("K-1")},
		{"K-1 pinned witness as kernel", tlogtest.WithKernel(tlogtest.NewWitness("w1").Key), badEvent("K-1")},
		{"K-2 reason", body(func(b *timeline.Body) { b.Reason = strings.Repeat("r", 513) }), badEvent("K-2")},
		{"reason", body(func(b *timeline.Body) { b.Reason = strings.Repeat("r", 512) }), verified()},
		{"K-3 event_id", body(func(b *timeline.Body) { b.EventID = "key:" + tlogtest.HexSum(nil) }), badEvent("K-3")},
		{"K-4 schema", terms(func(terms *timeline.Terms) { terms.Schema = "chiolog.key-terms.v2" }), badEvent("K-4")},
		{"K-5 base", terms(func(terms *timeline.Terms) { terms.Base.Size = 1 }), badEvent("K-5")},
		{"K-6 signer", tlogtest.WithAuthor(nobody), badEvent("K-6")},
		{"K-7 time", body(func(b *timeline.Body) { b.EffectiveAt++ }), badEvent("K-7")},
		{"K-7 authorisation", tlogtest.WithGenesisMetadata(func(m *timeline.Metadata) {
			m.KeyEvent = bytes.Replace(m.KeyEvent, []byte(`"issued_at":1790000000`), []byte(`"issued_at":1790000001`), 1)
			m.KeyEvent = bytes.Replace(m.KeyEvent, []byte(`"effective_at":1790000000`), []byte(`"effective_at":1790000001`), 1)
		}), badEvent("K-7")},
		{"K-15 recovery policy", terms(func(terms *timeline.Terms) { terms.Recovery.Threshold = 1 }), badEvent("K-15")},
	} {
		l := tlogtest.New(t, testOrigin, tlogtest.WithWitnesses(3), g.opt).Append(5)
		runRows(t, []row{{g.name, l.Bundle(4), bundle.Options{Policy: l.Policy(2)}, g.want}})
	}
}

// TestV_4_WitnessRoles: only the witnesses that the reader pins have the role.
func TestV_4_WitnessRoles(t *testing.T) {
	witness := tlogtest.NewWitness("w1").Key
	l := tlogtest.New(t, testOrigin, tlogtest.WithWitnesses(3), tlogtest.WithGenesis(func(g *timeline.Genesis) {
		g.Recovery = &timeline.RecoveryPolicy{PolicyID: "r", Threshold: 1, Keys: map[string]string{"r": witness.Text()}}
	})).Append(1)
	data := l.Bundle(1)
	pinned := bundle.Options{Policy: l.Policy(0)} // quorum none, yet a witness
	l.Witnesses = l.Witnesses[1:]
	runRows(t, []row{
		{"pinned", data, pinned, badEvent("K-1")},
		{"not pinned", data, bundle.Options{Policy: l.Policy(2)}, verified()},
	})
}

func TestV_5_Pin(t *testing.T) {
	f := newFixture(t)
	data := f.Bundle(f.kernel)
	elsewhere := fmt.Sprintf("log %s\nlog %s\nquorum none\n", nobody.VKey(testOrigin), f.Kernel.VKey("example.com/other"))
	runRows(t, []row{
		{"genesis key", data, bundle.Options{Policy: f.Policy(2)}, verified()},
		{"genesis key and another", data, bundle.Options{Policy: f.Policy(2, nobody, f.Kernel)}, verified()},
		{"another key", data, bundle.Options{Policy: f.Policy(2, nobody)}, refused("V-5", bundle.ClassPin)},
		{"bootstrap key", data, bundle.Options{Policy: f.Policy(2, bootstrap)}, refused("V-5", bundle.ClassPin)},
		{"genesis key for another origin", data, bundle.Options{Policy: mustPolicy(t, elsewhere)}, refused("V-5", bundle.ClassPin)},
	})
}

// TestV_5_QuorumNone: without witnesses a pin trusts its key for ever.
func TestV_5_QuorumNone(t *testing.T) {
	f := newFixture(t)
	for k, warnings := range map[int]int{0: 1, 1: 0, 3: 0} {
		result := bundle.Verify(f.Bundle(f.kernel), bundle.Options{Policy: f.Policy(k)})
		if outcome(result) != verified() || len(result.Warnings) != warnings {
			t.Errorf("quorum of %d: %v, warnings %q", k, result.Failure, result.Warnings)
		}
	}
}

func TestV_6_Signers(t *testing.T) {
	bad := refused("V-6", bundle.ClassSignerOutOfRange)
	build := func(signers []tlogtest.Key, author tlogtest.Key) row {
		l := tlogtest.New(t, testOrigin, tlogtest.WithWitnesses(3))
		l.Signers, l.Author = signers, author
		l.Append(3)
		return row{data: l.Bundle(2), o: bundle.Options{Policy: l.Policy(2)}}
	}
	kernel := tlogtest.NewKey("kernel/" + testOrigin)
	var rows []row
	for _, r := range []struct {
		name    string
		signers []tlogtest.Key
		author  tlogtest.Key
		want    want
	}{
		{"active key", []tlogtest.Key{kernel}, kernel, verified()},
		{"active key and another", []tlogtest.Key{nobody, kernel}, kernel, verified()},
		{"checkpoint by another key", []tlogtest.Key{nobody}, kernel, bad},
		{"checkpoint by the bootstrap key", []tlogtest.Key{bootstrap}, kernel, bad},
		{"status by another key", []tlogtest.Key{kernel}, nobody, bad},
	} {
		built := build(r.signers, r.author)
		built.name, built.want = r.name, r.want
		rows = append(rows, built)
	}
	runRows(t, rows)
	if r := bundle.Verify(rows[2].data, rows[2].o); r.AsOf != 0 {
		t.Errorf("as of %d before V-6 holds", r.AsOf)
	}
}
