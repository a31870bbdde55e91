package checkpoint

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// ErrCosignature reports a cosignature of wrong form: not 72 bytes, or with a
// time above 2^63−1.
var ErrCosignature = errors.New("not an Ed25519 cosignature")

// cosignatureSize is the length of an Ed25519 cosignature: time and signature (CS-4).
const cosignatureSize = 8 + ed25519.SignatureSize

// CosignatureMessage returns the bytes that a witness signs for a checkpoint
// (CS-7): text is the whole text of the note, timestamp in Unix seconds. The
// cosigner's name is not in it, so two cosigners never share a key (CS-9).
func CosignatureMessage(text string, timestamp uint64) []byte {
	buf := make([]byte, 0, len(text)+48)
	buf = append(buf, "cosignature/v1\ntime "...)
	buf = strconv.AppendUint(buf, timestamp, 10)
	buf = append(buf, '\n')
	return append(buf, text...)
}

// Cosign makes the signature line by which k, a key of type 0x04, says that at
// timestamp, in Unix seconds, the checkpoint was the largest consistent one that
// it had seen (CS-8). The function sign signs bytes with the private key of k. The
// text must be that of a checkpoint; a line that would not verify is an error.
func Cosign(k VKey, text string, timestamp uint64, sign func(message []byte) ([]byte, error)) (Signature, error) {
	fail := func(err error) (Signature, error) {
		return Signature{}, fmt.Errorf("cosigning as %s: %w", k.name, err)
	}
	if k.typ != TypeCosignature {
		return fail(fmt.Errorf("key of type 0x%02x: %w", byte(k.typ), ErrVKey))
	}
	if timestamp > math.MaxInt64 {
		return fail(fmt.Errorf("time %d: %w", timestamp, ErrCosignature))
	}
	if _, err := Parse(text); err != nil {
		return fail(err)
	}
	raw, err := sign(CosignatureMessage(text, timestamp))
	if err != nil {
		return fail(err)
	}
	sig := k.Sign(append(binary.BigEndian.AppendUint64(make([]byte, 0, cosignatureSize), timestamp), raw...))
	if !k.Verify(text, sig.Bytes) {
		return fail(&BadSignatureError{Name: k.name, KeyID: k.id})
	}
	return sig, nil
}

// splitCosignature splits the bytes of a cosignature and checks their form (CS-4, CS-5).
func splitCosignature(sig []byte) (timestamp uint64, raw []byte, err error) {
	if len(sig) != cosignatureSize {
		return 0, nil, fmt.Errorf("%d bytes: %w", len(sig), ErrCosignature)
	}
	timestamp = binary.BigEndian.Uint64(sig)
	if timestamp > math.MaxInt64 {
		return 0, nil, fmt.Errorf("time %d: %w", timestamp, ErrCosignature)
	}
	return timestamp, sig[8:], nil
}

// Cosigned reports whether k, a key of type 0x04, has cosigned the note, and the
// time in Unix seconds that it gives. Its error is a *BadSignatureError, as of Verify.
func (n Note) Cosigned(k VKey) (timestamp uint64, ok bool, err error) {
	if k.typ != TypeCosignature {
		return 0, false, nil
	}
	if ok, err = n.Verify(k); !ok {
		return 0, false, err
	}
	sig, _ := n.Signature(k)
	timestamp, _, err = splitCosignature(sig.Bytes)
	return timestamp, err == nil, err
}
