package tilestore

import (
	"fmt"
	"slices"
	"sync"

	"github.com/chiolog/chiolog/formats/tile"
	"github.com/google/trillian/storage/tree"
)

// A tail holds what is committed but not yet in full tiles and bundles on disk,
// and so, at each level, at least the partial tile at the right edge. These
// are all the nodes that a pass reads.
type tail struct {
	mu      sync.RWMutex
	first   uint64  // index of entries[0], a multiple of tile.Width
	entries []entry // with integrated beside it
	times   []int64 // integration, Unix nanoseconds
	levels  []tailLevel
}

// A tailLevel holds the tiles of one level from number first on.
type tailLevel struct {
	first uint64
	tiles []*nodeTile
}

// at returns the tile with number n, nil if the tail does not have it.
func (l *tailLevel) at(n uint64) *nodeTile {
	if n < l.first || n-l.first >= uint64(len(l.tiles)) {
		return nil
	}
	return l.tiles[n-l.first]
}

// extend returns the tile with number n, which follows those there are.
func (l *tailLevel) extend(n uint64) (*nodeTile, error) {
	if n-l.first == uint64(len(l.tiles)) {
		l.tiles = append(l.tiles, new(nodeTile))
	}
	t := l.at(n)
	if t == nil {
		return nil, fmt.Errorf("tile %d does not follow tile %d", n, l.first+uint64(len(l.tiles)))
	}
	return t, nil
}

// level returns one level, made if there is none yet. The caller holds mu.
func (t *tail) level(k int) *tailLevel {
	for len(t.levels) <= k {
		t.levels = append(t.levels, tailLevel{})
	}
	return &t.levels[k]
}

// size is the size of the tree. The caller holds mu.
func (t *tail) size() uint64 { return t.first + uint64(len(t.entries)) }

// add appends what a pass committed. nodes are all nodes that it completed, in
// any order; the caller has checked that they are all there.
func (t *tail) add(p *pass, nodes []tree.Node) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addEntries(p)
	for i := range nodes {
		at := placeOf(nodes[i].ID)
		nt, err := t.level(at.level).extendTo(at.tile)
		if err != nil {
			return fmt.Errorf("level %d: %w", at.level, err)
		}
		copy(nt.row(at.row)[at.col][:], nodes[i].Hash)
	}
	t.setWidths()
	return nil
}

// extendTo returns the tile with number n, with all those before it made.
func (l *tailLevel) extendTo(n uint64) (*nodeTile, error) {
	for next := l.first + uint64(len(l.tiles)); next < n; next++ {
		if _, err := l.extend(next); err != nil {
			return nil, err
		}
	}
	return l.extend(n)
}

func (t *tail) addEntries(p *pass) {
	t.entries = append(t.entries, p.entries...)
	for range p.entries {
		t.times = append(t.times, p.integrated)
	}
}

// setWidths gives each tile the width that follows from the size.
func (t *tail) setWidths() {
	size := t.size()
	for k := range t.levels {
		l := &t.levels[k]
		for i := len(l.tiles) - 1; i >= 0 && l.tiles[i].width < tile.Width; i-- {
			l.tiles[i].width = tile.WidthAt(k, l.first+uint64(i), size)
		}
	}
}

// replay appends a pass as it was read from a segment, but for entries that are
// in a bundle file. It has no nodes between the tile levels: rebuild makes
// them afterwards.
func (t *tail) replay(p *pass) error {
	if p.size() > t.first {
		later := *p
		later.entries = p.entries[max(p.first, t.first)-p.first:]
		t.addEntries(&later)
	}
	for k, hashes := range p.levels {
		if err := t.replayHashes(k, p.first>>(treeLevels*k), hashes); err != nil {
			return err
		}
	}
	return nil
}

// replayHashes appends hashes of one tile level, whose first one has the given
// index. Those before the tail's first tile are in files.
func (t *tail) replayHashes(k int, index uint64, hashes []hash) error {
	l := t.level(k)
	for i, h := range hashes {
		n, col := (index+uint64(i))/tile.Width, (index+uint64(i))%tile.Width
		if n < l.first {
			continue
		}
		nt, err := l.extend(n)
		if err != nil {
			return fmt.Errorf("level %d: %w", k, err)
		}
		if uint64(nt.width) != col {
			return fmt.Errorf("level %d, tile %d: hash %d follows %d hashes", k, n, col, nt.width)
		}
		nt.nodes[col] = h
		nt.width++
	}
	return nil
}

// node returns a node of a complete subtree, nil if it lies in a full tile
// that is in a file.
func (t *tail) node(at place) []byte {
	if at.level >= len(t.levels) {
		return nil
	}
	nt := t.levels[at.level].at(at.tile)
	if nt == nil {
		return nil
	}
	return nt.row(at.row)[at.col][:]
}

// drop forgets the entries and tiles of full bundles and tiles before the given
// size, which are durable in files now, and returns those tiles.
func (t *tail) drop(size uint64) (dropped []droppedTile) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := size/tile.Width*tile.Width - min(t.first, size/tile.Width*tile.Width); n > 0 {
		t.entries = slices.Clone(t.entries[n:])
		t.times = slices.Clone(t.times[n:])
		t.first += n
	}
	for k := range t.levels {
		l := &t.levels[k]
		full := size >> (treeLevels * (k + 1)) // number of full tiles
		if full <= l.first {
			continue
		}
		n := full - l.first
		for i, nt := range l.tiles[:n] {
			dropped = append(dropped, droppedTile{k, l.first + uint64(i), nt})
		}
		l.tiles = slices.Clone(l.tiles[n:])
		l.first = full
	}
	return dropped
}

type droppedTile struct {
	level int
	index uint64
	tile  *nodeTile
}

// begin sets an empty tail to where a segment starts. The full tile that has
// the first entry, if it began before it, is in a file.
func (t *tail) begin(start *segmentStart) {
	t.first = (start.first + tile.Width - 1) / tile.Width * tile.Width
	t.level(0).first = t.first / tile.Width
	for i, hashes := range start.levels {
		k := i + 1
		l := t.level(k)
		l.first = start.first >> (treeLevels * k) / tile.Width
		nt := &nodeTile{width: len(hashes)}
		copy(nt.nodes[:tile.Width], hashes)
		l.tiles = append(l.tiles, nt)
	}
}

// start returns the start of a segment at size.
func (t *tail) start(size uint64) *segmentStart {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := &segmentStart{first: size}
	for k := 1; size>>(treeLevels*k) > 0; k++ {
		hashes := size >> (treeLevels * k)
		var partial []hash
		if nt := t.levels[k].at(hashes / tile.Width); nt != nil {
			partial = nt.nodes[:hashes%tile.Width]
		}
		s.levels = append(s.levels, partial)
	}
	return s
}

// rebuild makes the nodes between the tile levels after a replay, and checks
// that those of full tiles lead to the hashes one tile level up.
func (t *tail) rebuild() error {
	for k := range t.levels {
		l := &t.levels[k]
		for i, nt := range l.tiles {
			nt.rebuild(0)
			if nt.width < tile.Width {
				continue
			}
			n := l.first + uint64(i)
			above := t.node(place{k + 1, n / tile.Width, 0, n % tile.Width})
			if above == nil || hash(above) != nt.root() {
				return fmt.Errorf("tile %d at level %d does not have its hash in the level above", n, k)
			}
		}
	}
	return nil
}
