package timeline

import (
	"crypto/sha512"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"filippo.io/edwards25519"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/internal/jcs"
)

// The tests of this file have one row for each way to break a rule. A row edits
// one of the parts that a genesis is made of; whatever depends on the part
// (event_id, authorisation, content_hash, id, signature) is made anew, so that
// nothing but the rule is broken.

type object = map[string]any

// A genesisEdit says how a genesis differs from the good one. Each function
// may change the object that it gets.
type genesisEdit struct {
	origin    string    // of the log, and of the timeline that reads it
	index     uint64    // of the leaf
	kernel    signerKey // nil for the vectors' key
	bootstrap signerKey
	signer    signerKey // of the receipt, nil for kernel
	witness   *testKey  // pinned by the reader

	terms          func(object)
	body           func(object)
	signed         func([]byte) []byte // what the bootstrap key signs
	authorizations func(object)
	metadata       func(object)
	receipt        func(object) // before the id is made
	finished       func(object) // after the signature
}

// A signerKey signs: an honest key or one of the odd ones below.
type signerKey interface {
	Text() string
	ID() chio.Hash
	sign(message []byte) (string, error)
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := jcs.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func edit(f func(object), o object) object {
	if f != nil {
		f(o)
	}
	return o
}

func (g genesisEdit) defaults() genesisEdit {
	if g.origin == "" {
		g.origin = testOrigin
	}
	if g.kernel == nil {
		g.kernel = kernelKey
	}
	if g.bootstrap == nil {
		g.bootstrap = bootstrapKey
	}
	if g.signer == nil {
		g.signer = g.kernel
	}
	return g
}

// entry makes the leaf.
func (g genesisEdit) entry(t testing.TB) []byte {
	g = g.defaults()
	terms := edit(g.terms, object{
		"schema": termsSchema, "origin": g.origin, "sequence": 0, "operation": OpGenesis,
		"base":          object{"size": 0, "root": "0x" + hexSum(nil)},
		"bootstrap_key": g.bootstrap.Text(),
		"recovery": object{"policy_id": "recovery-policy-1", "threshold": 2, "keys": object{
			"recovery-1": newTestKey(0x21).Text(), "recovery-2": newTestKey(0x22).Text(), "recovery-3": newTestKey(0x23).Text()}},
	})
	body := edit(g.body, object{
		"schema": eventSchema, "log_id": g.origin, "authority_id": g.origin, "sequence": 0,
		"event_id": "key:" + hexSum(marshal(t, terms)), "key_id": g.kernel.ID(), "algorithm": "ed25519",
		"public_key": g.kernel.Text(), "operation": object{"type": OpGenesis}, "effective_at": vectorTime, "issued_at": vectorTime,
	})
	message := append([]byte("chio.key-log.event-signature.v1\x00"), marshal(t, body)...)
	if g.signed != nil {
		message = g.signed(message)
	}
	signature, _ := g.bootstrap.sign(message)
	authorizations := edit(g.authorizations, object{
		"bootstrap": object{"key_id": g.bootstrap.ID(), "algorithm": "ed25519", "signature": signature},
	})
	metadata := edit(g.metadata, object{
		"event": EventGenesis, "key_terms": terms,
		"key_event": object{"body": body, "authorizations": authorizations},
	})
	return eventEntry(t, metadata, vectorTime, g.signer, g.receipt, g.finished)
}

// eventEntry makes the entry of a receipt in the form of DESIGN §2 around
// metadata.
func eventEntry(t testing.TB, metadata object, timestamp uint64, signer signerKey, before, after func(object)) []byte {
	content := maps.Clone(metadata)
	delete(content, "event")
	r := edit(before, object{
		"timestamp": timestamp, "capability_id": "chiolog", "tool_server": "chiolog", "tool_name": metadata["event"],
		"action":       object{"parameters": object{}, "parameter_hash": hexSum([]byte("{}"))},
		"receipt_kind": "trace_observation", "boundary_class": "detect_only", "observation_outcome": "observed",
		"tool_origin": "caller_executed", "redaction_mode": "none", "trust_level": "verified",
		"policy_hash": hexSum(nil), "metadata": metadata, "content_hash": hexSum(marshal(t, content)), "kernel_key": signer.Text(),
	})
	id := hexSum(marshal(t, r))
	signature, _ := signer.sign(marshal(t, object{"id": id, "body": r}))
	r["id"], r["signature"] = id, signature
	return marshal(t, edit(after, r))
}

// apply reads the leaf as a log's reader does.
func (g genesisEdit) apply(t testing.TB) error {
	g = g.defaults()
	e, err := ParseLogEntry(g.entry(t))
	if err != nil {
		return err
	}
	tl := New(g.origin)
	if g.witness != nil {
		tl = New(g.origin, g.witness.Key)
	}
	return tl.Apply(g.index, e)
}

// formRule stands for the form of a log-authored receipt, DESIGN §2: what
// ParseLogEntry refuses.
const formRule = "form"

// ruleOf names the rule that an error is about, "" for none.
func ruleOf(err error) string {
	var e *EventError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Rule
	}
	return formRule
}

