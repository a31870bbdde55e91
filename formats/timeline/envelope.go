package timeline

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// Schemas of key events and their terms.
const (
	eventSchema = "chio.key-log.event.v1"
	termsSchema = "chiolog.key-terms.v1"
)

// The operations of a key event (KEYS §4).
const (
	OpGenesis       = "genesis"
	OpRotate        = "rotate"
	OpAbortRotation = "abort_rotation"
	OpRecover       = "recover"
	OpRetire        = "retire"
	OpRevoke        = "revoke"
)

// operationOf maps the names of key events to their operations.
var operationOf = map[string]string{
	EventGenesis: OpGenesis, EventRotated: OpRotate, EventRotationAborted: OpAbortRotation,
	EventRecovered: OpRecover, EventRetired: OpRetire, EventRevoked: OpRevoke,
}

// An Envelope is a key event in Chio's own form (chio-wire §9.2).
type Envelope struct {
	Authorizations Authorizations `json:"authorizations"`
	Body           Body           `json:"body"`
}

// A Body is the part of a key event that its authorisations sign. Times are
// Unix seconds.
type Body struct {
	Algorithm         chio.Algorithm `json:"algorithm"`
	AuthorityID       string         `json:"authority_id"`
	EffectiveAt       uint64         `json:"effective_at"`
	EventID           string         `json:"event_id"`
	IssuedAt          uint64         `json:"issued_at"`
	KeyID             chio.Hash      `json:"key_id"`
	LogID             string         `json:"log_id"`
	Operation         Operation      `json:"operation"`
	PreviousEventHash *chio.Hash     `json:"previous_event_hash,omitempty"`
	PublicKey         string         `json:"public_key"`
	Reason            string         `json:"reason,omitempty"`
	Schema            string         `json:"schema"`
	Sequence          uint64         `json:"sequence"`
	VerifyUntil       *uint64        `json:"verify_until,omitempty"`
}

// An Operation is what a key event does; which members it has follows from its
// type.
type Operation struct {
	PreviousKeyID         *chio.Hash `json:"previous_key_id,omitempty"`
	RecoveryPolicyBinding *chio.Hash `json:"recovery_policy_binding,omitempty"`
	RecoveryPolicyID      string     `json:"recovery_policy_id,omitempty"`
	Type                  string     `json:"type"`
	WitnessRosterBinding  *chio.Hash `json:"witness_roster_binding,omitempty"`
	WitnessRosterID       string     `json:"witness_roster_id,omitempty"`
}

// Authorizations are the signatures of a key event's body.
type Authorizations struct {
	Bootstrap *Authorization          `json:"bootstrap,omitempty"`
	NewKey    *Authorization          `json:"new_key,omitempty"`
	OldKey    *Authorization          `json:"old_key,omitempty"`
	Recovery  []RecoveryAuthorization `json:"recovery,omitempty"`
}

// An Authorization is a signature by a key that the event names.
type Authorization struct {
	Algorithm chio.Algorithm `json:"algorithm"`
	KeyID     chio.Hash      `json:"key_id"`
	Signature string         `json:"signature"`
}

// A RecoveryAuthorization is a signature by a member of the recovery policy.
type RecoveryAuthorization struct {
	Algorithm    chio.Algorithm `json:"algorithm"`
	AuthorizerID string         `json:"authorizer_id"`
	Signature    string         `json:"signature"`
}

// ParseEnvelope reads a key event; canonical bytes are demanded.
func ParseEnvelope(canonical []byte) (*Envelope, error) {
	var e Envelope
	if err := jcs.Unmarshal(canonical, &e, jcs.StrictNumbers); err != nil {
		return nil, fmt.Errorf("key event: %w", err)
	}
	return &e, nil
}

// SignedBytes returns what each authorisation of the body signs.
func (b *Body) SignedBytes() ([]byte, error) {
	canonical, err := jcs.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("key event %d: %w", b.Sequence, err)
	}
	return append([]byte("chio.key-log.event-signature.v1\x00"), canonical...), nil
}

// EnvelopeHash returns the hash of a canonical envelope, by which the next
// event and the statuses refer to it.
func EnvelopeHash(canonical []byte) chio.Hash {
	h := sha256.New()
	h.Write([]byte("chio.key-log.event-envelope.v1\x00"))
	h.Write(canonical)
	return chio.Hash(h.Sum(nil))
}

// checkKey demands that the authorisation names the key that signs it (K-2).
func (a *Authorization) checkKey(key chio.Key) error {
	if a.Algorithm != key.Algorithm() {
		return fmt.Errorf("algorithm %s, the key is %s", a.Algorithm, key.Algorithm())
	}
	if a.KeyID != key.ID() {
		return fmt.Errorf("key_id %s is not that of the key", a.KeyID)
	}
	return nil
}

