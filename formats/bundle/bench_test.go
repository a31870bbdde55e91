package bundle_test

import (
	"crypto/ed25519"
	"fmt"
	"testing"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/internal/tlogtest"
)

// BenchmarkVerify verifies the bundle of a kernel's receipt in a log of a
// thousand entries. It reports how many signatures are in it; compare with as
// many times BenchmarkEd25519.
func BenchmarkVerify(b *testing.B) {
	for _, witnesses := range []int{0, 3} {
		l := tlogtest.New(b, testOrigin, tlogtest.WithWitnesses(witnesses)).Append(1000)
		data, o := l.Bundle(500), bundle.Options{Policy: l.Policy(witnesses)}
		// The log's line and the cosignatures; status, genesis, its
		// authorisation by the bootstrap key, and the receipt.
		signatures := len(l.Published().Note.Signatures) + 4
		b.Run(fmt.Sprintf("witnesses=%d", witnesses), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if r := bundle.Verify(data, o); r.Verdict != bundle.Verified {
					b.Fatal(r.Failure)
				}
			}
			b.ReportMetric(float64(signatures), "signatures")
		})
	}
}

// BenchmarkEd25519 is one signature check alone.
func BenchmarkEd25519(b *testing.B) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 1000)
	signature := ed25519.Sign(private, message)
	for b.Loop() {
		if !ed25519.Verify(public, message, signature) {
			b.Fatal("signature does not verify")
		}
	}
}
