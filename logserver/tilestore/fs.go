package tilestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Every write to the disk goes through the functions of this file. They return
// once what they did survives a power cut, unless they say otherwise.

// Private files may be read by the log's own user alone; public ones and the
// directories above them by a file server as well.
const (
	privateFile = 0o600
	privateDir  = 0o700
	publicFile  = 0o644
	publicDir   = 0o755
)

// makeDir creates a directory and those above it that are missing.
func makeDir(path string, mode fs.FileMode) error {
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(filepath.Dir(path), mode); err != nil {
			return err
		}
		err = os.Mkdir(path, mode)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating directory: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing directory: %w", err)
	}
	return nil
}

// createFile makes a new file, which must not exist. Neither the file nor its
// name is durable before syncFile and syncDir.
func createFile(path string, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, fmt.Errorf("creating file: %w", err)
	}
	return f, nil
}

// openFile opens an existing file for reading and writing.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("opening file: %w", err)
	}
	return f, nil
}

// writeAt writes all of data, which is not durable before syncFile.
func writeAt(f *os.File, data []byte, off int64) error {
	if _, err := f.WriteAt(data, off); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// syncFile makes the contents and the length of a file durable. After an error
// nobody knows what is: the kernel may have dropped what it could not write.
func syncFile(f *os.File) error {
	if err := fdatasync(f); err != nil {
		return fmt.Errorf("syncing %s: %w", f.Name(), err)
	}
	return nil
}

// truncateFile cuts a file to size bytes.
func truncateFile(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("truncating: %w", err)
	}
	return syncFile(f)
}

// renameFile gives a file its final name, which is not durable before syncDir.
func renameFile(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("renaming file: %w", err)
	}
	return nil
}

// removeFile removes a file, which need not exist.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing file: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// removeTree removes a directory with all that is in it; it need not exist.
func removeTree(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("removing directory: %w", err)
	}
	parent := filepath.Dir(path)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return syncDir(parent)
}

// A newFile is a file still to be written: data returns its contents, in buf
// if they fit.
type newFile struct {
	path string
	data func(buf []byte) ([]byte, error)
}

// filesAtOnce bounds the open files of a publisher.
const filesAtOnce = 64

// A publisher puts files at their paths, each of them all or nothing: they are
// written under another name and synced before any gets its own.
type publisher struct {
	tmp string // a directory of the same file system, for nobody else
	// known are directories whose names are durable. One that exists already may
	// be there only because this machine has not lost power since.
	known map[string]bool
	buf   []byte
}

func newPublisher(tmp string) *publisher {
	return &publisher{tmp: tmp, known: make(map[string]bool)}
}

// replace puts data at path, in place of what was there.
func (p *publisher) replace(path string, data []byte, mode fs.FileMode) error {
	return p.write(mode, []newFile{{path, func(buf []byte) ([]byte, error) { return append(buf, data...), nil }}})
}

// write writes files, and syncs each directory once for all of its new names.
func (p *publisher) write(mode fs.FileMode, files []newFile) error {
	dirs := make(map[string]bool)
	for len(files) > 0 {
		some := files[:min(len(files), filesAtOnce)]
		if err := p.writeSome(mode, some); err != nil {
			return err
		}
		for _, f := range some {
			dirs[filepath.Dir(f.path)] = true
		}
		files = files[len(some):]
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// writeSome does what write does, but for the sync of the directories.
func (p *publisher) writeSome(mode fs.FileMode, files []newFile) error {
	written := make([]*os.File, 0, len(files))
	defer func() {
		for _, f := range written {
			f.Close()
		}
	}()
	for i, file := range files {
		if err := p.makeDir(filepath.Dir(file.path)); err != nil {
			return err
		}
		data, err := file.data(p.buf[:0])
		if err != nil {
			return err
		}
		f, err := createFile(p.tempName(i), mode)
		if err != nil {
			return err
		}
		written = append(written, f)
		if err := writeAt(f, data, 0); err != nil {
			return err
		}
		if cap(data) <= maxBuffer {
			p.buf = data
		}
	}
	for _, f := range written {
		if err := syncFile(f); err != nil {
			return err
		}
	}
	for i, file := range files {
		if err := renameFile(p.tempName(i), file.path); err != nil {
			return err
		}
	}
	return nil
}

// maxBuffer is the largest buffer that a publisher keeps for its next file.
const maxBuffer = 1 << 20

// makeDir makes sure that a directory and its name are durable.
func (p *publisher) makeDir(path string) error {
	if p.known[path] {
		return nil
	}
	if err := makeDir(path, publicDir); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	p.known[path] = true
	return nil
}

func (p *publisher) tempName(i int) string {
	return filepath.Join(p.tmp, fmt.Sprintf("new-%d", i))
}

// clearDir empties a directory of files that a crash left behind.
func clearDir(path string) error {
	left, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("listing directory: %w", err)
	}
	for _, f := range left {
		if err := os.Remove(filepath.Join(path, f.Name())); err != nil {
			return fmt.Errorf("removing file: %w", err)
		}
	}
	return nil
}

// exists reports whether there is a file at path.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