// A genesisRow is accepted if rule is "".
type genesisRow struct {
	name string
	rule string
	edit genesisEdit
}

func runGenesis(t *testing.T, rows []genesisRow) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if err := row.edit.apply(t); ruleOf(err) != row.rule {
				t.Errorf("error %v, want rule %q", err, row.rule)
			}
		})
	}
}

// set returns an edit that sets a member, remove one that removes it, in the
// object that path leads to.
func set(name string, value any, path ...string) func(object) {
	return func(o object) { inside(o, path)[name] = value }
}

func remove(name string, path ...string) func(object) {
	return func(o object) { delete(inside(o, path), name) }
}

func inside(o object, path []string) object {
	for _, name := range path {
		o = o[name].(object)
	}
	return o
}

// all does the edits one after the other; nil edits nothing.
func all(edits ...func(object)) func(object) {
	return func(o object) {
		for _, f := range edits {
			edit(f, o)
		}
	}
}

func TestK_1_Origin(t *testing.T) {
	runGenesis(t, []genesisRow{
		{"good", "", genesisEdit{}},
		{"every kind of character", "", genesisEdit{origin: "aZ09._:/-"}},
		{"one character", "", genesisEdit{origin: "a"}},
		{"128 characters", "", genesisEdit{origin: strings.Repeat("a", 128)}},
		{"129 characters", "K-1", genesisEdit{origin: strings.Repeat("a", 129)}},
		{"plus", "K-1", genesisEdit{origin: "aZ09+"}},
		{"space", "K-1", genesisEdit{origin: "example.com log"}},
		{"letter beyond ASCII", "K-1", genesisEdit{origin: "exämple.com"}},
		{"log_id of another log", "K-1", genesisEdit{body: set("log_id", "example.com/other")}},
		{"authority_id of another log", "K-1", genesisEdit{body: set("authority_id", "example.com/other")}},
		{"both, and terms, of another log", "K-1", genesisEdit{
			terms: set("origin", "example.com/other"),
			body:  all(set("log_id", "example.com/other"), set("authority_id", "example.com/other"))}},
	})
}

func TestK_1_OneKeyOneRole(t *testing.T) {
	recoveryKey, other := newTestKey(0x21), newTestKey(0x51)
	recoveryIs := func(k testKey) func(object) { return set("recovery-3", k.Text(), "recovery", "keys") }
	runGenesis(t, []genesisRow{
		{"recovery key of its own", "", genesisEdit{terms: recoveryIs(other)}},
		{"recovery key is the kernel's", "K-1", genesisEdit{terms: recoveryIs(kernelKey)}},
		{"recovery key is the bootstrap key", "K-1", genesisEdit{terms: recoveryIs(bootstrapKey)}},
		{"one recovery key under two ids", "K-1", genesisEdit{terms: recoveryIs(recoveryKey)}},
		{"bootstrap key of its own", "", genesisEdit{bootstrap: other}},
		{"bootstrap key is the kernel's", "K-1", genesisEdit{bootstrap: kernelKey}},
		{"witness of its own", "", genesisEdit{witness: &other}},
		{"kernel key is a witness", "K-1", genesisEdit{witness: &kernelKey}},
		{"bootstrap key is a witness", "K-1", genesisEdit{witness: &bootstrapKey}},
		{"recovery key is a witness", "K-1", genesisEdit{witness: &recoveryKey}},
	})
}

