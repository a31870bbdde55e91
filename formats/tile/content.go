package tile

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxEntry is the length in bytes of the longest entry that fits a bundle (TT-14).
const MaxEntry = 1<<16 - 1

var (
	// ErrEntryTooLong reports an entry of more than MaxEntry bytes.
	ErrEntryTooLong = errors.New("entry is longer than 65,535 bytes")
	// ErrContent reports bytes that are not a tile or bundle of the wanted width.
	ErrContent = errors.New("not the content of such a tile or entry bundle")
)

// AppendEntry appends an entry to a bundle: its length in two bytes, big-endian,
// and the entry. An entry longer than MaxEntry is ErrEntryTooLong.
func AppendEntry(bundle, entry []byte) ([]byte, error) {
	if len(entry) > MaxEntry {
		return nil, fmt.Errorf("entry of %d bytes: %w", len(entry), ErrEntryTooLong)
	}
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry)))
	return append(bundle, entry...), nil
}

// ParseBundle splits a bundle into exactly width entries, which share memory
// with data. Anything else, a byte too many or too few included, is ErrContent.
func ParseBundle(data []byte, width int) ([][]byte, error) {
	if width < 1 || width > Width {
		return nil, fmt.Errorf("bundle of %d entries: %w", width, ErrContent)
	}
	entries := make([][]byte, width)
	for i := range entries {
		if len(data) < 2 {
			return nil, fmt.Errorf("bundle ends before entry %d of %d: %w", i, width, ErrContent)
		}
		n := 2 + int(binary.BigEndian.Uint16(data))
		if len(data) < n {
			return nil, fmt.Errorf("bundle ends within entry %d of %d: %w", i, width, ErrContent)
		}
		entries[i], data = data[2:n:n], data[n:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("bundle has %d bytes after entry %d: %w", len(data), width-1, ErrContent)
	}
	return entries, nil
}

// ParseHashes splits a hash tile into exactly width hashes (TT-8). Data of any
// other length is ErrContent.
//
// A log may drop a partial tile once the full one exists (TT-12): a reader who
// fetched the full one in its stead parses it at Width and takes the first hashes.
func ParseHashes(data []byte, width int) ([][HashSize]byte, error) {
	if width < 1 || width > Width || len(data) != width*HashSize {
		return nil, fmt.Errorf("tile of %d bytes for %d hashes: %w", len(data), width, ErrContent)
	}
	hashes := make([][HashSize]byte, width)
	for i := range hashes {
		hashes[i] = [HashSize]byte(data[i*HashSize:])
	}
	return hashes, nil
}