// verify checks the signature of signed, strictly (K-7).
func (a *Authorization) verify(signed []byte, key chio.Key) error {
	return key.VerifyStrict(signed, a.Signature)
}

// Terms are chiolog's own part of a key event, bound to it by its event_id
// (K-3, K-4).
type Terms struct {
	Base            Base            `json:"base"`
	BootstrapKey    string          `json:"bootstrap_key,omitempty"`
	LastTrustedSize *uint64         `json:"last_trusted_size,omitempty"`
	NextKeyID       *chio.Hash      `json:"next_key_id,omitempty"`
	Operation       string          `json:"operation"`
	Origin          string          `json:"origin"`
	Predecessor     *Predecessor    `json:"predecessor,omitempty"`
	Recovery        *RecoveryPolicy `json:"recovery,omitempty"`
	Schema          string          `json:"schema"`
	Sequence        uint64          `json:"sequence"`
}

// A Base is the last signed checkpoint before a key event (K-5).
type Base struct {
	Root chio.Hash `json:"root"`
	Size uint64    `json:"size"`
}

// A Predecessor names the log that a genesis continues (K-13).
type Predecessor struct {
	Origin          string            `json:"origin"`
	Root            chio.Hash         `json:"root"`
	Size            uint64            `json:"size"`
	StatementSHA256 chio.OptionalHash `json:"statement_sha256"` // empty if it never had a statement
}

// A RecoveryPolicy says who may recover a log whose key is lost (K-15). Keys
// maps authoriser ids to key texts.
type RecoveryPolicy struct {
	Keys      map[string]string `json:"keys"`
	PolicyID  string            `json:"policy_id"`
	Threshold int               `json:"threshold"`
}

// NoRecovery is the policy of a log that cannot be recovered.
func NoRecovery() *RecoveryPolicy {
	return &RecoveryPolicy{Keys: map[string]string{}, PolicyID: "none"}
}

// ParseTerms reads terms; canonical bytes are demanded.
func ParseTerms(canonical []byte) (*Terms, error) {
	var t Terms
	if err := jcs.Unmarshal(canonical, &t, jcs.StrictNumbers); err != nil {
		return nil, fmt.Errorf("key terms: %w", err)
	}
	return &t, nil
}

// eventID returns the event_id that binds canonical terms (K-3).
func eventID(canonical []byte) string { return "key:" + hexSum(canonical) }

// checkIdentifier applies the key log's form of an identifier: 1 to 128 bytes
// of [A-Za-z0-9._:/-], the form of an origin.
func checkIdentifier(id string) error {
	if CheckOrigin(id) != nil {
		return fmt.Errorf("identifier %.140q is not 1 to 128 characters of [A-Za-z0-9._:/-]", id)
	}
	return nil
}

// checkKeys demands that keys is an object of key texts (K-4).
func (p *RecoveryPolicy) checkKeys() error {
	if p.Keys == nil {
		return errors.New("recovery.keys is null, a policy without keys has an empty object")
	}
	for id, text := range p.Keys {
		if _, err := chio.ParseKey(text); err != nil {
			return fmt.Errorf("recovery key %s: %w", id, err)
		}
	}
	return nil
}

// Check reports what is wrong with a policy by itself: identifiers, key texts,
// small order, one key under two names, a threshold that cannot be met.
func (p *RecoveryPolicy) Check() error {
	if err := p.checkKeys(); err != nil {
		return err
	}
	if err := checkIdentifier(p.PolicyID); err != nil {
		return fmt.Errorf("policy_id: %w", err)
	}
	if len(p.Keys) == 0 {
		if p.PolicyID != "none" || p.Threshold != 0 {
			return fmt.Errorf("recovery policy %s without keys: it would be called none and have threshold 0", p.PolicyID)
		}
		return nil
	}
	if p.PolicyID == "none" {
		return fmt.Errorf("recovery policy none has keys")
	}
	if p.Threshold < 1 || p.Threshold > len(p.Keys) {
		return fmt.Errorf("threshold %d of %d recovery keys", p.Threshold, len(p.Keys))
	}
	seen := map[string]string{}
	for id, text := range p.Keys {
		if err := checkIdentifier(id); err != nil {
			return fmt.Errorf("recovery key: %w", err)
		}
		key, err := chio.ParseKey(text)
		if err != nil {
			return fmt.Errorf("recovery key %s: %w", id, err)
		}
		if key.SmallOrder() {
			return fmt.Errorf("recovery key %s: %w", id, chio.ErrSmallOrder)
		}
		if other, ok := seen[text]; ok {
			return fmt.Errorf("recovery keys %s and %s are the same key", min(id, other), max(id, other))
		}
		seen[text] = id
	}
	return nil
}
