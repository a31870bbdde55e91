package tilestore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/chiolog/chiolog/logserver/tilestore/storetest"
)

// threePasses makes a closed store with passes of 3, 4 and 5 leaves, and
// returns where in its one segment each pass ends, after that of InitLog.
func threePasses(t testing.TB, s *Store, h *storetest.Harness) (dir string, ends []int64) {
	size := 0
	for _, n := range []int{0, 3, 4, 5} {
		if n > 0 {
			h.Grow(size, n)
		}
		size += n
		ends = append(ends, s.writer.size)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.Dir(), ends
}

// reopened opens a store and checks that it has exactly size leaves and goes on.
func reopened(t *testing.T, dir string, size int) {
	t.Helper()
	s := openAt(t, dir)
	h := storetest.NewHarness(t, s)
	h.CheckTree(size)
	h.Grow(size, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dir)
	storetest.NewHarness(t, s).CheckTree(size + 2)
	s.Close()
}

func TestTornPassIsCutOff(t *testing.T) {
	h, s := newHarness(t)
	dir, ends := threePasses(t, s, h)
	for cut := ends[2]; cut < ends[3]; cut++ {
		torn := copyDir(t, dir)
		if err := os.Truncate(segmentFiles(t, torn)[0], cut); err != nil {
			t.Fatal(err)
		}
		s := openAt(t, torn)
		storetest.NewHarness(t, s).CheckTree(7)
		s.Close()
		if cut%97 == 0 {
			reopened(t, torn, 7)
		}
	}
	reopened(t, dir, 12)
}

func TestTornFirstPassIsAFreshStore(t *testing.T) {
	h, s := newHarness(t)
	dir, ends := threePasses(t, s, h)
	for cut := range ends[0] {
		torn := copyDir(t, dir)
		if err := os.Truncate(segmentFiles(t, torn)[0], cut); err != nil {
			t.Fatal(err)
		}
		s := openAt(t, torn)
		if _, ok := s.Head(); ok {
			t.Errorf("cut at %d: there is a root", cut)
		}
		s.Close()
	}
}

// A changed byte in the last pass looks like a crash; anywhere else it is damage.
func TestChangedByte(t *testing.T) {
	h, s := newHarness(t)
	dir, ends := threePasses(t, s, h)
	data, err := os.ReadFile(segmentFiles(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := int64(0); i < ends[3]; i += 3 {
		damaged := copyDir(t, dir)
		changed := bytes.Clone(data)
		changed[i] ^= 0x20
		if err := os.WriteFile(segmentFiles(t, damaged)[0], changed, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(damaged, Options{Identity: storetest.IdentityOf})
		if i < ends[2] {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d changed: %v, want ErrCorrupt", i, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("byte %d of the last pass changed: %v", i, err)
		}
		storetest.NewHarness(t, s).CheckTree(7)
		s.Close()
	}
}

// bigStore makes a closed store of several segments, most of them retired.
func bigStore(t *testing.T) (dir string, size int) {
	s := openSmall(t, t.TempDir(), 100_000)
	h := storetest.NewHarness(t, s)
	h.Init()
	for size < 30_000 {
		h.Grow(size, 500)
		size += 500
		if err := s.waitRetired(); err != nil {
			t.Fatal(err)
		}
	}
	h.CheckTree(size)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.Dir(), size
}

// waitRetired waits until all closed segments are in runs.
func (s *Store) waitRetired() error {
	s.closedMu.Lock()
	defer s.closedMu.Unlock()
	for s.failure == nil && len(s.closed) > 1 {
		s.room.Wait()
	}
	return s.failure
}

func TestSegmentsAreRetired(t *testing.T) {
	dir, size := bigStore(t)
	if n := len(segmentFiles(t, dir)); n > 3 {
		t.Errorf("%d segments are left", n)
	}
	reopened(t, dir, size)
	s := openAt(t, dir)
	for _, i := range []int{0, 1, 255, 256, 9_999, 20_000, size - 1} {
		leaf := leaves(storetest.Value(i))[0]
		index, ok, err := s.IndexOfIdentity(t.Context(), hash(leaf.LeafIdentityHash))
		if !ok || err != nil || index != uint64(i) {
			t.Errorf("identity of leaf %d: %d, %t, %v", i, index, ok, err)
		}
		index, ok, err = s.IndexOfLeafHash(t.Context(), hash(leaf.MerkleLeafHash))
		if !ok || err != nil || index != uint64(i) {
			t.Errorf("leaf hash %d: %d, %t, %v", i, index, ok, err)
		}
	}
	if _, ok, err := s.IndexOfIdentity(t.Context(), hash{1}); ok || err != nil {
		t.Errorf("unknown identity: %t, %v", ok, err)
	}
	if _, ok, err := s.IndexOfLeafHash(t.Context(), hash{1}); ok || err != nil {
		t.Errorf("unknown leaf hash: %t, %v", ok, err)
	}
}

func TestLostFiles(t *testing.T) {
	dir, size := bigStore(t)
	state := func(dir string, path ...string) string {
		return filepath.Join(append([]string{dir, ".state"}, path...)...)
	}
	for name, lose := range map[string]func(dir string) error{
		"nothing":       func(string) error { return nil },
		"index":         func(dir string) error { return os.RemoveAll(state(dir, "index")) },
		"partials list": func(dir string) error { return os.RemoveAll(state(dir, "partials")) },
		"spares":        func(dir string) error { return os.RemoveAll(state(dir, "spare")) },
		"damaged run": func(dir string) error {
			runs, err := os.ReadDir(state(dir, "index"))
			if err != nil {
				return err
			}
			return os.Truncate(state(dir, "index", runs[0].Name()), 4000)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, dir)
			if err := lose(dir); err != nil {
				t.Fatal(err)
			}
			s := openAt(t, dir)
			h := storetest.NewHarness(t, s)
			for _, i := range []int{0, 7_000, size - 1} {
				if q := h.QueueOne(storetest.Value(i)); q.Leaf.LeafIndex != int64(i) || q.Status == nil {
					t.Errorf("leaf %d is not known: %v", i, q)
				}
			}
			s.Close()
		})
	}
	for name, lose := range map[string]func(dir string) error{
		"config":       func(dir string) error { return os.Remove(state(dir, "config")) },
		"segments":     func(dir string) error { return os.RemoveAll(state(dir, "segments")) },
		"last segment": func(dir string) error { f := segmentFiles(t, dir); return os.Remove(f[len(f)-1]) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, dir)
			if name == "last segment" && len(segmentFiles(t, dir)) == 1 {
				name = "segments"
			}
			if err := lose(dir); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, Options{Identity: storetest.IdentityOf})
			if err == nil && name == "last segment" {
				// A log that ends earlier is sound: only a checkpoint of it shows the loss.
				storetest.NewHarness(t, s).CheckTree(int(s.Size()))
				s.Close()
				return
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("opened without %s: %v", name, err)
			}
		})
	}
}

