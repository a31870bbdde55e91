package timeline

import (
	"crypto/sha256"
	"fmt"
	"math"

	"github.com/chiolog/chiolog/formats/chio"
)

// An EventError reports a key event that breaks a rule. Rule is its number,
// such as "K-7".
type EventError struct {
	Rule     string
	Sequence uint64 // of the event
	Err      error
}

func (e *EventError) Error() string {
	return fmt.Sprintf("key event %d: %s: %v", e.Sequence, e.Rule, e.Err)
}

func (e *EventError) Unwrap() error { return e.Err }

// A Role is what a key was introduced as. A key has one role (K-1).
type Role string

// The roles that key events and policies give. Writers have theirs by the
// writer map.
const (
	RoleTimeline  Role = "timeline key"
	RoleBootstrap Role = "bootstrap key"
	RoleRecovery  Role = "recovery key"
	RoleWitness   Role = "witness key"
)

// A Span is a half-open interval of positions or sizes, [From, To). To is
// math.MaxUint64 while the span is open.
type Span struct{ From, To uint64 }

// Contains reports whether n lies in the span.
func (s Span) Contains(n uint64) bool { return s.From <= n && n < s.To }

// A KeyState is what the timeline knows of one timeline key (KEYS §3).
type KeyState struct {
	Key   chio.Key
	Sign  Span // sizes and positions of checkpoints and log-authored leaves
	Write Span // positions of ordinary receipts
}

// A Timeline is the replay of a log's key events. The zero value is not ready;
// New makes one. It is not safe for concurrent use while events are applied.
type Timeline struct {
	origin string
	roles  map[string]Role // by key text
	keys   []KeyState      // in the order of their introduction
	policy *RecoveryPolicy
	next   *chio.Hash // committed next key, if any (K-14)
	count  uint64
	head   chio.Hash
	last   uint64 // issued_at of the last event
}

// New returns an empty timeline of the log origin. witnesses are the keys that
// the reader's own policy gives the role of a witness; no event may introduce
// them in another (V-4).
func New(origin string, witnesses ...chio.Key) *Timeline {
	t := &Timeline{origin: origin, roles: map[string]Role{}}
	for _, k := range witnesses {
		t.roles[k.Text()] = RoleWitness
	}
	return t
}

// Origin returns the origin of the log.
func (t *Timeline) Origin() string { return t.origin }

// Count returns the number of events applied.
func (t *Timeline) Count() uint64 { return t.count }

// Head returns the envelope hash of the last event, and whether there is one.
func (t *Timeline) Head() chio.OptionalHash {
	return chio.OptionalHash{Hash: t.head, Valid: t.count > 0}
}

// Keys returns the timeline keys in the order of their introduction.
func (t *Timeline) Keys() []KeyState { return t.keys }

// Key returns the state of a timeline key.
func (t *Timeline) Key(k chio.Key) (KeyState, bool) {
	for _, s := range t.keys {
		if s.Key.Equal(k) {
			return s, true
		}
	}
	return KeyState{}, false
}

// Active returns the key that signs checkpoints of size and log-authored
// leaves at that position. Exactly one is active at every size from 1 on
// (K-10); size 0 is the genesis key's.
func (t *Timeline) Active(size uint64) (chio.Key, bool) {
	if size == 0 && len(t.keys) > 0 {
		return t.keys[0].Key, true
	}
	for _, s := range t.keys {
		if s.Sign.Contains(size) {
			return s.Key, true
		}
	}
	return chio.Key{}, false
}

// Role returns the role that the events, or the reader's policy, gave a key.
func (t *Timeline) Role(k chio.Key) (Role, bool) {
	r, ok := t.roles[k.Text()]
	return r, ok
}

// Apply replays the key event of the leaf at index. A leaf that breaks a rule
// leaves the timeline as it was and is an *EventError.
func (t *Timeline) Apply(index uint64, e *LogEntry) error {
	fail := func(rule string, err error) error {
		return &EventError{Rule: rule, Sequence: t.count, Err: err}
	}
	op, ok := operationOf[e.Event]
	if !ok {
		return fail("K-2", fmt.Errorf("%s is not a key event", e.Event))
	}
	ev := &keyEvent{position: index + 1, signer: e.Key, op: op, canonical: e.KeyEvent}
	var err error
	if ev.envelope, err = ParseEnvelope(e.KeyEvent); err != nil {
		return fail("K-2", err)
	}
	if ev.terms, err = ParseTerms(e.KeyTerms); err != nil {
		return fail("K-4", err)
	}
	if id := eventID(e.KeyTerms); ev.envelope.Body.EventID != id {
		return fail("K-3", fmt.Errorf("event_id is %s, the terms hash to %s", ev.envelope.Body.EventID, id))
	}
	if err := t.apply(ev); err != nil {
		return err
	}
	return nil
}