// smallOrderKey is the neutral element as a public key. R = B, S = 1 is then a
// signature of every message.
type smallOrderKey struct{ chio.Key }

func (smallOrderKey) sign([]byte) (string, error) {
	return fmt.Sprintf("%x01%062d", edwards25519.NewGeneratorPoint().Bytes(), 0), nil
}

func newSmallOrderKey(t *testing.T) smallOrderKey {
	key, err := chio.ParseKey("01" + strings.Repeat("0", 62))
	if err != nil {
		t.Fatal(err)
	}
	return smallOrderKey{key}
}

// neutralR signs with R the neutral element: a signature that plain
// verification accepts.
type neutralR struct{ testKey }

func (k neutralR) sign(message []byte) (string, error) {
	r := edwards25519.NewIdentityPoint().Bytes()
	expanded := sha512.Sum512(k.private.Seed())
	secret, err := edwards25519.NewScalar().SetBytesWithClamping(expanded[:32])
	if err != nil {
		return "", err
	}
	digest := sha512.Sum512(append(append(append([]byte{}, r...), k.Ed25519()...), message...))
	challenge, err := edwards25519.NewScalar().SetUniformBytes(digest[:])
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x%x", r, challenge.Multiply(challenge, secret).Bytes()), nil
}

func TestK_1_SmallOrder(t *testing.T) {
	small := newSmallOrderKey(t)
	runGenesis(t, []genesisRow{
		{"kernel key", "K-1", genesisEdit{kernel: small}},
		{"bootstrap key", "K-1", genesisEdit{bootstrap: small}},
		{"recovery key", "K-1", genesisEdit{terms: set("recovery-3", small.Text(), "recovery", "keys")}},
	})
}

// TestK_7_StrictSignatures: an R of small order spoils an authorisation, and
// nothing else.
func TestK_7_StrictSignatures(t *testing.T) {
	runGenesis(t, []genesisRow{
		{"receipt", "", genesisEdit{signer: neutralR{kernelKey}}},
		{"authorisation", "K-7", genesisEdit{bootstrap: neutralR{bootstrapKey}}},
	})
	small := newSmallOrderKey(t)
	message := []byte("message")
	signature, _ := small.sign(message)
	if err := small.Verify(message, signature); err != nil {
		t.Errorf("Verify: %v", err)
	}
	auth := Authorization{Algorithm: chio.Ed25519, KeyID: small.ID(), Signature: signature}
	if err := auth.verify(message, small.Key); !errors.Is(err, chio.ErrSmallOrder) {
		t.Errorf("authorisation by a key of small order: %v", err)
	}
}

