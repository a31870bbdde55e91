// Package jcs reads and writes Chio's canonical JSON, the form over which
// every Chio signature and content hash is taken.
//
// It is the JSON Canonicalization Scheme of [RFC 8785]: no whitespace, object
// members sorted by the UTF-16 code units of their names, strings with the
// fewest escapes, numbers in ECMAScript's shortest form. Two deviations are
// Chio's own and copied exactly:
//
//   - U+007F to U+009F are escaped too, as \u007f to \u009f: Chio escapes
//     every character of the Unicode category Cc, where RFC 8785 stops at
//     U+001F.
//   - A number written as an integer that fits 64 bits, signed or unsigned,
//     stays exact: 9007199254740993 is not rounded to a double. Larger ones,
//     and all numbers with a fraction or an exponent, go through a double.
//
// Input is refused, never repaired: duplicate member names (compared after
// unescaping), lone surrogates, invalid UTF-8, unescaped control characters, a
// byte order mark, bytes after the value, more than [MaxDepth] levels and more
// than [MaxSize] bytes are errors that [errors.Is] tells apart.
//
// All functions may be called concurrently.
//
// [RFC 8785]: https://www.rfc-editor.org/rfc/rfc8785
package jcs

import (
	"errors"
	"fmt"
	"sync"
)

const (
	// MaxDepth is the most levels of arrays and objects that a text may nest.
	MaxDepth = 128

	// MaxSize is the most bytes that a text may have, as read and as written.
	MaxSize = 16 << 20
)

// The rules by which a text is refused. They are found in an [Error] with
// [errors.Is].
var (
	ErrSyntax       = errors.New("not JSON")
	ErrDuplicate    = errors.New("duplicate member name")
	ErrSurrogate    = errors.New("lone surrogate")
	ErrUTF8         = errors.New("invalid UTF-8")
	ErrTrailing     = errors.New("bytes after the value")
	ErrDepth        = errors.New("nested too deeply")
	ErrSize         = errors.New("text too large")
	ErrNumber       = errors.New("number not allowed")
	ErrNotCanonical = errors.New("not canonical")
)

// An Error says which rule a text breaks and where.
type Error struct {
	Rule   error  // one of the Err variables
	Offset int    // in bytes from the start of the text
	Detail string // what was found; empty if the rule says it all
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("canonical JSON: %v at byte %d", e.Rule, e.Offset)
	}
	return fmt.Sprintf("canonical JSON: %v at byte %d: %s", e.Rule, e.Offset, e.Detail)
}

// Unwrap returns the rule.
func (e *Error) Unwrap() error { return e.Rule }

// Numbers says which JSON numbers a reader takes.
type Numbers int

const (
	// AnyNumbers takes every JSON number that does not overflow a double.
	// Chio's typed path does so.
	AnyNumbers Numbers = iota

	// StrictNumbers takes what Chio's strict text path takes: integers within
	// ±(2^53−1) written without fraction and exponent, and other numbers only
	// in the shortest form that reads back as the same double.
	StrictNumbers
)

// Append appends the canonical form of the JSON text src to dst and returns
// the extended slice. On error it returns dst as it was given, and an [Error];
// the spare capacity of dst may have been written to. src must not share
// memory with that capacity.
//
// Any JSON number is taken ([AnyNumbers]), but 1e999, which only an infinite
// double could hold, is refused with [ErrNumber].
func Append(dst, src []byte) ([]byte, error) {
	p := parsers.Get().(*parser)
	defer p.release()
	if err := p.parse(dst, src, AnyNumbers); err != nil {
		return dst, err
	}
	return p.finish(dst)
}

// Canonical returns the canonical form of the JSON text src in a new slice,
// under the rules of [Append].
func Canonical(src []byte) ([]byte, error) {
	out, err := Append(make([]byte, 0, len(src)), src)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Check returns nil if src is canonical, byte for byte, and its numbers are
// ones that n takes. A text that breaks another rule as well is reported for
// that rule; [ErrNotCanonical] is left for texts that [Append] would change,
// with the offset of the first byte that it would rewrite or of the first
// member that belongs further to the front.
func Check(src []byte, n Numbers) error {
	p := parsers.Get().(*parser)
	defer p.release()
	err := p.parse(p.checked[:0], src, n)
	p.checked = p.dst
	if err != nil {
		return err
	}
	if p.changed >= 0 {
		return &Error{Rule: ErrNotCanonical, Offset: p.changed}
	}
	return nil
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

// maxPooled bounds the memory, in bytes for each of its buffers, that a parser
// keeps between texts, so that one huge text does not pin it for good.
const maxPooled = 256 << 10

// release drops what belongs to the caller and gives p back to the pool.
func (p *parser) release() {
	if cap(p.checked) > maxPooled {
		p.checked = nil
	}
	if cap(p.scratch) > maxPooled {
		p.scratch = nil
	}
	if cap(p.members)*memberSize > maxPooled {
		p.members = nil
	}
	*p = parser{checked: p.checked, scratch: p.scratch, members: p.members}
	parsers.Put(p)
}
