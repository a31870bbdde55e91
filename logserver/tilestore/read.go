package tilestore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/chiolog/chiolog/formats/tile"
	"github.com/google/trillian"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// What is read from files is cached up to these many bytes, about.
const (
	tileCacheSize   = 16 << 20
	bundleCacheSize = 32 << 20
)

type tileKey struct {
	level int
	index uint64
}

// Dir returns the store's directory, which a file server can serve as a log.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path(t tile.Tile) string { return filepath.Join(s.dir, filepath.FromSlash(t.Path())) }

// node returns the hash of a node that the tree has.
func (s *Store) node(at place) ([]byte, error) {
	s.tail.mu.RLock()
	h := s.tail.node(at)
	s.tail.mu.RUnlock()
	if h != nil {
		return h, nil
	}
	t, err := s.fullTile(at.level, at.tile)
	if err != nil {
		return nil, err
	}
	if at.row > 0 {
		t.expand.Do(func() { t.rebuild(0) })
	}
	return t.row(at.row)[at.col][:], nil
}

// anyTile returns a tile that the tree has, whole or in part.
func (s *Store) anyTile(level int, index uint64) (*nodeTile, error) {
	s.tail.mu.RLock()
	var t *nodeTile
	if level < len(s.tail.levels) {
		t = s.tail.levels[level].at(index)
	}
	s.tail.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	return s.fullTile(level, index)
}

// fullTile reads a full tile from its file or the cache.
func (s *Store) fullTile(level int, index uint64) (*nodeTile, error) {
	key := tileKey{level, index}
	if t, ok := s.tiles.get(key); ok {
		return t, nil
	}
	data, err := os.ReadFile(s.path(tile.Tile{Level: level, Index: index, Width: tile.Width}))
	if err != nil {
		return nil, fmt.Errorf("reading tile: %w", err)
	}
	t, err := parseTile(data)
	if err != nil {
		return nil, fmt.Errorf("tile %d at level %d: %w", index, level, err)
	}
	s.tiles.put(key, t, len(t.nodes)*tile.HashSize)
	return t, nil
}

// fullBundle reads a full bundle from its file or the cache.
func (s *Store) fullBundle(index uint64) ([][]byte, error) {
	if values, ok := s.bundles.get(index); ok {
		return values, nil
	}
	data, err := os.ReadFile(s.path(tile.Tile{Level: tile.Entries, Index: index, Width: tile.Width}))
	if err != nil {
		return nil, fmt.Errorf("reading bundle: %w", err)
	}
	values, err := tile.ParseBundle(data, tile.Width)
	if err != nil {
		return nil, fmt.Errorf("bundle %d: %w", index, err)
	}
	s.bundles.put(index, values, len(data)+len(values)*24)
	return values, nil
}

// A stretch is some consecutive entries. Those of the tail come with their
// identities and times, those of a bundle without.
type stretch struct {
	values  [][]byte
	entries []entry
	times   []int64
}

func (s *stretch) len() int { return max(len(s.values), len(s.entries)) }

func (s *stretch) value(i int) []byte {
	if s.values != nil {
		return s.values[i]
	}
	return s.entries[i].value
}

// stretch returns entries from index from on, at least one and none at or
// after to. The tree has at least to entries.
func (s *Store) stretch(from, to uint64) (stretch, error) {
	s.tail.mu.RLock()
	if first := s.tail.first; from >= first {
		defer s.tail.mu.RUnlock()
		return stretch{entries: s.tail.entries[from-first : to-first], times: s.tail.times[from-first : to-first]}, nil
	}
	s.tail.mu.RUnlock()
	values, err := s.fullBundle(from / tile.Width)
	if err != nil {
		return stretch{}, err
	}
	start := from / tile.Width * tile.Width
	return stretch{values: values[from-start : min(to-start, tile.Width)]}, nil
}

// checkRange refuses a range that is not in the committed tree.
func (s *Store) checkRange(from, to uint64) error {
	if size := s.Size(); from > to || to > size {
		return status.Errorf(codes.OutOfRange, "entries %d to %d are not in a tree of size %d", from, to, size)
	}
	return nil
}

