package receipt

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

func readVector(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../testdata/chio", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

type vectorCase struct {
	ID       string          `json:"id"`
	Receipt  json.RawMessage `json:"receipt"`
	Expected struct {
		SignatureValid     bool `json:"signature_valid"`
		ParameterHashValid bool `json:"parameter_hash_valid"`
		ReceiptIDValid     bool `json:"receipt_id_valid"`
	} `json:"expected"`
	Body string `json:"receipt_body_canonical_json"`
}

func vectorCases(t testing.TB, name string) []vectorCase {
	t.Helper()
	var file struct{ Cases []vectorCase }
	if err := json.Unmarshal(readVector(t, name), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatalf("%s has no cases", name)
	}
	return file.Cases
}

func TestSemanticVectors(t *testing.T) {
	accepted := 0
	for _, c := range vectorCases(t, "receipt-v1-semantic/v1.json") {
		r, err := Parse(c.Receipt)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		err = r.Verify()
		if (err == nil) != c.Expected.SignatureValid {
			t.Errorf("%s: Verify() = %v, want valid %t", c.ID, err, c.Expected.SignatureValid)
		}
		if err == nil {
			accepted++
		}
		if got := r.ParameterHashValid(); got != c.Expected.ParameterHashValid {
			t.Errorf("%s: ParameterHashValid() = %t", c.ID, got)
		}
		var e *Error
		if !c.Expected.ReceiptIDValid && (!errors.As(err, &e) || e.Rule != RuleID && e.Rule != RuleCombination) {
			t.Errorf("%s: %v, want the rule id or an earlier one", c.ID, err)
		}
		if _, idInput := r.signedBytes(); string(withID(idInput, r.ID)) != c.Body {
			t.Errorf("%s: body differs from the vector's", c.ID)
		}
	}
	if accepted != 5 {
		t.Errorf("%d accepted, want 5", accepted)
	}
}

// withID puts the id back into an id input, as the vectors' bodies have it.
func withID(idInput []byte, id string) []byte {
	out, err := jcs.Canonical(append([]byte(`{"id":"`+id+`",`), idInput[1:]...))
	if err != nil {
		panic(err)
	}
	return out
}

func TestLegacyVectors(t *testing.T) {
	for _, c := range vectorCases(t, "bindings/receipt-flat-v1.json") {
		r, err := Parse(c.Receipt)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		if r.Form != Legacy {
			t.Errorf("%s: form %s", c.ID, r.Form)
		}
		if err := r.Verify(); (err == nil) != c.Expected.SignatureValid {
			t.Errorf("%s: Verify() = %v, want valid %t", c.ID, err, c.Expected.SignatureValid)
		}
		if got := r.ParameterHashValid(); got != c.Expected.ParameterHashValid {
			t.Errorf("%s: ParameterHashValid() = %t", c.ID, got)
		}
		if string(r.SignedBytes()) != c.Body {
			t.Errorf("%s: signed bytes differ from the vector's", c.ID)
		}
	}
}

// TestStoredReceipts reads every single receipt among the vectors.
func TestStoredReceipts(t *testing.T) {
	line := func(name string, i int) []byte {
		lines := bytes.Split(bytes.TrimSpace(readVector(t, name)), []byte("\n"))
		return lines[i]
	}
	wrapped := func(data []byte) []byte {
		var w struct{ Receipt json.RawMessage }
		if err := json.Unmarshal(data, &w); err != nil {
			t.Fatal(err)
		}
		return w.Receipt
	}
	for _, tt := range []struct {
		name string
		data []byte
		form Form
		want Rule // "" for valid
	}{
		{"child sample, zero signature", readVector(t, "receipt-samples/child-request-receipt.json"), Child, RuleSignature},
		{"tenant added after signing", readVector(t, "receipt-samples/tenant-receipt.json"), Legacy, RuleSignature},
		{"replay clean 1", line("replay-receipts/00-clean.ndjson", 0), Legacy, ""},
		{"replay clean 2", line("replay-receipts/00-clean.ndjson", 1), Legacy, ""},
		{"replay bad signature", line("replay-receipts/20-bad-signature.ndjson", 0), Legacy, RuleSignature},
		{"replay malformed", line("replay-receipts/30-malformed-json.ndjson", 0), 0, RuleJSON},
		{"replay other schema", line("replay-receipts/40-schema-mismatch.ndjson", 0), 0, RuleForm},
		{"evidence package", wrapped(line("evidence/hello-minimal/receipts.ndjson", 0)), Legacy, ""},
		{"anchor example", wrapped(readVector(t, "anchor/CHIO_ANCHOR_INCLUSION_PROOF_EXAMPLE.json")), Legacy, ""},
	} {
		r, err := Parse(tt.data)
		if err == nil {
			if r.Form != tt.form {
				t.Errorf("%s: form %s, want %s", tt.name, r.Form, tt.form)
			}
			err = r.Verify()
		}
		checkRule(t, tt.name, err, tt.want)
	}
}

func checkRule(t *testing.T, name string, err error, want Rule) {
	t.Helper()
	var e *Error
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case want != "" && (!errors.As(err, &e) || e.Rule != want):
		t.Errorf("%s: error %v, want rule %s", name, err, want)
	}
}

