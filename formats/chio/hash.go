package chio

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A Hash is a SHA-256 hash as Chio's Hash type writes it: "0x" and 64
// lowercase hex digits, in JSON as a string.
type Hash [32]byte

// ParseHash reads the canonical text of a hash.
func ParseHash(text string) (Hash, error) {
	var h Hash
	err := h.UnmarshalText([]byte(text))
	return h, err
}

// String returns "0x" and 64 lowercase hex digits.
func (h Hash) String() string { return "0x" + hex.EncodeToString(h[:]) }

// Hex returns the 64 lowercase hex digits alone, the form of Chio's string
// fields such as content_hash.
func (h Hash) Hex() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It reads only what
// MarshalText writes.
func (h *Hash) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), "0x")
	if !ok || len(digits) != 64 {
		return fmt.Errorf("hash %.80q is not 0x and 64 hex digits: %w", text, ErrEncoding)
	}
	raw, err := decodeHex(digits)
	if err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	copy(h[:], raw)
	return nil
}

// ParseHex reads 64 lowercase hex digits without a prefix.
func ParseHex(digits string) (Hash, error) { return ParseHash("0x" + digits) }

// An OptionalHash is a Hash that may not exist yet: chiolog's documents write
// the empty string then (DESIGN §2).
type OptionalHash struct {
	Hash  Hash
	Valid bool
}

// MarshalText implements encoding.TextMarshaler.
func (o OptionalHash) MarshalText() ([]byte, error) {
	if !o.Valid {
		return nil, nil
	}
	return o.Hash.MarshalText()
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (o *OptionalHash) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*o = OptionalHash{}
		return nil
	}
	o.Valid = true
	return o.Hash.UnmarshalText(text)
}