// FuzzRecovery changes the bytes of a segment. Whatever they are, opening does
// not panic, and what opens is one of the trees that were committed.
func FuzzRecovery(f *testing.F) {
	s, err := Open(f.TempDir(), Options{Identity: storetest.IdentityOf})
	if err != nil {
		f.Fatal(err)
	}
	roots := make(map[uint64][]byte)
	h := storetest.NewHarness(f, s)
	h.Init()
	roots[0] = storetest.RootOf(0)
	for size := 0; size < 300; size += 100 {
		h.Grow(size, 100)
		roots[uint64(size)+100] = h.Root().RootHash
	}
	s.Close()
	path := segmentFiles(f, s.Dir())[0]
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(0, []byte{})
	f.Add(200, []byte("P"))
	f.Add(400, bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, at int, with []byte) {
		changed := bytes.Clone(data)
		if at < 0 || at > len(changed) {
			changed = with
		} else {
			changed = append(changed[:at:at], append(bytes.Clone(with), changed[min(at+len(with), len(changed)):]...)...)
		}
		dir := t.TempDir()
		openAt(t, dir).Close()
		if err := os.WriteFile(filepath.Join(dir, ".state", "segments", filepath.Base(path)), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{Identity: storetest.IdentityOf})
		if err != nil {
			return
		}
		defer s.Close()
		if root, ok := s.Head(); ok {
			if !bytes.Equal(root.RootHash, roots[root.TreeSize]) {
				t.Errorf("root of size %d was never committed", root.TreeSize)
			}
			storetest.NewHarness(t, s).CheckTree(int(root.TreeSize))
		}
	})
}
