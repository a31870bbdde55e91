package interop

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// A writer makes receipts as a kernel of its own does: mediated decisions,
// signed with Ed25519. It shares no code with the log.
type writer struct{ key ed25519.PrivateKey }

func newWriter() *writer {
	seed := sha256.Sum256([]byte("a kernel beside the log"))
	return &writer{ed25519.NewKeyFromSeed(seed[:])}
}

// keyText returns the public key as --writer takes it.
func (w *writer) keyText() string {
	return hex.EncodeToString(w.key.Public().(ed25519.PublicKey))
}

// receipt returns the nth receipt in canonical form: encoding/json writes these
// members, all plain ASCII, in the canonical order.
func (w *writer) receipt(n int) ([]byte, error) {
	parameters := map[string]any{"path": fmt.Sprintf("/srv/%d", n)}
	parameterText, err := json.Marshal(parameters)
	if err != nil {
		return nil, err
	}
	body := map[string]any{
		"action":         map[string]any{"parameters": parameters, "parameter_hash": sumHex(parameterText)},
		"boundary_class": "prevent",
		"capability_id":  "cap-1",
		"content_hash":   sumHex(fmt.Appendf(nil, "result %d", n)),
		"decision":       map[string]any{"verdict": "allow"},
		"kernel_key":     w.keyText(),
		"policy_hash":    sumHex([]byte("policy")),
		"receipt_kind":   "mediated_decision",
		"redaction_mode": "none",
		"timestamp":      1700000000 + n,
		"tool_name":      "read_file",
		"tool_origin":    "caller_executed",
		"tool_server":    "files",
		"trust_level":    "mediated",
	}
	idInput, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	id := sumHex(idInput)
	signed, err := json.Marshal(map[string]any{"body": body, "id": id})
	if err != nil {
		return nil, err
	}
	body["id"] = id
	body["signature"] = hex.EncodeToString(ed25519.Sign(w.key, signed))
	return json.Marshal(body)
}

func sumHex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
