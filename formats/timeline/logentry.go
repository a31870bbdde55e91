// Package timeline reads and writes what a log says of itself: the key events
// that tell which key may sign from which size on, the statuses that date and
// count all of the log's own state, and the maps of writers and revocations
// that a status commits to.
//
// All of it travels as receipts inside the log (DESIGN §2). The rules K-1 …
// K-19 and S-1 … S-5 are those of the key and status rules (KEYS §2 … §5).
// Nothing here reads a clock, a network or a file.
package timeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/internal/jcs"
)

// The names of log-authored receipts (DESIGN §2).
const (
	EventGenesis         = "authority.genesis"
	EventRotated         = "authority.rotated"
	EventRotationAborted = "authority.rotation-aborted"
	EventRecovered       = "authority.recovered"
	EventRetired         = "authority.retired"
	EventRevoked         = "authority.revoked"
	EventStatus          = "log.status"
	EventWriterSet       = "writer.set-changed"
	EventRollback        = "rollback.accepted"
)

// reserved are the event names that only the log's own event path may append.
var reserved = map[string]bool{
	EventGenesis: true, EventRotated: true, EventRotationAborted: true, EventRecovered: true, EventRetired: true, EventRevoked: true,
	EventStatus: true, "log.frozen": true, "revocation.delta": true, "trusted-issuer.set-changed": true, EventWriterSet: true,
	"peer-pin.changed": true, "control-token.rotated": true, "witness-roster.changed": true, "attestation.recorded": true,
	"evidence.recorded": true, "foreign-checkpoint.observed": true, EventRollback: true,
}

// MaxSigned is the largest number of bytes that a log-authored receipt may
// need to have signed: some key services sign no more.
const MaxSigned = 4096

// MaxNumber is the largest integer in a chiolog document, 2^53 - 1.
const MaxNumber = 1<<53 - 1

// CheckOrigin applies the form that K-1 demands of an origin: 1 to 128
// characters of [A-Za-z0-9._:/-].
func CheckOrigin(origin string) error {
	if len(origin) == 0 || len(origin) > 128 {
		return fmt.Errorf("origin %.140q has %d characters, the limits are 1 and 128", origin, len(origin))
	}
	for _, c := range []byte(origin) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '.', c == '_', c == ':', c == '/', c == '-':
		default:
			return fmt.Errorf("origin %q has %q, allowed are letters, digits and ._:/-", origin, c)
		}
	}
	return nil
}

// Reserved reports whether a receipt has metadata that only the log's own
// receipts may have (K-8), and names it: key_event, key_terms or the event.
func Reserved(r *receipt.Receipt) (name string, ok bool) {
	for m := range jcs.Members(r.Metadata()) {
		// Names with escapes are decoded: "key\u005fevent" is canonicalised
		// already, so the raw bytes of a canonical name compare.
		switch string(m.Name) {
		case "key_event", "key_terms":
			return string(m.Name), true
		case "event":
			if event, ok := jcs.String(m.Value); ok && reserved[event] {
				return event, true
			}
		}
	}
	return "", false
}

// A Metadata is what a log-authored receipt says: an event name, and either a
// key event with its terms or a payload, each canonical JSON.
type Metadata struct {
	Event    string          `json:"event,omitempty"`
	KeyEvent json.RawMessage `json:"key_event,omitempty"`
	KeyTerms json.RawMessage `json:"key_terms,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"`
}

// issuedAt returns the time that the receipt's timestamp repeats: the
// payload's, or that of the key event's body.
func (m Metadata) issuedAt() (uint64, error) {
	if m.KeyEvent == nil {
		return payloadTime(m.Payload)
	}
	var envelope struct {
		Body struct {
			IssuedAt uint64 `json:"issued_at"`
		} `json:"body"`
	}
	err := json.Unmarshal(m.KeyEvent, &envelope)
	return envelope.Body.IssuedAt, err
}

// payloadTime returns a payload's issued_at and demands the other members that
// every payload has (DESIGN §2). What else a payload has is for the parser of
// its schema to judge.
func payloadTime(payload []byte) (issuedAt uint64, err error) {
	var hasSchema, hasOrigin, hasTime bool
	for member := range jcs.Members(payload) {
		switch string(member.Name) {
		case "schema":
			_, hasSchema = jcs.String(member.Value)
		case "origin":
			_, hasOrigin = jcs.String(member.Value)
		case "issued_at":
			issuedAt, hasTime = jcs.Uint(member.Value)
		}
	}
	if !hasSchema || !hasOrigin || !hasTime {
		return 0, errors.New("payload without one of schema, origin and issued_at")
	}
	return issuedAt, nil
}

// document is a log-authored receipt with its fixed members.
type document struct {
	Action             action    `json:"action"`
	Algorithm          string    `json:"algorithm,omitempty"`
	BoundaryClass      string    `json:"boundary_class"`
	CapabilityID       string    `json:"capability_id"`
	ContentHash        string    `json:"content_hash"`
	ID                 string    `json:"id,omitempty"`
	KernelKey          string    `json:"kernel_key"`
	Metadata           *Metadata `json:"metadata"`
	ObservationOutcome string    `json:"observation_outcome"`
	PolicyHash         string    `json:"policy_hash"`
	ReceiptKind        string    `json:"receipt_kind"`
	RedactionMode      string    `json:"redaction_mode"`
	Signature          string    `json:"signature,omitempty"`
	Timestamp          uint64    `json:"timestamp"`
	ToolName           string    `json:"tool_name"`
	ToolOrigin         string    `json:"tool_origin"`
	ToolServer         string    `json:"tool_server"`
	TrustLevel         string    `json:"trust_level"`
}

