package timeline

import (
	"crypto/elliptic"
	"fmt"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
)

// sizedPolicy has n fresh keys of one algorithm, with numbered ids.
func sizedPolicy(t *testing.T, alg chio.Algorithm, ids string, n, threshold int) *RecoveryPolicy {
	p := &RecoveryPolicy{Keys: map[string]string{}, PolicyID: "recovery-policy-1", Threshold: threshold}
	for i := range n {
		id := fmt.Sprintf(ids, i+1)
		switch alg {
		case chio.Ed25519:
			p.Keys[id] = newTestKey(0x60 + byte(i)).Text()
		case chio.P256:
			p.Keys[id] = newECDSAKey(t, alg, elliptic.P256()).Text()
		case chio.P384:
			p.Keys[id] = newECDSAKey(t, alg, elliptic.P384()).Text()
		}
	}
	return p
}

// TestDESIGN_5_PolicyFits: the largest recovery policies that fit with the
// longest origin and any key, each beside one that does not.
func TestDESIGN_5_PolicyFits(t *testing.T) {
	const short, usual = "r%d", "recovery-%d"
	origin := strings.Repeat("o", 128)
	for _, tt := range []struct {
		alg       chio.Algorithm
		ids       string
		threshold int
		n         int
		fits      bool
	}{
		{chio.Ed25519, usual, 2, 3, true}, // what first start makes
		{chio.Ed25519, usual, 4, 5, true},
		{chio.Ed25519, usual, 5, 5, false},
		{chio.Ed25519, short, 5, 5, true},
		{chio.Ed25519, short, 6, 6, false},
		{chio.P256, usual, 3, 3, true},
		{chio.P256, usual, 4, 4, false},
		{chio.P384, usual, 2, 3, true},
		{chio.P384, usual, 2, 4, false},
		{chio.P384, usual, 3, 3, false},
	} {
		policy := sizedPolicy(t, tt.alg, tt.ids, tt.n, tt.threshold)
		if err := policy.Check(); err != nil {
			t.Fatal(err)
		}
		if err := CheckPolicyFits(origin, policy); (err == nil) != tt.fits {
			t.Errorf("%d of %d keys of %s, ids like %q: %v", tt.threshold, tt.n, tt.alg, tt.ids, err)
		}
	}
	if err := CheckPolicyFits(origin, NoRecovery()); err != nil {
		t.Errorf("no recovery: %v", err)
	}
	for _, tt := range []struct {
		alg          chio.Algorithm
		n, threshold int
	}{{chio.Ed25519, 6, 2}, {chio.P256, 4, 2}, {chio.P384, 4, 2}, {chio.P384, 3, 3}} {
		if err := CheckPolicyFits("a", sizedPolicy(t, tt.alg, short, tt.n, tt.threshold)); err == nil {
			t.Errorf("%d of %d keys of %s are allowed", tt.threshold, tt.n, tt.alg)
		}
	}
	if err := CheckPolicyFits("a", sizedPolicy(t, chio.Ed25519, usual, 5, 5)); err != nil {
		t.Errorf("five of five with a short origin: %v", err)
	}
}

// TestSizingSignature: no signature is longer than the one that is reckoned
// with.
func TestSizingSignature(t *testing.T) {
	for _, key := range []ecdsaKey{newECDSAKey(t, chio.P256, elliptic.P256()), newECDSAKey(t, chio.P384, elliptic.P384())} {
		for range 64 {
			if signature, err := key.sign([]byte("message")); err != nil || len(signature) > len(sizingSignature(key.Algorithm())) {
				t.Errorf("%s: %s, %v", key.Algorithm(), signature, err)
			}
		}
		if len(sizingKey(key.Algorithm()).Text()) != len(key.Text()) {
			t.Errorf("%s: key of %d characters", key.Algorithm(), len(key.Text()))
		}
	}
}
