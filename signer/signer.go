package signer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/jcs"
)

var (
	// ErrNoGuard reports a signer that has no record of what it signed.
	ErrNoGuard = errors.New("the guard is missing")
	// ErrContradiction reports a request that contradicts what was signed.
	ErrContradiction = errors.New("contradicts what was signed before")
	// ErrOutOfStep reports a request that does not follow on what was signed
	// last: guard and store are not of the same time.
	ErrOutOfStep = errors.New("does not follow on what was signed last")
)

// State is where the guard lies. Swap must be durable on return and fail
// unless old is the stored value, nil for none.
type State interface {
	Latest() ([]byte, error)
	Swap(old, new []byte) error
}

// A guard is the record of what was signed last. It is changed before a
// signature leaves, and is never part of the store or of its backup: a store
// that was rolled back meets a guard that was not.
type guard struct {
	ActiveKey     string                `json:"active_key"`
	Chain         []chio.Hash           `json:"chain"` // frontier of the chain leaves
	CheckpointSeq uint64                `json:"checkpoint_seq"`
	EventHead     chio.OptionalHash     `json:"event_head"`
	Note          string                `json:"note"`
	Origin        string                `json:"origin"`
	Schema        string                `json:"schema"`
	Size          uint64                `json:"size"`
	Statement     *checkpoint.Statement `json:"statement,omitempty"`
	Tree          []chio.Hash           `json:"tree"` // frontier of the leaves
}

const guardSchema = "chiolog.guard.v1"

// A Signer signs the checkpoints and the log-authored receipts of one log. It
// derives what it signs from leaf hashes alone. It is safe for concurrent use.
type Signer struct {
	origin string
	key    Backend
	public chio.Key // of key, as it was at the start
	state  State

	mu     sync.Mutex
	stored []byte // the guard as it lies in state, nil if there is none
	guard  guard
	tree   checkpoint.Frontier
	chain  checkpoint.Frontier
}

// New returns the signer of the log origin. The guard, if there is one, must
// be of this origin.
func New(origin string, key Backend, state State) (*Signer, error) {
	s := &Signer{origin: origin, key: key, public: key.PublicKey(), state: state}
	stored, err := state.Latest()
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	if stored == nil {
		return s, nil
	}
	return s, s.load(stored)
}

func (s *Signer) load(stored []byte) error {
	var g guard
	if err := jcs.Unmarshal(stored, &g, jcs.StrictNumbers); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	if g.Schema != guardSchema || g.Origin != s.origin {
		return fmt.Errorf("guard: is %s of origin %q, want %s of %q", g.Schema, g.Origin, guardSchema, s.origin)
	}
	tree, err := checkpoint.NewFrontier(g.Size, fromHashes(g.Tree))
	if err != nil {
		return fmt.Errorf("guard: tree: %w", err)
	}
	chain, err := checkpoint.NewFrontier(g.CheckpointSeq, fromHashes(g.Chain))
	if err != nil {
		return fmt.Errorf("guard: chain: %w", err)
	}
	s.stored, s.guard, s.tree, s.chain = stored, g, tree, chain
	return nil
}

// PublicKey returns the key that signs.
func (s *Signer) PublicKey() chio.Key { return s.public }

// A Position is how far a signer or a store has come.
type Position struct {
	Size          uint64
	CheckpointSeq uint64 // 0 before the first checkpoint of size ≥ 1
}

// Position returns what was signed last, and whether there is a guard at all.
func (s *Signer) Position() (p Position, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Position{s.guard.Size, s.guard.CheckpointSeq}, s.stored != nil
}

// Begin makes the guard of a new log: it signs the checkpoint of size 0, which
// is never published.
func (s *Signer) Begin(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored != nil {
		return fmt.Errorf("beginning a log: the guard is at size %d already: %w", s.guard.Size, ErrContradiction)
	}
	g, err := s.next(ctx, checkpoint.Frontier{}, checkpoint.Frontier{}, nil)
	if err != nil {
		return err
	}
	return s.swap(g, checkpoint.Frontier{}, checkpoint.Frontier{})
}

// A Signed is one checkpoint in its two encodings.
type Signed struct {
	Note      []byte // the C2SP form, with the log's own signature line
	Statement []byte // the Chio form, canonical JSON
}

