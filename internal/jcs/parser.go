package jcs

import (
	"bytes"
	"slices"
	"unicode/utf8"
	"unsafe"
)

// A parser reads one JSON text and writes its canonical form in the same pass.
//
// Copying is lazy: src[pending:pos] is canonical as it stands and follows what
// is in dst. Only where the canonical form differs is that run copied, so
// canonical input costs one copy, and none at all in [Check].
//
// Places in the output are counted from base, whether the bytes are in dst yet
// or still pending. They stay right when pending bytes are copied.
type parser struct {
	src     []byte
	pos     int // next byte of src to read
	numbers Numbers
	depth   int

	dst     []byte
	base    int // length of dst before this text
	pending int

	changed  int // offset in src where the canonical form first differs; -1 if nowhere
	replaced int // offset of the first escape \ufffd; -1 if there is none

	members []member // of all open objects, innermost last
	scratch []byte   // for reordering
	checked []byte   // output of Check, which nobody wants
}

// A member is one member of an open object. MaxSize and the worst growth, six
// bytes for one, keep every place below 2^32.
type member struct {
	offset uint32 // of the name in src
	start  uint32 // place of the name's opening quote
	name   uint32 // place after the name's closing quote
	end    uint32 // place after the value
}

const memberSize = int(unsafe.Sizeof(member{}))

// parse reads the whole of src, to be appended to dst.
func (p *parser) parse(dst, src []byte, n Numbers) error {
	p.src, p.pos, p.numbers, p.depth = src, 0, n, 0
	p.dst, p.base, p.pending = dst, len(dst), 0
	p.changed, p.replaced = -1, -1
	p.members = p.members[:0]

	if len(src) > MaxSize {
		return &Error{Rule: ErrSize, Offset: MaxSize}
	}
	if bytes.HasPrefix(src, []byte("\xef\xbb\xbf")) {
		return fail(ErrSyntax, 0, "byte order mark")
	}
	p.skip()
	if err := p.value(); err != nil {
		return err
	}
	p.skip()
	if p.pos < len(src) {
		return fail(ErrTrailing, p.pos, "")
	}
	return nil
}

// finish copies what is still pending and returns the output; before is what
// parse was given as dst.
func (p *parser) finish(before []byte) ([]byte, error) {
	p.flush()
	if len(p.dst)-p.base > MaxSize {
		return before, &Error{Rule: ErrSize, Offset: len(p.src), Detail: "canonical form too large"}
	}
	return p.dst, nil
}

func fail(rule error, offset int, detail string) error {
	return &Error{Rule: rule, Offset: offset, Detail: detail}
}

// unexpected reports the byte at pos, or the end of the text.
func (p *parser) unexpected(where string) error {
	if p.pos >= len(p.src) {
		return fail(ErrSyntax, p.pos, "unexpected end of text "+where)
	}
	return fail(ErrSyntax, p.pos, "unexpected byte "+where)
}

// flush copies the pending run, up to pos, to dst.
func (p *parser) flush() {
	p.dst = append(p.dst, p.src[p.pending:p.pos]...)
	p.pending = p.pos
}

// place returns where in the output the byte at pos goes.
func (p *parser) place() uint32 {
	return uint32(len(p.dst) - p.base + p.pos - p.pending)
}

// output returns the output between two places. The range is wholly in dst or
// wholly pending, which holds for names: see memberName.
func (p *parser) output(from, to uint32) []byte {
	done := len(p.dst) - p.base
	if int(from) >= done {
		return p.src[p.pending+int(from)-done : p.pending+int(to)-done]
	}
	return p.dst[p.base+int(from) : p.base+int(to)]
}

// change notes that the canonical form differs from src at offset.
func (p *parser) change(offset int) {
	if p.changed < 0 || offset < p.changed {
		p.changed = offset
	}
}

// replace writes canonical in place of src[pos:end] and moves to end.
func (p *parser) replace(end int, canonical []byte) {
	if string(p.src[p.pos:end]) != string(canonical) {
		p.change(p.pos)
		p.flush()
		p.dst = append(p.dst, canonical...)
		p.pending = end
	}
	p.pos = end
}

// skip leaves out whitespace and returns the byte after it, 0 at the end.
func (p *parser) skip() byte {
	if p.pos < len(p.src) && p.src[p.pos] > ' ' {
		return p.src[p.pos]
	}
	return p.skipSpace()
}

func (p *parser) skipSpace() byte {
	end := p.pos
	for end < len(p.src) && isSpace(p.src[end]) {
		end++
	}
	p.replace(end, nil)
	if end == len(p.src) {
		return 0
	}
	return p.src[end]
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r'
}

// value reads the value that begins at pos.
func (p *parser) value() error {
	if p.pos >= len(p.src) {
		return p.unexpected("in place of a value")
	}
	switch c := p.src[p.pos]; c {
	case '"':
		return p.text()
	case '{':
		return p.object()
	case '[':
		return p.array()
	case 't':
		return p.literal("true")
	case 'f':
		return p.literal("false")
	case 'n':
		return p.literal("null")
	default:
		if c == '-' || isDigit(c) {
			return p.number()
		}
		return p.unexpected("in place of a value")
	}
}

