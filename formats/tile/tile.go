// Package tile has the names and the contents of the files of a C2SP
// tlog-tiles log: hash tiles and entry bundles. It works on names and bytes
// alone and does no I/O.
//
// A hash tile holds 1 to 256 hashes of 32 bytes. Hash i of tile n at level l is
// the root of the complete subtree over the leaves from (n·256+i)·256^l, 256^l
// of them; so level 0 holds the leaf hashes. An entry bundle holds the entries
// of the level-0 tile of the same index. A tile or bundle that holds 256 items
// is full and never changes; one with fewer is partial, and its width is part
// of its name:
//
//	tile/0/x001/x234/067        the full tile 1234067 at level 0
//	tile/1/000.p/17             the first 17 hashes of tile 0 at level 1
//	tile/entries/000.p/5        the first 5 entries
package tile

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

const (
	// Width is the number of hashes in a full tile, and of entries in a full bundle.
	Width = 256
	// HashSize is the length of a hash in bytes.
	HashSize = 32
	// FullSize is the length of a full hash tile in bytes.
	FullSize = Width * HashSize
	// Entries is the Level of an entry bundle.
	Entries = -1
	// MaxLevel is the highest level that a path can name (TT-5). No tree with a
	// 64-bit size has tiles above level 7.
	MaxLevel = 63
)

// ErrPath reports a path that names neither a hash tile nor an entry bundle.
var ErrPath = errors.New("not the path of a tile or entry bundle")

// A Tile names a hash tile or an entry bundle.
type Tile struct {
	Level int    // 0 to MaxLevel, or Entries
	Index uint64 // place within the level, from 0
	Width int    // number of hashes or entries: Width if full, 1 to 255 if partial
}

// Path returns the path of a hash tile below the log's prefix. It panics if
// level or width is out of range.
func Path(level int, index uint64, width int) string {
	return Tile{level, index, width}.Path()
}

// EntriesPath returns the path of an entry bundle below the log's prefix. It
// panics if width is out of range.
func EntriesPath(index uint64, width int) string {
	return Tile{Entries, index, width}.Path()
}

// Full reports whether t can never change.
func (t Tile) Full() bool { return t.Width == Width }

// End returns the size of the smallest tree that needs all of t, which is the
// number of leaves under and before it. It is only defined for tiles that
// a tree with a 64-bit size can have.
func (t Tile) End() uint64 {
	return (t.Index*Width + uint64(t.Width)) << (8 * max(t.Level, 0))
}

// Path returns the path of t below the log's prefix, without a slash in front.
// It panics if the level or width is out of range: such a tile has no name.
func (t Tile) Path() string {
	if t.Level < Entries || t.Level > MaxLevel || t.Width < 1 || t.Width > Width {
		panic(fmt.Sprintf("tile: no tile has level %d and width %d", t.Level, t.Width))
	}
	buf := append(make([]byte, 0, 64), "tile/"...)
	if t.Level == Entries {
		buf = append(buf, "entries"...)
	} else {
		buf = strconv.AppendInt(buf, int64(t.Level), 10)
	}
	buf = appendIndex(buf, t.Index)
	if t.Width < Width {
		buf = append(buf, ".p/"...)
		buf = strconv.AppendInt(buf, int64(t.Width), 10)
	}
	return string(buf)
}

// appendIndex appends the groups of three digits of an index, each with a slash
// in front and all but the last with an x (TT-6).
func appendIndex(buf []byte, index uint64) []byte {
	unit := uint64(1) // of the first group
	for index/unit >= 1000 {
		unit *= 1000
	}
	for ; unit > 0; unit /= 1000 {
		buf = append(buf, '/')
		if unit > 1 {
			buf = append(buf, 'x')
		}
		group := index / unit % 1000
		buf = append(buf, byte('0'+group/100), byte('0'+group/10%10), byte('0'+group%10))
	}
	return buf
}

// ParsePath reads a path that Path can have written, and refuses every other
// spelling of it (TT-5 to TT-7): its error is ErrPath.
func ParsePath(path string) (Tile, error) {
	refuse := func(what string) (Tile, error) {
		return Tile{}, fmt.Errorf("%.80q: %s: %w", path, what, ErrPath)
	}
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return refuse("does not begin with tile/")
	}
	level, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return refuse("no index")
	}
	t := Tile{Level: Entries, Width: Width}
	if level != "entries" {
		n, err := strconv.ParseUint(level, 10, 8)
		if err != nil || n > MaxLevel {
			return refuse("level is not 0 to 63")
		}
		t.Level = int(n)
	}
	index, width, partial := strings.Cut(rest, ".p/")
	if partial {
		n, err := strconv.ParseUint(width, 10, 8)
		if err != nil || n == 0 {
			return refuse("partial width is not 1 to 255")
		}
		t.Width = int(n)
	}
	// 20 digits are the most that an index has, in 7 groups of up to 5 bytes.
	if len(index) > 7*5 {
		return refuse("index is too long")
	}
	digits := strings.ReplaceAll(strings.ReplaceAll(index, "/", ""), "x", "")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return refuse("index is not a number below 2^64")
	}
	t.Index = n
	// One name for each tile: what is written otherwise, with leading zeros or
	// other groups, names nothing.
	if t.Path() != path {
		return refuse("not in canonical form")
	}
	return t, nil
}

// PartialWidth returns the width of the partial tile at the right edge of a
// level, 0 if there is none (TT-10).
func PartialWidth(level int, size uint64) int {
	return int(size >> (8 * max(level, 0)) % Width)
}

// WidthAt returns the width that a tile has in a tree of the given size, 0 if
// the tree does not reach it.
func WidthAt(level int, index, size uint64) int {
	hashes := size >> (8 * max(level, 0))
	switch full := hashes / Width; {
	case index < full:
		return Width
	case index == full:
		return int(hashes % Width)
	}
	return 0
}

// Needed yields every tile and bundle that a published tree of the given size
// needs (TT-9, TT-12): bundles first, then the hash tiles level by level, each
// in the order of their indexes.
func Needed(size uint64) iter.Seq[Tile] { return Grown(0, size) }

// Grown yields those that a tree of the given size needs and one of size old
// did not, in the order of Needed. It yields nothing if the tree has not grown.
func Grown(old, size uint64) iter.Seq[Tile] {
	return func(yield func(Tile) bool) {
		if old >= size {
			return
		}
		for level := Entries; size>>(8*max(level, 0)) > 0 && level < 8; level++ {
			shift := 8 * max(level, 0)
			before, now := old>>shift, size>>shift
			if before == now {
				return // nothing new on this level, nor above it
			}
			for index := before / Width; index <= (now-1)/Width; index++ {
				if !yield(Tile{level, index, int(min(now-index*Width, Width))}) {
					return
				}
			}
		}
	}
}
