package bundle_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/tlogtest"
)

// A sample is a bundle that is verified under its policy.
type sample struct {
	name   string
	data   []byte
	policy *policy.Policy
	claims string
	parts  *parts // not to be changed
}

// newSamples returns good bundles of several receipts, sizes and logs. Every
// cosignature in them is needed for the quorum.
func newSamples(t testing.TB) []sample {
	var samples []sample
	add := func(name string, data []byte, p *policy.Policy) {
		r := bundle.Verify(data, bundle.Options{Policy: p})
		if r.Verdict != bundle.Verified {
			t.Fatalf("%s: %v", name, r.Failure)
		}
		samples = append(samples, sample{name, data, p, claims(r), partsOf(t, data)})
	}
	f := newFixture(t)
	unknown := addLine(unknownLine("nobody.example", 64))
	for _, p := range []*policy.Policy{f.Policy(0), f.Policy(3)} {
		add("kernel", f.Bundle(f.kernel), p)
		add("writer", f.Bundle(f.writer), p)
		add("child", f.Bundle(f.child, unknown), p)
		add("removed writer", f.Bundle(f.leaver), p)
		add("genesis", f.Bundle(0), p)
	}
	fork := f.Fork(f.Size() - 1)
	f.Append(300)
	add("larger size", f.Bundle(f.writer), f.Policy(3))
	f.Time += 60
	f.Status()
	f.Append(5)
	add("later status", f.Bundle(f.kernel, unknown), f.Policy(3))
	add("later receipt", f.Bundle(f.Size()-1), f.Policy(3))
	fork.Append(7)
	add("fork", fork.Bundle(f.writer), f.Policy(3))
	small := tlogtest.New(t, testOrigin).Append(0)
	add("size 2", small.Bundle(0), small.Policy(0))
	other := tlogtest.New(t, "example.com/other", tlogtest.WithWitnesses(3), tlogtest.WithKernel(f.Kernel)).Append(9)
	add("other log, same keys", other.Bundle(3), other.Policy(3))
	return samples
}

// claims is all that a verification says of the world.
func claims(r *bundle.Result) string {
	return fmt.Sprintf("%s %d %x %d %s active %s as of %d status %+v", r.Origin, r.Size, r.Root, r.Index, r.Receipt.Canonical(), r.Active.Text(), r.AsOf, *r.Status)
}

// A mutator makes changed bundles; other is a sample to take parts from.
type mutator struct {
	*rand.Rand
	t       testing.TB
	samples []sample
}

// A mutation returns a changed file, nil if there is nothing to change, and the
// policy to judge it by.
type mutation struct {
	name string
	// mayVerify marks those that can leave a bundle as good as it was. What is
	// said must be the same then, and equivalent must hold.
	mayVerify bool
	do        func(m *mutator, s sample) ([]byte, *policy.Policy)
}

func onFile(do func(m *mutator, data []byte) []byte) func(*mutator, sample) ([]byte, *policy.Policy) {
	return func(m *mutator, s sample) ([]byte, *policy.Policy) { return do(m, bytes.Clone(s.data)), s.policy }
}

// onExtra changes the bytes of the extra under its base64.
func onExtra(do func(m *mutator, extra []byte) []byte) func(*mutator, sample) ([]byte, *policy.Policy) {
	return onFile(func(m *mutator, data []byte) []byte {
		p := proofOf(m.t, data)
		p.Extra = do(m, p.Extra)
		return p.Bytes()
	})
}

// onParts changes what a bundle is made of; other has the parts of another one.
func onParts(do func(m *mutator, p, other *parts)) func(*mutator, sample) ([]byte, *policy.Policy) {
	return func(m *mutator, s sample) ([]byte, *policy.Policy) {
		p := partsOf(m.t, s.data)
		do(m, p, m.other(s).parts)
		return p.Bytes(), s.policy
	}
}

func (m *mutator) other(s sample) sample {
	for {
		if o := m.samples[m.IntN(len(m.samples))]; !bytes.Equal(o.data, s.data) {
			return o
		}
	}
}

