package tilestore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/chiolog/chiolog/formats/tile"
	"github.com/chiolog/chiolog/logserver/tilestore/storetest"
	"github.com/google/trillian"
	"github.com/transparency-dev/merkle/compact"
)

func leaves(values ...[]byte) []*trillian.LogLeaf {
	var made []*trillian.LogLeaf
	for _, v := range values {
		made = append(made, storetest.Leaf(v))
	}
	return made
}

// copyDir copies a closed store.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// segmentFiles returns the paths of a store's segments, the oldest first.
func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, ".state", "segments", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// checkFiles checks that the files of a tree of the leaves [0, size) are byte
// for byte what tlog-tiles says (TT-8 to TT-14).
func checkFiles(t testing.TB, dir string, size int) {
	t.Helper()
	nodes := storetest.Nodes(size)
	for name := range tile.Needed(uint64(size)) {
		var want []byte
		for i := name.Index * tile.Width; i < name.Index*tile.Width+uint64(name.Width); i++ {
			if name.Level == tile.Entries {
				want, _ = tile.AppendEntry(want, storetest.Value(int(i)))
			} else {
				want = append(want, nodes[compact.NodeID{Level: uint(8 * name.Level), Index: i}]...)
			}
		}
		got, err := os.ReadFile(filepath.Join(dir, name.Path()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("size %d: %s has %d bytes that differ from the %d it should have: %v", size, name.Path(), len(got), len(want), err)
		}
	}
}
