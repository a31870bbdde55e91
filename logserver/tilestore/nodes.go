package tilestore

import (
	"sync"

	"github.com/chiolog/chiolog/formats/tile"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// treeLevels is the number of tree levels that one tile level spans.
const treeLevels = 8

// A nodeTile is one tile with the nodes of the tree that lie above its hashes,
// up to but without the root of the full tile: that one is a hash of the tile
// level above. Row r has Width>>r nodes.
//
// Nodes are written once, from left to right; whoever has learned under a lock
// that a node is there may keep a slice of it without one.
type nodeTile struct {
	width  int // hashes that are there; the nodes above them are there as well
	nodes  [2*tile.Width - 2]hash
	expand sync.Once // for tiles read from files: computes the nodes of rows 1 to 7
}

// row returns the nodes of one row.
func (t *nodeTile) row(r int) []hash {
	start := 2*tile.Width - 2*tile.Width>>r
	return t.nodes[start : start+tile.Width>>r]
}

// rebuild computes the nodes above the hashes from column on: all that a store
// ever hashes, for what it reads from a file holds the hashes alone.
func (t *nodeTile) rebuild(column int) {
	for r := 1; r < treeLevels; r++ {
		below, row := t.row(r-1), t.row(r)
		for i := column >> r; i < t.width>>r; i++ {
			hashChildren(&row[i], &below[2*i], &below[2*i+1])
		}
	}
}

// root is the hash of a full tile, computed.
func (t *nodeTile) root() (root hash) {
	top := t.row(treeLevels - 1)
	hashChildren(&root, &top[0], &top[1])
	return root
}

func hashChildren(dst, left, right *hash) {
	copy(dst[:], rfc6962.DefaultHasher.HashChildren(left[:], right[:]))
}

// A place is where a node of the tree is kept.
type place struct {
	level int    // tile level
	tile  uint64 // tile's index in it
	row   int
	col   uint64 // in the row
}

// placeOf returns the place of a node. Every node has one, for the root of
// a full tile is a hash in the level above.
func placeOf(id compact.NodeID) place {
	row := int(id.Level % treeLevels)
	perTile := uint64(tile.Width >> row)
	return place{int(id.Level / treeLevels), id.Index / perTile, row, id.Index % perTile}
}

// complete reports whether all leaves under a node are in a tree of that size.
func complete(id compact.NodeID, size uint64) bool {
	return id.Level < 64 && id.Index < size>>id.Level
}

// newNodes counts the nodes that are complete at size but were not at old.
func newNodes(old, size uint64) (n uint64) {
	for ; size > 0; old, size = old>>1, size>>1 {
		n += size - old
	}
	return n
}

// parseTile reads a full tile.
func parseTile(data []byte) (*nodeTile, error) {
	hashes, err := tile.ParseHashes(data, tile.Width)
	if err != nil {
		return nil, err
	}
	t := &nodeTile{width: tile.Width}
	copy(t.nodes[:], hashes)
	return t, nil
}

// appendTile appends the first width hashes, which are the contents of a tile file.
func (t *nodeTile) appendTile(buf []byte, width int) []byte {
	for i := range width {
		buf = append(buf, t.nodes[i][:]...)
	}
	return buf
}
