// Package api has what a log server and its clients agree on over HTTP: paths,
// bodies and error codes. All JSON here is ordinary JSON, not signed; hashes
// are 64 lowercase hex digits, indexes and sizes plain numbers.
package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Paths of a log server, below its prefix.
const (
	PathReceipts    = "/v1/receipts"          // POST: submit; GET ?id=
	PathReceipt     = "/v1/receipts/{id}"     // GET, id of 64 hex digits
	PathInclusion   = "/v1/proof/inclusion"   // GET ?id=|index=|leaf_hash= [&size=]
	PathConsistency = "/v1/proof/consistency" // GET ?from=&to=
	PathBundle      = "/v1/proof/bundle"      // GET ?id=
	PathCheckpoints = "/v1/checkpoints"       // GET ?after=&limit=
	PathStatus      = "/v1/status"            // GET [?from=&writer=&revocation=]: a status file
	PathCheckpoint  = "/checkpoint"
	PathTile        = "/tile/"
	PathHealth      = "/healthz"
	PathReady       = "/readyz"
	PathMetrics     = "/metrics"
)

// Media types.
const (
	TypeJSON   = "application/json"
	TypeNDJSON = "application/x-ndjson"
	TypeProof  = "text/plain; charset=utf-8"
)

// Limits of a submission and of other requests.
const (
	MaxReceipt     = 256 << 10 // bytes of one receipt as sent, before it is canonicalised
	MaxBatchBytes  = 64 << 20  // bytes of one NDJSON body
	MaxBatchLines  = 100000    // receipts in one NDJSON body
	MaxCheckpoints = 1000      // statements in one answer
	MaxProofs      = 64        // proofs in one status file
)

// WaitPublished is the value of ?wait= that asks for an answer only when the
// receipt is covered by a published checkpoint.
const WaitPublished = "published"

// A Submitted answers one submitted receipt. In NDJSON each line is one of
// these, in the order of the lines sent, with Error set where it was refused.
type Submitted struct {
	ID       string `json:"id,omitempty"`
	Index    uint64 `json:"index"`
	LeafHash string `json:"leaf_hash,omitempty"`
	// Duplicate says that the log had the receipt already.
	Duplicate bool `json:"duplicate,omitempty"`
	// ParameterHashMismatch flags a receipt whose parameter_hash is wrong: it
	// is kept as signed evidence and never verifies.
	ParameterHashMismatch bool   `json:"parameter_hash_mismatch,omitempty"`
	Size                  uint64 `json:"size,omitempty"` // published size that covers it, with ?wait=published
	Error                 *Error `json:"error,omitempty"`
}

// A Receipt answers a look-up: the entry as it lies in the log.
type Receipt struct {
	ID       string          `json:"id"`
	Index    uint64          `json:"index"`
	LeafHash string          `json:"leaf_hash"`
	Receipt  json.RawMessage `json:"receipt"`
}

// An InclusionProof is RFC 6962's, leaf's sibling first.
type InclusionProof struct {
	Index    uint64   `json:"index"`
	LeafHash string   `json:"leaf_hash"`
	Size     uint64   `json:"size"`
	Path     []string `json:"path"`
}

// A ConsistencyProof is RFC 6962's.
type ConsistencyProof struct {
	From uint64   `json:"from"`
	To   uint64   `json:"to"`
	Path []string `json:"path"`
}

// Checkpoints lists published checkpoints in the order of their sequence.
type Checkpoints struct {
	Checkpoints []Checkpoint `json:"checkpoints"`
	Next        uint64       `json:"next,omitempty"` // value of ?after= for more
}

// A Checkpoint is one checkpoint in its two encodings.
type Checkpoint struct {
	CheckpointSeq uint64          `json:"checkpoint_seq"`
	Size          uint64          `json:"size"`
	Note          string          `json:"note"`
	Statement     json.RawMessage `json:"statement"`
}

// Error codes. Each goes with one HTTP status.
const (
	CodeBadRequest     = "bad_request"        // 400
	CodeMalformed      = "malformed_receipt"  // 400: not JSON, or not a receipt of a known form
	CodeMethod         = "method_not_allowed" // 405
	CodeForbidden      = "writer_not_allowed" // 403
	CodeNotFound       = "not_found"          // 404
	CodeSize           = "size_not_published" // 404: Size has the published size
	CodeConflict       = "receipt_conflict"   // 409: the id is taken by other signed bytes
	CodeTooLarge       = "too_large"          // 413
	CodeInvalidReceipt = "invalid_receipt"    // 422: a rule of receipts is broken
	CodeLegacyReceipt  = "legacy_receipt"     // 422: generation A
	CodeReservedEvent  = "reserved_event"     // 422: metadata that only the log writes
	CodeOverloaded     = "overloaded"         // 429
	CodeNotPublished   = "not_published"      // 503: sequenced, not under a checkpoint yet
	CodeUnavailable    = "unavailable"        // 503
	CodeInternal       = "internal"           // 500
)

var statusOf = map[string]int{
	CodeBadRequest: http.StatusBadRequest, CodeMalformed: http.StatusBadRequest, CodeForbidden: http.StatusForbidden,
	CodeMethod: http.StatusMethodNotAllowed, CodeNotFound: http.StatusNotFound, CodeSize: http.StatusNotFound, CodeConflict: http.StatusConflict,
	CodeTooLarge: http.StatusRequestEntityTooLarge, CodeInvalidReceipt: http.StatusUnprocessableEntity,
	CodeLegacyReceipt: http.StatusUnprocessableEntity, CodeReservedEvent: http.StatusUnprocessableEntity,
	CodeOverloaded: http.StatusTooManyRequests, CodeNotPublished: http.StatusServiceUnavailable,
	CodeUnavailable: http.StatusServiceUnavailable, CodeInternal: http.StatusInternalServerError,
}

// An Error is the body of every answer that is not a success.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Rule is the rule of receipts that was broken, with CodeInvalidReceipt.
	Rule string `json:"rule,omitempty"`
	// Size is the published size, with CodeSize.
	Size *uint64 `json:"size,omitempty"`
	// Close is the position at which the signer's range ended, with
	// CodeForbidden for a key that could write before.
	Close *uint64 `json:"close,omitempty"`
	// RetryAfter goes into the header of that name, in whole seconds.
	RetryAfter time.Duration `json:"-"`
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s: %s (%s)", e.Code, e.Message, e.Hint)
}

// Status returns the HTTP status of the error's code.
func (e *Error) Status() int {
	if s, ok := statusOf[e.Code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool {
	s := e.Status()
	return s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable
}
