package checkpoint

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/tile"
	"golang.org/x/mod/sumdb/tlog"
)

const emptyRoot = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

func TestParseRefuses(t *testing.T) {
	const root = "Ph9uO5DuwfYZikYwhx0zZacnyuO9E0aFobaz2JY1ot8="
	const good = "example.com/log\n17\n" + root + "\n"
	size := func(text string) string { return "example.com/log\n" + text + "\n" + root + "\n" }
	for _, c := range []refusal{
		{"CP-1 three lines", good, "example.com/log\n17\n", ErrCheckpoint},
		{"CP-1 no empty line", good + "ext\n", good + "\next\n", ErrCheckpoint},
		{"CP-1 line feed at the end", good, strings.TrimSuffix(good, "\n"), ErrCheckpoint},
		{"CP-2 origin not empty", good, strings.TrimPrefix(good, "example.com/log"), ErrCheckpoint},
		{"CP-2 origin of any shape", "go.sum database tree\n17\n" + root + "\n", "\n17\n" + root + "\n", ErrCheckpoint},
		{"CP-3 decimal", good, size("0x17"), ErrCheckpoint},
		{"CP-3 no sign", good, size("+17"), ErrCheckpoint},
		{"CP-3 no minus", good, size("-17"), ErrCheckpoint},
		{"CP-3 no leading zero", good, size("017"), ErrCheckpoint},
		{"CP-3 no underscore", good, size("1_7"), ErrCheckpoint},
		{"CP-3 no space", good, size("17 "), ErrCheckpoint},
		{"CP-4 32 bytes", good, "example.com/log\n17\n" + base64.StdEncoding.EncodeToString(make([]byte, 31)) + "\n", ErrCheckpoint},
		{"CP-4 canonical base64", good, strings.Replace(good, "ot8=", "ot9=", 1), ErrCheckpoint},
		{"CP-4 root of size 0", "example.com/log\n0\n" + emptyRoot + "\n", size("0"), ErrCheckpoint},
		{"CP-4 0 is written once", "example.com/log\n0\n" + emptyRoot + "\n", "example.com/log\n00\n" + emptyRoot + "\n", ErrCheckpoint},
		{"CP-5 extension not empty", good + "ext\n", good + "\n", ErrCheckpoint},
		{"CP-10 size below 2^63", size("9223372036854775807"), size("9223372036854775808"), ErrCheckpoint},
		{"SN-1 control character", good + "é\n", good + "\x01\n", ErrCheckpoint},
		{"SN-1 UTF-8", good + "é\n", good + "\xe9\n", ErrCheckpoint},
	} {
		if cp, err := Parse(c.good); err != nil || cp.String() != c.good {
			t.Errorf("%s: neighbour is refused: %v", c.name, err)
		}
		if _, err := Parse(c.bad); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestTesseraLog rebuilds a whole log of another implementation at each of its
// sizes from its entry bundles, and compares tiles, roots and all proofs.
func TestTesseraLog(t *testing.T) {
	const dir = "../../testdata/tlog/tessera-log"
	const origin, size = "example.com/log/testdata", 15
	key, err := ParseVKey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
	if err != nil {
		t.Fatal(err)
	}
	var roots [size + 1][32]byte
	var leaves [][32]byte
	var stored []tlog.Hash // in the order of x/mod's storage
	var frontier Frontier
	for n := range uint64(size + 1) {
		data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("checkpoint.%d", n)))
		if err != nil {
			t.Fatal(err)
		}
		note, _, err := Open(data, key)
		if err != nil {
			t.Fatal(err)
		}
		cp, err := Parse(note.Text)
		if err != nil || cp.Origin != origin || cp.Size != n {
			t.Fatalf("checkpoint %d: %+v, %v", n, cp, err)
		}
		roots[n] = cp.Root
		if n > 0 {
			leaf := lastLeaf(t, dir, n)
			leaves = append(leaves, leaf)
			frontier.Append(leaf)
			more, err := tlog.StoredHashesForRecordHash(int64(n-1), tlog.Hash(leaf), hashes(stored))
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, more...)
			compareTile(t, dir, n, leaves)
		}
		if frontier.Root() != cp.Root {
			t.Errorf("size %d: the root differs", n)
		}
		provePrefixes(t, n, leaves, roots[:], hashes(stored))
	}
}

// lastLeaf returns the leaf hash of the last entry of the bundle of width n.
func lastLeaf(t *testing.T, dir string, n uint64) [32]byte {
	t.Helper()
	bundle, err := os.ReadFile(filepath.Join(dir, tile.EntriesPath(0, int(n))))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := tile.ParseBundle(bundle, int(n))
	if err != nil {
		t.Fatal(err)
	}
	return LeafHash(entries[n-1])
}

func compareTile(t *testing.T, dir string, n uint64, leaves [][32]byte) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, tile.Path(0, 0, int(n))))
	if err != nil {
		t.Fatal(err)
	}
	got, err := tile.ParseHashes(data, int(n))
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i] != leaves[i] {
			t.Errorf("size %d: hash %d of the tile differs", n, i)
		}
	}
}

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = h[index]
	}
	return out, nil
}

// provePrefixes verifies with our functions the proofs that x/mod makes, from
// every size to n and for every leaf, and refuses them for any other size.
func provePrefixes(t *testing.T, n uint64, leaves [][32]byte, roots [][32]byte, stored hashes) {
	t.Helper()
	path := func(proof []tlog.Hash) (out [][32]byte) {
		for _, h := range proof {
			out = append(out, h)
		}
		return out
	}
	for m := uint64(1); m <= n; m++ {
		tree, err := tlog.ProveTree(int64(n), int64(m), stored)
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyConsistency(m, n, path(tree), roots[m], roots[n]); err != nil {
			t.Error(err)
		}
		if m < n && VerifyConsistency(m, n, path(tree), roots[m-1], roots[n]) == nil {
			t.Errorf("%d to %d: another root is proved", m, n)
		}
		record, err := tlog.ProveRecord(int64(n), int64(m-1), stored)
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyInclusion(leaves[m-1], m-1, n, path(record), roots[n]); err != nil {
			t.Error(err)
		}
		if n > 1 && VerifyInclusion(leaves[m-1], m%n, n, path(record), roots[n]) == nil {
			t.Errorf("leaf %d of %d is proved elsewhere", m-1, n)
		}
	}
}

func TestSplitViewErrorShowsBoth(t *testing.T) {
	a := signed(t, "example.com/log\n1\n"+emptyRoot+"\n", "example.com/log", 1)
	b := signed(t, "example.com/log\n1\nPh9uO5DuwfYZikYwhx0zZacnyuO9E0aFobaz2JY1ot8=\n", "example.com/log", 1)
	text := (&SplitViewError{A: a, B: b}).Error()
	if !strings.Contains(text, a.String()) || !strings.Contains(text, b.String()) {
		t.Errorf("%s", text)
	}
}

func FuzzCheckpoint(f *testing.F) {
	f.Add("example.com/log\n17\nPh9uO5DuwfYZikYwhx0zZacnyuO9E0aFobaz2JY1ot8=\n")
	f.Add("example.com/log\n0\n" + emptyRoot + "\next\n")
	f.Fuzz(func(t *testing.T, text string) {
		cp, err := Parse(text)
		if err != nil {
			return
		}
		if cp.String() != text {
			t.Fatalf("%q is printed as %q", text, cp)
		}
		if cp.Size > MaxSize {
			t.Fatalf("size %d", cp.Size)
		}
	})
}