type action struct {
	ParameterHash string   `json:"parameter_hash"`
	Parameters    struct{} `json:"parameters"`
}

// A Draft is a log-authored receipt that is not signed yet.
type Draft struct {
	key    chio.Key
	doc    document
	signed []byte
}

// NewDraft returns the receipt, signed by key, that says m. Its bytes follow
// from m and key alone (DESIGN §2). It is an error if it would need more than
// MaxSigned signed bytes.
func NewDraft(m Metadata, key chio.Key) (*Draft, error) {
	issuedAt, err := m.issuedAt()
	if err != nil {
		return nil, fmt.Errorf("%s: reading issued_at: %w", m.Event, err)
	}
	content := m
	content.Event = ""
	contentJSON, err := jcs.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Event, err)
	}
	d := &Draft{key: key, doc: document{
		Action:             action{ParameterHash: hexSum([]byte("{}"))},
		BoundaryClass:      "detect_only",
		CapabilityID:       "chiolog",
		ContentHash:        hexSum(contentJSON),
		KernelKey:          key.Text(),
		Metadata:           &m,
		ObservationOutcome: "observed",
		PolicyHash:         hexSum(nil),
		ReceiptKind:        "trace_observation",
		RedactionMode:      "none",
		Timestamp:          issuedAt,
		ToolName:           m.Event,
		ToolOrigin:         "caller_executed",
		ToolServer:         "chiolog",
		TrustLevel:         "verified",
	}}
	idInput, err := jcs.Marshal(d.doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Event, err)
	}
	d.doc.ID = hexSum(idInput)
	d.signed = append(append([]byte(`{"body":`), idInput...), `,"id":"`+d.doc.ID+`"}`...)
	if len(d.signed) > MaxSigned {
		return nil, fmt.Errorf("%s needs %d signed bytes, the limit is %d", m.Event, len(d.signed), MaxSigned)
	}
	return d, nil
}

// SignedBytes returns what the log's key signs.
func (d *Draft) SignedBytes() []byte { return d.signed }

// Entry returns the entry: the receipt with its signature, in canonical text.
func (d *Draft) Entry(signature string) ([]byte, error) {
	doc := d.doc
	doc.Signature = signature
	if alg := d.key.Algorithm(); alg != chio.Ed25519 {
		doc.Algorithm = string(alg)
	}
	return jcs.Marshal(doc)
}

// A LogEntry is a log-authored receipt, read back: the fixed members, the id
// and the signature under its own kernel_key are right. Whether that key was
// the one to sign it is for K-6 and S-2 to say.
type LogEntry struct {
	Metadata
	Key      chio.Key
	IssuedAt uint64 // Unix seconds
}

// ErrNotLogAuthored reports an entry that does not claim to be the log's own.
var ErrNotLogAuthored = errors.New("not a log-authored receipt")

// ParseLogEntry reads the entry of a log-authored receipt. An entry that has
// no reserved metadata is ErrNotLogAuthored; one that has, and deviates from
// the members of DESIGN §2 in a single byte, is another error.
func ParseLogEntry(entry []byte) (*LogEntry, error) {
	r, err := receipt.ParseCanonical(entry)
	if err != nil {
		return nil, err
	}
	return ReadLogEntry(r)
}

// ReadLogEntry is ParseLogEntry of a receipt that has been parsed already.
func ReadLogEntry(r *receipt.Receipt) (*LogEntry, error) {
	name, ok := Reserved(r)
	if !ok {
		return nil, ErrNotLogAuthored
	}
	if err := r.Verify(); err != nil {
		return nil, err
	}
	m, err := readMetadata(r.Metadata())
	if err != nil {
		return nil, fmt.Errorf("log-authored receipt %s: metadata: %w", name, err)
	}
	draft, err := NewDraft(m, r.Key)
	if err != nil {
		return nil, err
	}
	want, err := draft.Entry(r.Signature)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(want, r.Canonical()) {
		return nil, fmt.Errorf("log-authored receipt %s: members other than the fixed ones", name)
	}
	return &LogEntry{Metadata: m, Key: r.Key, IssuedAt: r.Timestamp}, nil
}

// readMetadata demands exactly the members that the event's name calls for.
func readMetadata(canonical []byte) (Metadata, error) {
	var m Metadata
	if err := jcs.Unmarshal(canonical, &m, jcs.StrictNumbers); err != nil {
		return m, err
	}
	if !reserved[m.Event] {
		return m, fmt.Errorf("event %q is not one of a log", m.Event)
	}
	isKeyEvent := operationOf[m.Event] != ""
	if (m.KeyEvent != nil) != isKeyEvent || (m.KeyTerms != nil) != isKeyEvent || (m.Payload != nil) == isKeyEvent {
		return m, fmt.Errorf("event %s has a payload, or key_event and key_terms, where it should not", m.Event)
	}
	return m, nil
}

func hexSum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
