package checkpoint

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxNote is the length in bytes of the longest note that is read.
	MaxNote = 1 << 20
	// MaxSignatures is the largest number of signature lines of one note, and as
	// many as the note reader of golang.org/x/mod takes.
	MaxSignatures = 100
)

// signaturePrefix begins each signature line: an em dash, U+2014, and a space.
const signaturePrefix = "— "

var (
	// ErrNote reports bytes that are not a note in canonical form.
	ErrNote = errors.New("not a signed note")
	// ErrDuplicateSignature reports two signature lines with one name and key
	// ID: of two such lines a reader could judge either.
	ErrDuplicateSignature = errors.New("two signature lines with the same name and key ID")
	// ErrUnsigned reports a note that no known key has signed.
	ErrUnsigned = errors.New("no signature by a known key")
)

// A BadSignatureError reports a signature line with the name and key ID of a
// known key that does not verify. It refuses the whole note (SN-7).
type BadSignatureError struct {
	Name  string
	KeyID uint32
}

func (e *BadSignatureError) Error() string {
	return fmt.Sprintf("signature by %s+%08x does not verify", e.Name, e.KeyID)
}

// A Note is a text and the signatures under it.
type Note struct {
	Text       string // ends with a line feed; these are the signed bytes (SN-2)
	Signatures []Signature
}

// A Signature is one signature line of a note.
type Signature struct {
	Name  string // of the key: for a log its origin
	KeyID uint32
	Bytes []byte // after the key ID; their form depends on the key's type
}

// ParseNote reads a note (SN-1 to SN-5, SN-9) and verifies nothing. Its error
// is ErrNote, or ErrDuplicateSignature.
func ParseNote(data []byte) (Note, error) {
	if len(data) > MaxNote {
		return Note{}, fmt.Errorf("%d bytes, at most %d are read: %w", len(data), MaxNote, ErrNote)
	}
	if err := checkText(data); err != nil {
		return Note{}, err
	}
	// The text may have empty lines of its own, the signatures have none: the
	// last one separates them (SN-3).
	split := bytes.LastIndex(data, []byte("\n\n"))
	if split < 0 {
		return Note{}, fmt.Errorf("no empty line before the signatures: %w", ErrNote)
	}
	sigs, err := ParseSignatures(data[split+2:])
	if err != nil {
		return Note{}, err
	}
	return Note{Text: string(data[:split+1]), Signatures: sigs}, nil
}

// checkText refuses what no note may contain (SN-1).
func checkText(data []byte) error {
	for i, c := range data {
		if c < 0x20 && c != '\n' {
			return fmt.Errorf("control character at byte %d: %w", i, ErrNote)
		}
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("not UTF-8: %w", ErrNote)
	}
	return nil
}

// ParseSignatures reads one or more signature lines without a text, such as a
// witness answers with. Its errors are those of ParseNote.
func ParseSignatures(data []byte) ([]Signature, error) {
	if err := checkText(data); err != nil {
		return nil, err
	}
	lines := strings.SplitAfter(string(data), "\n")
	if last := len(lines) - 1; lines[last] != "" || last == 0 {
		return nil, fmt.Errorf("no signature line with a line feed at the end: %w", ErrNote)
	} else if last > MaxSignatures {
		return nil, fmt.Errorf("%d signature lines, at most %d are read: %w", last, MaxSignatures, ErrNote)
	} else {
		lines = lines[:last]
	}
	sigs := make([]Signature, 0, len(lines))
	for i, line := range lines {
		sig, err := parseSignature(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("signature line %d: %w", i+1, err)
		}
		if slices.ContainsFunc(sigs, sig.sameKey) {
			return nil, fmt.Errorf("signature line %d, %s+%08x: %w", i+1, sig.Name, sig.KeyID, ErrDuplicateSignature)
		}
		sigs = append(sigs, sig)
	}
	return sigs, nil
}

func parseSignature(line string) (Signature, error) {
	rest, ok := strings.CutPrefix(line, signaturePrefix)
	if !ok {
		return Signature{}, fmt.Errorf("does not begin with a dash and a space: %w", ErrNote)
	}
	name, text, ok := strings.Cut(rest, " ")
	if !ok || !validName(name) {
		return Signature{}, fmt.Errorf("no valid key name: %w", ErrNote)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return Signature{}, fmt.Errorf("not canonical base64: %w", ErrNote)
	}
	if len(raw) < 5 {
		return Signature{}, fmt.Errorf("%d bytes cannot be a key ID and a signature: %w", len(raw), ErrNote)
	}
	return Signature{Name: name, KeyID: binary.BigEndian.Uint32(raw), Bytes: raw[4:]}, nil
}