func TestK_2_Envelope(t *testing.T) {
	other := newTestKey(0x51)
	runGenesis(t, []genesisRow{
		{"no reason", "", genesisEdit{}},
		{"reason", "", genesisEdit{body: set("reason", " why ~")}},
		{"reason of 512 bytes", "", genesisEdit{body: set("reason", strings.Repeat("a", 512))}},
		{"reason of 513 bytes", "K-2", genesisEdit{body: set("reason", strings.Repeat("a", 513))}},
		{"empty reason", "K-2", genesisEdit{body: set("reason", "")}},
		{"reason with DEL", "K-2", genesisEdit{body: set("reason", "a\x7f")}},
		{"reason with a line end", "K-2", genesisEdit{body: set("reason", "a\n")}},
		{"unknown member of the body", "K-2", genesisEdit{body: set("key_terms", object{})}},
		{"unknown member of the operation", "K-2", genesisEdit{body: set("next_key_id", nextKey.ID(), "operation")}},
		{"unknown authorisation", "K-2", genesisEdit{authorizations: set("operator", object{})}},
		{"unknown member of the authorisation", "K-2", genesisEdit{authorizations: set("role", "bootstrap", "bootstrap")}},
		{"unknown member of the envelope", "K-2", genesisEdit{metadata: set("terms", object{}, "key_event")}},
		{"null member", "K-2", genesisEdit{body: set("reason", nil)}},
		{"another schema", "K-2", genesisEdit{body: set("schema", "chio.key-log.event.v2")}},
		{"no schema", "K-2", genesisEdit{body: remove("schema")}},
		{"another operation", "K-2", genesisEdit{terms: set("operation", OpRetire), body: set("type", OpRetire, "operation")}},
		{"previous_key_id", "K-2", genesisEdit{body: set("previous_key_id", other.ID(), "operation")}},
		{"recovery_policy_id", "K-2", genesisEdit{body: set("recovery_policy_id", "recovery-policy-1", "operation")}},
		{"recovery_policy_binding", "K-2", genesisEdit{body: set("recovery_policy_binding", other.ID(), "operation")}},
		{"witness_roster_id", "K-2", genesisEdit{body: set("witness_roster_id", "roster-1", "operation")}},
		{"witness_roster_binding", "K-2", genesisEdit{body: set("witness_roster_binding", other.ID(), "operation")}},
		{"verify_until", "K-2", genesisEdit{body: set("verify_until", vectorTime+1)}},
		{"key_id of another key", "K-2", genesisEdit{body: set("key_id", other.ID())}},
		{"algorithm of another key", "K-2", genesisEdit{body: set("algorithm", "p256")}},
		{"public key in upper case", "K-2", genesisEdit{body: set("public_key", strings.ToUpper(kernelKey.Text()))}},
		{"key_id of another key in the authorisation", "K-2", genesisEdit{authorizations: set("key_id", other.ID(), "bootstrap")}},
		{"algorithm of another key in the authorisation", "K-2", genesisEdit{authorizations: set("algorithm", "p256", "bootstrap")}},
		{"hash without 0x", "K-2", genesisEdit{body: set("key_id", kernelKey.ID().Hex())}},
		{"fractional time", formRule, genesisEdit{body: set("issued_at", 1.5)}},
	})
}

func TestK_3_EventID(t *testing.T) {
	hash := func(t string) string { return hexSum([]byte(t)) }
	digest := func(g genesisEdit) string { // of the good terms
		e, err := ParseLogEntry(g.entry(t))
		if err != nil {
			t.Fatal(err)
		}
		return hexSum(e.KeyTerms)
	}(genesisEdit{})
	runGenesis(t, []genesisRow{
		{"of these terms", "", genesisEdit{body: set("event_id", "key:"+digest)}},
		{"of other terms", "K-3", genesisEdit{body: set("event_id", "key:"+hash("{}"))}},
		{"without key:", "K-3", genesisEdit{body: set("event_id", digest)}},
		{"with 0x", "K-3", genesisEdit{body: set("event_id", "key:0x"+digest)}},
		{"in upper case", "K-3", genesisEdit{body: set("event_id", "key:"+strings.ToUpper(digest))}},
		{"terms changed after signing", "K-3", genesisEdit{
			metadata: set("key_terms", object{"schema": termsSchema, "origin": testOrigin, "sequence": 0, "operation": OpGenesis,
				"base":          object{"size": 0, "root": "0x" + hexSum(nil)},
				"bootstrap_key": bootstrapKey.Text(), "recovery": object{"policy_id": "none", "threshold": 0, "keys": object{}}})}},
	})
}

