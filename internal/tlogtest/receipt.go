package tlogtest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/chiolog/chiolog/internal/jcs"
)

// An Object is a JSON object that an edit changes.
type Object = map[string]any

// Receipt returns the entry of a valid semantic receipt by key: a mediated
// decision on a call that name tells from others. Edits change it before its id
// is made and it is signed, so that only what they break is broken.
func Receipt(key Key, name string, timestamp uint64, edits ...func(Object)) []byte {
	parameters := Object{"path": "/" + name}
	body := Object{
		"action":         Object{"parameter_hash": HexSum(Canonical(parameters)), "parameters": parameters},
		"boundary_class": "prevent",
		"capability_id":  "cap-files",
		"content_hash":   HexSum([]byte(name)),
		"decision":       Object{"verdict": "allow"},
		"kernel_key":     key.Text(),
		"policy_hash":    HexSum([]byte("policy")),
		"receipt_kind":   "mediated_decision",
		"redaction_mode": "none",
		"timestamp":      timestamp,
		"tool_name":      "read",
		"tool_origin":    "host_executed_provider_reported",
		"tool_server":    "files",
		"trust_level":    "mediated",
	}
	return seal(key, body, edits)
}

// seal gives a semantic body its id and signature.
func seal(key Key, body Object, edits []func(Object)) []byte {
	for _, edit := range edits {
		edit(body)
	}
	id := HexSum(Canonical(body))
	body["signature"], _ = key.SignText(Canonical(Object{"body": body, "id": id}))
	body["id"] = id
	return Canonical(body)
}

// ChildReceipt returns the entry of a valid child receipt by key with a
// free-text id. Edits change it before it is signed.
func ChildReceipt(key Key, id string, timestamp uint64, edits ...func(Object)) []byte {
	r := Object{
		"id":                id,
		"kernel_key":        key.Text(),
		"operation_kind":    "tool_call",
		"outcome_hash":      HexSum([]byte(id)),
		"parent_request_id": "request-0",
		"policy_hash":       HexSum([]byte("policy")),
		"request_id":        "request-" + id,
		"session_id":        "session-1",
		"terminal_state":    Object{"state": "completed"},
		"timestamp":         timestamp,
	}
	for _, edit := range edits {
		edit(r)
	}
	r["signature"], _ = key.SignText(Canonical(r))
	return Canonical(r)
}

// LegacyReceipt returns a valid receipt of the first generation, which no log
// appends.
func LegacyReceipt(key Key, id string, timestamp uint64) []byte {
	parameters := Object{}
	r := Object{
		"action":        Object{"parameter_hash": HexSum(Canonical(parameters)), "parameters": parameters},
		"capability_id": "cap-files",
		"content_hash":  HexSum([]byte(id)),
		"decision":      Object{"verdict": "allow"},
		"id":            id,
		"kernel_key":    key.Text(),
		"policy_hash":   HexSum([]byte("policy")),
		"timestamp":     timestamp,
		"tool_name":     "read",
		"tool_server":   "files",
	}
	r["signature"], _ = key.SignText(Canonical(r))
	return Canonical(r)
}

// Set returns an edit that sets a member.
func Set(name string, value any) func(Object) { return func(o Object) { o[name] = value } }

// Canonical returns the canonical JSON of v. It panics if v has none.
func Canonical(v any) []byte {
	data, err := jcs.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("tlogtest: %v", err))
	}
	return data
}

// HexSum returns the SHA-256 of data in 64 hex digits.
func HexSum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}