// validName reports whether a note can name a key so (SN-4).
func validName(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool {
		return r == '+' || r < 0x20 || unicode.IsSpace(r)
	})
}

func (s Signature) sameKey(o Signature) bool { return s.Name == o.Name && s.KeyID == o.KeyID }

// String returns the signature line with the line feed at its end.
func (s Signature) String() string { return string(s.append(nil)) }

func (s Signature) append(buf []byte) []byte {
	raw := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(s.Bytes)), s.KeyID)
	raw = append(raw, s.Bytes...)
	buf = append(buf, signaturePrefix...)
	buf = append(buf, s.Name...)
	buf = append(buf, ' ')
	buf = base64.StdEncoding.AppendEncode(buf, raw)
	return append(buf, '\n')
}

// Bytes returns the note as it is published. The bytes of a parsed note are
// those that were parsed.
func (n Note) Bytes() []byte {
	buf := make([]byte, 0, len(n.Text)+1+160*len(n.Signatures))
	buf = append(buf, n.Text...)
	buf = append(buf, '\n')
	for _, sig := range n.Signatures {
		buf = sig.append(buf)
	}
	return buf
}

// String returns the note as it is published.
func (n Note) String() string { return string(n.Bytes()) }

// Add returns the note with more signatures and leaves n as it is. A second
// signature with the same name and key ID is ErrDuplicateSignature, also if it
// says the same; a name that no line can hold, an empty signature or too many of
// them is ErrNote.
func (n Note) Add(sigs ...Signature) (Note, error) {
	all := slices.Clone(n.Signatures)
	for _, sig := range sigs {
		if !validName(sig.Name) || len(sig.Bytes) == 0 {
			return Note{}, fmt.Errorf("adding a signature by %q: no such line can be: %w", sig.Name, ErrNote)
		}
		if slices.ContainsFunc(all, sig.sameKey) {
			return Note{}, fmt.Errorf("adding a signature by %s+%08x: %w", sig.Name, sig.KeyID, ErrDuplicateSignature)
		}
		all = append(all, sig)
	}
	if len(all) > MaxSignatures {
		return Note{}, fmt.Errorf("adding signatures: %d lines, at most %d are read: %w", len(all), MaxSignatures, ErrNote)
	}
	return Note{Text: n.Text, Signatures: all}, nil
}

// Signature returns the line with the name and key ID of k, verified or not.
func (n Note) Signature(k VKey) (sig Signature, ok bool) {
	for _, sig := range n.Signatures {
		if sig.Name == k.name && sig.KeyID == k.id {
			return sig, true
		}
	}
	return Signature{}, false
}

// Verify reports whether k has signed the note. A line whose name or key ID
// alone is that of k counts as absent (SN-6). A line that has both and does not
// verify is a *BadSignatureError, and nothing in the note may be used.
func (n Note) Verify(k VKey) (signed bool, err error) {
	sig, ok := n.Signature(k)
	if !ok {
		return false, nil
	}
	if !k.Verify(n.Text, sig.Bytes) {
		return false, &BadSignatureError{Name: k.name, KeyID: k.id}
	}
	return true, nil
}

// Open reads a note and verifies it under the known keys. It returns those that
// signed it, at least one, in the order in which they were given; lines by other
// keys are ignored. The error is ErrNote, ErrDuplicateSignature, ErrUnsigned or a
// *BadSignatureError, and then nothing in the note may be used (SN-7, SN-8).
func Open(data []byte, known ...VKey) (Note, []VKey, error) {
	n, err := ParseNote(data)
	if err != nil {
		return Note{}, nil, err
	}
	var signers []VKey
	for _, k := range known {
		signed, err := n.Verify(k)
		if err != nil {
			return Note{}, nil, err
		}
		if signed {
			signers = append(signers, k)
		}
	}
	if len(signers) == 0 {
		return Note{}, nil, ErrUnsigned
	}
	return n, signers, nil
}
