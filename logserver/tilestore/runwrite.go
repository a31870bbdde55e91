package tilestore

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// A source returns sorted records one by one, and nil after the last. A record
// is valid until the next call.
type source func() ([]byte, error)

// writeRun writes the run of the entries [first, first+count) into dir, under
// a name that says so, and opens it.
func writeRun(tmp, dir string, first, count uint64, ids, leaves source) (*run, error) {
	path := filepath.Join(dir, runName(first, count))
	r := &run{first: first, count: count, filter: make(bloom, bloomSize(count))}
	r.layOut()
	temp := filepath.Join(tmp, filepath.Base(path))
	f, err := createFile(temp, privateFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := r.write(f, ids, leaves); err != nil {
		return nil, fmt.Errorf("writing run of entries %d to %d: %w", first, r.end(), err)
	}
	if err := syncFile(f); err != nil {
		return nil, err
	}
	if err := renameFile(temp, path); err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	return openRun(path)
}

func runName(first, count uint64) string { return fmt.Sprintf("%020d-%020d", first, count) }

func (r *run) write(f *os.File, ids, leaves source) error {
	w := bufio.NewWriterSize(&fileWriter{f: f}, 1<<18)
	addID := func(record []byte) { r.filter.add((*hash)(record)) }
	if err := r.ids.write(w, ids, addID); err != nil {
		return err
	}
	if err := r.leaves.write(w, leaves, func([]byte) {}); err != nil {
		return err
	}
	w.Write(r.filter) // w keeps its first error for Flush
	footer := binary.BigEndian.AppendUint64(nil, r.first)
	footer = binary.BigEndian.AppendUint64(footer, r.count)
	footer = binary.BigEndian.AppendUint32(footer, crc32.Checksum(r.filter, castagnoli))
	footer = append(footer, runMagic...)
	footer = binary.BigEndian.AppendUint32(footer, crc32.Checksum(footer, castagnoli))
	w.Write(footer)
	return w.Flush()
}

// write writes the blocks of a section, and calls added for each record.
func (s *section) write(w io.Writer, next source, added func(record []byte)) error {
	var block [blockSize]byte
	used, left := 0, s.count
	flush := func() error {
		clear(block[used:])
		used = 0
		binary.BigEndian.PutUint32(block[blockPayload:], crc32.Checksum(block[:blockPayload], castagnoli))
		_, err := w.Write(block[:])
		return err
	}
	for ; left > 0; left-- {
		record, err := next()
		if err != nil {
			return err
		}
		if record == nil {
			return fmt.Errorf("section has %d records too few", left)
		}
		added(record)
		used += copy(block[used:], record)
		if used+s.record() > blockPayload {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if used > 0 {
		return flush()
	}
	return nil
}

// A fileWriter writes to a file from its start on.
type fileWriter struct {
	f   *os.File
	off int64
}

func (w *fileWriter) Write(data []byte) (int, error) {
	if err := writeAt(w.f, data, w.off); err != nil {
		return 0, err
	}
	w.off += int64(len(data))
	return len(data), nil
}

// hashSource sorts hashes and returns a record of their first key bytes for
// each; offsets count from 0.
func hashSource(hashes []hash, key int) source {
	type prefix struct { // enough to sort all but a few by
		first  uint64
		offset uint32
	}
	sorted := make([]prefix, len(hashes))
	for i := range hashes {
		sorted[i] = prefix{binary.BigEndian.Uint64(hashes[i][:]), uint32(i)}
	}
	slices.SortFunc(sorted, func(a, b prefix) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		return cmp.Or(bytes.Compare(hashes[a.offset][:key], hashes[b.offset][:key]), cmp.Compare(a.offset, b.offset))
	})
	record := make([]byte, key+offsetSize)
	return func() ([]byte, error) {
		if len(sorted) == 0 {
			return nil, nil
		}
		copy(record, hashes[sorted[0].offset][:key])
		binary.BigEndian.PutUint32(record[key:], sorted[0].offset)
		sorted = sorted[1:]
		return record, nil
	}
}

// mergeRuns writes one run in place of adjacent ones.
func mergeRuns(tmp, dir string, runs []*run) (*run, error) {
	first, end := runs[0].first, runs[len(runs)-1].end()
	var ids, leaves []source
	for _, r := range runs {
		ids = append(ids, r.ids.source(r.file, uint32(r.first-first)))
		leaves = append(leaves, r.leaves.source(r.file, uint32(r.first-first)))
	}
	return writeRun(tmp, dir, first, end-first, merge(ids), merge(leaves))
}

// source returns the records of a section, with base added to their offsets.
func (s *section) source(f io.ReaderAt, base uint32) source {
	var buf [blockSize]byte
	var records []byte
	block := uint64(0)
	return func() ([]byte, error) {
		if len(records) == 0 {
			if block == s.blocks() {
				return nil, nil
			}
			var err error
			if records, err = s.read(f, block, &buf); err != nil {
				return nil, err
			}
			block++
		}
		record := records[:s.record()]
		records = records[len(record):]
		offset := binary.BigEndian.Uint32(record[s.key:])
		binary.BigEndian.PutUint32(record[s.key:], base+offset)
		return record, nil
	}
}

// merge returns the records of all sources in their common order.
func merge(sources []source) source {
	var heads [][]byte
	last := -1 // the source whose head was returned by the last call
	return func() ([]byte, error) {
		if heads == nil {
			heads = make([][]byte, len(sources))
			for i := range sources {
				var err error
				if heads[i], err = sources[i](); err != nil {
					return nil, err
				}
			}
		} else if last >= 0 {
			var err error
			if heads[last], err = sources[last](); err != nil {
				return nil, err
			}
		}
		last = -1
		for i, head := range heads {
			if head != nil && (last < 0 || bytes.Compare(head, heads[last]) < 0) {
				last = i
			}
		}
		if last < 0 {
			return nil, nil
		}
		return heads[last], nil
	}
}