// A Request asks for the signatures of a checkpoint. Leaves are the leaf
// hashes of its batch. The body must be the one that follows from them; only
// its time is the caller's to choose.
type Request struct {
	Body      checkpoint.Body
	Size      uint64
	Root      [32]byte
	Leaves    [][32]byte
	EventHead chio.OptionalHash // of the log's key events at Size
}

// Sign signs a checkpoint, or returns what it signed when it is asked for the
// same one again. It never signs two different ones for one checkpoint_seq or
// one size.
func (s *Signer) Sign(ctx context.Context, r Request) (Signed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fail := func(err error) (Signed, error) {
		return Signed{}, fmt.Errorf("signing checkpoint %d of size %d: %w", r.Body.CheckpointSeq, r.Size, err)
	}
	switch {
	case s.stored == nil:
		return fail(ErrNoGuard)
	case s.guard.ActiveKey != s.public.Text():
		return fail(fmt.Errorf("by key %s, the guard is of key %s: %w", s.public.Text(), s.guard.ActiveKey, ErrContradiction))
	case r.Body.CheckpointSeq == s.guard.CheckpointSeq && s.guard.Statement != nil:
		return s.again(r, fail)
	case r.Body.CheckpointSeq != s.guard.CheckpointSeq+1 || r.Size <= s.guard.Size || uint64(len(r.Leaves)) != r.Size-s.guard.Size:
		return fail(fmt.Errorf("with %d leaf hashes; the guard is at checkpoint %d of size %d: %w", len(r.Leaves), s.guard.CheckpointSeq, s.guard.Size, ErrOutOfStep))
	}
	tree := s.tree.Clone()
	for _, leaf := range r.Leaves {
		tree.Append(leaf)
	}
	if tree.Root() != r.Root {
		return fail(fmt.Errorf("the leaf hashes lead to root %s, not to %s: %w", chio.Hash(tree.Root()), chio.Hash(r.Root), ErrContradiction))
	}
	body, chain := NextBody(s.guard.Statement, s.chain, r.Leaves, s.PublicKey(), r.Body.IssuedAt)
	if err := sameBody(body, r.Body); err != nil {
		return fail(err)
	}
	g, err := s.next(ctx, tree, chain, &body)
	if err != nil {
		return fail(err)
	}
	g.EventHead = r.EventHead
	if err := s.swap(g, tree, chain); err != nil {
		return fail(err)
	}
	return s.signed()
}

// again answers a request for the checkpoint that was signed last.
func (s *Signer) again(r Request, fail func(error) (Signed, error)) (Signed, error) {
	if err := sameBody(s.guard.Statement.Body, r.Body); err != nil {
		return fail(err)
	}
	if r.Size != s.guard.Size || r.Root != s.tree.Root() {
		return fail(fmt.Errorf("with root %s; the guard has size %d and root %s: %w", chio.Hash(r.Root), s.guard.Size, chio.Hash(s.tree.Root()), ErrContradiction))
	}
	return s.signed()
}

func (s *Signer) signed() (Signed, error) {
	statement, err := s.guard.Statement.Canonical()
	return Signed{Note: []byte(s.guard.Note), Statement: statement}, err
}

// next signs the checkpoint of tree, and the statement if there is one, and
// returns the guard that records both.
func (s *Signer) next(ctx context.Context, tree, chain checkpoint.Frontier, body *checkpoint.Body) (guard, error) {
	g := guard{
		ActiveKey: s.PublicKey().Text(), Origin: s.origin, Schema: guardSchema,
		Size: tree.Size(), Tree: toHashes(tree), CheckpointSeq: chain.Size(), Chain: toHashes(chain),
	}
	vkey, err := checkpoint.NewVKey(s.origin, s.PublicKey())
	if err != nil {
		return g, err
	}
	text := checkpoint.Checkpoint{Origin: s.origin, Size: tree.Size(), Root: tree.Root()}.String()
	signature, err := Sign(ctx, s.key, s.PublicKey(), []byte(text))
	if err != nil {
		return g, err
	}
	raw, err := chio.SignatureBytes(signature)
	if err != nil {
		return g, err
	}
	g.Note = checkpoint.Note{Text: text, Signatures: []checkpoint.Signature{vkey.Sign(raw)}}.String()
	if body == nil {
		return g, nil
	}
	canonical, err := body.Canonical()
	if err != nil {
		return g, err
	}
	if signature, err = Sign(ctx, s.key, s.public, canonical); err != nil {
		return g, err
	}
	g.Statement = &checkpoint.Statement{Body: *body, Signature: signature}
	return g, nil
}