func (p *parser) literal(word string) error {
	if len(p.src)-p.pos < len(word) || string(p.src[p.pos:p.pos+len(word)]) != word {
		return fail(ErrSyntax, p.pos, "unknown literal")
	}
	p.pos += len(word)
	return nil
}

// open enters an array or object.
func (p *parser) open() error {
	if p.depth == MaxDepth {
		return fail(ErrDepth, p.pos, "")
	}
	p.depth++
	p.pos++
	return nil
}

// shut leaves an array or object.
func (p *parser) shut() {
	p.depth--
	p.pos++
}

func (p *parser) array() error {
	if err := p.open(); err != nil {
		return err
	}
	if p.skip() == ']' {
		p.shut()
		return nil
	}
	for {
		if err := p.value(); err != nil {
			return err
		}
		switch p.skip() {
		case ',':
			p.pos++
			p.skip()
		case ']':
			p.shut()
			return nil
		default:
			return p.unexpected("in an array")
		}
	}
}

func (p *parser) object() error {
	if err := p.open(); err != nil {
		return err
	}
	if p.skip() == '}' {
		p.shut()
		return nil
	}
	first, sorted := len(p.members), true
	for {
		if err := p.memberName(); err != nil {
			return err
		}
		if n := len(p.members); n-first > 1 && sorted {
			order := compareNames(p.nameOf(p.members[n-2]), p.nameOf(p.members[n-1]))
			if order == 0 {
				return fail(ErrDuplicate, int(p.members[n-1].offset), "")
			}
			if order > 0 {
				sorted = false
				p.change(int(p.members[n-1].offset))
			}
		}
		if err := p.memberValue(); err != nil {
			return err
		}
		switch p.skip() {
		case ',':
			p.pos++
			p.skip()
			continue
		case '}':
		default:
			return p.unexpected("in an object")
		}
		if !sorted {
			if err := p.sortMembers(p.members[first:]); err != nil {
				return err
			}
		}
		p.members = p.members[:first]
		p.shut()
		return nil
	}
}

// memberName reads a name and adds a member for it.
func (p *parser) memberName() error {
	if p.pos >= len(p.src) || p.src[p.pos] != '"' {
		return p.unexpected("in place of a member name")
	}
	m := member{offset: uint32(p.pos), start: p.place()}
	if err := p.text(); err != nil {
		return err
	}
	if p.pending > int(m.offset) {
		// Part of the name is in dst already; take the rest there too, so
		// that output can return it in one piece.
		p.flush()
	}
	m.name = p.place()
	p.members = append(p.members, m)
	return nil
}

// memberValue reads the colon and the value of the last member.
func (p *parser) memberValue() error {
	i := len(p.members) - 1
	if p.skip() != ':' {
		return p.unexpected("in place of a colon")
	}
	p.pos++
	p.skip()
	if err := p.value(); err != nil {
		return err
	}
	p.members[i].end = p.place()
	return nil
}

// nameOf returns the canonical bytes between the quotes of a member's name.
func (p *parser) nameOf(m member) []byte {
	return p.output(m.start+1, m.name-1)
}

// sortMembers puts the members of an object, whose last one was just read, in
// order. An object that holds out-of-order objects is moved once for each of
// its levels, so the work is at most MaxDepth copies of the text.
func (p *parser) sortMembers(members []member) error {
	p.flush()
	out := p.dst[p.base:]
	body := out[members[0].start:members[len(members)-1].end]
	slices.SortFunc(members, func(a, b member) int {
		return compareNames(out[a.start+1:a.name-1], out[b.start+1:b.name-1])
	})
	p.scratch = slices.Grow(p.scratch[:0], len(body)+1)
	for i, m := range members {
		if i > 0 && bytes.Equal(p.nameOf(members[i-1]), p.nameOf(m)) {
			return fail(ErrDuplicate, int(max(members[i-1].offset, m.offset)), "")
		}
		p.scratch = append(p.scratch, out[m.start:m.end]...)
		p.scratch = append(p.scratch, ',')
	}
	copy(body, p.scratch)
	return nil
}

// compareNames orders two canonical names by their UTF-16 code units. Canonical
// escapes are unique, so names are equal when their bytes are.
func compareNames(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for i < n && a[i] == b[i] {
		i++
	}
	if i == n {
		return len(a) - len(b)
	}
	if a[i] == '\\' || b[i] == '\\' || bytes.IndexByte(a[:i], '\\') >= 0 {
		return compareEscaped(a, b)
	}
	order := int(a[i]) - int(b[i])
	// The order of UTF-8 bytes is that of UTF-16 units but for one case:
	// surrogate pairs (lead bytes 0xf0 and up) come before U+E000 to U+FFFF
	// (lead bytes 0xee and 0xef).
	if a[i] >= 0xee && b[i] >= 0xee && (a[i] >= 0xf0) != (b[i] >= 0xf0) {
		return -order
	}
	return order
}

// compareEscaped is compareNames for names with escapes, rune by rune.
func compareEscaped(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		ra, na := decodeRune(a)
		rb, nb := decodeRune(b)
		if ra != rb {
			return int(utf16Rank(ra)) - int(utf16Rank(rb))
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) - len(b)
}

// utf16Rank maps runes to numbers in the order of their UTF-16 code units.
func utf16Rank(r rune) rune {
	if r >= 0xe000 && r <= 0xffff {
		return r + utf8.MaxRune
	}
	return r
}