// TestEvidencePackage checks the manifest of the captured evidence package
// against its files.
func TestEvidencePackage(t *testing.T) {
	var manifest struct {
		Files []struct {
			Path   string
			SHA256 string
			Bytes  int
		}
	}
	if err := json.Unmarshal(readVector(t, "evidence/hello-minimal/manifest.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	for _, f := range manifest.Files {
		data := readVector(t, "evidence/hello-minimal/"+f.Path)
		if hex.EncodeToString(sum(data)) != f.SHA256 || len(data) != f.Bytes {
			t.Errorf("%s is not what the manifest says", f.Path)
		}
	}
	if len(manifest.Files) == 0 {
		t.Error("manifest names no files")
	}
}

// TestChainReceipts reads the receipts of the derived checkpoint chain.
func TestChainReceipts(t *testing.T) {
	var file struct {
		Receipts []struct{ Receipt json.RawMessage }
	}
	if err := json.Unmarshal(readVector(t, "derived/checkpoint-chain-rotation.json"), &file); err != nil {
		t.Fatal(err)
	}
	for i, c := range file.Receipts {
		r, err := Parse(c.Receipt)
		if err == nil {
			err = r.Verify()
		}
		if err != nil {
			t.Errorf("receipt %d: %v", i, err)
		}
	}
	if len(file.Receipts) != 24 {
		t.Errorf("%d receipts, want 24", len(file.Receipts))
	}
}

// signer makes valid receipts of a form after a change to their members.
type signer struct {
	key  chio.Key
	sign func([]byte) string
}

func ed25519Signer() signer {
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	return signer{chio.NewEd25519(priv.Public().(ed25519.PublicKey)), func(m []byte) string {
		return chio.SignatureText(chio.Ed25519, ed25519.Sign(priv, m))
	}}
}

func p256Signer(t *testing.T) signer {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := priv.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	key, err := chio.ParseKey("p256:" + hex.EncodeToString(point))
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, func(m []byte) string {
		d := sha256.Sum256(m)
		sig, err := ecdsa.SignASN1(rand.Reader, priv, d[:])
		if err != nil {
			t.Fatal(err)
		}
		return chio.SignatureText(chio.P256, sig)
	}}
}

const semanticBase = `{"timestamp":1,"capability_id":"c","tool_server":"s","tool_name":"n","action":{"parameters":{"a":1},"parameter_hash":"x"},
"decision":{"verdict":"allow"},"receipt_kind":"mediated_decision","boundary_class":"prevent","tool_origin":"caller_executed","redaction_mode":"none",
"content_hash":"h","policy_hash":"p","trust_level":"mediated"}`

const childBase = `{"id":"child-1","timestamp":1,"session_id":"s","parent_request_id":"p","request_id":"r","operation_kind":"tool_call",
"terminal_state":{"state":"completed"},"outcome_hash":"o","policy_hash":"p"}`

