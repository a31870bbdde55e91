package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
)

// Bounds of answers, in bytes.
const (
	maxEntry       = api.MaxReceipt + maxAnswer
	maxProof       = 16 << 10
	maxCheckpoints = 64 << 20
)

// A Ref names an entry of a log.
type Ref struct{ name, value string }

// ByID names an entry by the id of its receipt.
func ByID(id string) Ref { return Ref{"id", id} }

// ByIndex names an entry by its index.
func ByIndex(index uint64) Ref { return Ref{"index", strconv.FormatUint(index, 10)} }

// ByLeafHash names an entry by its leaf hash.
func ByLeafHash(hash [32]byte) Ref { return Ref{"leaf_hash", chio.Hash(hash).Hex()} }

// Receipt returns the entry with the receipt of this id, unverified.
func (c *Client) Receipt(ctx context.Context, id string) (api.Receipt, error) {
	var answer api.Receipt
	r := request{path: api.PathReceipts, query: url.Values{"id": {id}}, limit: maxEntry}
	if err := c.json(ctx, r, &answer); err != nil {
		return api.Receipt{}, fmt.Errorf("fetching receipt %.80s: %w", id, err)
	}
	return answer, nil
}

// InclusionProof returns a proof that the tree of the given size, which must
// have been published, has an entry; size 0 asks for the newest published
// size. Unless the entry is under a checkpoint, the error is an *api.Error
// with api.CodeNotPublished. See VerifyInclusion.
func (c *Client) InclusionProof(ctx context.Context, entry Ref, size uint64) (api.InclusionProof, error) {
	return c.inclusionProof(ctx, entry, size, false)
}

// Await returns when the entry is covered by a published checkpoint, with its
// inclusion proof there, or when ctx ends.
func (c *Client) Await(ctx context.Context, entry Ref) (api.InclusionProof, error) {
	return c.inclusionProof(ctx, entry, 0, true)
}

func (c *Client) inclusionProof(ctx context.Context, entry Ref, size uint64, wait bool) (api.InclusionProof, error) {
	query := url.Values{entry.name: {entry.value}}
	if size > 0 {
		query.Set("size", strconv.FormatUint(size, 10))
	}
	var answer api.InclusionProof
	r := request{path: api.PathInclusion, query: query, limit: maxProof, published: wait}
	if err := c.json(ctx, r, &answer); err != nil {
		return api.InclusionProof{}, fmt.Errorf("fetching inclusion proof of %s %.80s: %w", entry.name, entry.value, err)
	}
	return answer, nil
}

// VerifyInclusion returns nil if p proves that a leaf hash lies in the tree of
// a checkpoint, at the index that p says. The checkpoint must have been
// verified: a proof is worth what the checkpoint is.
func VerifyInclusion(p api.InclusionProof, leaf [32]byte, c checkpoint.Checkpoint) error {
	path, err := parsePath(p.Path)
	if err != nil {
		return fmt.Errorf("inclusion proof: %w", err)
	}
	if p.Size != c.Size {
		return fmt.Errorf("inclusion proof is for size %d, the checkpoint has %d", p.Size, c.Size)
	}
	return checkpoint.VerifyInclusion(leaf, p.Index, p.Size, path, c.Root)
}

// ConsistencyProof returns a proof that the tree of size from is the beginning
// of that of size to, unverified. See CheckConsistency.
func (c *Client) ConsistencyProof(ctx context.Context, from, to uint64) (api.ConsistencyProof, error) {
	var answer api.ConsistencyProof
	query := url.Values{"from": {strconv.FormatUint(from, 10)}, "to": {strconv.FormatUint(to, 10)}}
	if err := c.json(ctx, request{path: api.PathConsistency, query: query, limit: maxProof}, &answer); err != nil {
		return api.ConsistencyProof{}, fmt.Errorf("fetching consistency proof from size %d to %d: %w", from, to, err)
	}
	return answer, nil
}

