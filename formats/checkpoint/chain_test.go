package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

func TestChainVectors(t *testing.T) {
	list := statements(t)
	var chain Chain
	for i, s := range list {
		if err := chain.Append(s); err != nil {
			t.Fatal(err)
		}
		if chain.Root() != *s.Body.ChainRoot || chain.Size() != s.Body.CheckpointSeq || chain.Last() != s.Body {
			t.Errorf("statement %d: chain root differs", s.Body.CheckpointSeq)
		}
		if i > 0 {
			if err := CheckContinuity(list[i-1], s); err != nil {
				t.Error(err)
			}
		}
		resumed, err := ResumeChain(chain.Last(), chain.Frontier())
		if err != nil {
			t.Fatal(err)
		}
		if i+1 < len(list) {
			if err := resumed.Append(list[i+1]); err != nil {
				t.Errorf("resumed after %d: %v", i+1, err)
			}
		}
	}
	if _, err := ResumeChain(list[1].Body, chain.Frontier()); !errors.Is(err, ErrFrontier) {
		t.Errorf("frontier of another size: %v", err)
	}
	var other Frontier
	other.Append([32]byte{})
	if _, err := ResumeChain(list[0].Body, other); !errors.Is(err, ErrChainRoot) {
		t.Errorf("frontier of another chain: %v", err)
	}
}

