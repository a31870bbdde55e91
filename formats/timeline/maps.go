package timeline

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// A Map is a set of 32-byte keys with canonical JSON values, committed to by
// one root: a binary trie whose subtrees of one entry are a single hash (S-4).
// The zero value is the empty map.
type Map struct {
	entries []mapEntry // sorted by key
}

type mapEntry struct {
	key   chio.Hash
	value []byte // canonical JSON
	leaf  [32]byte
}

// Len returns the number of entries.
func (m *Map) Len() int { return len(m.entries) }

// Set puts value, canonical JSON, under key.
func (m *Map) Set(key chio.Hash, value []byte) {
	e := mapEntry{key: key, value: value, leaf: mapLeaf(key, value)}
	i, ok := m.find(key)
	if ok {
		m.entries[i] = e
		return
	}
	m.entries = slices.Insert(m.entries, i, e)
}

// Get returns the value under key.
func (m *Map) Get(key chio.Hash) ([]byte, bool) {
	i, ok := m.find(key)
	if !ok {
		return nil, false
	}
	return m.entries[i].value, true
}

func (m *Map) find(key chio.Hash) (int, bool) {
	return slices.BinarySearchFunc(m.entries, key, func(e mapEntry, k chio.Hash) int { return bytes.Compare(e.key[:], k[:]) })
}

// Root returns the root; 32 zero bytes for the empty map.
func (m *Map) Root() chio.Hash { return mapRoot(m.entries, 0) }

// mapRoot hashes the subtree at depth that holds entries.
func mapRoot(entries []mapEntry, depth int) [32]byte {
	switch len(entries) {
	case 0:
		return [32]byte{}
	case 1:
		return entries[0].leaf
	}
	i := split(entries, depth)
	return mapNode(mapRoot(entries[:i], depth+1), mapRoot(entries[i:], depth+1))
}

// split returns the number of entries whose bit at depth is 0. Entries that
// share all bits before depth are sorted by it.
func split(entries []mapEntry, depth int) int {
	i, _ := slices.BinarySearchFunc(entries, 1, func(e mapEntry, one int) int { return cmp.Compare(bit(e.key, depth), one) })
	return i
}

// bit returns bit i of a key, counted from the most significant.
func bit(key chio.Hash, i int) int { return int(key[i/8]>>(7-i%8)) & 1 }

func mapLeaf(key chio.Hash, value []byte) [32]byte {
	v := sha256.Sum256(value)
	return sha256.Sum256(append(append([]byte{0}, key[:]...), v[:]...))
}

func mapNode(left, right [32]byte) [32]byte {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// A MapProof shows what a map with some root has under a key: a value, or
// nothing (S-4). Siblings are concatenated 32-byte hashes from the root down.
type MapProof struct {
	End      string          `json:"end"`
	Key      chio.Hash       `json:"key"`
	Other    *OtherEntry     `json:"other,omitempty"`
	Siblings []byte          `json:"siblings"`
	Value    json.RawMessage `json:"value,omitempty"`
}

// An OtherEntry is the entry that a proof of absence ends in.
type OtherEntry struct {
	Key   chio.Hash       `json:"key"`
	Value json.RawMessage `json:"value"`
}

// The ends of a MapProof.
const (
	EndEntry = "entry" // the key is in the map, with Value
	EndOther = "other" // another entry with the same prefix is alone there
	EndEmpty = "empty" // the subtree is empty
)

// Prove returns the proof of what the map has under key.
func (m *Map) Prove(key chio.Hash) MapProof {
	p := MapProof{Key: key, Siblings: []byte{}}
	entries := m.entries
	for depth := 0; len(entries) > 1; depth++ {
		i := split(entries, depth)
		in, out := entries[:i], entries[i:]
		if bit(key, depth) == 1 {
			in, out = out, in
		}
		sibling := mapRoot(out, depth+1)
		p.Siblings = append(p.Siblings, sibling[:]...)
		entries = in
	}
	switch {
	case len(entries) == 0:
		p.End = EndEmpty
	case entries[0].key == key:
		p.End, p.Value = EndEntry, entries[0].value
	default:
		p.End, p.Other = EndOther, &OtherEntry{Key: entries[0].key, Value: entries[0].value}
	}
	return p
}

// Verify checks the proof under root and reports whether the key is in the
// map. One root can never prove both.
func (p *MapProof) Verify(root chio.Hash) (present bool, err error) {
	depth := len(p.Siblings) / 32
	if p.Siblings == nil || len(p.Siblings)%32 != 0 || depth > 256 {
		// Nil is what JSON's null decodes to; no siblings are an empty text.
		return false, fmt.Errorf("map proof: %d bytes of siblings", len(p.Siblings))
	}
	h, err := p.end(depth)
	if err != nil {
		return false, fmt.Errorf("map proof: %w", err)
	}
	for d := depth; d > 0; d-- {
		sibling := [32]byte(p.Siblings[(d-1)*32 : d*32])
		if d == depth && sibling == ([32]byte{}) {
			return false, errors.New("map proof: the last sibling is an empty subtree")
		}
		if bit(p.Key, d-1) == 0 {
			h = mapNode(h, sibling)
		} else {
			h = mapNode(sibling, h)
		}
	}
	if h != root {
		return false, fmt.Errorf("map proof: leads to root %s, not %s", chio.Hash(h), root)
	}
	return p.End == EndEntry, nil
}

// end returns the hash of the subtree that the proof ends in.
func (p *MapProof) end(depth int) (h [32]byte, err error) {
	if (p.Value != nil) != (p.End == EndEntry) || (p.Other != nil) != (p.End == EndOther) {
		return h, fmt.Errorf("members do not fit the end %.20q", p.End)
	}
	switch p.End {
	case EndEntry:
		return mapLeaf(p.Key, p.Value), jcs.Check(p.Value, jcs.StrictNumbers)
	case EndEmpty:
		return h, nil
	case EndOther:
		if p.Other.Key == p.Key {
			return h, errors.New("the other entry has the key itself")
		}
		for i := range depth {
			if bit(p.Other.Key, i) != bit(p.Key, i) {
				return h, fmt.Errorf("the other entry's key differs in bit %d of %d", i, depth)
			}
		}
		return mapLeaf(p.Other.Key, p.Other.Value), jcs.Check(p.Other.Value, jcs.StrictNumbers)
	}
	return h, fmt.Errorf("end %.20q is not known", p.End)
}