// swap makes g durable. Only after it may what g records be shown.
func (s *Signer) swap(g guard, tree, chain checkpoint.Frontier) error {
	new, err := jcs.Marshal(g)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	if err := s.state.Swap(s.stored, new); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	s.stored, s.guard, s.tree, s.chain = new, g, tree, chain
	return nil
}

// A Restoration is what the store says was signed last, for a guard that is
// missing or behind and an operator who says that the store is current.
type Restoration struct {
	Tree      checkpoint.Frontier
	Chain     checkpoint.Frontier
	Note      []byte
	Statement *checkpoint.Statement // nil before the first
	EventHead chio.OptionalHash
}

// Restore makes the guard say what r says. It signs nothing and never goes
// back behind a guard that is there.
func (s *Signer) Restore(r Restoration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored != nil && (r.Tree.Size() < s.guard.Size || r.Chain.Size() < s.guard.CheckpointSeq) {
		return fmt.Errorf("restoring the guard to size %d: it is at size %d: %w", r.Tree.Size(), s.guard.Size, ErrContradiction)
	}
	g := guard{
		ActiveKey: s.PublicKey().Text(), Origin: s.origin, Schema: guardSchema, EventHead: r.EventHead,
		Size: r.Tree.Size(), Tree: toHashes(r.Tree), CheckpointSeq: r.Chain.Size(), Chain: toHashes(r.Chain),
		Note: string(r.Note), Statement: r.Statement,
	}
	return s.swap(g, r.Tree, r.Chain)
}

// SignEntry signs a log-authored receipt and returns its entry.
func (s *Signer) SignEntry(ctx context.Context, d *timeline.Draft) ([]byte, error) {
	signature, err := Sign(ctx, s.key, s.PublicKey(), d.SignedBytes())
	if err != nil {
		return nil, err
	}
	return d.Entry(signature)
}

// NextBody returns the statement body that follows on last (nil for none) in
// the chain with the given frontier, for a batch of leaf hashes, and the
// frontier after it.
func NextBody(last *checkpoint.Statement, chain checkpoint.Frontier, leaves [][32]byte, key chio.Key, issuedAt uint64) (checkpoint.Body, checkpoint.Frontier) {
	var batch checkpoint.Frontier
	for _, leaf := range leaves {
		batch.Append(leaf)
	}
	body := checkpoint.Body{
		Schema:        checkpoint.SchemaV2,
		CheckpointSeq: 1,
		BatchStartSeq: 1,
		TreeSize:      batch.Size(),
		MerkleRoot:    batch.Root(),
		IssuedAt:      issuedAt,
		KernelKey:     key.Text(),
	}
	if last != nil {
		body.CheckpointSeq = last.Body.CheckpointSeq + 1
		body.BatchStartSeq = last.Body.BatchEndSeq + 1
		body.IssuedAt = max(issuedAt, last.Body.IssuedAt)
		if hash, err := last.Body.SHA256(); err == nil {
			body.PreviousSHA256 = hash.Hex()
		}
	}
	body.BatchEndSeq = body.BatchStartSeq + body.TreeSize - 1
	next := chain.Clone()
	next.Append(body.ChainLeaf())
	root := chio.Hash(next.Root())
	body.ChainRoot = &root
	return body, next
}

func sameBody(want, got checkpoint.Body) error {
	a, err := json.Marshal(want)
	if err != nil {
		return err
	}
	b, err := json.Marshal(got)
	if err != nil {
		return err
	}
	if string(a) != string(b) {
		return fmt.Errorf("statement %s is not %s: %w", b, a, ErrContradiction)
	}
	return nil
}

func toHashes(f checkpoint.Frontier) []chio.Hash {
	hashes := []chio.Hash{}
	for _, h := range f.Hashes() {
		hashes = append(hashes, h)
	}
	return hashes
}

func fromHashes(hashes []chio.Hash) [][32]byte {
	out := make([][32]byte, len(hashes))
	for i, h := range hashes {
		out[i] = h
	}
	return out
}
