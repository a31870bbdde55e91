package timeline

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
)

// recorded is a payload of an event that has no parser of its own here.
func recorded(edits ...func(object)) object {
	return edit(all(edits...), object{"schema": "chiolog.evidence.v1", "origin": testOrigin, "issued_at": vectorTime})
}

// TestDESIGN_2_Members changes each member of a log-authored receipt.
func TestDESIGN_2_Members(t *testing.T) {
	for _, tt := range []struct {
		name     string
		accepted bool
		edit     genesisEdit
	}{
		{"good", true, genesisEdit{}},
		{"timestamp is not issued_at", false, genesisEdit{receipt: set("timestamp", vectorTime+1)}},
		{"capability_id", false, genesisEdit{receipt: set("capability_id", "chiolog2")}},
		{"tool_server", false, genesisEdit{receipt: set("tool_server", "files")}},
		{"tool_name is another event", false, genesisEdit{receipt: set("tool_name", EventStatus)}},
		{"parameters", false, genesisEdit{receipt: all(
			set("parameters", object{"a": 1}, "action"), set("parameter_hash", hexSum([]byte(`{"a":1}`)), "action"))}},
		{"parameter_hash", false, genesisEdit{receipt: set("parameter_hash", hexSum(nil), "action")}},
		{"advisory_evaluation", false, genesisEdit{receipt: all(
			set("receipt_kind", "advisory_evaluation"), set("boundary_class", "advisory_only"), set("trust_level", "advisory"))}},
		{"observation_outcome", false, genesisEdit{receipt: set("observation_outcome", "evaluated")}},
		{"tool_origin", false, genesisEdit{receipt: set("tool_origin", "host_executed_unmediated")}},
		{"redaction_mode", false, genesisEdit{receipt: set("redaction_mode", "summary")}},
		{"policy_hash", false, genesisEdit{receipt: set("policy_hash", hexSum([]byte("policy")))}},
		{"policy_hash with 0x", false, genesisEdit{receipt: set("policy_hash", "0x"+hexSum(nil))}},
		{"content_hash", false, genesisEdit{receipt: set("content_hash", hexSum(nil))}},
		{"content_hash with 0x", false, genesisEdit{receipt: func(r object) { r["content_hash"] = "0x" + r["content_hash"].(string) }}},
		{"tenant_id", false, genesisEdit{receipt: set("tenant_id", "tenant")}},
		{"evidence", false, genesisEdit{receipt: set("evidence", []object{{"guard_name": "g", "verdict": true}})}},
		{"actor_chain", false, genesisEdit{receipt: set("actor_chain", []object{{"actor_id": "a"}})}},
		{"unknown member of metadata", false, genesisEdit{metadata: set("chio_receipt_signing_nonce", "n")}},
		{"payload beside a key event", false, genesisEdit{metadata: set("payload", recorded())}},
		{"no key_terms", false, genesisEdit{metadata: remove("key_terms")}},
		{"no key_event", false, genesisEdit{metadata: remove("key_event")}},
		{"no event", false, genesisEdit{metadata: remove("event"), receipt: set("tool_name", EventGenesis)}},
		{"event of nobody", false, genesisEdit{metadata: set("event", "authority.crowned")}},
		{"event that carries a payload", false, genesisEdit{metadata: set("event", EventStatus)}},
		{"algorithm of Ed25519", false, genesisEdit{finished: set("algorithm", "ed25519")}},
		{"id", false, genesisEdit{finished: set("id", hexSum(nil))}},
		{"signature", false, genesisEdit{finished: set("signature", strings.Repeat("0", 128))}},
	} {
		e, err := ParseLogEntry(tt.edit.entry(t))
		if (err == nil) != tt.accepted || (e != nil) != tt.accepted || errors.Is(err, ErrNotLogAuthored) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestDESIGN_2_Payload: every payload has schema, origin and issued_at.
func TestDESIGN_2_Payload(t *testing.T) {
	for _, tt := range []struct {
		name      string
		timestamp uint64
		metadata  object
		accepted  bool
	}{
		{"good", vectorTime, object{"event": "evidence.recorded", "payload": recorded()}, true},
		{"other members too", vectorTime, object{"event": "evidence.recorded", "payload": recorded(set("more", 1))}, true},
		{"no schema", vectorTime, object{"event": "evidence.recorded", "payload": recorded(remove("schema"))}, false},
		{"no origin", vectorTime, object{"event": "evidence.recorded", "payload": recorded(remove("origin"))}, false},
		{"no issued_at", 0, object{"event": "evidence.recorded", "payload": recorded(remove("issued_at"))}, false},
		{"issued_at in another case", vectorTime, object{"event": "evidence.recorded",
			"payload": recorded(remove("issued_at"), set("Issued_at", vectorTime))}, false},
		{"number of 2^53", vectorTime, object{"event": "evidence.recorded", "payload": recorded(set("more", uint64(1<<53)))}, false},
		{"no object", 0, object{"event": "evidence.recorded", "payload": []any{}}, false},
		{"null", 0, object{"event": "evidence.recorded", "payload": nil}, false},
		{"none", 0, object{"event": "evidence.recorded"}, false},
		{"event that carries a key event", vectorTime, object{"event": EventRotated, "payload": recorded()}, false},
	} {
		e, err := ParseLogEntry(eventEntry(t, tt.metadata, tt.timestamp, kernelKey, nil, nil))
		if (err == nil) != tt.accepted {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil && (e.IssuedAt != vectorTime || e.Event != tt.metadata["event"]) {
			t.Errorf("%s: read %s of %d", tt.name, e.Event, e.IssuedAt)
		}
	}
}

// TestDESIGN_2_SignedBytes: no event needs more than 4,096 signed bytes.
func TestDESIGN_2_SignedBytes(t *testing.T) {
	payload := func(pad int) Metadata {
		return Metadata{Event: "evidence.recorded", Payload: marshal(t, recorded(set("pad", strings.Repeat("a", pad))))}
	}
	empty, err := NewDraft(payload(0), kernelKey.Key)
	if err != nil {
		t.Fatal(err)
	}
	room := MaxSigned - len(empty.SignedBytes())
	for _, pad := range []int{room, room + 1} {
		draft, err := NewDraft(payload(pad), kernelKey.Key)
		if (err == nil) != (pad == room) {
			t.Fatalf("%d bytes more than fit: %v", pad-room, err)
		}
		if err == nil && len(draft.SignedBytes()) != MaxSigned {
			t.Errorf("%d signed bytes", len(draft.SignedBytes()))
		}
		metadata := object{"event": "evidence.recorded", "payload": recorded(set("pad", strings.Repeat("a", pad)))}
		if _, err := ParseLogEntry(eventEntry(t, metadata, vectorTime, kernelKey, nil, nil)); (err == nil) != (pad == room) {
			t.Errorf("reading %d bytes more than fit: %v", pad-room, err)
		}
	}
}

func TestDESIGN_2_NotLogAuthored(t *testing.T) {
	for _, metadata := range []object{{}, {"event": "my.event", "payload": object{}}} {
		m := edit(nil, metadata)
		_, err := ParseLogEntry(eventEntry(t, m, vectorTime, kernelKey, set("tool_name", "x"), nil))
		if !errors.Is(err, ErrNotLogAuthored) {
			t.Errorf("%v: %v", metadata, err)
		}
	}
}

// ecdsaKey signs with a fresh key of a curve.
type ecdsaKey struct {
	chio.Key
	private *ecdsa.PrivateKey
}

func newECDSAKey(t *testing.T, alg chio.Algorithm, curve elliptic.Curve) ecdsaKey {
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	key, err := chio.ParseKey(chio.SignatureText(alg, point)) // keys have the prefixes of signatures
	if err != nil {
		t.Fatal(err)
	}
	return ecdsaKey{key, private}
}

func (k ecdsaKey) sign(message []byte) (string, error) {
	digest := sha256.Sum256(message)
	der, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	return chio.SignatureText(k.Algorithm(), der), err
}

// TestDESIGN_2_Algorithm: a log with a P-256 key says so in each receipt.
func TestDESIGN_2_Algorithm(t *testing.T) {
	key := newECDSAKey(t, chio.P256, elliptic.P256())
	genesis := genesisEdit{kernel: key, body: set("algorithm", "p256"), finished: set("algorithm", "p256")}
	if err := genesis.apply(t); err != nil {
		t.Error(err)
	}
	genesis.finished = nil
	if err := genesis.apply(t); ruleOf(err) != formRule {
		t.Errorf("without the algorithm: %v", err)
	}
}
