package jcs

import (
	"bytes"
	"iter"
	"unicode/utf8"
)

// A Member is one member of a canonical object. Its fields share the memory of
// the text that they were taken from.
type Member struct {
	Name  []byte // between the quotes, still escaped
	Value []byte // canonical
	Raw   []byte // "name":value
}

// Members yields the members of a canonical object in order, and nothing if
// the text is another value. The text must have come from [Append] or passed
// [Check]; in other bytes iteration ends at the first that makes no sense.
func Members(canonical []byte) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		rest, ok := inside(canonical, '{', '}')
		for ok && len(rest) > 0 {
			name := valueEnd(rest)
			if name < 2 || rest[0] != '"' || name == len(rest) || rest[name] != ':' {
				return
			}
			size := valueEnd(rest[name+1:])
			if size == 0 {
				return
			}
			end := name + 1 + size
			m := Member{
				Name:  rest[1 : name-1 : name-1],
				Value: rest[name+1 : end : end],
				Raw:   rest[:end:end],
			}
			if !yield(m) {
				return
			}
			rest, ok = afterComma(rest[end:])
		}
	}
}

// Elements yields the elements of a canonical array in order, under the rules
// of [Members].
func Elements(canonical []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest, ok := inside(canonical, '[', ']')
		for ok && len(rest) > 0 {
			end := valueEnd(rest)
			if end == 0 || !yield(rest[:end:end]) {
				return
			}
			rest, ok = afterComma(rest[end:])
		}
	}
}

// inside returns what is between the first and last byte of a text, which must
// be open and shut.
func inside(canonical []byte, open, shut byte) (rest []byte, ok bool) {
	n := len(canonical)
	if n < 2 || canonical[0] != open || canonical[n-1] != shut {
		return nil, false
	}
	return canonical[1 : n-1], true
}

// afterComma steps over the comma between two members or elements.
func afterComma(rest []byte) (next []byte, ok bool) {
	if len(rest) < 2 || rest[0] != ',' {
		return nil, false
	}
	return rest[1:], true
}

// valueEnd returns the length of the value at the start of b, 0 if it does not
// end there.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); {
		switch b[i] {
		case '"':
			n := stringEnd(b[i:])
			if n == 0 {
				return 0
			}
			i += n
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':':
			if depth == 0 {
				return 0
			}
			i++
			continue
		default:
			for i < len(b) && b[i] != ',' && b[i] != ']' && b[i] != '}' {
				i++
			}
		}
		if depth < 0 {
			return 0
		}
		if depth == 0 {
			return i
		}
	}
	return 0
}

// stringEnd returns the length of the string at the start of b, 0 if it has no
// closing quote.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch i = plainEnd(b, i); {
		case i == len(b):
			return 0
		case b[i] == '"':
			return i + 1
		case b[i] == '\\':
			i++
		}
	}
	return 0
}

// String returns the text that a canonical string value stands for; ok is
// false if value is not a string.
func String(value []byte) (s string, ok bool) {
	inner, ok := inside(value, '"', '"')
	if !ok {
		return "", false
	}
	slash := bytes.IndexByte(inner, '\\')
	if slash < 0 {
		return string(inner), true
	}
	out := make([]byte, 0, len(inner))
	for slash >= 0 {
		out = append(out, inner[:slash]...)
		r, size := decodeRune(inner[slash:])
		out = utf8.AppendRune(out, r)
		inner = inner[slash+size:]
		slash = bytes.IndexByte(inner, '\\')
	}
	return string(append(out, inner...)), true
}

// Uint returns the number that a canonical value stands for; ok is false if it
// is not a whole number from 0 to 2^64−1 written as an integer.
func Uint(value []byte) (n uint64, ok bool) {
	if len(value) == 0 || value[0] == '0' && len(value) > 1 {
		return 0, false
	}
	for _, c := range value {
		if !isDigit(c) {
			return 0, false
		}
	}
	return magnitude(value)
}
