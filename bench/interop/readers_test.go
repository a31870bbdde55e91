package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	tessera "github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A contents is all that a reader has read and checked of a log.
type contents struct {
	tree    tlog.Tree
	entries [][]byte
	hashes  storedHashes
}

// root returns the root of the log's first size leaves.
func (c *contents) root(size uint64) (tlog.Hash, error) {
	return tlog.TreeHash(int64(size), c.hashes)
}

// storedHashes are the hashes of a tree in the order of x/mod.
type storedHashes []tlog.Hash

func (s storedHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(s)) {
			return nil, fmt.Errorf("hash %d of %d", x, len(s))
		}
		out[i] = s[x]
	}
	return out, nil
}

// publicReaders are the two readers, by name. Each reads the whole log below a
// URL and returns an error if anything that its checkpoint covers is not right.
var publicReaders = []struct {
	name string
	read func(ctx context.Context, url, vkey string) error
}{
	{"tessera", readTessera},
	{"x/mod", func(ctx context.Context, url, vkey string) error {
		_, err := readMod(ctx, url, vkey)
		return err
	}},
}

// readMod reads a log with golang.org/x/mod alone: every hash comes out of
// tiles that TileHashReader has checked against the root, every entry is hashed
// and compared with them, and the root is computed anew from the entries.
func readMod(ctx context.Context, url, vkey string) (*contents, error) {
	tree, err := readCheckpoint(ctx, url, vkey)
	if err != nil {
		return nil, err
	}
	c := &contents{tree: tree}
	checked := tlog.TileHashReader(tree, &tileReader{ctx, url})
	for first := int64(0); first < tree.N; first += 256 {
		entries, err := readBundle(ctx, url, first/256, min(256, tree.N-first))
		if err != nil {
			return nil, err
		}
		indexes := make([]int64, len(entries))
		for i := range entries {
			indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		hashes, err := checked.ReadHashes(indexes)
		if err != nil {
			return nil, err
		}
		for i, entry := range entries {
			if tlog.RecordHash(entry) != hashes[i] {
				return nil, fmt.Errorf("entry %d is not what its leaf hash says", first+int64(i))
			}
			stored, err := tlog.StoredHashesForRecordHash(first+int64(i), hashes[i], c.hashes)
			if err != nil {
				return nil, err
			}
			c.hashes = append(c.hashes, stored...)
		}
		c.entries = append(c.entries, entries...)
	}
	root, err := c.root(uint64(tree.N))
	if err != nil {
		return nil, err
	}
	if root != tree.Hash {
		return nil, fmt.Errorf("entries have the root %v, the checkpoint %v", root, tree.Hash)
	}
	return c, nil
}

// readCheckpoint reads the checkpoint of a log.
func readCheckpoint(ctx context.Context, url, vkey string) (tlog.Tree, error) {
	data, err := fetch(ctx, url+"/checkpoint")
	if err != nil {
		return tlog.Tree{}, err
	}
	return openCheckpoint(data, vkey)
}

// openCheckpoint verifies a checkpoint's note and reads its text. It takes no
// extension lines, which a log should not write (CP-5).
func openCheckpoint(data []byte, vkey string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	n, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[0] != origin || lines[3] != "" {
		return tlog.Tree{}, fmt.Errorf("checkpoint of other form: %q", n.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("checkpoint of size %q", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("checkpoint with root %q", lines[2])
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(root)}, nil
}

// A tileReader gives x/mod the tiles of a tlog-tiles log.
type tileReader struct {
	ctx context.Context
	url string
}

func (r *tileReader) Height() int { return 8 }

func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		full := tlog.Tile{H: t.H, L: t.L, N: t.N, W: 256}
		data, wide, err := fetchPartial(r.ctx, r.url, modPath(t), modPath(full))
		if err != nil {
			return nil, err
		}
		if wide && len(data) == layout.EntryBundleWidth*tlog.HashSize {
			data = data[:t.W*tlog.HashSize]
		}
		out[i] = data
	}
	return out, nil
}

// modPath returns the tlog-tiles path of a tile: the checksum database has the
// height in its paths and calls entries data (SD-1), the rest is the same.
func modPath(t tlog.Tile) string {
	path := strings.Replace(t.Path(), "tile/8/", "/tile/", 1)
	return strings.Replace(path, "/data/", "/entries/", 1)
}

// readBundle returns the first width entries of a bundle.
func readBundle(ctx context.Context, url string, index, width int64) ([][]byte, error) {
	t := tlog.Tile{H: 8, L: -1, N: index, W: int(width)}
	full := tlog.Tile{H: 8, L: -1, N: index, W: 256}
	data, wide, err := fetchPartial(ctx, url, modPath(t), modPath(full))
	if err != nil {
		return nil, err
	}
	entries, err := splitBundle(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", modPath(t), err)
	}
	if n := int64(len(entries)); n != width && (!wide || n != 256) {
		return nil, fmt.Errorf("%s has %d entries", modPath(t), n)
	}
	return entries[:width], nil
}

// splitBundle splits an entry bundle (TT-14).
func splitBundle(data []byte) ([][]byte, error) {
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("ends within entry %d", len(entries))
		}
		n := 2 + int(binary.BigEndian.Uint16(data))
		entries, data = append(entries, data[2:n]), data[n:]
	}
	return entries, nil
}