// CheckConsistency returns nil if the log proves that the tree of one
// checkpoint is the beginning of the other's, and checkpoint.ErrProof if what
// it gives does not prove it. Both must have been verified, and from must not
// have size 0, of which nothing can be proved.
func (c *Client) CheckConsistency(ctx context.Context, from, to checkpoint.Checkpoint) error {
	switch {
	case from.Origin != to.Origin:
		return fmt.Errorf("checkpoints of %s and %s: of two logs", from.Origin, to.Origin)
	case from.Size == 0:
		return errors.New("a checkpoint of size 0 is the beginning of every tree")
	case from.Size == to.Size && from.Root == to.Root:
		return nil
	case from.Size >= to.Size:
		return fmt.Errorf("consistency of size %d with %d: %w", from.Size, to.Size, checkpoint.ErrProof)
	}
	p, err := c.ConsistencyProof(ctx, from.Size, to.Size)
	if err != nil {
		return err
	}
	path, err := parsePath(p.Path)
	if err != nil {
		return fmt.Errorf("consistency proof: %w", err)
	}
	return checkpoint.VerifyConsistency(from.Size, to.Size, path, from.Root, to.Root)
}

// parsePath reads the hashes of a proof.
func parsePath(text []string) ([][32]byte, error) {
	if len(text) > 2*bundle.MaxPath {
		return nil, fmt.Errorf("path of %d hashes", len(text))
	}
	path := make([][32]byte, len(text))
	for i, digits := range text {
		hash, err := chio.ParseHex(digits)
		if err != nil {
			return nil, fmt.Errorf("hash %d: %w", i, err)
		}
		path[i] = hash
	}
	return path, nil
}

// Bundle returns the offline proof of the receipt with this id, unverified:
// see Prove.
func (c *Client) Bundle(ctx context.Context, id string) ([]byte, error) {
	r := request{path: api.PathBundle, query: url.Values{"id": {id}}, limit: bundle.MaxBundle}
	data, err := c.bytes(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("fetching the proof of %.80s: %w", id, err)
	}
	return data, nil
}

// A StatusQuery says what a status file shall prove beside the log's status.
// It has at most api.MaxProofs members in all.
type StatusQuery struct {
	From        []uint64    // sizes, for consistency proofs from them
	Writers     []chio.Hash // key ids, for proofs whether they are writers
	Revocations []chio.Hash // keys of the revocation map, for proofs whether they are revoked
}

func (q StatusQuery) values() (url.Values, error) {
	if n := len(q.From) + len(q.Writers) + len(q.Revocations); n > api.MaxProofs {
		return nil, fmt.Errorf("%d proofs asked for, the limit is %d", n, api.MaxProofs)
	}
	v := url.Values{}
	for _, size := range q.From {
		v.Add("from", strconv.FormatUint(size, 10))
	}
	for _, id := range q.Writers {
		v.Add("writer", id.String())
	}
	for _, key := range q.Revocations {
		v.Add("revocation", key.String())
	}
	return v, nil
}

// StatusFile returns the log's status file, unverified.
func (c *Client) StatusFile(ctx context.Context, q StatusQuery) ([]byte, error) {
	query, err := q.values()
	if err != nil {
		return nil, fmt.Errorf("fetching the status file: %w", err)
	}
	data, err := c.bytes(ctx, request{path: api.PathStatus, query: query, limit: bundle.MaxStatusFile})
	if err != nil {
		return nil, fmt.Errorf("fetching the status file: %w", err)
	}
	return data, nil
}

// Checkpoint returns the newest published checkpoint. Its signatures have not
// been verified: that is for a policy to do.
func (c *Client) Checkpoint(ctx context.Context) (checkpoint.Note, error) {
	data, err := c.bytes(ctx, request{path: api.PathCheckpoint, limit: checkpoint.MaxNote})
	if err != nil {
		return checkpoint.Note{}, fmt.Errorf("fetching the checkpoint: %w", err)
	}
	n, err := checkpoint.ParseNote(data)
	if err != nil {
		return checkpoint.Note{}, fmt.Errorf("reading the checkpoint: %w", err)
	}
	return n, nil
}

// Checkpoints returns the published checkpoints after the one with sequence
// number after, oldest first and at most limit of them, in both encodings and
// unverified. If there are more, Next of the answer is the next after.
func (c *Client) Checkpoints(ctx context.Context, after uint64, limit int) (api.Checkpoints, error) {
	if limit < 1 || limit > api.MaxCheckpoints {
		return api.Checkpoints{}, fmt.Errorf("fetching checkpoints: limit %d is not 1 to %d", limit, api.MaxCheckpoints)
	}
	query := url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}}
	var answer api.Checkpoints
	if err := c.json(ctx, request{path: api.PathCheckpoints, query: query, limit: maxCheckpoints}, &answer); err != nil {
		return api.Checkpoints{}, fmt.Errorf("fetching checkpoints after %d: %w", after, err)
	}
	return answer, nil
}
