package jcs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestMembers(t *testing.T) {
	for text, want := range map[string][]string{
		`{}`:                   nil,
		`[]`:                   nil,
		`["a",1]`:              nil,
		`"a"`:                  nil,
		`12`:                   nil,
		``:                     nil,
		`{"":0}`:               {`|0|"":0`},
		`{"a":1,"b":"}"}`:      {`a|1|"a":1`, `b|"}"|"b":"}"`},
		`{"\"":{"x":[1,{}]}}`:  {`\"|{"x":[1,{}]}|"\"":{"x":[1,{}]}`},
		`{"a":",","b\\":null}`: {`a|","|"a":","`, `b\\|null|"b\\":null`},
		`{"a":"é\\","b":true}`: {`a|"é\\"|"a":"é\\"`, `b|true|"b":true`},
		// Not canonical: iteration ends without harm.
		`{"a":1,}`:       {`a|1|"a":1`},
		`{"a"}`:          nil,
		`{"a":}`:         nil,
		`{"a":[}`:        nil,
		`{"a":1 "b":2}`:  {`a|1 "b":2|"a":1 "b":2`},
		`{a:1}`:          nil,
		`{"a:1}`:         nil,
		`{"a":"b}`:       nil,
		`{"a":1,"b":2]}`: {`a|1|"a":1`, `b|2|"b":2`},
	} {
		var got []string
		for m := range Members([]byte(text)) {
			got = append(got, fmt.Sprintf("%s|%s|%s", m.Name, m.Value, m.Raw))
		}
		if !slices.Equal(got, want) {
			t.Errorf("Members(%s) = %q, want %q", text, got, want)
		}
	}
	for m := range Members([]byte(`{"a":1,"b":2}`)) {
		if string(m.Name) != "a" {
			t.Errorf("iteration went on to %s", m.Name)
		}
		break
	}
}

func TestElements(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                        ``,
		`{}`:                        ``,
		`{"a":1}`:                   ``,
		`"[1]"`:                     ``,
		`[1]`:                       `1`,
		`[1,"a,]",[2,3],{"a":[4]}]`: `1|"a,]"|[2,3]|{"a":[4]}`,
		`[null,true,-1.5e-7,""]`:    `null|true|-1.5e-7|""`,
		`[1,]`:                      `1`,
		`[,1]`:                      ``,
		`[1]]`:                      `1`,
	} {
		var got []string
		for e := range Elements([]byte(text)) {
			got = append(got, string(e))
		}
		if s := strings.Join(got, "|"); s != want {
			t.Errorf("Elements(%s) = %s, want %s", text, s, want)
		}
	}
}

func TestString(t *testing.T) {
	for text, want := range map[string]string{
		`""`:                 "",
		`"a"`:                "a",
		`"\"\\\b\f\n\r\t"`:   "\"\\\b\f\n\r\t",
		`"a\u0000b\u009fc😀"`: "a\x00b\u009fc😀",
		`"\\u0000"`:          `\u0000`,
	} {
		if got, ok := String([]byte(text)); !ok || got != want {
			t.Errorf("String(%s) = %q, %v; want %q", text, got, ok, want)
		}
	}
	for _, text := range []string{``, `"`, `1`, `null`, `["a"]`, `{"a":"b"}`} {
		if got, ok := String([]byte(text)); ok {
			t.Errorf("String(%s) = %q", text, got)
		}
	}
}

func TestUint(t *testing.T) {
	for text, want := range map[string]uint64{
		`0`: 0, `1`: 1, `10`: 10, `18446744073709551615`: 1<<64 - 1,
	} {
		if got, ok := Uint([]byte(text)); !ok || got != want {
			t.Errorf("Uint(%s) = %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{``, `-1`, `-0`, `01`, `1.5`, `1e+21`, `"1"`, `null`, `18446744073709551616`, `99999999999999999999`, `100000000000000000000`} {
		if got, ok := Uint([]byte(text)); ok {
			t.Errorf("Uint(%s) = %d", text, got)
		}
	}
}
