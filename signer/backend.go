// Package signer keeps a log's signing key: what a key service must offer, and
// the guard that never signs two different checkpoints for one size or one
// checkpoint_seq (DESIGN §4 step 4, §5).
package signer

import (
	"context"
	"fmt"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// A Backend is Chio's SigningBackend: something that holds one private key.
// It is safe for concurrent use.
type Backend interface {
	// PublicKey returns the key whose private part the backend holds.
	PublicKey() chio.Key
	// Sign signs message and returns the signature in Chio's text form with
	// the key that made it, so that a backend whose key has changed cannot
	// pair a signature with the wrong key.
	Sign(ctx context.Context, message []byte) (Signature, error)
	// MaxMessage is the largest message in bytes that Sign takes.
	MaxMessage() int
}

// A Signature is a signature with the identity of its signer.
type Signature struct {
	Key  chio.Key
	Text string
}

// Sign has backend sign message under key, and returns the signature only if
// it is by that key and verifies. Every signature of a log leaves through it.
func Sign(ctx context.Context, backend Backend, key chio.Key, message []byte) (string, error) {
	if limit := backend.MaxMessage(); len(message) > limit {
		return "", fmt.Errorf("signing: message of %d bytes, the key service takes %d", len(message), limit)
	}
	sig, err := backend.Sign(ctx, message)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	if !sig.Key.Equal(key) {
		return "", fmt.Errorf("signing: the key service signed with %s, not with %s", sig.Key.Text(), key.Text())
	}
	if err := key.Verify(message, sig.Text); err != nil {
		return "", fmt.Errorf("signing: checking the key service's signature: %w", err)
	}
	return sig.Text, nil
}

// SignCanonical signs the canonical JSON of v and returns both.
func SignCanonical(ctx context.Context, backend Backend, v any) (canonical []byte, signature string, err error) {
	canonical, err = jcs.Marshal(v)
	if err != nil {
		return nil, "", fmt.Errorf("signing: %w", err)
	}
	signature, err = Sign(ctx, backend, backend.PublicKey(), canonical)
	return canonical, signature, err
}
