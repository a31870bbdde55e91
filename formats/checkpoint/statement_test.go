package checkpoint

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// rotation is the derived vector of 24 receipts under 5 statements, with another
// key from the third statement on.
type rotation struct {
	ChainLeafHashes   []chio.Hash       `json:"chain_leaf_hashes"`
	Checkpoints       []json.RawMessage `json:"checkpoints"`
	ConsistencyProofs []json.RawMessage `json:"consistency_proofs"`
	CumulativeRoot    chio.Hash         `json:"cumulative_rfc6962_root_over_all_receipts"`
	CumulativeSize    uint64            `json:"cumulative_size"`
	InclusionProofs   []json.RawMessage `json:"inclusion_proofs"`
	Publications      []json.RawMessage `json:"publications"`
	Witnesses         []json.RawMessage `json:"witnesses"`
	Receipts          []struct {
		Receipt json.RawMessage
		Seq     uint64
	}
}

const rotationFile = "chio/derived/checkpoint-chain-rotation.json"

func canonical(t testing.TB, data []byte) []byte {
	t.Helper()
	out, err := jcs.Canonical(data)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readRecord decodes a record of a vector strictly.
func readRecord(t testing.TB, data []byte, v any) {
	t.Helper()
	if err := jcs.Unmarshal(canonical(t, data), v, jcs.StrictNumbers); err != nil {
		t.Fatal(err)
	}
}

// statements returns the valid statements of the rotation.
func statements(t testing.TB) []Statement {
	t.Helper()
	var v rotation
	readVector(t, rotationFile, &v)
	out := make([]Statement, len(v.Checkpoints))
	for i, data := range v.Checkpoints {
		var err error
		if out[i], err = ParseStatement(canonical(t, data)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// sign returns a statement over a body by the key of a seed, which becomes its
// kernel_key.
func sign(t testing.TB, b Body, seed byte) Statement {
	t.Helper()
	priv := seeded(seed)
	b.KernelKey = chio.NewEd25519(priv.Public().(ed25519.PublicKey)).Text()
	data, err := b.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	return Statement{Body: b, Signature: chio.SignatureText(chio.Ed25519, ed25519.Sign(priv, data))}
}

func TestStatementVectors(t *testing.T) {
	var v rotation
	readVector(t, rotationFile, &v)
	for i, s := range statements(t) {
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		again, err := s.Canonical()
		if err != nil || !bytes.Equal(again, canonical(t, v.Checkpoints[i])) {
			t.Errorf("statement %d is written otherwise: %v", i+1, err)
		}
		if got := s.Body.ChainLeaf(); got != v.ChainLeafHashes[i] {
			t.Errorf("statement %d: chain leaf differs", i+1)
		}
	}
}

func TestStatementRoots(t *testing.T) {
	var v rotation
	readVector(t, rotationFile, &v)
	list := statements(t)
	var whole, batch Frontier
	for _, r := range v.Receipts {
		leaf := LeafHash(canonical(t, r.Receipt))
		whole.Append(leaf)
		batch.Append(leaf)
		if b := list[0].Body; r.Seq == b.BatchEndSeq {
			if batch.Root() != b.MerkleRoot || batch.Size() != b.TreeSize {
				t.Errorf("statement %d: the root of its batch differs", b.CheckpointSeq)
			}
			list, batch = list[1:], Frontier{}
		}
	}
	if whole.Root() != v.CumulativeRoot || whole.Size() != v.CumulativeSize || len(list) != 0 {
		t.Error("the root over all receipts differs")
	}
}

func TestStatementNegativeVectors(t *testing.T) {
	want := map[string]error{
		"seq_zero": ErrSeq, "tree_size_mismatch": ErrTreeSize, "v1_with_chain_root": ErrChainRoot,
		"v2_first_without_chain_root": ErrChainRoot, "first_chain_root_wrong": ErrChainRoot,
		"bad_signature": ErrStatementSignature, "unsupported_schema": ErrSchema, "uppercase_previous": ErrPrevious,
	}
	var v struct {
		Invalid []struct {
			ID         string
			Checkpoint json.RawMessage
		}
	}
	readVector(t, "chio/derived/checkpoint-negative.json", &v)
	for _, c := range v.Invalid {
		s, err := ParseStatement(canonical(t, c.Checkpoint))
		if c.ID == "unknown_field" {
			if err == nil {
				t.Errorf("%s: accepted", c.ID)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		if err := s.Check(); want[c.ID] == nil || !errors.Is(err, want[c.ID]) {
			t.Errorf("%s: %v, want %v", c.ID, err, want[c.ID])
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	body := statements(t)[1].Body
	first := statements(t)[0].Body
	root := *body.ChainRoot
	for _, c := range []struct {
		name   string
		body   Body
		change func(*Body)
		want   error
	}{
		{"schema v1", body, func(b *Body) { b.Schema, b.ChainRoot = SchemaV1, nil }, nil},
		{"schema", body, func(b *Body) { b.Schema = "chio.checkpoint_statement.v3" }, ErrSchema},
		{"seq", body, func(b *Body) { b.CheckpointSeq = 0 }, ErrSeq},
		{"start", body, func(b *Body) { b.BatchStartSeq, b.TreeSize = 0, b.BatchEndSeq+1 }, ErrBatch},
		{"end below start", body, func(b *Body) { b.BatchEndSeq, b.TreeSize = b.BatchStartSeq-1, 0 }, ErrBatch},
		{"batch of one", body, func(b *Body) { b.BatchEndSeq, b.TreeSize = b.BatchStartSeq, 1 }, nil},
		{"tree_size", body, func(b *Body) { b.TreeSize++ }, ErrTreeSize},
		{"issued_at", body, func(b *Body) { b.IssuedAt = 0 }, ErrIssuedAt},
		{"issued_at 1", body, func(b *Body) { b.IssuedAt = 1 }, nil},
		{"previous in upper case", body, func(b *Body) { b.PreviousSHA256 = strings.ToUpper(b.PreviousSHA256) }, ErrPrevious},
		{"previous with 0x", body, func(b *Body) { b.PreviousSHA256 = "0x" + b.PreviousSHA256 }, ErrPrevious},
		{"previous absent", body, func(b *Body) { b.PreviousSHA256 = "" }, nil},
		{"v1 with chain_root", body, func(b *Body) { b.Schema = SchemaV1 }, ErrChainRoot},
		{"v2 detached", body, func(b *Body) { b.ChainRoot = nil }, nil},
		{"first without chain_root", first, func(b *Body) { b.ChainRoot = nil }, ErrChainRoot},
		{"first with another chain_root", first, func(b *Body) { b.ChainRoot = &root }, ErrChainRoot},
		{"first", first, func(*Body) {}, nil},
	} {
		b := c.body
		c.change(&b)
		s := sign(t, b, 9)
		if err := s.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want == nil {
			s.Body.IssuedAt++
			if err := s.Check(); !errors.Is(err, ErrStatementSignature) {
				t.Errorf("%s: changed after it was signed: %v", c.name, err)
			}
		}
	}
	s := sign(t, body, 9)
	s.Body.KernelKey = strings.ToUpper(s.Body.KernelKey)
	if err := s.Check(); !errors.Is(err, ErrKernelKey) {
		t.Errorf("kernel_key in upper case: %v", err)
	}
}

func TestParseStatementRefuses(t *testing.T) {
	data, err := sign(t, statements(t)[1].Body, 9).Canonical()
	if err != nil {
		t.Fatal(err)
	}
	good := string(data)
	if _, err := ParseStatement(data); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new string }{
		{"null", `"previous_checkpoint_sha256":"` + statements(t)[1].Body.PreviousSHA256 + `"`, `"previous_checkpoint_sha256":null`},
		{"null chain_root", `"chain_root":"` + statements(t)[1].Body.ChainRoot.String() + `"`, `"chain_root":null`},
		{"unknown in the envelope", `,"signature"`, `,"algorithm":"ed25519","signature"`},
		{"missing", `"issued_at":1780000099,`, ``},
		{"not canonical", `"tree_size":8`, `"tree_size": 8`},
		{"order", `{"batch_end_seq":13,"batch_start_seq":6,`, `{"batch_start_seq":6,"batch_end_seq":13,`},
		{"beyond 2^53", `"tree_size":8`, `"tree_size":9007199254740992`},
		{"bare hash", `"merkle_root":"0x`, `"merkle_root":"`},
		{"case of a name", `"tree_size"`, `"Tree_size"`},
		{"twice", `"tree_size":8`, `"tree_size":8,"tree_size":8`},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: no %s in the statement", c.name, c.old)
		}
		if _, err := ParseStatement([]byte(strings.Replace(good, c.old, c.new, 1))); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
}

// TestAnchorExample checks the published example of the anchor lane: a receipt of
// the flat generation, whose body is the leaf, and a statement with its signature
// among the members. Its batch and tree size disagree.
func TestAnchorExample(t *testing.T) {
	var v struct {
		Receipt   map[string]json.RawMessage
		Inclusion struct {
			Root  chio.Hash `json:"merkle_root"`
			Proof MerkleProof
		} `json:"receipt_inclusion"`
		Statement map[string]json.RawMessage `json:"checkpoint_statement"`
	}
	readVector(t, "chio/anchor/CHIO_ANCHOR_INCLUSION_PROOF_EXAMPLE.json", &v)
	unsigned := func(doc map[string]json.RawMessage) (body []byte, key chio.Key, signature string) {
		var text string
		if json.Unmarshal(doc["kernel_key"], &text) != nil || json.Unmarshal(doc["signature"], &signature) != nil {
			t.Fatal("no key or signature")
		}
		key, err := chio.ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		delete(doc, "signature")
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return canonical(t, raw), key, signature
	}
	body, key, signature := unsigned(v.Receipt)
	if err := key.Verify(body, signature); err != nil {
		t.Errorf("receipt: %v", err)
	}
	if err := v.Inclusion.Proof.Verify(LeafHash(body), v.Inclusion.Root); err != nil {
		t.Errorf("inclusion: %v", err)
	}
	body, key, signature = unsigned(v.Statement)
	if err := key.Verify(body, signature); err != nil {
		t.Errorf("statement: %v", err)
	}
	s, err := ParseStatement([]byte(`{"body":` + string(body) + `,"signature":"` + signature + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); !errors.Is(err, ErrTreeSize) {
		t.Errorf("the strict rules: %v, want %v", err, ErrTreeSize)
	}
}

// TestKeyLogGenesisCheckpoint checks the first checkpoint of Chio's key log: its
// root is the leaf hash of the genesis event, and its operator signed the body.
func TestKeyLogGenesisCheckpoint(t *testing.T) {
	var v struct {
		Body      json.RawMessage
		Signature string `json:"operator_signature"`
		KeyID     string `json:"operator_key_id"`
	}
	readVector(t, "chio/key-log/key-log-checkpoint-envelope-genesis-v1.json", &v)
	var body struct {
		Root chio.Hash `json:"root_hash"`
		Size uint64    `json:"tree_size"`
	}
	if err := json.Unmarshal(v.Body, &body); err != nil {
		t.Fatal(err)
	}
	event, err := os.ReadFile("../../testdata/chio/key-log/key-log-event-envelope-genesis-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var f Frontier
	f.Append(LeafHash(canonical(t, event)))
	if f.Root() != body.Root || f.Size() != body.Size {
		t.Error("the root is not that of the genesis event")
	}
	operator := chio.NewEd25519(seeded(0x0a).Public().(ed25519.PublicKey))
	message := append([]byte("chio.key-log.checkpoint-signature.v1\x00"), canonical(t, v.Body)...)
	if err := operator.VerifyStrict(message, v.Signature); err != nil || operator.ID().String() != v.KeyID {
		t.Errorf("operator signature: %v", err)
	}
}

func TestLogID(t *testing.T) {
	if id, err := statements(t)[0].Body.LogID(); err != nil || id != "local-log-24aa2a5589edcb57fea0be3552f065de6d3a837feaccf60f8bde018fa4926b6a" {
		t.Errorf("LogID = %s, %v", id, err)
	}
	// P-256's base point, as any point of the curve.
	key, err := chio.ParseKey("p256:046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
	if err != nil {
		t.Fatal(err)
	}
	if id := LogID(key); len(id) != len("local-log-")+64 {
		t.Errorf("LogID of a P-256 key = %s", id)
	} else if _, err := hex.DecodeString(id[len("local-log-"):]); err != nil {
		t.Error(err)
	}
	if _, err := (Body{KernelKey: "x"}).LogID(); !errors.Is(err, ErrKernelKey) {
		t.Errorf("no key: %v", err)
	}
}

func FuzzStatement(f *testing.F) {
	for _, s := range statements(f) {
		data, err := s.Canonical()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseStatement(data)
		if err != nil {
			return
		}
		again, err := s.Canonical()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%q is printed as %q, %v", data, again, err)
		}
		_ = s.Check() // must not panic
	})
}
