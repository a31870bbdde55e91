package interop

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/chiolog/chiolog/formats/tile"
)

// TestPlainFileServer reads a log of which nothing runs any more: a file server
// over the store is all that readers need.
func TestPlainFileServer(t *testing.T) {
	t.Attr("component", "tessera,x/mod "+version("github.com/transparency-dev/tessera")+","+version("golang.org/x/mod"))
	files := httptest.NewServer(http.FileServer(http.Dir(stopped.dir)))
	defer files.Close()
	for _, r := range publicReaders {
		if err := r.read(t.Context(), files.URL, stopped.vkey); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	c, err := readMod(t.Context(), files.URL, stopped.vkey)
	if err != nil {
		t.Fatal(err)
	}
	checkEntries(t, c, stopped)
}

// TestServedLog reads a log from the server's own front.
func TestServedLog(t *testing.T) {
	t.Attr("component", "tessera,x/mod "+version("github.com/transparency-dev/tessera")+","+version("golang.org/x/mod"))
	for _, r := range publicReaders {
		if err := r.read(t.Context(), served.url, served.vkey); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	c, err := readMod(t.Context(), served.url, served.vkey)
	if err != nil {
		t.Fatal(err)
	}
	checkEntries(t, c, served)
}

// checkEntries checks that every receipt sent lies where the server said.
func checkEntries(t *testing.T, c *contents, s *server) {
	t.Helper()
	for i, receipt := range s.sent {
		if index := s.at[i]; index >= uint64(len(c.entries)) || string(c.entries[index]) != string(receipt) {
			t.Fatalf("receipt %d is not the entry at index %d", i, index)
		}
	}
}

// TestFlippedByte flips bytes, one at a time, in every file that the published
// size needs, and takes each file away: no public reader takes the log then.
func TestFlippedByte(t *testing.T) {
	t.Attr("component", "tessera,x/mod "+version("github.com/transparency-dev/tessera")+","+version("golang.org/x/mod"))
	d := damagedCopy(t, stopped)
	needed := []string{"checkpoint"}
	for n := range tile.Needed(d.size(t)) {
		needed = append(needed, n.Path())
	}
	if want := 8; len(needed) != want {
		t.Fatalf("size %d needs %v, want %d files", d.size(t), needed, want)
	}
	for _, name := range needed {
		d.refuseDamage(t, name, 16)
	}
	d.accepted(t)
}

// A damaged is a copy of a store behind a plain file server.
type damaged struct{ dir, url, vkey string }

func damagedCopy(t *testing.T, s *server) *damaged {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	files := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(files.Close)
	return &damaged{dir, files.URL, s.vkey}
}

func (d *damaged) size(t *testing.T) uint64 {
	t.Helper()
	tree, err := readCheckpoint(t.Context(), d.url, d.vkey)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(tree.N)
}

// accepted checks that both readers take the log.
func (d *damaged) accepted(t *testing.T) {
	t.Helper()
	for _, r := range publicReaders {
		if err := r.read(t.Context(), d.url, d.vkey); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}

// refuseDamage checks that both readers refuse the log with any of so many
// bytes of a file flipped, the first and the last among them, and without the
// file. It puts the file back.
func (d *damaged) refuseDamage(t *testing.T, name string, flips int) {
	t.Helper()
	path := filepath.Join(d.dir, name)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string) {
		t.Helper()
		for _, r := range publicReaders {
			if err := r.read(t.Context(), d.url, d.vkey); err == nil {
				t.Errorf("%s takes the log with %s of %s", r.name, what, name)
			}
		}
	}
	for i := range flips {
		bad := append([]byte{}, good...)
		bad[i*(len(bad)-1)/(flips-1)] ^= 0xff
		replace(t, path, bad)
		refused("a flipped byte")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	refused("the absence")
	replace(t, path, good)
}

// replace puts a new file in the place of one, whose mode does not matter.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestStoreHoldsNoSecret: the store is public as it lies, so keys and guard lie
// elsewhere.
func TestStoreHoldsNoSecret(t *testing.T) {
	err := filepath.WalkDir(stopped.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".seed" {
			t.Errorf("%s lies in the store", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTR_9_StoreHoldsTlogTiles: whatever lies under tile/ is a tile or bundle
// by its path, as wide as the path says, and a partial one kept from an earlier
// size is the beginning of what is there now.
func TestTR_9_StoreHoldsTlogTiles(t *testing.T) {
	store := os.DirFS(stopped.dir)
	checkpoint, err := fs.ReadFile(store, "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	tree, err := openCheckpoint(checkpoint, stopped.vkey)
	if err != nil {
		t.Fatal(err)
	}
	size := uint64(tree.N)
	partial := 0
	err = fs.WalkDir(store, "tile", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n, err := tile.ParsePath(path)
		if err != nil {
			t.Error(err)
			return nil
		}
		data, err := fs.ReadFile(store, path)
		if err != nil {
			return err
		}
		width := len(data) / 32
		if n.Level == tile.Entries {
			entries, err := splitBundle(data)
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			width = len(entries)
		} else if len(data)%32 != 0 {
			t.Errorf("%s has %d bytes", path, len(data))
		}
		if width != n.Width {
			t.Errorf("%s holds %d", path, width)
		}
		widest := tile.WidthAt(n.Level, n.Index, size)
		if n.Width < widest {
			partial++
			now, err := fs.ReadFile(store, tile.Tile{Level: n.Level, Index: n.Index, Width: widest}.Path())
			if err != nil || !bytes.HasPrefix(now, data) {
				t.Errorf("%s is not the beginning of the tile of width %d: %v", path, widest, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if partial == 0 {
		t.Error("no partial tile of an earlier size was there")
	}
}
