package checkpoint

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// hashes32 converts hashes of a vector. Another length than 32 bytes cannot be
// said with our types (MK-4); ok is false then.
func hashes32(list ...[]byte) (out [][32]byte, ok bool) {
	for _, h := range list {
		if len(h) != 32 {
			return nil, false
		}
		out = append(out, [32]byte(h))
	}
	return out, true
}

func checkInclusion(leaf, root []byte, index, size uint64, proof [][]byte) error {
	ends, ok := hashes32(leaf, root)
	path, okPath := hashes32(proof...)
	if !ok || !okPath {
		return ErrProof
	}
	return VerifyInclusion(ends[0], index, size, path, ends[1])
}

func checkConsistency(m, n uint64, rootM, rootN []byte, proof [][]byte) error {
	ends, ok := hashes32(rootM, rootN)
	path, okPath := hashes32(proof...)
	if !ok || !okPath {
		return ErrProof
	}
	return VerifyConsistency(m, n, path, ends[0], ends[1])
}

func TestMK_Vectors(t *testing.T) {
	var v struct {
		Leaves    [][]byte
		Roots     map[string][]byte
		Inclusion []struct {
			Index, Size uint64
			LeafHash    []byte `json:"leaf_hash"`
			Root        []byte
			Proof       [][]byte
			Valid       bool
			Why         string
		}
		Consistency []struct {
			Size1, Size2 uint64
			Root1, Root2 []byte
			Proof        [][]byte
			Valid        bool
			Why          string
		}
	}
	readVector(t, "tlog/generated/merkle.json", &v)
	var f Frontier
	for n := 0; ; n++ {
		if want, ok := v.Roots[strconv.Itoa(n)]; ok && f.Root() != [32]byte(want) {
			t.Errorf("MK-1: root of size %d differs", n)
		}
		if n == len(v.Leaves) {
			break
		}
		f.Append(LeafHash(v.Leaves[n]))
	}
	for i, c := range v.Inclusion {
		err := checkInclusion(c.LeafHash, c.Root, c.Index, c.Size, c.Proof)
		if (err == nil) != c.Valid || err != nil && !errors.Is(err, ErrProof) {
			t.Errorf("MK-2 inclusion %d, leaf %d of %d, %s: %v", i, c.Index, c.Size, c.Why, err)
		}
	}
	for i, c := range v.Consistency {
		err := checkConsistency(c.Size1, c.Size2, c.Root1, c.Root2, c.Proof)
		if (err == nil) != c.Valid || err != nil && !errors.Is(err, ErrProof) {
			t.Errorf("MK-3 consistency %d, %d to %d, %s: %v", i, c.Size1, c.Size2, c.Why, err)
		}
	}
}

func TestMK_Probes(t *testing.T) {
	probes := 0
	err := filepath.WalkDir("../../testdata/tlog/merkle", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var c struct {
			LeafIdx, TreeSize, Size1, Size2 uint64
			Root, LeafHash, Root1, Root2    []byte
			Proof                           [][]byte
			WantErr                         bool
		}
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		var got error
		if strings.Contains(filepath.ToSlash(path), "/inclusion/") {
			got = checkInclusion(c.LeafHash, c.Root, c.LeafIdx, c.TreeSize, c.Proof)
		} else {
			got = checkConsistency(c.Size1, c.Size2, c.Root1, c.Root2, c.Proof)
		}
		if (got != nil) != c.WantErr {
			t.Errorf("%s: %v", path, got)
		}
		probes++
		return nil
	})
	if err != nil || probes == 0 {
		t.Fatalf("%d probes, %v", probes, err)
	}
}

func TestMK_3_Bounds(t *testing.T) {
	empty, other := EmptyRoot(), [32]byte{1}
	for _, c := range []struct {
		name         string
		m, n         uint64
		path         [][32]byte
		rootM, rootN [32]byte
		ok           bool
	}{
		{"from 0", 0, 5, nil, empty, other, true},
		{"from 0 with another root", 0, 5, nil, other, other, false},
		{"from 0 with a path", 0, 5, [][32]byte{other}, empty, other, false},
		{"equal", 5, 5, nil, other, other, true},
		{"equal with another root", 5, 5, nil, empty, other, false},
		{"equal with a path", 5, 5, [][32]byte{other}, other, other, false},
		{"backwards", 6, 5, nil, other, other, false},
	} {
		if err := VerifyConsistency(c.m, c.n, c.path, c.rootM, c.rootN); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if VerifyInclusion(other, 1, 1, nil, other) == nil || VerifyInclusion(other, 0, 0, nil, other) == nil {
		t.Error("MK-2: an index beyond the size is proved")
	}
	if err := VerifyInclusion(other, 0, 1, nil, other); err != nil {
		t.Errorf("MK-2: the tree of one leaf: %v", err)
	}
}

// TestFrontier compares ours with that of transparency-dev/merkle, and continues
// each from its stored form.
func TestFrontier(t *testing.T) {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	theirs := factory.NewEmptyRange(0)
	var f Frontier
	for i := range 600 {
		before := f
		leaf := LeafHash([]byte{byte(i), byte(i >> 8)})
		f.Append(leaf)
		if err := theirs.Append(leaf[:], nil); err != nil {
			t.Fatal(err)
		}
		root, err := theirs.GetRootHash(nil)
		if err != nil || f.Root() != [32]byte(root) {
			t.Fatalf("size %d: the root differs, %v", i+1, err)
		}
		for j, h := range theirs.Hashes() {
			if f.Hashes()[j] != [32]byte(h) {
				t.Fatalf("size %d: hash %d differs", i+1, j)
			}
		}
		resumed, err := NewFrontier(before.Size(), before.Hashes())
		if err != nil {
			t.Fatal(err)
		}
		if resumed != before || before.Clone() != before {
			t.Fatalf("size %d: stored and read again, the frontier differs", i)
		}
		resumed.Append(leaf)
		before.Append(leaf)
		if resumed.Root() != f.Root() || before.Root() != f.Root() || resumed.Size() != f.Size() {
			t.Fatalf("size %d: continued, the root differs", i+1)
		}
	}
	if _, err := NewFrontier(3, f.Hashes()[:1]); !errors.Is(err, ErrFrontier) {
		t.Errorf("one hash for size 3: %v", err)
	}
	if _, err := NewFrontier(3, f.Hashes()[:2]); err != nil {
		t.Errorf("two hashes for size 3: %v", err)
	}
}

func BenchmarkFrontierAppend(b *testing.B) {
	var f Frontier
	for b.Loop() {
		f.Append([32]byte{1})
	}
}