// make returns the receipt with members changed (a nil value drops one), then
// id and signature made to fit.
func (s signer) make(t testing.TB, base string, change map[string]any) []byte {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(base), &m); err != nil {
		t.Fatal(err)
	}
	m["kernel_key"] = s.key.Text()
	if s.key.Algorithm() != chio.Ed25519 {
		m["algorithm"] = string(s.key.Algorithm())
	}
	for k, v := range change {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	canonical := func(v any) []byte {
		out, err := jcs.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	body := map[string]any{}
	for k, v := range m {
		if k != "algorithm" && k != "signature" && k != "bbs_signature" {
			body[k] = v
		}
	}
	signed := any(body)
	if _, semantic := m["receipt_kind"]; semantic {
		delete(body, "id")
		id := hex.EncodeToString(sum(canonical(body)))
		wrapper := map[string]any{"id": id, "body": body}
		if bbs, ok := m["bbs_signature"]; ok {
			wrapper["bbs_signature"] = bbs
		}
		signed, m["id"] = wrapper, id
	}
	m["signature"] = s.sign(canonical(signed))
	return canonical(m)
}

func TestMembers(t *testing.T) {
	s := ed25519Signer()
	obs := map[string]any{"receipt_kind": "trace_observation", "boundary_class": "detect_only", "trust_level": "verified", "observation_outcome": "observed", "decision": nil}
	with := func(base map[string]any, change map[string]any) map[string]any {
		out := map[string]any{}
		for _, m := range []map[string]any{base, change} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	bbs := map[string]any{"schema": "chio.receipt.bbs_signature.v1", "projection_version": "chio.bbs-projection.receipt.v1", "algorithm": "bbs",
		"ciphersuite": "BBS_BLS12381G1_XMD:SHA-256_SSWU_RO_", "issuer_fingerprint": "f", "issuer_public_key_hex": strings.Repeat("0", 192), "message_count": 14, "signature_hex": "00"}
	const projection = "chio.bbs-projection.receipt.v1"
	for _, tt := range []struct {
		name   string
		base   string
		change map[string]any
		want   Rule
	}{
		{"plain", semanticBase, nil, ""},
		{"unknown member", semanticBase, map[string]any{"extra": 1}, RuleMember},
		{"missing policy_hash", semanticBase, map[string]any{"policy_hash": nil}, RuleMember},
		{"timestamp as text", semanticBase, map[string]any{"timestamp": "1"}, RuleMember},
		{"negative timestamp", semanticBase, map[string]any{"timestamp": -1}, RuleMember},
		{"unknown redaction mode", semanticBase, map[string]any{"redaction_mode": "some"}, RuleMember},
		{"deny", semanticBase, map[string]any{"decision": map[string]any{"verdict": "deny", "reason": "r", "guard": "g"}}, ""},
		{"deny without guard", semanticBase, map[string]any{"decision": map[string]any{"verdict": "deny", "reason": "r"}}, RuleMember},
		{"allow with reason", semanticBase, map[string]any{"decision": map[string]any{"verdict": "allow", "reason": "r"}}, RuleMember},
		{"unknown verdict", semanticBase, map[string]any{"decision": map[string]any{"verdict": "maybe"}}, RuleMember},
		{"actor chain", semanticBase, map[string]any{"actor_chain": []any{map[string]any{"actor_id": "a", "actor_kind": "k"}}}, ""},
		{"empty actor chain", semanticBase, map[string]any{"actor_chain": []any{}}, RuleMember},
		{"evidence", semanticBase, map[string]any{"evidence": []any{map[string]any{"guard_name": "g", "verdict": true}}}, ""},
		{"evidence verdict as text", semanticBase, map[string]any{"evidence": []any{map[string]any{"guard_name": "g", "verdict": "true"}}}, RuleMember},
		{"action with more", semanticBase, map[string]any{"action": map[string]any{"parameters": 1, "parameter_hash": "x", "more": 1}}, RuleMember},
		{"metadata any JSON", semanticBase, map[string]any{"metadata": []any{1, "x"}}, ""},
		{"metadata null", semanticBase, map[string]any{"metadata": json.RawMessage("null")}, RuleMember},
		{"tenant", semanticBase, map[string]any{"tenant_id": "t"}, ""},
		{"algorithm named for Ed25519", semanticBase, map[string]any{"algorithm": "ed25519"}, RuleEncoding},
		{"key with 0x", semanticBase, map[string]any{"kernel_key": "0x" + s.key.Text()}, RuleEncoding},
		{"hybrid key", semanticBase, map[string]any{"kernel_key": "hybrid:x"}, RuleHybrid},
		{"child as semantic", semanticBase, map[string]any{"terminal_state": map[string]any{"state": "completed"}}, RuleMember},

		{"observation", semanticBase, obs, ""},
		{"observation with decision", semanticBase, with(obs, map[string]any{"decision": map[string]any{"verdict": "allow"}}), RuleCombination},
		{"observation without outcome", semanticBase, with(obs, map[string]any{"observation_outcome": nil}), RuleCombination},
		{"observation that prevents", semanticBase, with(obs, map[string]any{"boundary_class": "prevent"}), RuleCombination},
		{"observation with mediated trust", semanticBase, with(obs, map[string]any{"trust_level": "mediated"}), RuleCombination},
		{"cannot_see", semanticBase, with(obs, map[string]any{"boundary_class": "cannot_see"}), RuleCombination},
		{"advisory", semanticBase, with(obs, map[string]any{"receipt_kind": "advisory_evaluation", "boundary_class": "advisory_only", "trust_level": "advisory"}), ""},

		{"BBS pair", semanticBase, map[string]any{"bbs_signature": bbs, "bbs_projection_version": projection}, ""},
		{"BBS block alone", semanticBase, map[string]any{"bbs_signature": bbs}, RuleBBS},
		{"BBS version alone", semanticBase, map[string]any{"bbs_projection_version": projection}, RuleBBS},
		{"BBS other version", semanticBase, map[string]any{"bbs_signature": bbs, "bbs_projection_version": "other"}, RuleBBS},
		{"BBS other count", semanticBase, map[string]any{"bbs_signature": with(bbs, map[string]any{"message_count": 13}), "bbs_projection_version": projection}, RuleMember},

		{"child", childBase, nil, ""},
		{"child cancelled", childBase, map[string]any{"terminal_state": map[string]any{"state": "cancelled", "reason": "r"}}, ""},
		{"child completed with reason", childBase, map[string]any{"terminal_state": map[string]any{"state": "completed", "reason": "r"}}, RuleMember},
		{"child of unknown kind", childBase, map[string]any{"operation_kind": "dance"}, RuleMember},
		{"child with capability", childBase, map[string]any{"capability_id": "c"}, RuleMember},
	} {
		r, err := Parse(s.make(t, tt.base, tt.change))
		if err == nil {
			err = r.Verify()
		}
		checkRule(t, tt.name, err, tt.want)
	}
}

func TestDuplicateMembersAreRefused(t *testing.T) {
	good := ed25519Signer().make(t, semanticBase, nil)
	twice := append([]byte(`{"timestamp":2,`), good[1:]...)
	_, err := Parse(twice)
	checkRule(t, "timestamp twice", err, RuleJSON)
	if !errors.Is(err, jcs.ErrDuplicate) {
		t.Errorf("error %v does not say that a member is there twice", err)
	}
}

func TestSizeLimit(t *testing.T) {
	s := ed25519Signer()
	empty := len(s.make(t, semanticBase, map[string]any{"tenant_id": ""}))
	fits := s.make(t, semanticBase, map[string]any{"tenant_id": strings.Repeat("x", MaxSize-empty)})
	if r, err := Parse(fits); err != nil || len(r.Canonical()) != MaxSize {
		t.Errorf("receipt of %d bytes: %v", len(fits), err)
	}
	_, err := Parse(s.make(t, semanticBase, map[string]any{"tenant_id": strings.Repeat("x", MaxSize-empty+1)}))
	checkRule(t, "one byte more", err, RuleSize)
}

func TestECDSA(t *testing.T) {
	s := p256Signer(t)
	good := s.make(t, semanticBase, nil)
	r, err := Parse(good)
	if err == nil {
		err = r.Verify()
	}
	checkRule(t, "P-256", err, "")
	again, err := Parse(s.make(t, semanticBase, nil))
	if err != nil {
		t.Fatal(err)
	}
	if r.Identity() != again.Identity() || r.LeafHash() == again.LeafHash() {
		t.Error("the same body signed twice: want one identity and two leaf hashes")
	}
	if !bytes.Equal(r.SignedBytes(), again.SignedBytes()) {
		t.Error("the same body signed twice has other signed bytes")
	}
	_, err = Parse(bytes.Replace(good, []byte(`"algorithm":"p256",`), nil, 1))
	checkRule(t, "algorithm left out", err, RuleEncoding)
}

func TestIdentity(t *testing.T) {
	s := ed25519Signer()
	child := func(id string, outcome string) [32]byte {
		r, err := Parse(s.make(t, childBase, map[string]any{"id": id, "outcome_hash": outcome}))
		if err != nil {
			t.Fatal(err)
		}
		return r.Identity()
	}
	want := sha256.Sum256([]byte(s.key.Text() + "\x00child-1"))
	if got := child("child-1", "a"); got != want {
		t.Errorf("identity of a child receipt = %x, want %x", got, want)
	}
	if child("child-1", "a") != child("child-1", "b") || child("child-1", "a") == child("child-2", "a") {
		t.Error("identity of a child receipt follows key and id alone")
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range vectorCases(f, "receipt-v1-semantic/v1.json") {
		f.Add([]byte(c.Receipt))
	}
	f.Add(readVector(f, "receipt-samples/child-request-receipt.json"))
	sc := bufio.NewScanner(bytes.NewReader(readVector(f, "replay-receipts/00-clean.ndjson")))
	for sc.Scan() {
		f.Add(bytes.Clone(sc.Bytes()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		r.Verify()
		again, err := ParseCanonical(r.Canonical())
		if err != nil {
			t.Fatalf("canonical form is refused: %v", err)
		}
		if !bytes.Equal(again.Canonical(), r.Canonical()) || again.LeafHash() != r.LeafHash() || again.Identity() != r.Identity() {
			t.Fatal("canonical form reads as another receipt")
		}
	})
}

func BenchmarkParseVerify(b *testing.B) {
	c := vectorCases(b, "receipt-v1-semantic/v1.json")[0]
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(c.Receipt); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		r, err := Parse(c.Receipt)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := r.Verify(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