func TestContinuityRefuses(t *testing.T) {
	list := statements(t)
	pred, succ := list[1], list[2]
	for _, c := range []struct {
		name   string
		change func(*Body)
		want   error
	}{
		{"another key", func(*Body) {}, nil},
		{"another time", func(b *Body) { b.IssuedAt = 1 }, nil},
		{"seq", func(b *Body) { b.CheckpointSeq++ }, ErrContinuity},
		{"gap", func(b *Body) { b.BatchStartSeq++; b.TreeSize-- }, ErrContinuity},
		{"overlap", func(b *Body) { b.BatchStartSeq--; b.TreeSize++ }, ErrContinuity},
		{"no predecessor", func(b *Body) { b.PreviousSHA256 = "" }, ErrContinuity},
		{"another predecessor", func(b *Body) { b.PreviousSHA256 = strings.Repeat("0", 64) }, ErrContinuity},
		{"chain_root missing", func(b *Body) { b.ChainRoot = nil }, ErrContinuity},
		{"back to v1", func(b *Body) { b.Schema, b.ChainRoot = SchemaV1, nil }, ErrContinuity},
		{"invalid", func(b *Body) { b.TreeSize++ }, ErrTreeSize},
	} {
		b := succ.Body
		c.change(&b)
		if err := CheckContinuity(pred, sign(t, b, 9)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	bad := pred
	bad.Signature = succ.Signature
	if err := CheckContinuity(bad, succ); !errors.Is(err, ErrStatementSignature) {
		t.Errorf("invalid predecessor: %v", err)
	}
}

// TestChainWithV1 checks that predecessors of version 1 count in the chain, and
// that a chain without chain_root may begin one later.
func TestChainWithV1(t *testing.T) {
	var chain Chain
	previous := ""
	for i, s := range statements(t) {
		b := s.Body
		b.PreviousSHA256 = previous
		switch i {
		case 0:
			b.Schema, b.ChainRoot = SchemaV1, nil
		case 1:
			b.ChainRoot = nil
		}
		s := sign(t, b, 9)
		if err := chain.Append(s); err != nil {
			t.Fatal(err)
		}
		hash, err := s.Body.SHA256()
		if err != nil {
			t.Fatal(err)
		}
		previous = hash.Hex()
	}
}

func TestChainRefuses(t *testing.T) {
	list := statements(t)
	var chain Chain
	if err := chain.Append(list[1]); !errors.Is(err, ErrContinuity) {
		t.Errorf("a chain that begins at 2: %v", err)
	}
	late := list[0].Body
	late.BatchStartSeq, late.TreeSize = 2, late.TreeSize-1
	leaf := chio.Hash(late.ChainLeaf())
	late.ChainRoot = &leaf
	if err := chain.Append(sign(t, late, 9)); !errors.Is(err, ErrContinuity) {
		t.Errorf("a chain that begins at entry 2: %v", err)
	}
	cited := list[0].Body
	cited.PreviousSHA256 = strings.Repeat("0", 64)
	if err := chain.Append(sign(t, cited, 9)); !errors.Is(err, ErrContinuity) {
		t.Errorf("a first statement with a predecessor: %v", err)
	}
	if err := chain.Append(list[0]); err != nil {
		t.Fatal(err)
	}
	wrong := list[1].Body
	wrong.ChainRoot = &chio.Hash{}
	if err := chain.Append(sign(t, wrong, 9)); !errors.Is(err, ErrChainRoot) {
		t.Errorf("another chain_root: %v", err)
	}
	if chain.Size() != 1 {
		t.Errorf("after refusals the chain has %d statements", chain.Size())
	}
	if err := chain.Append(list[1]); err != nil {
		t.Error(err)
	}
}

func TestReceiptProofs(t *testing.T) {
	var v rotation
	readVector(t, rotationFile, &v)
	list := statements(t)
	for i, data := range v.InclusionProofs {
		var p ReceiptProof
		readRecord(t, data, &p)
		leaf := LeafHash(canonical(t, v.Receipts[p.ReceiptSeq-1].Receipt))
		b := list[p.CheckpointSeq-1].Body
		if err := p.Verify(leaf, b); err != nil {
			t.Errorf("proof %d: %v", i, err)
		}
		for name, change := range map[string]func(*ReceiptProof){
			"statement":     func(p *ReceiptProof) { p.CheckpointSeq++ },
			"root":          func(p *ReceiptProof) { p.MerkleRoot[0] ^= 1 },
			"size":          func(p *ReceiptProof) { p.Proof.TreeSize++ },
			"receipt above": func(p *ReceiptProof) { p.ReceiptSeq = b.BatchEndSeq + 1 },
			"receipt below": func(p *ReceiptProof) { p.ReceiptSeq = b.BatchStartSeq - 1 },
			"leaf index":    func(p *ReceiptProof) { p.LeafIndex++ },
			"both indexes":  func(p *ReceiptProof) { p.LeafIndex++; p.Proof.LeafIndex++ },
			"inner index":   func(p *ReceiptProof) { p.Proof.LeafIndex++ },
		} {
			bad := p
			change(&bad)
			if err := bad.Verify(leaf, b); !errors.Is(err, ErrMismatch) {
				t.Errorf("proof %d, another %s: %v", i, name, err)
			}
		}
		if err := p.Verify([32]byte{}, b); !errors.Is(err, ErrProof) {
			t.Errorf("proof %d of another receipt: %v", i, err)
		}
	}
}

func TestConsistencyProofs(t *testing.T) {
	var v rotation
	readVector(t, rotationFile, &v)
	list := statements(t)
	for i, data := range v.ConsistencyProofs {
		var p ConsistencyProof
		readRecord(t, data, &p)
		from, to := list[p.FromCheckpointSeq-1].Body, list[p.ToCheckpointSeq-1].Body
		if err := p.Verify(from, to); err != nil {
			t.Errorf("proof %d: %v", i, err)
		}
		for name, c := range map[string]struct {
			change func(*ConsistencyProof)
			want   error
		}{
			"schema":       {func(p *ConsistencyProof) { p.Schema = "chio.checkpoint_consistency_proof.v1" }, ErrMismatch},
			"log_id":       {func(p *ConsistencyProof) { p.LogID += "0" }, ErrMismatch},
			"from hash":    {func(p *ConsistencyProof) { p.FromCheckpointSHA256 = p.ToCheckpointSHA256 }, ErrMismatch},
			"to hash":      {func(p *ConsistencyProof) { p.ToCheckpointSHA256 = p.FromCheckpointSHA256 }, ErrMismatch},
			"from seq":     {func(p *ConsistencyProof) { p.FromCheckpointSeq++ }, ErrMismatch},
			"to size":      {func(p *ConsistencyProof) { p.ToLogTreeSize++ }, ErrMismatch},
			"start":        {func(p *ConsistencyProof) { p.AppendedEntryStartSeq++ }, ErrMismatch},
			"from root":    {func(p *ConsistencyProof) { p.FromChainRoot[0] ^= 1 }, ErrMismatch},
			"to root":      {func(p *ConsistencyProof) { p.ToChainRoot[0] ^= 1 }, ErrMismatch},
			"path":         {func(p *ConsistencyProof) { p.ChainProofHashes = nil }, ErrProof},
			"from leaf":    {func(p *ConsistencyProof) { p.FromLeafInclusion.LeafIndex++ }, ErrMismatch},
			"to leaf size": {func(p *ConsistencyProof) { p.ToLeafInclusion.TreeSize++ }, ErrMismatch},
			"to leaf path": {func(p *ConsistencyProof) { p.ToLeafInclusion.AuditPath = nil }, ErrProof},
		} {
			bad := p
			c.change(&bad)
			if err := bad.Verify(from, to); !errors.Is(err, c.want) {
				t.Errorf("proof %d, another %s: %v", i, name, err)
			}
		}
	}
	// None exists across the rotation, and none without chain roots.
	var p ConsistencyProof
	readRecord(t, v.ConsistencyProofs[0], &p)
	if err := p.Verify(list[1].Body, list[2].Body); !errors.Is(err, ErrMismatch) {
		t.Errorf("across a rotation: %v", err)
	}
	if err := p.Verify(list[0].Body, list[2].Body); !errors.Is(err, ErrContinuity) {
		t.Errorf("not adjacent: %v", err)
	}
}

func TestDerivedRecords(t *testing.T) {
	var v rotation
	readVector(t, rotationFile, &v)
	list := statements(t)
	compare := func(name string, i int, record any, err error, want json.RawMessage) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		got, err := jcs.Marshal(record)
		if err != nil || !bytes.Equal(got, canonical(t, want)) {
			t.Errorf("%s %d: %s, %v", name, i, got, err)
		}
	}
	for i, want := range v.Publications {
		record, err := NewPublication(list[i].Body)
		compare("publication", i, record, err, want)
	}
	for i, want := range v.Witnesses {
		record, err := NewCitation(list[i].Body, list[i+1].Body)
		compare("citation", i, record, err, want)
	}
	if _, err := NewCitation(list[0].Body, list[2].Body); !errors.Is(err, ErrContinuity) {
		t.Errorf("citation of a statement that is not cited: %v", err)
	}
}

func TestEquivocationVectors(t *testing.T) {
	var v struct {
		Equivocations []struct {
			First, Second json.RawMessage
			Kind          EquivocationKind
			Note          string
			Valid         *bool `json:"second_signature_valid"`
		}
	}
	readVector(t, "chio/derived/checkpoint-negative.json", &v)
	for _, c := range v.Equivocations {
		var pair [2]Statement
		for i, data := range []json.RawMessage{c.First, c.Second} {
			var err error
			if pair[i], err = ParseStatement(canonical(t, data)); err != nil {
				t.Fatal(err)
			}
		}
		if c.Valid != nil && !*c.Valid {
			if _, err := FindEquivocation(pair[0], pair[1]); !errors.Is(err, ErrStatementSignature) {
				t.Errorf("%s: %v", c.Note, err)
			}
			continue
		}
		e, err := FindEquivocation(pair[0], pair[1])
		if err != nil || e == nil || e.Kind != c.Kind {
			t.Errorf("%s: %+v, %v", c.Note, e, err)
			continue
		}
		if want := strings.Contains(c.Note, "only issued_at differs"); e.Harmless != want {
			t.Errorf("%s: Harmless = %v", c.Note, e.Harmless)
		}
		again, err := FindEquivocation(pair[1], pair[0])
		if err != nil || *again != *e {
			t.Errorf("%s: the order of the pair matters: %+v", c.Note, again)
		}
	}
}

func TestEquivocationOrder(t *testing.T) {
	base := statements(t)[1].Body
	a := sign(t, base, 9)
	for _, c := range []struct {
		name     string
		change   func(*Body)
		seed     byte
		kind     EquivocationKind
		harmless bool
		size     bool
	}{
		{"nothing", func(*Body) {}, 9, "", false, false},
		{"time", func(b *Body) { b.IssuedAt++ }, 9, ConflictingSeq, true, true},
		{"time and root", func(b *Body) { b.IssuedAt++; b.MerkleRoot[0] ^= 1 }, 9, ConflictingSeq, false, true},
		{"time and chain_root", func(b *Body) { b.IssuedAt++; b.ChainRoot = nil }, 9, ConflictingSeq, false, true},
		{"key", func(*Body) {}, 8, ConflictingSeq, false, true},
		{"seq", func(b *Body) { b.CheckpointSeq++ }, 9, ConflictingSize, false, true},
		{"seq and key", func(b *Body) { b.CheckpointSeq++ }, 8, ConflictingPredecessor, false, false},
		{"seq and end", func(b *Body) { b.CheckpointSeq++; b.BatchEndSeq++; b.TreeSize++ }, 9, ConflictingPredecessor, false, false},
		{"seq, end and predecessor", func(b *Body) {
			b.CheckpointSeq++
			b.BatchEndSeq++
			b.TreeSize++
			b.PreviousSHA256 = strings.Repeat("0", 64)
		}, 9, "", false, false},
	} {
		b := base
		c.change(&b)
		e, err := FindEquivocation(a, sign(t, b, c.seed))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if e == nil {
			e = &Equivocation{}
		}
		if e.Kind != c.kind || e.Harmless != c.harmless || (e.LogTreeSize != 0) != c.size {
			t.Errorf("another %s: %+v", c.name, e)
		}
		if e.Kind != "" && (e.LogID == "") != (c.seed != 9) {
			t.Errorf("another %s: log_id %q", c.name, e.LogID)
		}
	}
}

func TestTransparencyProof(t *testing.T) {
	var v struct {
		Proof   json.RawMessage
		Receipt string `json:"receipt_bytes_utf8"`
	}
	readVector(t, "chio/derived/transparency-inclusion-proof-v2.json", &v)
	p, err := ParseTransparencyProof(v.Proof)
	if err != nil {
		t.Fatal(err)
	}
	key, err := chio.ParseKey(p.Statement.Body.KernelKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify([]byte(v.Receipt), key); err != nil {
		t.Fatal(err)
	}
	if err := p.Verify([]byte(v.Receipt)); !errors.Is(err, ErrUnpinned) {
		t.Errorf("nothing pinned: %v", err)
	}
	if err := p.Verify([]byte(v.Receipt+" "), key); !errors.Is(err, ErrMismatch) {
		t.Errorf("another receipt: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*TransparencyProof)
		want   error
	}{
		"0x before a hash": {func(p *TransparencyProof) { p.LeafHash = "0x" + p.LeafHash }, nil},
		"schema":           {func(p *TransparencyProof) { p.Schema = "chio.transparency.inclusion-proof.v1" }, ErrMismatch},
		"label":            {func(p *TransparencyProof) { p.Checkpoint = "" }, ErrMismatch},
		"verified_at":      {func(p *TransparencyProof) { p.VerifiedAt = 0 }, ErrMismatch},
		"log_id":           {func(p *TransparencyProof) { p.LogID = "x" }, ErrMismatch},
		"artifact_ref":     {func(p *TransparencyProof) { p.ArtifactRef = p.LeafHash }, ErrMismatch},
		"leaf_hash":        {func(p *TransparencyProof) { p.LeafHash = strings.ToUpper(p.LeafHash) }, ErrMismatch},
		"root_hash":        {func(p *TransparencyProof) { p.RootHash = p.LeafHash }, ErrMismatch},
		"tree_size":        {func(p *TransparencyProof) { p.TreeSize++ }, ErrMismatch},
		"path text":        {func(p *TransparencyProof) { p.InclusionPath = []string{"x"} }, ErrMismatch},
		"leaf_index":       {func(p *TransparencyProof) { p.LeafIndex++ }, ErrProof},
		"path":             {func(p *TransparencyProof) { p.InclusionPath = p.InclusionPath[1:] }, ErrProof},
		"statement":        {func(p *TransparencyProof) { p.Statement.Body.IssuedAt++ }, ErrStatementSignature},
	} {
		bad := p
		c.change(&bad)
		if err := bad.Verify([]byte(v.Receipt), key); !errors.Is(err, c.want) {
			t.Errorf("another %s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := ParseTransparencyProof(bytes.Replace(v.Proof, []byte(`"schema"`), []byte(`"more": 1, "schema"`), 1)); err == nil {
		t.Error("an unknown member is accepted")
	}
}

func TestPathIsNeverNull(t *testing.T) {
	data, err := jcs.Marshal(MerkleProof{TreeSize: 1})
	if err != nil || string(data) != `{"audit_path":[],"leaf_index":0,"tree_size":1}` {
		t.Errorf("%s, %v", data, err)
	}
}
