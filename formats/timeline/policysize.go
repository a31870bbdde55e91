package timeline

import (
	"cmp"
	"crypto/elliptic"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// CheckPolicyFits reports an error unless every rotate, recover and abort that
// a log with this recovery policy can come to need, whatever the algorithms of
// its present and next key, stays within MaxSigned. A log that finds out later
// could not be recovered (DESIGN §5).
func CheckPolicyFits(origin string, policy *RecoveryPolicy) error {
	if err := checkPolicyCount(policy); err != nil {
		return err
	}
	for _, next := range []chio.Algorithm{chio.Ed25519, chio.P256, chio.P384} {
		for _, old := range []chio.Algorithm{chio.Ed25519, chio.P256, chio.P384} {
			for _, m := range largestEvents(origin, policy, old, next) {
				signer := sizingKey(next)
				if m.Event == EventRotationAborted {
					signer = sizingKey(old)
				}
				if _, err := NewDraft(m, signer); err != nil {
					return fmt.Errorf("recovery policy %s with %d keys, active key %s, next key %s: %w; take fewer or shorter recovery keys, shorter ids or a shorter origin",
						policy.PolicyID, len(policy.Keys), old, next, err)
				}
			}
		}
	}
	return nil
}

// checkPolicyCount applies the limits of DESIGN §5: 5 Ed25519 keys, 3 if one of
// them is ECDSA, and a threshold of at most 2 if one of them is P-384.
func checkPolicyCount(policy *RecoveryPolicy) error {
	keys, threshold := 5, len(policy.Keys)
	for id, text := range policy.Keys {
		key, err := chio.ParseKey(text)
		if err != nil {
			return fmt.Errorf("recovery key %s: %w", id, err)
		}
		if key.Algorithm() != chio.Ed25519 {
			keys = 3
		}
		if key.Algorithm() == chio.P384 {
			threshold = 2
		}
	}
	if len(policy.Keys) > keys || policy.Threshold > threshold {
		return fmt.Errorf("recovery policy %s needs %d of %d keys, with these algorithms at most %d of %d are allowed",
			policy.PolicyID, policy.Threshold, len(policy.Keys), min(threshold, keys), keys)
	}
	return nil
}

// largestEvents returns the metadata of the largest events of a log with this
// policy. Every free value has its greatest width; nothing here is ever signed.
func largestEvents(origin string, policy *RecoveryPolicy, old, next chio.Algorithm) []Metadata {
	number, hash := uint64(MaxNumber), chio.Hash{}
	size := func(event string, op Operation, auth Authorizations) Metadata {
		op.Type = operationOf[event]
		op.PreviousKeyID = &hash
		terms := Terms{Base: Base{Size: number}, Operation: op.Type, Origin: origin, Schema: termsSchema, Sequence: number}
		body := newBody(origin, sizingKey(next), nil, number)
		body.Sequence, body.PreviousEventHash = number, &hash
		switch event {
		case EventRotated:
			terms.Recovery, terms.NextKeyID = policy, &hash
			body.VerifyUntil = &number
		case EventRecovered:
			terms.Recovery, terms.NextKeyID, terms.LastTrustedSize = policy, &hash, &number
		}
		body.Operation = op
		envelope, err := jcs.Marshal(Envelope{Authorizations: auth, Body: body})
		if err != nil {
			panic(fmt.Sprintf("timeline: sizing %s: %v", event, err)) // only hashes, numbers and checked texts
		}
		termsJSON, err := jcs.Marshal(terms)
		if err != nil {
			panic(fmt.Sprintf("timeline: sizing %s: %v", event, err))
		}
		return Metadata{Event: event, KeyEvent: envelope, KeyTerms: termsJSON}
	}
	// Roster ids are roster-1 and up.
	const roster = "roster-999999"
	both := Authorizations{
		OldKey: &Authorization{Algorithm: old, Signature: sizingSignature(old)},
		NewKey: &Authorization{Algorithm: next, Signature: sizingSignature(next)},
	}
	events := []Metadata{
		size(EventRotated, Operation{WitnessRosterID: roster, WitnessRosterBinding: &hash}, both),
		size(EventRotationAborted, Operation{}, both),
	}
	if len(policy.Keys) == 0 {
		return events
	}
	threshold := Authorizations{Recovery: sizingThreshold(policy)}
	return append(events,
		size(EventRotationAborted, Operation{RecoveryPolicyID: policy.PolicyID, RecoveryPolicyBinding: &hash}, threshold),
		size(EventRecovered, Operation{
			WitnessRosterID: roster, WitnessRosterBinding: &hash,
			RecoveryPolicyID: policy.PolicyID, RecoveryPolicyBinding: &hash,
		}, threshold))
}

// sizingKey returns some key of the algorithm: all texts have one width.
func sizingKey(alg chio.Algorithm) chio.Key {
	text := strings.Repeat("0", 64)
	switch alg {
	case chio.P256:
		p := elliptic.P256().Params()
		text = "p256:04" + hex.EncodeToString(append(p.Gx.FillBytes(make([]byte, 32)), p.Gy.FillBytes(make([]byte, 32))...))
	case chio.P384:
		p := elliptic.P384().Params()
		text = "p384:04" + hex.EncodeToString(append(p.Gx.FillBytes(make([]byte, 48)), p.Gy.FillBytes(make([]byte, 48))...))
	}
	key, err := chio.ParseKey(text)
	if err != nil {
		panic(fmt.Sprintf("timeline: sizing key: %v", err)) // the base point of a curve
	}
	return key
}

// sizingSignature returns a text as long as the longest signature.
func sizingSignature(alg chio.Algorithm) string {
	der := map[chio.Algorithm]int{chio.Ed25519: 64, chio.P256: 72, chio.P384: 104}
	return chio.SignatureText(alg, make([]byte, der[alg]))
}

// sizingThreshold lists as many authorisations as the threshold asks for, the
// longest ones: no event needs more than that.
func sizingThreshold(policy *RecoveryPolicy) []RecoveryAuthorization {
	var all []RecoveryAuthorization
	for id, text := range policy.Keys {
		alg := chio.Ed25519
		if key, err := chio.ParseKey(text); err == nil {
			alg = key.Algorithm()
		}
		all = append(all, RecoveryAuthorization{Algorithm: alg, AuthorizerID: id, Signature: sizingSignature(alg)})
	}
	slices.SortFunc(all, func(a, b RecoveryAuthorization) int {
		return cmp.Compare(len(b.AuthorizerID)+len(b.Signature), len(a.AuthorizerID)+len(a.Signature))
	})
	return all[:min(policy.Threshold, len(all))]
}
