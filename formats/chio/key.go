// Package chio has the basic types of Chio's wire formats that every document
// of a log uses: public keys, signatures and hashes in their text forms.
//
// A public key is 64 lowercase hex digits for Ed25519, or "p256:" or "p384:"
// and the lowercase hex of the uncompressed SEC 1 point. A signature is 128
// hex digits, or the same prefixes and the hex of an ASN.1 DER signature over
// the SHA-256 or SHA-384 digest. Only these canonical encodings are read:
// upper case and "0x" prefixes are refused, because two texts for one key
// would be two identities.
package chio

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"filippo.io/edwards25519"
)

// An Algorithm names a signature scheme as Chio's "algorithm" member does.
type Algorithm string

// The algorithms of Chio. Hybrid keys are recognised, and refused by name.
const (
	Ed25519 Algorithm = "ed25519"
	P256    Algorithm = "p256"
	P384    Algorithm = "p384"
	Hybrid  Algorithm = "hybrid"
)

var (
	// ErrHybrid reports a key or signature that pairs a classical scheme with
	// ML-DSA-65, which this program does not verify.
	ErrHybrid = errors.New("hybrid keys and signatures are not supported")
	// ErrEncoding reports a key or signature that is not in its canonical text form.
	ErrEncoding = errors.New("not in canonical form")
	// ErrSignature reports a well-formed signature that does not verify.
	ErrSignature = errors.New("signature does not verify")
	// ErrSmallOrder reports a key, or the R of a signature, that is a point of
	// small order: such a signature can verify for several messages.
	ErrSmallOrder = errors.New("point of small order")
)

// A Key is a public key. The zero value verifies nothing. Keys compare with
// Equal, or by their Text.
type Key struct {
	text string
	alg  Algorithm
	ed   ed25519.PublicKey
	ec   *ecdsa.PublicKey
}

// ParseKey reads the canonical text of a public key. It returns an error that
// is ErrHybrid for a hybrid key and ErrEncoding for anything else that is not
// a key in canonical form, a P-256 or P-384 point off the curve included. An
// Ed25519 key is any 32 bytes: whether they are a point is for Verify to say.
func ParseKey(text string) (Key, error) {
	alg, digits := splitAlgorithm(text)
	if alg == Hybrid {
		return Key{}, fmt.Errorf("public key: %w", ErrHybrid)
	}
	raw, err := decodeHex(digits)
	if err != nil {
		return Key{}, fmt.Errorf("public key: %w", err)
	}
	k := Key{text: text, alg: alg}
	switch alg {
	case Ed25519:
		if len(raw) != ed25519.PublicKeySize {
			return Key{}, fmt.Errorf("public key of %d bytes, an Ed25519 key has 32: %w", len(raw), ErrEncoding)
		}
		k.ed = raw
		return k, nil
	case P256:
		k.ec, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
	case P384:
		k.ec, err = ecdsa.ParseUncompressedPublicKey(elliptic.P384(), raw)
	}
	if err != nil {
		return Key{}, fmt.Errorf("public key: not an uncompressed point of %s: %w", alg, ErrEncoding)
	}
	return k, nil
}

// NewEd25519 returns the Key of an Ed25519 public key.
func NewEd25519(pub ed25519.PublicKey) Key {
	return Key{text: hex.EncodeToString(pub), alg: Ed25519, ed: pub}
}

// Text returns the canonical text of the key, "" for the zero Key.
func (k Key) Text() string { return k.text }

// Algorithm returns the algorithm of the key.
func (k Key) Algorithm() Algorithm { return k.alg }

// Equal reports whether two keys are the same.
func (k Key) Equal(o Key) bool { return k.text == o.text }

// Ed25519 returns the 32 bytes of an Ed25519 key, nil for other algorithms.
func (k Key) Ed25519() ed25519.PublicKey { return k.ed }

// ID returns the key log's identifier of the key: a SHA-256 over its algorithm
// and text under the domain chio.key-log.key-id.v1.
func (k Key) ID() Hash {
	return sha256.Sum256([]byte("chio.key-log.key-id.v1\x00" +
		`{"algorithm":"` + string(k.alg) + `","public_key":"` + k.text + `","schema":"chio.key-log.key-id.v1"}`))
}

