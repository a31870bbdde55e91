package jcs

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
)

type document struct {
	Schema  string          `json:"schema"`
	Size    uint64          `json:"size"`
	Reason  string          `json:"reason,omitempty"`
	Inner   *inner          `json:"inner,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
	Any     any             `json:"any,omitempty"`
}

type inner struct {
	Z string `json:"z"`
	A []int  `json:"a"`
}

func TestMarshal(t *testing.T) {
	got, err := Marshal(document{
		Schema:  "<x> & \u2028\x7f",
		Size:    math.MaxUint64,
		Inner:   &inner{Z: "\"\\/\ufffd", A: []int{2, 1}},
		Payload: json.RawMessage(` { "b" : 1.0, "a" : 1e-7 } `),
	})
	want := `{"inner":{"a":[2,1],"z":"\"\\/` + "\ufffd" + `"},"payload":{"a":1e-7,"b":1},"schema":"<x> & ` + "\u2028" +
		`\u007f","size":18446744073709551615}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestMarshalRefusesInvalidUTF8(t *testing.T) {
	for _, v := range []any{"a\xff", []string{"\xed\xa0\x80"}, map[string]int{"\xc3": 1}, inner{Z: "\x80"}} {
		if out, err := Marshal(v); !errors.Is(err, ErrUTF8) {
			t.Errorf("Marshal(%q) = %s, %v; want %v", v, out, err, ErrUTF8)
		}
	}
	for _, v := range []any{"a\ufffd", `\ufffd`, []string{"\ud7ff"}, map[string]int{"é": 1}, inner{Z: "\u0080"}} {
		if _, err := Marshal(v); err != nil {
			t.Errorf("Marshal(%q): %v", v, err)
		}
	}
}

func TestMarshalRefuses(t *testing.T) {
	if _, err := Marshal(math.Inf(1)); err == nil {
		t.Error("infinity taken")
	}
	if _, err := Marshal(json.RawMessage(`{"a":1,"a":2}`)); !errors.Is(err, ErrDuplicate) {
		t.Errorf("duplicate in a raw message: %v", err)
	}
	if _, err := Marshal(strings.Repeat("\x7f", MaxSize/5)); !errors.Is(err, ErrSize) {
		t.Errorf("large string: %v", err)
	}
}

func TestUnmarshal(t *testing.T) {
	const minimal = `{"schema":"s","size":1}`
	for _, c := range []struct {
		name string
		text string
		ok   bool
		rule error // if the package names one
	}{
		{"minimal", minimal, true, nil},
		{"all", `{"any":[9007199254740991,{"a":1.5}],"inner":{"a":[],"z":""},"payload":{"a":[null]},"reason":"r","schema":"s","size":1}`, true, nil},
		{"unknown member", `{"schema":"s","size":1,"sizes":1}`, false, nil},
		{"unknown nested member", `{"inner":{"a":[],"b":1,"z":""},"schema":"s","size":1}`, false, nil},
		{"missing member", `{"schema":"s"}`, false, ErrNotCanonical},
		{"missing nested member", `{"inner":{"z":""},"schema":"s","size":1}`, false, ErrNotCanonical},
		{"name in another case", `{"Schema":"s","size":1}`, false, ErrNotCanonical},
		{"name in two cases", `{"SIZE":1,"schema":"s","size":1}`, false, ErrNotCanonical},
		{"null for an omitted member", `{"inner":null,"schema":"s","size":1}`, false, ErrNotCanonical},
		{"null for an omitted string", `{"reason":null,"schema":"s","size":1}`, false, ErrNotCanonical},
		{"null for a required member", `{"schema":null,"size":1}`, false, ErrNotCanonical},
		{"empty for an omitted member", `{"reason":"","schema":"s","size":1}`, false, ErrNotCanonical},
		{"duplicate", `{"schema":"s","size":1,"size":1}`, false, ErrDuplicate},
		{"order", `{"size":1,"schema":"s"}`, false, ErrNotCanonical},
		{"space", `{"schema":"s","size": 1}`, false, ErrNotCanonical},
		{"trailing", minimal + `{}`, false, ErrTrailing},
		{"wrong type", `{"schema":1,"size":1}`, false, nil},
		{"wrong kind", `[]`, false, nil},
		{"null", `null`, false, ErrNotCanonical},
		{"negative", `{"schema":"s","size":-1}`, false, nil},
		{"beyond strict", `{"schema":"s","size":9007199254740992}`, false, ErrNumber},
		{"at the limit", `{"schema":"s","size":9007199254740991}`, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d document
			err := Unmarshal([]byte(c.text), &d, StrictNumbers)
			if (err == nil) != c.ok {
				t.Errorf("error %v, want success: %v", err, c.ok)
			}
			if c.rule != nil && !errors.Is(err, c.rule) {
				t.Errorf("error %v, want %v", err, c.rule)
			}
		})
	}

	var d document
	if err := Unmarshal([]byte(`{"any":9007199254740993,"schema":"s","size":18446744073709551615}`), &d, AnyNumbers); err != nil {
		t.Errorf("any numbers: %v", err)
	}
	// What v held before does not stand in for a missing member.
	d = document{Schema: "s", Size: 1, Reason: "old"}
	if err := Unmarshal([]byte(minimal), &d, StrictNumbers); !errors.Is(err, ErrNotCanonical) {
		t.Errorf("into a used value: %v", err)
	}
}