// A keyEvent is a leaf with a key event, parsed.
type keyEvent struct {
	position  uint64
	signer    chio.Key
	op        string
	canonical []byte
	envelope  *Envelope
	terms     *Terms
	key       chio.Key // the body's
}

func (t *Timeline) apply(ev *keyEvent) error {
	for _, check := range []struct {
		rule string
		run  func(*keyEvent) error
	}{
		{"K-1", t.checkIdentity},
		{"K-2", t.checkBody},
		{"K-4", t.checkTerms},
		{"K-5", t.checkBase},
		{"K-7", t.checkChain},
	} {
		if err := check.run(ev); err != nil {
			return &EventError{Rule: check.rule, Sequence: t.count, Err: err}
		}
	}
	switch ev.op {
	case OpGenesis:
		return t.genesis(ev)
	default:
		return &EventError{Rule: "K-4", Sequence: t.count, Err: fmt.Errorf("operation %s is not supported by this version", ev.op)}
	}
}

func (t *Timeline) checkIdentity(ev *keyEvent) error {
	b := &ev.envelope.Body
	if err := CheckOrigin(t.origin); err != nil {
		return err
	}
	if b.LogID != t.origin || b.AuthorityID != t.origin {
		return fmt.Errorf("log_id %q and authority_id %q are not both the origin %q", b.LogID, b.AuthorityID, t.origin)
	}
	return nil
}

func (t *Timeline) checkBody(ev *keyEvent) error {
	b := &ev.envelope.Body
	var err error
	if ev.key, err = chio.ParseKey(b.PublicKey); err != nil {
		return err
	}
	switch {
	case b.Schema != eventSchema:
		return fmt.Errorf("schema %q", b.Schema)
	case b.Operation.Type != ev.op:
		return fmt.Errorf("operation %q in a receipt named for %s", b.Operation.Type, ev.op)
	case b.Algorithm != ev.key.Algorithm():
		return fmt.Errorf("algorithm %s, the key is %s", b.Algorithm, ev.key.Algorithm())
	case b.KeyID != ev.key.ID():
		return fmt.Errorf("key_id %s is not that of the key", b.KeyID)
	case b.VerifyUntil != nil && ev.op != OpRotate:
		return fmt.Errorf("verify_until in a %s", ev.op)
	}
	if ev.op == OpGenesis && b.Operation != (Operation{Type: OpGenesis}) {
		return fmt.Errorf("a genesis operation has no member but its type")
	}
	return checkReason(b.Reason)
}

// checkReason applies the key log's form of a reason: 1 to 512 printable ASCII
// bytes, if there is one.
func checkReason(reason string) error {
	if len(reason) > 512 {
		return fmt.Errorf("reason of %d bytes, the limit is 512", len(reason))
	}
	for _, c := range []byte(reason) {
		if c < 0x20 || c > 0x7e {
			return fmt.Errorf("reason has the byte %#02x", c)
		}
	}
	return nil
}

func (t *Timeline) checkTerms(ev *keyEvent) error {
	terms, b := ev.terms, &ev.envelope.Body
	switch {
	case terms.Schema != termsSchema:
		return fmt.Errorf("schema %q", terms.Schema)
	case terms.Origin != b.LogID || terms.Sequence != b.Sequence || terms.Operation != b.Operation.Type:
		return fmt.Errorf("terms for %s, %d of %q in an envelope for %s, %d of %q",
			terms.Operation, terms.Sequence, terms.Origin, b.Operation.Type, b.Sequence, b.LogID)
	}
	introduces := ev.op == OpGenesis || ev.op == OpRotate || ev.op == OpRecover
	genesis := ev.op == OpGenesis
	switch {
	case (terms.Recovery != nil) != introduces:
		return fmt.Errorf("recovery present %t in a %s", terms.Recovery != nil, ev.op)
	case terms.NextKeyID != nil && !introduces:
		return fmt.Errorf("next_key_id in a %s", ev.op)
	case (terms.BootstrapKey != "") != genesis:
		return fmt.Errorf("bootstrap_key present %t in a %s", terms.BootstrapKey != "", ev.op)
	case terms.Predecessor != nil && !genesis:
		return fmt.Errorf("predecessor in a %s", ev.op)
	case ev.op == OpRevoke && terms.LastTrustedSize == nil, terms.LastTrustedSize != nil && ev.op != OpRevoke && ev.op != OpRecover:
		return fmt.Errorf("last_trusted_size present %t in a %s", terms.LastTrustedSize != nil, ev.op)
	}
	if introduces {
		return terms.Recovery.checkKeys()
	}
	return nil
}