func proofOf(t testing.TB, data []byte) *bundle.Proof {
	p, err := bundle.ParseProof(data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func partsOf(t testing.TB, data []byte) *parts {
	proof := proofOf(t, data)
	extra, err := bundle.ParseExtra(proof.Extra)
	if err != nil {
		t.Fatal(err)
	}
	note, err := checkpoint.ParseNote(proof.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	return &parts{Index: proof.Index, Path: proof.Path, Note: note, Extra: extra}
}

// flip changes one bit, or one byte to any other.
func (m *mutator) flip(data []byte) []byte {
	i := m.IntN(len(data))
	if m.IntN(2) == 0 {
		data[i] ^= 1 << m.IntN(8)
	} else {
		data[i] ^= byte(1 + m.IntN(255))
	}
	return data
}

// edit drops, inserts or doubles some bytes.
func (m *mutator) edit(data []byte) []byte {
	i, n := m.IntN(len(data)), 1+m.IntN(8)
	j := min(i+n, len(data))
	switch m.IntN(3) {
	case 0:
		return slices.Delete(data, i, j)
	case 1:
		return slices.Insert(data, i, byte(m.IntN(256)))
	default:
		return slices.Insert(data, i, bytes.Clone(data[i:j])...)
	}
}

// lines drops, doubles or swaps lines of the file, or takes one of another.
func (m *mutator) lines(data []byte) []byte {
	lines := bytes.SplitAfter(data, []byte("\n"))
	lines = lines[:len(lines)-1] // the last one is empty
	i, j := m.IntN(len(lines)), m.IntN(len(lines))
	switch m.IntN(4) {
	case 0:
		lines = slices.Delete(lines, i, i+1)
	case 1:
		lines = slices.Insert(lines, j, lines[i])
	case 2:
		lines[i], lines[j] = lines[j], lines[i]
	default:
		others := bytes.SplitAfter(m.samples[m.IntN(len(m.samples))].data, []byte("\n"))
		lines[i] = others[m.IntN(len(others)-1)]
	}
	return bytes.Join(lines, nil)
}

// path drops, adds, swaps or changes hashes.
func (m *mutator) path(path [][32]byte) [][32]byte {
	path = slices.Clone(path)
	if len(path) == 0 {
		return append(path, [32]byte{byte(m.IntN(256))})
	}
	i, j := m.IntN(len(path)), m.IntN(len(path))
	switch m.IntN(4) {
	case 0:
		return slices.Delete(path, i, i+1)
	case 1:
		return slices.Insert(path, j, path[i])
	case 2:
		if path[i] != path[j] {
			path[i], path[j] = path[j], path[i]
			return path
		}
		fallthrough
	default:
		path[i][m.IntN(32)] ^= 1 << m.IntN(8)
		return path
	}
}

// allMutations are made in turn. Those that take a part of another bundle may
// by chance take the same one.
var allMutations = []mutation{
	{"byte flipped", true, onFile((*mutator).flip)},
	{"bytes dropped or inserted", true, onFile((*mutator).edit)},
	{"cut off", false, onFile(func(m *mutator, data []byte) []byte { return data[:m.IntN(len(data))] })},
	{"lines", true, onFile((*mutator).lines)},
	{"line of an unknown key added", true, onParts(func(m *mutator, p, _ *parts) {
		p.Note.Signatures = slices.Insert(p.Note.Signatures, m.IntN(len(p.Note.Signatures)+1), unknownLine(fmt.Sprint("n", m.IntN(1000)), 1+m.IntN(99)))
	})},
	{"signature line of another", true, onParts(func(m *mutator, p, other *parts) {
		sigs := other.Note.Signatures
		p.Note.Signatures[m.IntN(len(p.Note.Signatures))] = sigs[m.IntN(len(sigs))]
	})},
	{"signature line changed", true, onParts(func(m *mutator, p, _ *parts) {
		sig := &p.Note.Signatures[m.IntN(len(p.Note.Signatures))]
		switch m.IntN(3) {
		case 0:
			sig.Name += "x"
		case 1:
			sig.KeyID++
		default:
			sig.Bytes = m.flip(bytes.Clone(sig.Bytes))
		}
	})},
	{"note of another", true, onParts(func(_ *mutator, p, other *parts) { p.Note = other.Note })},
	{"text of another", true, onParts(func(_ *mutator, p, other *parts) { p.Note.Text = other.Note.Text })},
	{"extension line", false, onParts(func(_ *mutator, p, _ *parts) { p.Note.Text += "x\n" })},
	{"index ± 1", false, onParts(func(m *mutator, p, _ *parts) {
		if p.Index == 0 || m.IntN(2) == 0 {
			p.Index++
		} else {
			p.Index--
		}
	})},
	{"path", false, onParts(func(m *mutator, p, _ *parts) { p.Path = m.path(p.Path) })},
	{"path of another", true, onParts(func(_ *mutator, p, other *parts) { p.Path = other.Path })},
	{"receipt of another", true, onParts(func(_ *mutator, p, other *parts) { p.Extra.Receipt = other.Extra.Receipt })},
	{"receipt left out", false, onParts(func(_ *mutator, p, _ *parts) { p.Extra.Receipt = nil })},
	{"status path", false, onParts(func(m *mutator, p, _ *parts) { p.Extra.Status.Path = m.path(p.Extra.Status.Path) })},
	{"status index ± 1", false, onParts(func(m *mutator, p, _ *parts) {
		if m.IntN(2) == 0 {
			p.Extra.Status.Index++
		} else {
			p.Extra.Status.Index--
		}
	})},
	{"status of another", true, onParts(func(_ *mutator, p, other *parts) { p.Extra.Status = other.Extra.Status })},
	{"status left out", false, onParts(func(_ *mutator, p, _ *parts) { p.Extra.Status, p.Extra.Events = nil, nil })},
	{"status in the receipt's place", false, onParts(func(_ *mutator, p, _ *parts) { p.Extra.Receipt = p.Extra.Status.Leaf })},
	{"event left out", false, onParts(func(m *mutator, p, _ *parts) {
		i := m.IntN(len(p.Extra.Events))
		p.Extra.Events = slices.Delete(slices.Clone(p.Extra.Events), i, i+1)
	})},
	{"event doubled", false, onParts(func(m *mutator, p, _ *parts) {
		p.Extra.Events = append(p.Extra.Events, p.Extra.Events[m.IntN(len(p.Extra.Events))])
	})},
	{"event path", false, onParts(func(m *mutator, p, _ *parts) {
		e := &p.Extra.Events[m.IntN(len(p.Extra.Events))]
		e.Path = m.path(e.Path)
	})},
	{"events of another", true, onParts(func(_ *mutator, p, other *parts) { p.Extra.Events = other.Extra.Events })},
	{"status as an event", false, onParts(func(_ *mutator, p, _ *parts) { p.Extra.Events[0] = *p.Extra.Status })},
	{"writer proofs of another", true, onParts(func(_ *mutator, p, other *parts) { p.Extra.Writer = other.Extra.Writer })},
	{"siblings", true, onParts(func(m *mutator, p, _ *parts) {
		for i := range p.Extra.Writer {
			w := &p.Extra.Writer[i]
			if m.IntN(2) == 0 || len(w.Siblings) == 0 {
				w.Siblings = append(w.Siblings, make([]byte, 32)...)
			} else {
				w.Siblings = m.flip(bytes.Clone(w.Siblings))
			}
		}
	})},
	{"proofs that nobody asked for", true, onParts(func(m *mutator, p, _ *parts) {
		p.Extra.Consistency = []bundle.Consistency{{Size: uint64(m.IntN(99))}}
		p.Extra.Revocation = []timeline.MapProof{{End: timeline.EndEmpty, Siblings: []byte{}}}
	})},
	{"bytes of the extra", false, onExtra((*mutator).flip)},
	{"bytes of the extra dropped or inserted", false, onExtra((*mutator).edit)},
	{"base64 of the extra", false, onExtra(func(_ *mutator, extra []byte) []byte {
		return []byte(base64.StdEncoding.EncodeToString(extra))
	})},
	{"members of the extra", true, onExtra((*mutator).tree)},
	{"members of the extra", true, onExtra((*mutator).tree)},
	{"members of the extra", true, onExtra((*mutator).tree)},
	{"white space in the extra", false, onExtra(func(_ *mutator, extra []byte) []byte { return append(extra, '\n') })},
	{"policy of another", true, func(m *mutator, s sample) ([]byte, *policy.Policy) { return s.data, m.other(s).policy }},
	{"policy with another key", false, func(m *mutator, s sample) ([]byte, *policy.Policy) {
		text := s.policy.String()
		pin := s.policy.Logs[0].Key
		return s.data, mustPolicy(m.t, strings.Replace(text, pin.String(), nobody.VKey(pin.Name()).String(), 1))
	}},
	{"policy with another witness", false, func(m *mutator, s sample) ([]byte, *policy.Policy) {
		if s.policy.NoWitnesses() {
			return nil, nil
		}
		old := s.policy.Witnesses[m.IntN(3)].Key.String()
		return s.data, mustPolicy(m.t, strings.Replace(s.policy.String(), old, tlogtest.NewWitness("other").VKey().String(), 1))
	}},
}

// tree changes one node of the extra and writes it canonically again.
func (m *mutator) tree(extra []byte) []byte {
	var root any
	dec := json.NewDecoder(bytes.NewReader(extra))
	dec.UseNumber()
	if err := dec.Decode(&root); err != nil {
		m.t.Fatal(err)
	}
	for {
		holder := m.holder(root)
		switch node := holder.(type) {
		case map[string]any:
			m.object(node)
		case []any:
			i := m.IntN(len(node))
			node[i] = m.value(node[i])
		}
		if changed := tlogtest.Canonical(root); !bytes.Equal(changed, extra) {
			return changed
		}
	}
}

// holder walks down to some object or array that is not empty.
func (m *mutator) holder(node any) any {
	for {
		var inner []any
		switch n := node.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(n)) {
				inner = append(inner, n[name])
			}
		case []any:
			inner = n
		}
		inner = slices.DeleteFunc(slices.Clone(inner), func(v any) bool {
			switch v := v.(type) {
			case map[string]any:
				return len(v) == 0
			case []any:
				return len(v) == 0
			}
			return true
		})
		if len(inner) == 0 || m.IntN(4) == 0 {
			return node
		}
		node = inner[m.IntN(len(inner))]
	}
}

// object changes, removes, renames or adds a member.
func (m *mutator) object(o map[string]any) {
	names := slices.Sorted(maps.Keys(o))
	name := names[m.IntN(len(names))]
	switch m.IntN(5) {
	case 0:
		delete(o, name)
	case 1:
		o[name+"_"] = o[name]
		delete(o, name)
	case 2:
		o["x"+name] = o[name]
	default:
		o[name] = m.value(o[name])
	}
}

// value returns another value in the place of v.
func (m *mutator) value(v any) any {
	if m.IntN(8) == 0 {
		return nil
	}
	switch v := v.(type) {
	case string:
		if v == "" {
			return "x"
		}
		if m.IntN(4) == 0 {
			return v[1:]
		}
		b := []byte(v)
		b[m.IntN(len(b))] = "0123456789abcdefABCDEF=+/x"[m.IntN(26)]
		return string(b)
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			m.t.Fatal(err)
		}
		return n + 1 - int64(2*m.IntN(2))
	case []any:
		if len(v) > 0 && m.IntN(2) == 0 {
			return append(slices.Clone(v), v[m.IntN(len(v))])
		}
		return []any{}
	case map[string]any:
		return map[string]any{}
	}
	return "x"
}

