package jcs

import (
	"math"
	"strconv"
)

// maxStrict is the largest integer that [StrictNumbers] takes.
const maxStrict = 1<<53 - 1

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number reads the number that begins at pos.
func (p *parser) number() error {
	end, integer := numberEnd(p.src, p.pos)
	if end < 0 {
		return fail(ErrSyntax, p.pos, "malformed number")
	}
	token := p.src[p.pos:end]
	if integer {
		size, exact := magnitude(token)
		if p.numbers == StrictNumbers && (!exact || size > maxStrict) {
			return fail(ErrNumber, p.pos, "integer beyond 2^53-1")
		}
		if exact {
			if size == 0 {
				p.replace(end, []byte{'0'}) // -0
			}
			p.pos = end
			return nil
		}
	}
	f, err := strconv.ParseFloat(string(token), 64)
	if err != nil {
		return fail(ErrNumber, p.pos, "beyond the range of a double")
	}
	var buf [32]byte
	canonical := appendDouble(buf[:0], f)
	if p.numbers == StrictNumbers {
		if f == math.Trunc(f) {
			return fail(ErrNumber, p.pos, "integer with a fraction or an exponent")
		}
		if string(canonical) != string(token) {
			return fail(ErrNumber, p.pos, "not in shortest form")
		}
	}
	p.replace(end, canonical)
	return nil
}

// numberEnd returns the end of the number that begins at src[i], and whether
// it is written as an integer: without fraction and exponent. The end is -1 if
// the grammar of JSON does not allow it.
func numberEnd(src []byte, i int) (end int, integer bool) {
	if src[i] == '-' {
		i++
	}
	whole := i
	i = digitsEnd(src, i)
	if i == whole || src[whole] == '0' && i > whole+1 {
		return -1, false
	}
	integer = true
	if i < len(src) && src[i] == '.' {
		integer = false
		fraction := i + 1
		if i = digitsEnd(src, fraction); i == fraction {
			return -1, false
		}
	}
	if i < len(src) && (src[i] == 'e' || src[i] == 'E') {
		integer = false
		i++
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		exponent := i
		if i = digitsEnd(src, exponent); i == exponent {
			return -1, false
		}
	}
	return i, integer
}

func digitsEnd(src []byte, i int) int {
	for i < len(src) && isDigit(src[i]) {
		i++
	}
	return i
}

// magnitude returns the absolute value of an integer token, and whether the
// token fits an int64 or, without a sign, a uint64.
func magnitude(token []byte) (size uint64, exact bool) {
	limit := uint64(math.MaxUint64)
	if token[0] == '-' {
		limit = 1 << 63
		token = token[1:]
	}
	if len(token) > 20 { // the digits of the largest uint64
		return 0, false
	}
	for _, c := range token {
		d := uint64(c - '0')
		if size > (limit-d)/10 {
			return 0, false
		}
		size = size*10 + d
	}
	return size, true
}

// appendDouble appends f as ECMAScript's Number::toString prints it: decimal
// from 1e-6 to below 1e21, else with an exponent that has a sign and no
// leading zero.
func appendDouble(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	if abs == 0 {
		return append(dst, '0')
	}
	if abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-07
		dst = dst[:n-1]
	}
	return dst
}
