package tile

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func readVector(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../testdata/tlog", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestTT_10_RightEdge compares the right edge of published sizes with Needed
// and with the paths.
func TestTT_10_RightEdge(t *testing.T) {
	var v struct {
		Cases []struct {
			Size   uint64
			Levels []struct {
				Level        int
				FullTiles    uint64 `json:"full_tiles"`
				LastFullPath string `json:"last_full_path"`
				PartialPath  string `json:"partial_path"`
				PartialWidth int    `json:"partial_width"`
			}
			PartialBundle string `json:"partial_bundle"`
		}
	}
	readVector(t, "generated/tile-paths.json", &v)
	if len(v.Cases) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range v.Cases {
		var want []string
		if c.PartialBundle != "" {
			want = append(want, c.PartialBundle)
		}
		for _, l := range c.Levels {
			if got := PartialWidth(l.Level, c.Size); got != l.PartialWidth {
				t.Errorf("PartialWidth(%d, %d) = %d, want %d", l.Level, c.Size, got, l.PartialWidth)
			}
			if got := WidthAt(l.Level, l.FullTiles, c.Size); got != l.PartialWidth {
				t.Errorf("WidthAt(%d, %d, %d) = %d, want %d", l.Level, l.FullTiles, c.Size, got, l.PartialWidth)
			}
			if WidthAt(l.Level, l.FullTiles+1, c.Size) != 0 {
				t.Errorf("size %d has a tile beyond its right edge at level %d", c.Size, l.Level)
			}
			if l.FullTiles > 0 {
				if got := Path(l.Level, l.FullTiles-1, Width); got != l.LastFullPath {
					t.Errorf("last full tile of level %d is %s, want %s", l.Level, got, l.LastFullPath)
				}
				if WidthAt(l.Level, l.FullTiles-1, c.Size) != Width {
					t.Errorf("tile %s is not full", l.LastFullPath)
				}
			}
			if l.PartialPath != "" {
				want = append(want, l.PartialPath)
			}
		}
		if levels := len(c.Levels); PartialWidth(levels, c.Size) != 0 || WidthAt(levels, 0, c.Size) != 0 {
			t.Errorf("size %d has a level %d", c.Size, levels)
		}
		// Growing by less than a full tile names exactly the last tiles.
		var got []string
		for tile := range Grown(c.Size-min(c.Size, 1), c.Size) {
			if !tile.Full() {
				got = append(got, tile.Path())
			}
		}
		for _, path := range got {
			if !slices.Contains(want, path) {
				t.Errorf("size %d: %s is not at its right edge", c.Size, path)
			}
		}
		for _, path := range want {
			if tile, err := ParsePath(path); err != nil || tile.Path() != path {
				t.Errorf("ParsePath(%s) = %+v, %v", path, tile, err)
			}
		}
	}
}

func TestNeeded(t *testing.T) {
	counts := func(size uint64) (full, partial [4]int) {
		for tile := range Needed(size) {
			if tile.Full() {
				full[tile.Level+1]++
			} else {
				partial[tile.Level+1] = tile.Width
			}
		}
		return full, partial
	}
	full, partial := counts(70000)
	if full != [4]int{273, 273, 1, 0} || partial != [4]int{112, 112, 17, 1} {
		t.Errorf("Needed(70000): %v full, partial widths %v", full, partial)
	}
	full, partial = counts(256)
	if full != [4]int{1, 1, 0, 0} || partial != [4]int{0, 0, 1, 0} {
		t.Errorf("Needed(256): %v full, partial widths %v", full, partial)
	}
	for range Needed(0) {
		t.Error("the empty tree needs a tile")
	}
	for range Grown(300, 300) {
		t.Error("a tree that has not grown needs a tile")
	}
	for tile := range Needed(1000) {
		if tile.Index == 1 {
			break // an iterator that is left early stops
		}
	}
}

// TestGrown checks that what each step adds is all that a size needs.
func TestGrown(t *testing.T) {
	have := map[Tile]bool{}
	sizes := []uint64{1, 2, 255, 256, 257, 511, 512, 700, 65535, 65536, 65537, 66000}
	old := uint64(0)
	for _, size := range sizes {
		for tile := range Grown(old, size) {
			if have[tile] {
				t.Errorf("%s comes again from %d to %d", tile.Path(), old, size)
			}
			if tile.End() > size || tile.End() <= old && tile.Level <= 0 {
				t.Errorf("%s ends at %d, from %d to %d", tile.Path(), tile.End(), old, size)
			}
			have[tile] = true
		}
		for tile := range Needed(size) {
			if !have[tile] {
				t.Errorf("size %d: %s is missing", size, tile.Path())
			}
		}
		old = size
	}
	for tile := range Grown(1<<64-2, 1<<64-1) {
		if tile.Width != 255 {
			t.Errorf("largest tree: %+v", tile)
		}
	}
}

func TestTT_6_IndexGroups(t *testing.T) {
	var v struct {
		TileIndex []struct {
			N    uint64
			Path string
		} `json:"tile_index"`
	}
	readVector(t, "examples.json", &v)
	v.TileIndex = append(v.TileIndex, struct {
		N    uint64
		Path string
	}{1<<64 - 1, "x018/x446/x744/x073/x709/x551/615"})
	for _, c := range v.TileIndex {
		for _, path := range []string{"tile/0/" + c.Path, "tile/63/" + c.Path + ".p/1", "tile/entries/" + c.Path + ".p/255"} {
			tile, err := ParsePath(path)
			if err != nil || tile.Index != c.N || tile.Path() != path {
				t.Errorf("ParsePath(%s) = %+v, %v", path, tile, err)
			}
		}
	}
	if got := Path(2, 1234067, 5); got != "tile/2/x001/x234/067.p/5" {
		t.Errorf("Path = %s", got)
	}
	if got := EntriesPath(999, Width); got != "tile/entries/999" {
		t.Errorf("EntriesPath = %s", got)
	}
}

func TestParsePathRefuses(t *testing.T) {
	var v struct{ Malformed []string }
	readVector(t, "generated/tile-paths.json", &v)
	for _, path := range v.Malformed {
		if tile, err := ParsePath(path); !errors.Is(err, ErrPath) {
			t.Errorf("ParsePath(%q) = %+v, %v", path, tile, err)
		}
	}
	// Each rule with a neighbour that differs in that rule only.
	for _, c := range []struct{ rule, good, bad string }{
		{"TT-5 level without leading zeros", "tile/1/000", "tile/01/000"},
		{"TT-5 level at most 63", "tile/63/000", "tile/64/000"},
		{"TT-5 prefix", "tile/0/000", "/tile/0/000"},
		{"TT-6 three digits", "tile/0/012", "tile/0/12"},
		{"TT-6 no empty group", "tile/0/x001/012", "tile/0/x000/012"},
		{"TT-6 x on all but the last", "tile/0/x001/012", "tile/0/001/012"},
		{"TT-6 no x on the last", "tile/0/x001/012", "tile/0/x001/x012"},
		{"TT-6 index below 2^64", "tile/0/x018/x446/x744/x073/x709/x551/615", "tile/0/x018/x446/x744/x073/x709/x551/616"},
		{"TT-7 width at least 1", "tile/0/000.p/1", "tile/0/000.p/0"},
		{"TT-7 width at most 255", "tile/0/000.p/255", "tile/0/000.p/256"},
		{"TT-7 width without leading zeros", "tile/0/000.p/1", "tile/0/000.p/01"},
		{"TT-13 bundle width", "tile/entries/000.p/255", "tile/entries/000.p/256"},
		{"TT-13 name", "tile/entries/000", "tile/data/000"},
	} {
		if _, err := ParsePath(c.good); err != nil {
			t.Errorf("%s: %v", c.rule, err)
		}
		if _, err := ParsePath(c.bad); !errors.Is(err, ErrPath) {
			t.Errorf("%s: %s is accepted: %v", c.rule, c.bad, err)
		}
	}
}

func TestTT_7_NoNameForEmptyTile(t *testing.T) {
	for _, tile := range []Tile{{0, 0, 0}, {0, 0, 257}, {64, 0, 1}, {-2, 0, 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v has a path", tile)
				}
			}()
			tile.Path()
		}()
	}
}