// Verify returns nil if signature, in its canonical text form, is a signature
// of message by the key, exactly when crypto/ed25519 or crypto/ecdsa says so.
// Otherwise the error is ErrHybrid, ErrEncoding or ErrSignature.
func (k Key) Verify(message []byte, signature string) error {
	alg, raw, err := decodeSignature(signature)
	if err != nil {
		return err
	}
	if alg != k.alg {
		return fmt.Errorf("signature is %s, the key is %s: %w", alg, k.alg, ErrSignature)
	}
	if !k.VerifyRaw(message, raw) {
		return ErrSignature
	}
	return nil
}

// VerifyStrict is Verify for authorisations inside key events, which also
// refuses a public key or an R of small order.
func (k Key) VerifyStrict(message []byte, signature string) error {
	if err := k.Verify(message, signature); err != nil {
		return err
	}
	if k.alg != Ed25519 {
		return nil
	}
	if _, raw, _ := decodeSignature(signature); k.SmallOrder() || smallOrder(raw[:32]) {
		return ErrSmallOrder
	}
	return nil
}

// VerifyRaw reports whether sig, 64 bytes for Ed25519 and ASN.1 DER for the
// others, is a signature of message by the key.
func (k Key) VerifyRaw(message, sig []byte) bool {
	switch k.alg {
	case Ed25519:
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(k.ed, message, sig)
	case P256:
		digest := sha256.Sum256(message)
		return ecdsa.VerifyASN1(k.ec, digest[:], sig)
	case P384:
		digest := sha512.Sum384(message)
		return ecdsa.VerifyASN1(k.ec, digest[:], sig)
	}
	return false
}

// SmallOrder reports whether the key is an Ed25519 point of small order. Such
// a key is introduced in no role.
func (k Key) SmallOrder() bool { return k.alg == Ed25519 && smallOrder(k.ed) }

// SignatureText returns the canonical text of a raw signature by a key of
// algorithm alg: 64 bytes for Ed25519, ASN.1 DER for the others.
func SignatureText(alg Algorithm, raw []byte) string {
	if alg == Ed25519 {
		return hex.EncodeToString(raw)
	}
	return string(alg) + ":" + hex.EncodeToString(raw)
}

// CheckSignature reports whether text has the canonical form of a signature:
// the error is ErrHybrid or ErrEncoding. Whether an ECDSA signature is DER is
// for Verify to say.
func CheckSignature(text string) error {
	_, _, err := decodeSignature(text)
	return err
}

// SignatureBytes returns the raw signature of a canonical text: 64 bytes for
// Ed25519, ASN.1 DER for the others.
func SignatureBytes(text string) ([]byte, error) {
	_, raw, err := decodeSignature(text)
	return raw, err
}

func decodeSignature(text string) (Algorithm, []byte, error) {
	alg, digits := splitAlgorithm(text)
	if alg == Hybrid {
		return alg, nil, fmt.Errorf("signature: %w", ErrHybrid)
	}
	raw, err := decodeHex(digits)
	if err != nil {
		return alg, nil, fmt.Errorf("signature: %w", err)
	}
	if alg == Ed25519 && len(raw) != ed25519.SignatureSize {
		return alg, nil, fmt.Errorf("signature of %d bytes, an Ed25519 signature has 64: %w", len(raw), ErrEncoding)
	}
	return alg, raw, nil
}

func splitAlgorithm(text string) (alg Algorithm, digits string) {
	for _, alg := range []Algorithm{P256, P384, Hybrid} {
		if rest, ok := strings.CutPrefix(text, string(alg)+":"); ok {
			return alg, rest
		}
	}
	return Ed25519, text
}

// decodeHex decodes lowercase hex.
func decodeHex(digits string) ([]byte, error) {
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return nil, fmt.Errorf("byte %d is no lowercase hex digit: %w", i, ErrEncoding)
		}
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("odd number of hex digits: %w", ErrEncoding)
	}
	return raw, nil
}

// smallOrder reports whether the encoding is a point whose order divides 8.
// What is no point at all is not: no signature verifies with it anyway.
func smallOrder(encoding []byte) bool {
	p, err := new(edwards25519.Point).SetBytes(encoding)
	if err != nil {
		return false
	}
	return p.MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1
}
