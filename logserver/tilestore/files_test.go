package tilestore

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/tile"
	"github.com/chiolog/chiolog/logserver/tilestore/storetest"
	"github.com/google/trillian"
	"github.com/google/trillian/storage"
	"github.com/google/trillian/storage/tree"
	"github.com/google/trillian/types"
	"github.com/transparency-dev/merkle/compact"
)

func TestTT_9_TilesOfEveryPublishedSize(t *testing.T) {
	h, s := newHarness(t)
	size := 0
	for _, next := range []int{1, 2, 255, 256, 257, 600, 768, 65535, 65536, 65537, 70000} {
		for size < next {
			n := min(next-size, 10_000)
			h.Grow(size, n)
			size += n
		}
		if err := s.Materialise(t.Context(), uint64(size)); err != nil {
			t.Fatal(err)
		}
		checkFiles(t, s.Dir(), size)
	}
	if err := s.Materialise(t.Context(), uint64(size)+1); err == nil {
		t.Error("materialised a size that the tree does not have")
	}
}

// TestTT_12_PartialTilesUntilTheFullOne publishes sizes and looks at which
// partial tiles are there after each.
func TestTT_12_PartialTilesUntilTheFullOne(t *testing.T) {
	h, s := newHarness(t)
	size := 0
	for _, step := range []struct {
		size int
		want string // partial widths at level 0 of tiles 0, 1, 2
	}{
		{3, "3"},
		{5, "3 5"},
		{200, "3 5 200"},
		{260, "3 5 200|4"}, // the full tile is there: its partial ones go at the next
		{261, "|4 5"},
		{512, "|4 5"},
		{513, "|4 5|1"}, // after a restart it takes one more
		{514, "||1 2"},
	} {
		h.Grow(size, step.size-size)
		size = step.size
		if err := s.Materialise(t.Context(), uint64(size)); err != nil {
			t.Fatal(err)
		}
		checkFiles(t, s.Dir(), size)
		for _, kind := range []string{"0", "entries"} {
			if got := partialWidths(t, s.Dir(), kind); got != step.want {
				t.Errorf("size %d, tile/%s: partial tiles %q, want %q", size, kind, got, step.want)
			}
		}
		if size == 261 || size == 512 { // also across a restart
			h = storetest.NewHarness(t, reopen(t, s))
			s = h.Store.(*Store)
		}
	}
}

func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openAt(t, s.Dir())
}

func partialWidths(t *testing.T, dir, kind string) string {
	var all []string
	for index := range uint64(3) {
		name := strings.Replace(tile.Path(0, index, 256), "tile/0", "tile/"+kind, 1)
		var widths []string
		for w := 1; w < 256; w++ {
			path := strings.Replace(tile.Path(0, index, w), "tile/0", "tile/"+kind, 1)
			if _, err := os.Stat(filepath.Join(dir, path)); err == nil {
				widths = append(widths, strings.TrimPrefix(path, name+".p/"))
			}
		}
		all = append(all, strings.Join(widths, " "))
	}
	return strings.TrimRight(strings.Join(all, "|"), "|")
}

// A smaller size than the tree has can be published: tiles that are full by now
// are cut.
func TestMaterialiseSmallerSize(t *testing.T) {
	h, s := newHarness(t)
	h.Grow(0, 700)
	for _, size := range []int{700, 300, 513, 1} {
		if err := s.Materialise(t.Context(), uint64(size)); err != nil {
			t.Fatal(err)
		}
		checkFiles(t, s.Dir(), size)
	}
}

func TestWriteCheckpointReplaces(t *testing.T) {
	_, s := newHarness(t)
	for _, text := range []string{"one\n", "two, longer\n", ""} {
		if err := s.WriteCheckpoint([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(s.Dir(), "checkpoint")); string(got) != text || err != nil {
			t.Errorf("checkpoint %q, %v; want %q", got, err, text)
		}
	}
}

// A witnessed store notes every hash and root that the sequencer passes in.
type witnessed struct {
	storage.LogStorage
	nodes map[compact.NodeID][]byte
	roots map[uint64][]byte
}

type witnessedTX struct {
	storage.LogTreeTX
	w *witnessed
}

func (w *witnessed) ReadWriteTransaction(ctx context.Context, tree *trillian.Tree, f storage.LogTXFunc) error {
	return w.LogStorage.ReadWriteTransaction(ctx, tree, func(ctx context.Context, tx storage.LogTreeTX) error {
		return f(ctx, witnessedTX{tx, w})
	})
}

func (tx witnessedTX) SetMerkleNodes(ctx context.Context, nodes []tree.Node) error {
	for _, n := range nodes {
		tx.w.nodes[n.ID] = n.Hash
	}
	return tx.LogTreeTX.SetMerkleNodes(ctx, nodes)
}

func (tx witnessedTX) StoreSignedLogRoot(ctx context.Context, signed *trillian.SignedLogRoot) error {
	var root types.LogRootV1
	if err := root.UnmarshalBinary(signed.LogRoot); err != nil {
		return err
	}
	tx.w.roots[root.TreeSize] = root.RootHash
	return tx.LogTreeTX.StoreSignedLogRoot(ctx, signed)
}

func TestEveryHashComesFromIntegrateBatch(t *testing.T) {
	h, s := newHarness(t)
	w := &witnessed{s, make(map[compact.NodeID][]byte), make(map[uint64][]byte)}
	for size := 0; size < 66_000; size += 6_600 {
		h.Queue(size, size+6_600)
		if n, err := h.Integrate(w, 6_600); n != 6_600 || err != nil {
			t.Fatal(n, err)
		}
		root, _ := s.Head()
		if !bytes.Equal(root.RootHash, w.roots[root.TreeSize]) {
			t.Errorf("root of size %d is not the sequencer's", root.TreeSize)
		}
	}
	if err := s.Materialise(t.Context(), s.Size()); err != nil {
		t.Fatal(err)
	}
	hashes := 0
	err := fs.WalkDir(os.DirFS(s.Dir()), "tile", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path, "tile/entries") {
			return err
		}
		name, err := tile.ParsePath(path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(s.Dir(), path))
		for i := range name.Width {
			id := compact.NodeID{Level: uint(8 * name.Level), Index: name.Index*tile.Width + uint64(i)}
			if !bytes.Equal(data[32*i:32*i+32], w.nodes[id]) {
				t.Fatalf("hash %d of %s is not the sequencer's node %v", i, path, id)
			}
			hashes++
		}
		return err
	})
	if want := 66_000 + 257 + 1; err != nil || hashes != want {
		t.Errorf("compared %d hashes, want %d: %v", hashes, want, err)
	}
}
