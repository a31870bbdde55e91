package tilestore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chiolog/chiolog/formats/tile"
)

// Materialise makes everything that a tree of the given size needs readable and
// durable in the files of the log (TT-20): full tiles and bundles, and
// the partial ones at the right edge. The partial ones of earlier sizes stay
// until the full one is there, and go at the call after that (TT-12).
func (s *Store) Materialise(ctx context.Context, size uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if now := s.Size(); size > now {
		return fmt.Errorf("materialising size %d: the tree has size %d", size, now)
	}
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	if s.materialised == size {
		return nil
	}
	if err := s.materialise(size); err != nil {
		return s.fail(fmt.Errorf("materialising size %d: %w", size, err))
	}
	s.materialised = size
	return nil
}

func (s *Store) materialise(size uint64) error {
	full, err := s.flush()
	if err != nil {
		return err
	}
	edge := partialTiles(size)
	if err := s.partials.remove(s.publisher, s.dir, edge); err != nil {
		return err
	}
	if err := s.partials.add(s.publisher, edge); err != nil {
		return err
	}
	files := make([]newFile, len(edge))
	for i, t := range edge {
		files[i] = newFile{s.path(t), func(buf []byte) ([]byte, error) { return s.appendPartial(buf, t) }}
	}
	if err := s.publisher.write(publicFile, files); err != nil {
		return err
	}
	s.partials.supersede(full)
	return nil
}

// partialTiles returns the partial bundle and tiles at the right edge of a tree.
func partialTiles(size uint64) []tile.Tile {
	var edge []tile.Tile
	for level := tile.Entries; level < 8; level++ {
		hashes := size >> (treeLevels * max(level, 0))
		if w := tile.PartialWidth(level, size); w > 0 {
			edge = append(edge, tile.Tile{Level: level, Index: hashes / tile.Width, Width: w})
		}
	}
	return edge
}

// appendPartial appends the contents of a partial tile or bundle.
func (s *Store) appendPartial(buf []byte, t tile.Tile) ([]byte, error) {
	if t.Level != tile.Entries {
		nt, err := s.anyTile(t.Level, t.Index)
		if err != nil {
			return nil, err
		}
		return nt.appendTile(buf, t.Width), nil
	}
	for from, to := t.Index*tile.Width, t.End(); from < to; {
		some, err := s.stretch(from, to)
		if err != nil {
			return nil, err
		}
		for i := range some.len() {
			if buf, err = tile.AppendEntry(buf, some.value(i)); err != nil {
				return nil, err
			}
		}
		from += uint64(some.len())
	}
	return buf, nil
}

// flush writes the full bundles and tiles of the tail, and then drops them from
// memory. It returns the size up to which all full ones are in files. The
// caller holds filesMu.
func (s *Store) flush() (uint64, error) {
	var files []newFile
	t := &s.tail
	t.mu.RLock()
	size := t.size()
	full := size / tile.Width * tile.Width
	for from := t.first; from < full; from += tile.Width {
		entries := t.entries[from-t.first:][:tile.Width]
		bundle := tile.Tile{Level: tile.Entries, Index: from / tile.Width, Width: tile.Width}
		files = append(files, newFile{s.path(bundle), func(buf []byte) ([]byte, error) { return appendBundle(buf, entries) }})
	}
	for k := range t.levels {
		for i, nt := range t.levels[k].tiles {
			name := tile.Tile{Level: k, Index: t.levels[k].first + uint64(i), Width: tile.Width}
			if name.End() > size {
				break
			}
			files = append(files, newFile{s.path(name), func(buf []byte) ([]byte, error) { return nt.appendTile(buf, tile.Width), nil }})
		}
	}
	t.mu.RUnlock()
	if err := s.publisher.write(publicFile, files); err != nil {
		return 0, fmt.Errorf("writing full tiles and bundles: %w", err)
	}
	for _, d := range t.drop(size) {
		// The next proofs near the edge need the nodes of these.
		d.tile.expand.Do(func() {})
		s.tiles.put(tileKey{d.level, d.index}, d.tile, len(d.tile.nodes)*tile.HashSize)
	}
	return size, nil
}

func appendBundle(buf []byte, entries []entry) (_ []byte, err error) {
	for i := range entries {
		if buf, err = tile.AppendEntry(buf, entries[i].value); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

// partials remembers the places of partial tiles, each of them a directory with
// the partial tiles of some widths, across restarts. An entry is there before
// the directory is, so that none is forgotten.
type partials struct {
	path   string
	places []tile.Tile // full tiles in whose places partial ones are
	old    []tile.Tile // those of places whose full tile is there: to be removed
}

const partialsHeader = "chiolog partial tiles 1\n"

func placeOfTile(t tile.Tile) tile.Tile {
	t.Width = tile.Width
	return t
}

// openPartials reads the list, which is missing in a new store.
func openPartials(path string) (*partials, error) {
	p := &partials{path: path}
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the list of partial tiles: %w", err)
	}
	rest, ok := strings.CutPrefix(string(data), partialsHeader)
	for line := range strings.Lines(rest) {
		t, err := tile.ParsePath(strings.TrimSuffix(line, "\n"))
		if err != nil || !t.Full() {
			ok = false
			break
		}
		p.places = append(p.places, t)
	}
	if !ok {
		return nil, fmt.Errorf("list of partial tiles %s: %w", path, ErrCorrupt)
	}
	return p, nil
}

// add notes the places of partial tiles that are about to be written.
func (p *partials) add(pub *publisher, edge []tile.Tile) error {
	places := slices.Clone(p.places)
	for _, t := range edge {
		if place := placeOfTile(t); !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	if len(places) == len(p.places) {
		return nil
	}
	text := []byte(partialsHeader)
	for _, t := range places {
		text = append(text, t.Path()+"\n"...)
	}
	if err := pub.replace(p.path, text, privateFile); err != nil {
		return fmt.Errorf("writing the list of partial tiles: %w", err)
	}
	p.places = places
	return nil
}

// remove removes what the last call of supersede found to be replaced, but for
// the places of edge.
func (p *partials) remove(pub *publisher, dir string, edge []tile.Tile) error {
	for _, t := range p.old {
		if slices.ContainsFunc(edge, func(e tile.Tile) bool { return placeOfTile(e) == t }) {
			continue
		}
		place := filepath.Join(dir, filepath.FromSlash(t.Path())+".p")
		if err := removeTree(place); err != nil {
			return fmt.Errorf("removing partial tiles: %w", err)
		}
		delete(pub.known, place)
		p.places = slices.DeleteFunc(p.places, func(p tile.Tile) bool { return p == t })
	}
	p.old = nil
	return nil
}

// supersede notes the places whose full tile is in a file, given the size up to
// which all are.
func (p *partials) supersede(full uint64) {
	for _, t := range p.places {
		if t.End() <= full {
			p.old = append(p.old, t)
		}
	}
}

// WriteCheckpoint puts a signed checkpoint at DIR/checkpoint, in place of the
// last one, all or nothing and durably.
func (s *Store) WriteCheckpoint(data []byte) error {
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	if err := s.Err(); err != nil {
		return err
	}
	if err := s.publisher.replace(filepath.Join(s.dir, "checkpoint"), data, publicFile); err != nil {
		return s.fail(fmt.Errorf("writing checkpoint: %w", err))
	}
	return nil
}
