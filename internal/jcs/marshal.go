package jcs

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Marshal returns the canonical form of the JSON that [encoding/json] makes of
// v. Where that package would put U+FFFD for invalid UTF-8, Marshal returns
// [ErrUTF8]; it does so too for a [json.RawMessage] or [json.Marshaler] that
// spells U+FFFD as the escape \ufffd, which looks the same.
func Marshal(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	p := parsers.Get().(*parser)
	defer p.release()
	if err := p.parse(make([]byte, 0, len(text)), text, AnyNumbers); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	if p.replaced >= 0 {
		err := fail(ErrUTF8, p.replaced, "in a string or a member name")
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	out, err := p.finish(nil)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return out, nil
}

// Unmarshal decodes canonical bytes into v, a pointer to a struct, and refuses
// all that v does not say again: data must pass [Check] with n, hold no member
// that the struct lacks, and equal [Marshal] of the result byte for byte. So a
// missing member, a name in another case, and null for a member that is
// otherwise left out are errors too.
//
// Members of type any receive numbers as [json.Number]. On error v may be
// partly filled.
func Unmarshal(data []byte, v any, n Numbers) error {
	if err := Check(data, n); err != nil {
		return fmt.Errorf("decoding %T: %w", v, err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decoding %T: %w", v, err)
	}
	again, err := Marshal(v)
	if err != nil {
		return fmt.Errorf("decoding %T: %w", v, err)
	}
	if !bytes.Equal(again, data) {
		err := &Error{
			Rule:   ErrNotCanonical,
			Offset: commonPrefix(again, data),
			Detail: "members are missing, misspelled or null",
		}
		return fmt.Errorf("decoding %T: %w", v, err)
	}
	return nil
}

// commonPrefix returns how many bytes a and b have in common at their start.
func commonPrefix(a, b []byte) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return i
}