// equivalent reports whether two bundles differ in nothing that is judged
// under p: lines of keys that p does not pin, the order of lines, and proofs
// that nobody asked for.
func (m *mutator) equivalent(a, b []byte, p *policy.Policy) bool {
	return bytes.Equal(m.judged(a, p), m.judged(b, p))
}

func (m *mutator) judged(data []byte, pol *policy.Policy) []byte {
	p := partsOf(m.t, data)
	pinned := func(sig checkpoint.Signature) bool {
		for _, l := range pol.Logs {
			if l.Key.Name() == sig.Name && l.Key.KeyID() == sig.KeyID {
				return true
			}
		}
		for _, w := range pol.Witnesses {
			if w.Key.Name() == sig.Name && w.Key.KeyID() == sig.KeyID && !pol.NoWitnesses() {
				return true
			}
		}
		return false
	}
	p.Note.Signatures = slices.DeleteFunc(p.Note.Signatures, func(s checkpoint.Signature) bool { return !pinned(s) })
	slices.SortFunc(p.Note.Signatures, func(a, b checkpoint.Signature) int { return strings.Compare(a.String(), b.String()) })
	p.Extra.Consistency, p.Extra.Revocation = nil, nil
	signer := memberOf(p.Extra.Receipt, `"kernel_key":"`)
	var used []timeline.MapProof
	for _, w := range p.Extra.Writer {
		if isKey(w, signer) && used == nil {
			used = append(used, w)
		}
	}
	// A timeline key needs no proof that it is a writer.
	if signer == memberOf(p.Extra.Status.Leaf, `"kernel_key":"`) {
		used = nil
	}
	p.Extra.Writer = used
	return p.Bytes()
}