// fetchPartial fetches a tile or bundle, and the full one if there is none of
// this width any more (TT-12); wide says that it did.
func fetchPartial(ctx context.Context, url, path, full string) (data []byte, wide bool, err error) {
	data, err = fetch(ctx, url+path)
	if errors.Is(err, fs.ErrNotExist) && path != full {
		data, err = fetch(ctx, url+full)
		return data, true, err
	}
	return data, false, err
}

// fetch returns the body of a 200, and fs.ErrNotExist for a 404 (TT-19).
func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return io.ReadAll(resp.Body)
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", url, fs.ErrNotExist)
	}
	return nil, fmt.Errorf("%s: %s", url, resp.Status)
}

// readTessera reads a log with Tessera's client and its fsck, which derives
// every tile from the bundles and compares all of them, and checks proofs that
// the client builds out of tiles.
func readTessera(ctx context.Context, prefix, vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	root, err := url.Parse(prefix + "/")
	if err != nil {
		return err
	}
	log, err := client.NewHTTPFetcher(root, http.DefaultClient)
	if err != nil {
		return err
	}
	checkpoint, _, _, err := client.FetchCheckpoint(ctx, log.ReadCheckpoint, verifier, origin)
	if err != nil {
		return err
	}
	size := checkpoint.Size
	// fsck's workers end at their first error, so it needs one more of them than
	// there are bad tiles to come to an end.
	check := fsck.New(origin, verifier, log, bundleHasher(size), fsck.Opts{N: 4})
	if err := check.Check(ctx); err != nil {
		return err
	}
	return checkBuiltProofs(ctx, log, size, checkpoint.Hash)
}

// bundleHasher returns what hashes the entries of a bundle in a log of a size.
// It refuses bundles of a length that such a log has none of, because fsck
// takes it that the hashes it asks for are there.
func bundleHasher(size uint64) func([]byte) ([][]byte, error) {
	return func(data []byte) ([][]byte, error) {
		var bundle tessera.EntryBundle
		if err := bundle.UnmarshalText(data); err != nil {
			return nil, err
		}
		if n := uint64(len(bundle.Entries)); n != layout.EntryBundleWidth && n != size%layout.EntryBundleWidth {
			return nil, fmt.Errorf("bundle of %d entries in a log of %d", n, size)
		}
		hashes := make([][]byte, len(bundle.Entries))
		for i, entry := range bundle.Entries {
			hashes[i] = rfc6962.DefaultHasher.HashLeaf(entry)
		}
		return hashes, nil
	}
}

// checkBuiltProofs checks inclusion proofs of some entries and consistency
// proofs from some sizes, all built by Tessera's client.
func checkBuiltProofs(ctx context.Context, log *client.HTTPFetcher, size uint64, root []byte) error {
	builder, err := client.NewProofBuilder(ctx, size, log.ReadTile)
	if err != nil {
		return err
	}
	for index := uint64(0); index < size; index += 1 + size/23 {
		bundle, err := client.GetEntryBundle(ctx, log.ReadEntryBundle, index/layout.EntryBundleWidth, size)
		if err != nil {
			return err
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(bundle.Entries[index%layout.EntryBundleWidth])
		path, err := builder.InclusionProof(ctx, index)
		if err != nil {
			return err
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf, path, root); err != nil {
			return fmt.Errorf("inclusion of %d: %w", index, err)
		}
	}
	leaves, err := client.FetchLeafHashes(ctx, log.ReadTile, 0, size, size)
	if err != nil {
		return err
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for i, leaf := range leaves {
		if err := tree.Append(leaf, nil); err != nil {
			return err
		}
		smaller := uint64(i + 1)
		if smaller%29 != 1 {
			continue
		}
		old, err := tree.GetRootHash(nil)
		if err != nil {
			return err
		}
		path, err := builder.ConsistencyProof(ctx, smaller, size)
		if err != nil {
			return err
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, smaller, size, path, old, root); err != nil {
			return fmt.Errorf("consistency of %d: %w", smaller, err)
		}
	}
	return nil
}

// leafHash is RFC 6962's, of bytes that a test sent.
func leafHash(entry []byte) tlog.Hash {
	return sha256.Sum256(bytes.Join([][]byte{{0}, entry}, nil))
}