func (t *Timeline) checkBase(ev *keyEvent) error {
	base := ev.terms.Base
	if base.Size >= ev.position {
		return fmt.Errorf("base size %d, the event is at position %d", base.Size, ev.position)
	}
	if empty := chio.Hash(sha256.Sum256(nil)); ev.op == OpGenesis && base != (Base{Root: empty}) {
		return fmt.Errorf("genesis with base size %d and root %s, not those of the empty tree", base.Size, base.Root)
	}
	return nil
}

func (t *Timeline) checkChain(ev *keyEvent) error {
	b := &ev.envelope.Body
	switch {
	case b.Sequence != t.count:
		return fmt.Errorf("sequence %d, the next one is %d", b.Sequence, t.count)
	case t.count == 0 && b.PreviousEventHash != nil:
		return fmt.Errorf("previous_event_hash in the first event")
	case t.count > 0 && (b.PreviousEventHash == nil || *b.PreviousEventHash != t.head):
		return fmt.Errorf("previous_event_hash is not %s", t.head)
	case b.IssuedAt < t.last:
		return fmt.Errorf("issued_at %d, the last event's is %d", b.IssuedAt, t.last)
	case b.EffectiveAt != b.IssuedAt:
		return fmt.Errorf("effective_at %d, issued_at %d", b.EffectiveAt, b.IssuedAt)
	}
	return nil
}

// introduce checks K-1's one key, one role for keys that an event would
// introduce, without introducing them.
func (t *Timeline) introduce(keys map[string]Role) error {
	for text, role := range keys {
		if old, ok := t.roles[text]; ok {
			return fmt.Errorf("key %s is introduced as %s and was a %s before", text, role, old)
		}
	}
	return nil
}

// genesis applies the first event.
func (t *Timeline) genesis(ev *keyEvent) error {
	fail := func(rule string, err error) error { return &EventError{Rule: rule, Sequence: 0, Err: err} }
	if ev.position != 1 || t.count != 0 {
		return fail("K-7", fmt.Errorf("genesis at index %d after %d events; it is leaf 0 and the first", ev.position-1, t.count))
	}
	bootstrap, err := chio.ParseKey(ev.terms.BootstrapKey)
	if err != nil {
		return fail("K-4", fmt.Errorf("bootstrap_key: %w", err))
	}
	roles, err := genesisRoles(ev.key, bootstrap, ev.terms.Recovery)
	if err != nil {
		return fail("K-1", err)
	}
	if err := t.introduce(roles); err != nil {
		return fail("K-1", err)
	}
	if !ev.signer.Equal(ev.key) {
		return fail("K-6", fmt.Errorf("receipt signed by %s, not by the key that it introduces", ev.signer.Text()))
	}
	auth := ev.envelope.Authorizations
	if auth.Bootstrap == nil || auth.NewKey != nil || auth.OldKey != nil || auth.Recovery != nil {
		return fail("K-7", fmt.Errorf("a genesis has exactly one authorisation, by the bootstrap key"))
	}
	if err := auth.Bootstrap.checkKey(bootstrap); err != nil {
		return fail("K-2", fmt.Errorf("bootstrap authorisation: %w", err))
	}
	signed, err := ev.envelope.Body.SignedBytes()
	if err != nil {
		return fail("K-7", err)
	}
	if err := auth.Bootstrap.verify(signed, bootstrap); err != nil {
		return fail("K-7", fmt.Errorf("bootstrap authorisation: %w", err))
	}
	if err := ev.terms.Recovery.Check(); err != nil {
		return fail("K-15", err)
	}
	for text, role := range roles {
		t.roles[text] = role
	}
	open := Span{From: ev.position, To: math.MaxUint64}
	t.keys = append(t.keys, KeyState{Key: ev.key, Sign: open, Write: open})
	t.policy, t.next = ev.terms.Recovery, ev.terms.NextKeyID
	t.count++
	t.head, t.last = EnvelopeHash(ev.canonical), ev.envelope.Body.IssuedAt
	return nil
}

// genesisRoles lists the keys that a genesis introduces; each once, none of
// small order.
func genesisRoles(key, bootstrap chio.Key, policy *RecoveryPolicy) (map[string]Role, error) {
	roles := map[string]Role{}
	add := func(k chio.Key, role Role) error {
		if k.SmallOrder() {
			return fmt.Errorf("%s %s: %w", role, k.Text(), chio.ErrSmallOrder)
		}
		if old, ok := roles[k.Text()]; ok {
			return fmt.Errorf("key %s is both %s and %s", k.Text(), old, role)
		}
		roles[k.Text()] = role
		return nil
	}
	if err := add(key, RoleTimeline); err != nil {
		return nil, err
	}
	if err := add(bootstrap, RoleBootstrap); err != nil {
		return nil, err
	}
	for id, text := range policy.Keys {
		k, err := chio.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("recovery key %s: %w", id, err)
		}
		if err := add(k, RoleRecovery); err != nil {
			return nil, err
		}
	}
	return roles, nil
}
