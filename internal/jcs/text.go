package jcs

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// text reads the string whose opening quote is at pos.
func (p *parser) text() error {
	start := p.pos
	p.pos++
	for {
		p.pos = plainEnd(p.src, p.pos)
		if p.pos == len(p.src) {
			return fail(ErrSyntax, start, "string without end")
		}
		switch c := p.src[p.pos]; {
		case c == '"':
			p.pos++
			return nil
		case c == '\\':
			if err := p.escape(); err != nil {
				return err
			}
		case c < ' ':
			return fail(ErrSyntax, p.pos, "unescaped control character")
		default:
			r, n := utf8.DecodeRune(p.src[p.pos:])
			if r == utf8.RuneError && n == 1 {
				return fail(ErrUTF8, p.pos, "")
			}
			if r <= 0x9f {
				p.replaceRune(p.pos+n, r)
				continue
			}
			p.pos += n
		}
	}
}

// plainEnd returns the offset of the first byte of src, from i on, that is not
// a printable ASCII character free of meaning within a string.
func plainEnd(src []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(src); i += 8 {
		w := binary.LittleEndian.Uint64(src[i:])
		quote, slash, del := w^ones*'"', w^ones*'\\', w^ones*0x7f
		// Each term sets the top bit of the bytes that it looks for. Borrows
		// may mark bytes above a true match, never below one.
		found := w&tops |
			(w-ones*' ')&^w&tops |
			(quote-ones)&^quote&tops |
			(slash-ones)&^slash&tops |
			(del-ones)&^del&tops
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(src) && src[i] >= ' ' && src[i] < 0x7f && src[i] != '"' && src[i] != '\\' {
		i++
	}
	return i
}

// escape reads the escape at pos.
func (p *parser) escape() error {
	if len(p.src)-p.pos < 2 {
		return fail(ErrSyntax, p.pos, "string without end")
	}
	switch p.src[p.pos+1] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		p.pos += 2
		return nil
	case '/':
		p.replace(p.pos+2, []byte{'/'})
		return nil
	case 'u':
	default:
		return fail(ErrSyntax, p.pos, "unknown escape")
	}
	unit, ok := hexUnit(p.src[p.pos:])
	if !ok {
		return fail(ErrSyntax, p.pos, "escape without four hex digits")
	}
	if unit < 0xd800 || unit > 0xdfff {
		if unit == utf8.RuneError && p.replaced < 0 {
			p.replaced = p.pos
		}
		p.replaceRune(p.pos+6, unit)
		return nil
	}
	low, ok := hexUnit(p.src[p.pos+6:])
	if unit > 0xdbff || !ok || low < 0xdc00 || low > 0xdfff {
		return fail(ErrSurrogate, p.pos, "")
	}
	p.replaceRune(p.pos+12, (unit-0xd800)<<10+(low-0xdc00)+0x10000)
	return nil
}

// replaceRune writes the canonical form of r in place of src[pos:end].
func (p *parser) replaceRune(end int, r rune) {
	var buf [6]byte
	p.replace(end, appendRune(buf[:0], r))
}

// hexUnit reads an escape \uXXXX, in either case, at the start of b.
func hexUnit(b []byte) (unit rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}

// appendRune appends r as it stands in a canonical string.
func appendRune(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if r < ' ' || r >= 0x7f && r <= 0x9f {
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	}
	return utf8.AppendRune(dst, r)
}

// decodeRune returns the first character of a canonical string's inside, and
// the bytes that it takes there. Malformed escapes give [utf8.RuneError].
func decodeRune(b []byte) (r rune, size int) {
	if b[0] != '\\' {
		return utf8.DecodeRune(b)
	}
	if unit, ok := hexUnit(b); ok {
		return unit, 6
	}
	if len(b) > 1 {
		switch b[1] {
		case '"', '\\':
			return rune(b[1]), 2
		case 'b':
			return '\b', 2
		case 'f':
			return '\f', 2
		case 'n':
			return '\n', 2
		case 'r':
			return '\r', 2
		case 't':
			return '\t', 2
		}
	}
	return utf8.RuneError, 1
}