// ReadEntries calls f for each entry in [from, to), in order, and returns its
// first error. The values belong to the store: f must not change them.
func (s *Store) ReadEntries(ctx context.Context, from, to uint64, f func(index uint64, value []byte) error) error {
	if err := s.checkRange(from, to); err != nil {
		return err
	}
	for from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		some, err := s.stretch(from, to)
		if err != nil {
			return fmt.Errorf("reading entry %d: %w", from, err)
		}
		for i := range some.len() {
			if err := f(from+uint64(i), some.value(i)); err != nil {
				return err
			}
		}
		from += uint64(some.len())
	}
	return nil
}

// LeafHashes returns the leaf hashes of the entries in [from, to).
func (s *Store) LeafHashes(ctx context.Context, from, to uint64) ([][32]byte, error) {
	if err := s.checkRange(from, to); err != nil {
		return nil, err
	}
	hashes := make([]hash, 0, to-from)
	for from < to {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, err := s.anyTile(0, from/tile.Width)
		if err != nil {
			return nil, fmt.Errorf("reading leaf hash %d: %w", from, err)
		}
		start := from / tile.Width * tile.Width
		hashes = append(hashes, t.nodes[from-start:min(to-start, tile.Width)]...)
		from = start + tile.Width
	}
	return hashes, nil
}

// IndexOfIdentity returns the index of the entry with an identity, if it is in
// the tree.
func (s *Store) IndexOfIdentity(_ context.Context, id [32]byte) (uint64, bool, error) {
	return s.index.find(&id)
}

// IndexOfLeafHash returns the lowest index with a leaf hash, if there is one in
// the tree.
func (s *Store) IndexOfLeafHash(_ context.Context, h [32]byte) (uint64, bool, error) {
	return s.index.findLeaf(&h, func(index uint64) (bool, error) {
		t, err := s.anyTile(0, index/tile.Width)
		return err == nil && t.nodes[index%tile.Width] == h, err
	})
}

// leaf returns one leaf as Trillian wants it.
func (s *Store) leaf(ctx context.Context, index uint64) (*trillian.LogLeaf, error) {
	leaves, err := s.leaves(ctx, index, index+1)
	if err != nil {
		return nil, err
	}
	return leaves[0], nil
}

// leaves returns some leaves from index from on, at least one. A leaf that is
// no longer in the tail has no times, for bundles do not keep them.
func (s *Store) leaves(ctx context.Context, from, to uint64) ([]*trillian.LogLeaf, error) {
	some, err := s.stretch(from, to)
	if err != nil {
		return nil, fmt.Errorf("reading entry %d: %w", from, err)
	}
	hashes, err := s.LeafHashes(ctx, from, from+uint64(some.len()))
	if err != nil {
		return nil, err
	}
	leaves := make([]*trillian.LogLeaf, some.len())
	for i := range leaves {
		leaf := &trillian.LogLeaf{LeafIndex: int64(from) + int64(i), LeafValue: some.value(i), MerkleLeafHash: hashes[i][:]}
		leaves[i] = leaf
		if some.entries != nil {
			e := &some.entries[i]
			leaf.LeafIdentityHash = append([]byte(nil), e.identity[:]...)
			leaf.QueueTimestamp = timestamppb.New(time.Unix(0, e.queued))
			leaf.IntegrateTimestamp = timestamppb.New(time.Unix(0, some.times[i]))
			continue
		}
		id, err := s.identityOf(leaf.LeafValue, hashes[i])
		if err != nil {
			return nil, fmt.Errorf("identity of entry %d: %w", leaf.LeafIndex, err)
		}
		leaf.LeafIdentityHash = id[:]
	}
	return leaves, nil
}

// identityOf computes an identity that is not at hand.
func (s *Store) identityOf(value []byte, leafHash hash) (hash, error) {
	if s.identity == nil {
		return leafHash, nil
	}
	return s.identity(value)
}