func TestK_4_Terms(t *testing.T) {
	predecessor := func(edits ...func(object)) func(object) {
		return set("predecessor", edit(all(edits...), object{"origin": "example.com/old", "size": 9,
			"root": hashOf("root"), "statement_sha256": hashOf("statement")}))
	}
	runGenesis(t, []genesisRow{
		{"next_key_id", "", genesisEdit{terms: set("next_key_id", nextKey.ID())}},
		{"empty next_key_id", "K-4", genesisEdit{terms: set("next_key_id", "")}},
		{"next_key_id without 0x", "K-4", genesisEdit{terms: set("next_key_id", nextKey.ID().Hex())}},
		{"next_key_id in upper case", "K-4", genesisEdit{terms: set("next_key_id", "0x"+strings.ToUpper(nextKey.ID().Hex()))}},
		{"predecessor", "", genesisEdit{terms: predecessor()}},
		{"predecessor without root", "K-4", genesisEdit{terms: predecessor(remove("root"))}},
		{"predecessor with an unknown member", "K-4", genesisEdit{terms: predecessor(set("log_id", "example.com/old"))}},
		{"null predecessor", "K-4", genesisEdit{terms: set("predecessor", nil)}},
		{"unknown member", "K-4", genesisEdit{terms: set("comment", "")}},
		{"another schema", "K-4", genesisEdit{terms: set("schema", "chiolog.key-terms.v2")}},
		{"origin of another log", "K-4", genesisEdit{terms: set("origin", "example.com/other")}},
		{"sequence of another event", "K-4", genesisEdit{terms: set("sequence", 1)}},
		{"another operation", "K-4", genesisEdit{terms: set("operation", OpRotate)}},
		{"no base", "K-4", genesisEdit{terms: remove("base")}},
		{"base without root", "K-4", genesisEdit{terms: remove("root", "base")}},
		{"no recovery", "K-4", genesisEdit{terms: remove("recovery")}},
		{"null recovery keys", "K-4", genesisEdit{terms: set("recovery", object{"policy_id": "none", "threshold": 0, "keys": nil})}},
		{"empty recovery keys", "", genesisEdit{terms: set("recovery", object{"policy_id": "none", "threshold": 0, "keys": object{}})}},
		{"recovery key that is no key text", "K-4", genesisEdit{terms: set("recovery-3", "0x"+newTestKey(0x51).Text(), "recovery", "keys")}},
		{"no bootstrap key", "K-4", genesisEdit{terms: remove("bootstrap_key")}},
		{"bootstrap key that is no key text", "K-4", genesisEdit{terms: set("bootstrap_key", "0x"+bootstrapKey.Text())}},
		{"last_trusted_size", "K-4", genesisEdit{terms: set("last_trusted_size", 0)}},
		{"number of 2^53", formRule, genesisEdit{terms: predecessor(set("size", uint64(1<<53)))}},
		{"number below 2^53", "", genesisEdit{terms: predecessor(set("size", uint64(1<<53-1)))}},
	})
}

func TestK_5_GenesisBase(t *testing.T) {
	runGenesis(t, []genesisRow{
		{"empty tree", "", genesisEdit{terms: set("base", object{"size": 0, "root": "0x" + hexSum(nil)})}},
		{"size 1", "K-5", genesisEdit{terms: set("base", object{"size": 1, "root": "0x" + hexSum(nil)})}},
		{"root of zeros", "K-5", genesisEdit{terms: set("base", object{"size": 0, "root": chio.Hash{}})}},
	})
}

func TestK_6_Signer(t *testing.T) {
	runGenesis(t, []genesisRow{
		{"key that is introduced", "", genesisEdit{signer: kernelKey}},
		{"bootstrap key", "K-6", genesisEdit{signer: bootstrapKey}},
		{"key of nobody", "K-6", genesisEdit{signer: newTestKey(0x51)}},
	})
}