func TestTT_14_EntryBundles(t *testing.T) {
	var v struct {
		Cases []struct {
			Bundle     []byte `json:"bundle_b64"`
			Entries    int
			LeafHashes [][]byte `json:"leaf_hashes"`
			OK         bool
			Why        string
		}
	}
	readVector(t, "generated/entry-bundles.json", &v)
	for i, c := range v.Cases {
		entries, err := ParseBundle(c.Bundle, c.Entries)
		if !c.OK {
			if !errors.Is(err, ErrContent) {
				t.Errorf("case %d (%s): %v", i, c.Why, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		var again []byte
		for j, entry := range entries {
			leaf := sha256.Sum256(append([]byte{0}, entry...))
			if !slices.Equal(leaf[:], c.LeafHashes[j]) {
				t.Errorf("case %d: leaf hash of entry %d differs", i, j)
			}
			if again, err = AppendEntry(again, entry); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(again, c.Bundle) {
			t.Errorf("case %d: written again, the bundle differs", i)
		}
		for _, width := range []int{c.Entries - 1, c.Entries + 1} {
			if _, err := ParseBundle(c.Bundle, width); !errors.Is(err, ErrContent) {
				t.Errorf("case %d: parses with %d entries: %v", i, width, err)
			}
		}
	}
}

func TestTT_14_EntryLength(t *testing.T) {
	bundle, err := AppendEntry(nil, make([]byte, MaxEntry))
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := ParseBundle(bundle, 1); err != nil || len(entries[0]) != MaxEntry {
		t.Errorf("longest entry: %v", err)
	}
	if _, err := AppendEntry(nil, make([]byte, MaxEntry+1)); !errors.Is(err, ErrEntryTooLong) {
		t.Errorf("entry of 65,536 bytes: %v", err)
	}
}

func TestTT_8_TileLength(t *testing.T) {
	data := make([]byte, FullSize)
	for i := range data {
		data[i] = byte(i / HashSize)
	}
	for _, c := range []struct {
		bytes, width int
		want         error
	}{
		{FullSize, 256, nil}, {FullSize - 1, 256, ErrContent}, {FullSize, 255, ErrContent},
		{32, 1, nil}, {33, 1, ErrContent}, {31, 1, ErrContent}, {0, 0, ErrContent}, {0, 1, ErrContent},
	} {
		hashes, err := ParseHashes(data[:c.bytes], c.width)
		if !errors.Is(err, c.want) {
			t.Errorf("%d bytes for width %d: %v", c.bytes, c.width, err)
		}
		for i, h := range hashes {
			if h[0] != byte(i) || h[31] != byte(i) {
				t.Errorf("hash %d is wrong", i)
			}
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, path := range []string{"tile/0/000", "tile/entries/x001/234.p/5", "tile/63/x018/x446/x744/x073/x709/x551/615.p/255", "tile/0/x000/1"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		tile, err := ParsePath(path)
		if err == nil && tile.Path() != path {
			t.Errorf("ParsePath(%q) = %+v, which is %s", path, tile, tile.Path())
		}
	})
}

func FuzzBundle(f *testing.F) {
	f.Add([]byte{0, 1, 7, 0, 0}, 2)
	f.Fuzz(func(t *testing.T, data []byte, width int) {
		entries, err := ParseBundle(data, width)
		if err != nil {
			return
		}
		var again []byte
		for _, entry := range entries {
			again, _ = AppendEntry(again, entry)
		}
		if !slices.Equal(again, data) || len(entries) != width {
			t.Error("written again, the bundle differs")
		}
	})
}
