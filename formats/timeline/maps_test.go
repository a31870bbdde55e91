package timeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// sampleMap has n entries, the values of which are positions.
func sampleMap(n int) *Map {
	var m Map
	for i := range n {
		m.Set(sha256.Sum256([]byte{byte(i)}), fmt.Appendf(nil, `{"from":%d}`, i+1))
	}
	return &m
}

// proofWith returns a proof in m that ends as asked for, with at least two
// siblings.
func proofWith(t *testing.T, m *Map, end string) MapProof {
	t.Helper()
	for i := range 4096 {
		key := chio.Hash(sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
		if end == EndEntry {
			key = m.entries[i%m.Len()].key
		}
		if p := m.Prove(key); p.End == end && len(p.Siblings) >= 64 {
			return p
		}
	}
	t.Fatalf("no proof ends in %s", end)
	return MapProof{}
}

func TestS_4_EmptyMap(t *testing.T) {
	var m Map
	if m.Root() != (chio.Hash{}) || m.Len() != 0 || m.Status() != (MapStatus{}) {
		t.Errorf("root %s of %d entries", m.Root(), m.Len())
	}
	p := m.Prove(chio.Hash{1})
	if present, err := p.Verify(m.Root()); present || err != nil {
		t.Errorf("present %t, %v", present, err)
	}
}

func TestS_4_Proofs(t *testing.T) {
	m := sampleMap(16)
	neighbour := func(p *MapProof) { p.Siblings[0] ^= 1 }
	for _, tt := range []struct {
		name string
		end  string
		edit func(*MapProof) // nil is the good proof
	}{
		{"entry", EndEntry, nil},
		{"entry with another value", EndEntry, func(p *MapProof) { p.Value = []byte(`{"from":99}`) }},
		{"entry whose value is not canonical", EndEntry, func(p *MapProof) { p.Value = []byte(` {"from":1}`) }},
		{"entry without value", EndEntry, func(p *MapProof) { p.Value = nil }},
		{"entry with other", EndEntry, func(p *MapProof) { p.Other = &OtherEntry{Key: chio.Hash{1}, Value: []byte("1")} }},
		{"entry called empty", EndEntry, func(p *MapProof) { p.End, p.Value = EndEmpty, nil }},
		{"entry called other", EndEntry, func(p *MapProof) {
			p.End, p.Other, p.Value = EndOther, &OtherEntry{Key: p.Key, Value: p.Value}, nil
		}},
		{"entry under another key", EndEntry, func(p *MapProof) { p.Key[31] ^= 1 }},
		{"entry with a changed sibling", EndEntry, neighbour},
		{"entry without its last sibling", EndEntry, func(p *MapProof) { p.Siblings = p.Siblings[:len(p.Siblings)-32] }},
		{"entry with one sibling more", EndEntry, func(p *MapProof) { p.Siblings = append(p.Siblings, make([]byte, 31)...) }},
		{"entry with half a sibling", EndEntry, func(p *MapProof) { p.Siblings = p.Siblings[:len(p.Siblings)-16] }},
		{"entry with siblings in reverse", EndEntry, func(p *MapProof) {
			chunks := slices.Collect(slices.Chunk(slices.Clone(p.Siblings), 32))
			slices.Reverse(chunks)
			p.Siblings = slices.Concat(chunks...)
		}},
		{"other", EndOther, nil},
		{"other with a changed sibling", EndOther, neighbour},
		{"other is missing", EndOther, func(p *MapProof) { p.Other = nil }},
		{"other with a value", EndOther, func(p *MapProof) { p.Value = []byte("1") }},
		{"other with another value", EndOther, func(p *MapProof) { p.Other.Value = []byte("1") }},
		{"other without value", EndOther, func(p *MapProof) { p.Other.Value = nil }},
		{"other off the path", EndOther, func(p *MapProof) { p.Other.Key[0] ^= 0x80 }},
		{"other is the key", EndOther, func(p *MapProof) { p.Key = p.Other.Key }},
		{"other called empty", EndOther, func(p *MapProof) { p.End, p.Other = EndEmpty, nil }},
		{"empty", EndEmpty, nil},
		{"empty with a changed sibling", EndEmpty, neighbour},
		{"empty with a value", EndEmpty, func(p *MapProof) { p.Value = []byte("1") }},
		{"empty called something", EndEmpty, func(p *MapProof) { p.End = "absent" }},
		{"empty called nothing", EndEmpty, func(p *MapProof) { p.End = "" }},
	} {
		p := proofWith(t, m, tt.end)
		if tt.edit != nil {
			tt.edit(&p)
		}
		present, err := p.Verify(m.Root())
		if (err == nil) != (tt.edit == nil) || present != (tt.edit == nil && tt.end == EndEntry) {
			t.Errorf("%s: present %t, %v", tt.name, present, err)
		}
		if _, err := p.Verify(chio.Hash{1}); err == nil {
			t.Errorf("%s: holds under another root", tt.name)
		}
	}
}

// TestS_4_LastSibling: a log that hangs a lone entry one level too deep cannot
// prove it, so that the root does not mean two things.
func TestS_4_LastSibling(t *testing.T) {
	key, value := chio.Hash{0x40}, []byte(`{"from":1}`)
	leaf := mapLeaf(key, value)
	for _, tt := range []struct {
		sibling  [32]byte
		accepted bool
	}{
		{mapLeaf(chio.Hash{0xc0}, value), true},
		{[32]byte{}, false},
	} {
		p := MapProof{End: EndEntry, Key: key, Siblings: tt.sibling[:], Value: value}
		if _, err := p.Verify(mapNode(leaf, tt.sibling)); (err == nil) != tt.accepted {
			t.Errorf("last sibling %x: %v", tt.sibling, err)
		}
	}
	// An empty sibling further up is how keys with a common prefix look.
	var m Map
	m.Set(chio.Hash{0x40}, value)
	m.Set(chio.Hash{0x60}, value)
	p := m.Prove(key)
	if present, err := p.Verify(m.Root()); len(p.Siblings) != 3*32 || !present || err != nil {
		t.Errorf("%d bytes of siblings, present %t, %v", len(p.Siblings), present, err)
	}
}

// TestS_4_OtherSharesThePrefix: an entry that a log put where its key does not
// lead proves nothing.
func TestS_4_OtherSharesThePrefix(t *testing.T) {
	sibling, value := mapLeaf(chio.Hash{0x80}, []byte("1")), []byte("2")
	for _, tt := range []struct {
		other    chio.Hash
		accepted bool
	}{
		{chio.Hash{0x40}, true},
		{chio.Hash{0xc0}, false},
	} {
		root := mapNode(mapLeaf(tt.other, value), sibling)
		p := MapProof{End: EndOther, Key: chio.Hash{0x01}, Siblings: sibling[:], Other: &OtherEntry{Key: tt.other, Value: value}}
		if present, err := p.Verify(root); (err == nil) != tt.accepted || present {
			t.Errorf("other entry %s: present %t, %v", tt.other, present, err)
		}
	}
}

func TestS_4_Depth(t *testing.T) {
	var m Map
	last := chio.Hash{31: 1}
	m.Set(chio.Hash{}, []byte("1"))
	m.Set(last, []byte("2"))
	p := m.Prove(last)
	if present, err := p.Verify(m.Root()); len(p.Siblings) != 256*32 || !present || err != nil {
		t.Errorf("256 siblings: present %t, %v", present, err)
	}
	p.Siblings = append(make([]byte, 32), p.Siblings...)
	if _, err := p.Verify(m.Root()); err == nil {
		t.Error("257 siblings are accepted")
	}
}

// TestS_4_JSON: the form of a member M of the bundle format.
func TestS_4_JSON(t *testing.T) {
	for _, tt := range []struct {
		text     string
		accepted bool
	}{
		{`{"end":"empty","key":"0x%064d","siblings":""}`, true},
		{`{"end":"empty","key":"0x%064d","siblings":null}`, false},
		{`{"end":"empty","key":"0x%064d"}`, false},
		{`{"end":"empty","key":"%064d","siblings":""}`, false},
		{`{"end":"empty","key":"0x%064d","siblings":"","value":null}`, false},
		{`{"end":"empty","key":"0x%064d","other":null,"siblings":""}`, false},
		{`{"end":"empty","key":"0x%064d","root":"","siblings":""}`, false},
		{`{"end":"empty","key":"0x%064d","siblings":"\n"}`, false},
	} {
		var p MapProof
		err := jcs.Unmarshal(fmt.Appendf(nil, tt.text, 1), &p, jcs.StrictNumbers)
		if err == nil {
			_, err = p.Verify(chio.Hash{})
		}
		if (err == nil) != tt.accepted {
			t.Errorf("%s: %v", tt.text, err)
		}
	}
}

// TestMapOrder: the map does not remember in which order it was filled, and
// Set replaces.
func TestMapOrder(t *testing.T) {
	m, back := sampleMap(20), &Map{}
	for _, e := range slices.Backward(m.entries) {
		back.Set(e.key, []byte("1"))
		back.Set(e.key, e.value)
	}
	if m.Root() != back.Root() || m.Len() != back.Len() {
		t.Errorf("roots %s and %s", m.Root(), back.Root())
	}
	for _, e := range m.entries {
		if value, ok := back.Get(e.key); !ok || !bytes.Equal(value, e.value) {
			t.Errorf("key %s has %s", e.key, value)
		}
	}
	if _, ok := m.Get(chio.Hash{}); ok {
		t.Error("a key that nobody set has a value")
	}
}

// FuzzMapProof: what a map proves holds and says the truth; what a stranger
// proves under its root says nothing else.
func FuzzMapProof(f *testing.F) {
	var file mapsVector
	readVector(f, "chiolog/maps.json", &file)
	for _, v := range file.Maps {
		var keys []byte
		for _, e := range v.Entries {
			keys = append(keys, e.Key[:]...)
		}
		for _, p := range v.Proofs {
			f.Add(keys, []byte(canonical(f, p)))
		}
	}
	f.Fuzz(func(t *testing.T, keys, foreign []byte) {
		var m Map
		for key := range slices.Chunk(keys[:len(keys)/32*32], 32) {
			m.Set(chio.Hash(key), fmt.Appendf(nil, `{"from":%d}`, m.Len()+1))
		}
		root := m.Root()
		var p MapProof
		if err := jcs.Unmarshal(foreign, &p, jcs.StrictNumbers); err != nil {
			return
		}
		again, err := jcs.Marshal(p)
		if err != nil || !bytes.Equal(again, foreign) {
			t.Fatalf("printed as %s, %v", again, err)
		}
		value, want := m.Get(p.Key)
		own := m.Prove(p.Key)
		if present, err := own.Verify(root); err != nil || present != want || !bytes.Equal(own.Value, value) {
			t.Fatalf("own proof: present %t, %v, want %t", present, err, want)
		}
		if present, err := p.Verify(root); err == nil && (present != want || !bytes.Equal(p.Value, json.RawMessage(value))) {
			t.Fatalf("foreign proof: present %t with %s, want %t with %s", present, p.Value, want, value)
		}
	})
}