func TestK_7_Chain(t *testing.T) {
	some := object{"key_id": bootstrapKey.ID(), "algorithm": "ed25519", "signature": strings.Repeat("0", 128)}
	runGenesis(t, []genesisRow{
		{"leaf 0", "", genesisEdit{index: 0}},
		{"leaf 1", "K-7", genesisEdit{index: 1}},
		{"sequence 1", "K-7", genesisEdit{terms: set("sequence", 1), body: set("sequence", 1)}},
		{"previous_event_hash", "K-7", genesisEdit{body: set("previous_event_hash", chio.Hash{})}},
		{"effective later than issued", "K-7", genesisEdit{body: set("effective_at", vectorTime+1)}},
		{"effective and issued later", "", genesisEdit{
			body:    all(set("effective_at", vectorTime+1), set("issued_at", vectorTime+1)),
			receipt: set("timestamp", vectorTime+1)}},
		{"no authorisation", "K-7", genesisEdit{authorizations: remove("bootstrap")}},
		{"old key too", "K-7", genesisEdit{authorizations: set("old_key", some)}},
		{"new key too", "K-7", genesisEdit{authorizations: set("new_key", some)}},
		{"recovery too", "K-7", genesisEdit{authorizations: set("recovery", []object{{
			"authorizer_id": "recovery-1", "algorithm": "ed25519", "signature": strings.Repeat("0", 128)}})}},
		{"signature over the body alone", "K-7", genesisEdit{signed: func(m []byte) []byte {
			return m[len("chio.key-log.event-signature.v1\x00"):]
		}}},
		{"signature of zeros", "K-7", genesisEdit{authorizations: set("signature", strings.Repeat("0", 128), "bootstrap")}},
		{"signature by another key", "K-7", genesisEdit{authorizations: func(o object) {
			b := o["bootstrap"].(object)
			b["signature"], _ = newTestKey(0x51).sign([]byte("x"))
		}}},
		{"signature in upper case", "K-7", genesisEdit{authorizations: func(o object) {
			b := o["bootstrap"].(object)
			b["signature"] = strings.ToUpper(b["signature"].(string))
		}}},
	})
}

// TestK_7_OneEventASequenceNumber: a second genesis has no effect.
func TestK_7_OneEventASequenceNumber(t *testing.T) {
	first, err := ParseLogEntry(genesisEdit{}.entry(t))
	if err != nil {
		t.Fatal(err)
	}
	second, err := ParseLogEntry(genesisEdit{kernel: nextKey, bootstrap: newTestKey(0x51)}.entry(t))
	if err != nil {
		t.Fatal(err)
	}
	tl := New(testOrigin)
	if err := tl.Apply(0, first); err != nil {
		t.Fatal(err)
	}
	head := tl.Head()
	if err := tl.Apply(1, second); ruleOf(err) != "K-7" {
		t.Errorf("second genesis: %v", err)
	}
	if tl.Count() != 1 || tl.Head() != head || len(tl.Keys()) != 1 {
		t.Errorf("%d events and %d keys after a refused one", tl.Count(), len(tl.Keys()))
	}
	if _, ok := tl.Role(nextKey.Key); ok {
		t.Error("the refused genesis gave a role")
	}
}

