package tilestore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/logserver/tilestore/storetest"
)

func openAt(t testing.TB, dir string) *Store {
	t.Helper()
	return openSmall(t, dir, 0)
}

// openSmall opens a store whose segments are small.
func openSmall(t testing.TB, dir string, segmentSize int64) *Store {
	t.Helper()
	s, err := Open(dir, Options{Identity: storetest.IdentityOf, segmentSize: segmentSize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStorage(t *testing.T) {
	dirs := make(map[testing.TB]string)
	storetest.Run(t, func(t testing.TB, name string) storetest.Store {
		if dirs[t] == "" {
			dirs[t] = t.TempDir()
		}
		return openAt(t, filepath.Join(dirs[t], "new", name))
	})
}

// newHarness returns an initialised store in a directory of its own.
func newHarness(t *testing.T) (*storetest.Harness, *Store) {
	s := openAt(t, t.TempDir())
	h := storetest.NewHarness(t, s)
	h.Init()
	return h, s
}

func TestSecondOpenIsLocked(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir)
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "process ") {
		t.Errorf("second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openAt(t, dir)
}

func TestRefusesUnknownVersion(t *testing.T) {
	dir := t.TempDir()
	openAt(t, dir).Close()
	path := filepath.Join(dir, ".state", "config")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]error{
		strings.Replace(string(config), "store 1", "store 2", 1): ErrVersion,
		"": ErrVersion,
		strings.Replace(string(config), "tree ", "tree -", 1): ErrCorrupt,
		string(config): nil,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{})
		if !errors.Is(err, want) {
			t.Errorf("config %q: %v, want %v", text, err, want)
		}
		if err == nil {
			s.Close()
		}
	}
}

func TestFullQueueIsResourceExhausted(t *testing.T) {
	s, err := Open(t.TempDir(), Options{QueueLeaves: 2, QueueBytes: 100, Identity: storetest.IdentityOf})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := storetest.NewHarness(t, s)
	h.Init()
	h.Queue(0, 2)
	for _, value := range [][]byte{storetest.Value(2), make([]byte, 100)} {
		if _, err := s.QueueLeaves(t.Context(), s.tree, leaves(value), h.Now()); err == nil {
			t.Error("a full queue took a leaf")
		}
	}
	if n, err := h.Integrate(s, 10); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	h.Grow(2, 2)
	h.QueueOne(make([]byte, 100))
}

func TestClosedStoreRefuses(t *testing.T) {
	h, s := newHarness(t)
	h.Grow(0, 3)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	_, queueErr := s.QueueLeaves(t.Context(), s.tree, leaves(storetest.Value(1)), h.Now())
	_, integrateErr := h.Integrate(s, 1)
	_, _, indexErr := s.IndexOfIdentity(t.Context(), hash{})
	for what, err := range map[string]error{
		"QueueLeaves":     queueErr,
		"IntegrateBatch":  integrateErr,
		"IndexOfIdentity": indexErr,
		"Materialise":     s.Materialise(t.Context(), 3),
		"WriteCheckpoint": s.WriteCheckpoint(nil),
	} {
		if err == nil {
			t.Errorf("%s after Close", what)
		}
	}
}