func isKey(p timeline.MapProof, text string) bool {
	for _, k := range []tlogtest.Key{writerKey, leaverKey, suspectKey, nobody} {
		if k.Text() == text && k.ID() == p.Key {
			return true
		}
	}
	return false
}

// TestMutations changes good bundles at random. None of the changed ones may
// be verified unless nothing that is judged has changed, and each of the others
// must have a failure with its class.
func TestMutations(t *testing.T) {
	m := &mutator{Rand: rand.New(rand.NewPCG(1, 2)), t: t, samples: newSamples(t)}
	classes, harmless, made := map[string]int{}, map[string]int{}, 0
	for made < mutations {
		s := m.samples[m.IntN(len(m.samples))]
		mu := allMutations[made%len(allMutations)]
		data, p := mu.do(m, s)
		made++
		if data == nil || bytes.Equal(data, s.data) && p == s.policy {
			continue
		}
		r := bundle.Verify(data, bundle.Options{Policy: p})
		switch {
		case r.Verdict == bundle.Verified || r.Verdict == bundle.Suspect:
			harmless[mu.name]++
			if !mu.mayVerify || r.Verdict != bundle.Verified || claims(r) != s.claims && p == s.policy || !m.equivalent(data, s.data, p) {
				t.Fatalf("%s, %s: %s\nwas\n%s\nis\n%s", s.name, mu.name, r.Verdict, s.data, data)
			}
		case r.Failure == nil || r.Failure.Class == "" || r.Failure.Rule == "" || r.Failure.Err == nil:
			t.Fatalf("%s, %s: %s without a failure", s.name, mu.name, r.Verdict)
		default:
			classes[fmt.Sprintf("%s %s", r.Failure.Rule, r.Failure.Class)]++
		}
	}
	for _, counts := range []map[string]int{classes, harmless} {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			t.Logf("%6d %s", counts[name], name)
		}
		t.Log()
	}
	for _, class := range []bundle.Class{
		bundle.ClassLimits, bundle.ClassOrigin, bundle.ClassSignature, bundle.ClassQuorum, bundle.ClassNoStatus, bundle.ClassStatus,
		bundle.ClassTimelineIncomplete, bundle.ClassPin, bundle.ClassSignerOutOfRange, bundle.ClassInclusion, bundle.ClassNoReceipt, bundle.ClassWriter,
	} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(classes)), func(c string) bool { return strings.HasSuffix(c, " "+string(class)) }) {
			t.Errorf("no mutation came to %s", class)
		}
	}
}
