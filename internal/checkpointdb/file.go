// Package checkpointdb keeps the latest record of one origin, changed by
// compare-and-swap and durable before a change is reported. The signer's guard
// and a log's publication state are such records.
package checkpointdb

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

var (
	// ErrConflict reports a swap whose old value is not the stored one.
	ErrConflict = errors.New("record was changed by another writer")
	// ErrLocked reports a record that another process holds open.
	ErrLocked = errors.New("record is in use by another process")
)

// A File keeps one record in one file. Beside it lie a lock, held until Close,
// and for a moment a temporary file. It is safe for concurrent use.
type File struct {
	path string
	lock *os.File

	mu     sync.Mutex
	value  []byte // nil while there is none
	broken error  // a write whose outcome is unknown
}

// OpenFile opens the record at path, and makes its folder (mode 0700) if it is
// missing. The error is ErrLocked if another process has it open.
func OpenFile(path string) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("record %s: %w", path, err)
	}
	// A record reached by two names must have one lock, and a link must not be
	// replaced by what belongs in the file that it points to.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	} else if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("record %s is a link to a file that does not exist", path)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", path, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("record %s: %w", path, err)
	}
	value, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		lock.Close()
		return nil, fmt.Errorf("record %s: %w", path, err)
	}
	return &File{path: path, lock: lock, value: value}, nil
}

// Path returns where the record lies.
func (f *File) Path() string { return f.path }

// Latest returns the stored record, nil if there is none. The caller must not
// change it.
func (f *File) Latest() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.value, f.broken
}

// Swap stores new if old is the stored record (nil for none), and is durable
// on return. The error is ErrConflict if it is not. If the new record cannot be
// written, as on a full disk, the old one stands; if it cannot be put in place
// the outcome is unknown, and every further call fails until the record is
// opened again.
func (f *File) Swap(old, new []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return f.broken
	}
	if !bytes.Equal(old, f.value) || (old == nil) != (f.value == nil) {
		return fmt.Errorf("record %s: %w", f.path, ErrConflict)
	}
	if err := prepare(f.path, new); err != nil {
		return fmt.Errorf("record %s: %w", f.path, err)
	}
	if err := replace(f.path); err != nil {
		f.broken = fmt.Errorf("record %s: an earlier write failed, its outcome is unknown: %w", f.path, err)
		return fmt.Errorf("record %s: %w", f.path, err)
	}
	f.value = bytes.Clone(new)
	return nil
}

// Close releases the record.
func (f *File) Close() error { return f.lock.Close() }

// prepare writes data beside path, durably.
func prepare(path string, data []byte) error {
	tmp, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer tmp.Close()
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	return tmp.Sync()
}

// replace puts what prepare wrote at path, durable on return.
func replace(path string) error {
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
