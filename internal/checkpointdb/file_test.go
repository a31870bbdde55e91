package checkpointdb

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestSwap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "record")
	f := open(t, path)
	if v, err := f.Latest(); v != nil || err != nil {
		t.Fatalf("new record: %q, %v", v, err)
	}
	if err := f.Swap([]byte("x"), []byte("a")); !errors.Is(err, ErrConflict) {
		t.Errorf("swap of a record that is not there: %v", err)
	}
	if err := f.Swap(nil, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := f.Swap(nil, []byte("b")); !errors.Is(err, ErrConflict) {
		t.Errorf("second first swap: %v", err)
	}
	if err := f.Swap([]byte("a"), []byte("b")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(path); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	f.Close()
	if v, err := open(t, path).Latest(); string(v) != "b" || err != nil {
		t.Errorf("after reopening: %q, %v", v, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestSwapIsAtomic(t *testing.T) {
	f := open(t, filepath.Join(t.TempDir(), "record"))
	var wins sync.Map
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := f.Swap(nil, []byte{byte(i)}); err == nil {
				wins.Store(i, true)
			} else if !errors.Is(err, ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := 0
	wins.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d of 8 first swaps won", n)
	}
}

func TestFailedSwapStopsTheRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	f := open(t, path)
	if err := os.Mkdir(path+".tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.Swap(nil, []byte("a")); err == nil {
		t.Fatal("a swap that cannot be written succeeds")
	}
	if err := os.Remove(path + ".tmp"); err != nil {
		t.Fatal(err)
	}
	if err := f.Swap(nil, []byte("a")); err != nil {
		t.Errorf("after a swap that was not begun: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.Swap([]byte("a"), []byte("b")); err == nil {
		t.Fatal("a swap that cannot be put in place succeeds")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Swap([]byte("a"), []byte("b")); err == nil {
		t.Error("a record whose last outcome is unknown takes another")
	}
}

// TestLinks: a record has one lock and one file, by whatever name it is opened.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "record"), filepath.Join(dir, "link")
	f := open(t, path)
	if err := f.Swap(nil, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(link); !errors.Is(err, ErrLocked) {
		t.Errorf("open by a link: %v", err)
	}
	f.Close()
	f = open(t, link)
	if err := f.Swap([]byte("a"), []byte("b")); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if v, err := open(t, path).Latest(); string(v) != "b" || err != nil {
		t.Errorf("after a swap by a link: %q, %v", v, err)
	}
	if err := os.Symlink(filepath.Join(dir, "none"), filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(filepath.Join(dir, "dangling")); err == nil {
		t.Error("a link to nothing is opened")
	}
}