func TestK_8_Reserved(t *testing.T) {
	tests := []struct {
		name     string
		metadata any
		want     string // what Reserved names, "" if nothing
	}{
		{"event of the caller's", object{"event": "my.event"}, ""},
		{"event that is no text", object{"event": object{"event": "log.status"}}, ""},
		{"names deeper inside", object{"deep": object{"key_event": 1, "key_terms": 1, "event": "log.status"}}, ""},
		{"other case", object{"Key_event": 1, "KEY_TERMS": 1, "Event": "log.status"}, ""},
		{"array", []any{"key_event"}, ""},
		{"payload", object{"payload": object{}}, ""},
		{"key_event", object{"key_event": nil}, "key_event"},
		{"key_terms", object{"key_terms": 1}, "key_terms"},
	}
	for _, event := range []string{
		"authority.genesis", "authority.rotated", "authority.rotation-aborted", "authority.recovered", "authority.retired",
		"authority.revoked", "log.status", "log.frozen", "revocation.delta", "trusted-issuer.set-changed", "writer.set-changed",
		"peer-pin.changed", "control-token.rotated", "witness-roster.changed", "attestation.recorded", "evidence.recorded",
		"foreign-checkpoint.observed", "rollback.accepted",
	} {
		tests = append(tests, struct {
			name     string
			metadata any
			want     string
		}{event, object{"event": event}, event})
	}
	ordinary := object{
		"timestamp": 1, "capability_id": "cap", "tool_server": "files", "tool_name": "read",
		"action":       object{"parameters": object{}, "parameter_hash": hexSum([]byte("{}"))},
		"receipt_kind": "mediated_decision", "boundary_class": "prevent", "decision": object{"verdict": "allow"},
		"tool_origin": "caller_executed", "redaction_mode": "none", "trust_level": "mediated",
		"policy_hash": "", "content_hash": "", "kernel_key": kernelKey.Text(), "id": hexSum(nil), "signature": strings.Repeat("0", 128),
	}
	child := object{
		"id": "child", "timestamp": 1, "session_id": "s", "parent_request_id": "p", "request_id": "r", "operation_kind": "tool_call",
		"terminal_state": object{"state": "completed"}, "outcome_hash": "", "policy_hash": "", "kernel_key": kernelKey.Text(),
		"signature": strings.Repeat("0", 128),
	}
	for _, tt := range tests {
		for _, form := range []object{ordinary, child} {
			form["metadata"] = tt.metadata
			r, err := receipt.Parse(marshal(t, form))
			if err != nil {
				t.Fatal(err)
			}
			if name, ok := Reserved(r); name != tt.want || ok != (tt.want != "") {
				t.Errorf("%s receipt, %s: Reserved() = %q, %t", r.Form, tt.name, name, ok)
			}
		}
	}
}

// TestK_13_PredecessorGivesNoTrust: a genesis is read alike with and without a
// predecessor.
func TestK_13_PredecessorGivesNoTrust(t *testing.T) {
	predecessor := set("predecessor", object{"origin": testOrigin, "size": 9, "root": hashOf("root"), "statement_sha256": hashOf("statement")})
	for _, terms := range []func(object){nil, predecessor} {
		e, err := ParseLogEntry(genesisEdit{terms: terms}.entry(t))
		if err != nil {
			t.Fatal(err)
		}
		tl := New(testOrigin)
		if err := tl.Apply(0, e); err != nil {
			t.Fatal(err)
		}
		state, ok := tl.Key(kernelKey.Key)
		if active, has := tl.Active(1); !ok || !has || !active.Equal(state.Key) || state.Sign.From != 1 || state.Write.From != 1 || tl.Count() != 1 {
			t.Errorf("state %+v after %d events", state, tl.Count())
		}
	}
}

func TestK_15_RecoveryPolicy(t *testing.T) {
	policy := func(name string, value any) genesisEdit { return genesisEdit{terms: set(name, value, "recovery")} }
	none := func(id string, threshold int) genesisEdit {
		return genesisEdit{terms: set("recovery", object{"policy_id": id, "threshold": threshold, "keys": object{}})}
	}
	runGenesis(t, []genesisRow{
		{"two of three", "", policy("threshold", 2)},
		{"three of three", "", policy("threshold", 3)},
		{"four of three", "K-15", policy("threshold", 4)},
		{"one of three", "", policy("threshold", 1)}, // asked for by name where it was made
		{"none of three", "K-15", policy("threshold", 0)},
		{"less than none", "K-15", policy("threshold", -1)},
		{"no recovery", "", none("none", 0)},
		{"no recovery under another name", "K-15", none("recovery-policy-1", 0)},
		{"no recovery with a threshold", "K-15", none("none", 1)},
		{"policy of 128 characters", "", policy("policy_id", strings.Repeat("p", 128))},
		{"policy of 129 characters", "K-15", policy("policy_id", strings.Repeat("p", 129))},
		{"empty policy id", "K-15", policy("policy_id", "")},
		{"called none with keys", "K-15", policy("policy_id", "none")},
		{"id with a space", "K-15", policy("keys", object{
			"recovery 1": newTestKey(0x21).Text(), "recovery-2": newTestKey(0x22).Text()})},
		{"id without one", "", policy("keys", object{
			"recovery:1": newTestKey(0x21).Text(), "recovery-2": newTestKey(0x22).Text()})},
	})
}
