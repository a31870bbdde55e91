package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

const testOrigin = "example.com/log"

// A testWriter signs receipts.
type testWriter struct {
	key  chio.Key
	sign func(message []byte) []byte
}

func newTestWriter(seed byte) testWriter {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	return testWriter{
		key:  chio.NewEd25519(private.Public().(ed25519.PublicKey)),
		sign: func(m []byte) []byte { return ed25519.Sign(private, m) },
	}
}

func newP256Writer(t *testing.T) testWriter {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	key, err := chio.ParseKey("p256:" + hex.EncodeToString(point))
	if err != nil {
		t.Fatal(err)
	}
	return testWriter{key: key, sign: func(m []byte) []byte {
		digest := sha256.Sum256(m)
		sig, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}}
}

func (w testWriter) text() string { return w.key.Text() }

// receipt returns a valid semantic receipt whose parameters have n.
func (w testWriter) receipt(t testing.TB, n int) []byte {
	return w.change(t, n, nil)
}

// change returns a valid receipt with members changed.
func (w testWriter) change(t testing.TB, n int, change map[string]any) []byte {
	t.Helper()
	parameters := map[string]any{"n": n}
	body := map[string]any{
		"timestamp": 1710000000 + n, "capability_id": "cap", "tool_server": "srv", "tool_name": "tool",
		"action":       map[string]any{"parameters": parameters, "parameter_hash": hash(canonical(t, parameters))},
		"decision":     map[string]any{"verdict": "allow"},
		"receipt_kind": "mediated_decision", "boundary_class": "prevent", "tool_origin": "caller_executed", "redaction_mode": "none",
		"content_hash": hash(nil), "policy_hash": hash(nil), "trust_level": "mediated", "kernel_key": w.text(),
	}
	maps.Copy(body, change)
	id := hash(canonical(t, body))
	signature := chio.SignatureText(w.key.Algorithm(), w.sign(canonical(t, map[string]any{"id": id, "body": body})))
	body["id"], body["signature"] = id, signature
	if w.key.Algorithm() != chio.Ed25519 {
		body["algorithm"] = w.key.Algorithm()
	}
	return canonical(t, body)
}

// child returns a valid child receipt.
func (w testWriter) child(t testing.TB, id, outcome string) []byte {
	t.Helper()
	body := map[string]any{
		"id": id, "timestamp": 1710000000, "session_id": "s", "parent_request_id": "p", "request_id": "r", "operation_kind": "tool_call",
		"terminal_state": map[string]any{"state": "completed"}, "outcome_hash": outcome, "policy_hash": "p", "kernel_key": w.text(),
	}
	body["signature"] = chio.SignatureText(w.key.Algorithm(), w.sign(canonical(t, body)))
	return canonical(t, body)
}

func canonical(t testing.TB, v any) []byte {
	t.Helper()
	out, err := jcs.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func hash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
