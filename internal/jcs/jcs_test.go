package jcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// refusal pairs a text that a rule refuses with neighbours that differ in what
// the rule looks at only.
type refusal struct {
	name     string
	text     string
	rule     error
	offset   int
	accepted []string
}

func (r refusal) run(t *testing.T) {
	t.Run(r.name, func(t *testing.T) {
		out, err := Canonical([]byte(r.text))
		wantError(t, r.text, err, r.rule, r.offset)
		if out != nil {
			t.Errorf("Canonical returned %q with an error", out)
		}
		wantError(t, r.text, Check([]byte(r.text), AnyNumbers), r.rule, r.offset)
		for _, text := range r.accepted {
			if _, err := Canonical([]byte(text)); err != nil {
				t.Errorf("neighbour %.80q: %v", text, err)
			}
		}
	})
}

func wantError(t *testing.T, text string, err, rule error, offset int) {
	t.Helper()
	var e *Error
	if !errors.Is(err, rule) || !errors.As(err, &e) {
		t.Errorf("%.80q: error %v, want %v", text, err, rule)
		return
	}
	if e.Offset != offset {
		t.Errorf("%.80q: %v, want offset %d", text, err, offset)
	}
}

func TestRefusesDuplicateNames(t *testing.T) {
	for _, r := range []refusal{
		{"adjacent", `{"a":1,"a":2}`, ErrDuplicate, 7, []string{`{"a":1,"b":2}`, `{"a":1,"A":2}`}},
		{"same value", `{"a":1,"a":1}`, ErrDuplicate, 7, []string{`{"a":1,"b":1}`}},
		{"apart", `{"b":1,"a":2,"b":3}`, ErrDuplicate, 13, []string{`{"b":1,"a":2,"c":3}`}},
		{"escaped", `{"a":1,"\u0061":2}`, ErrDuplicate, 7, []string{`{"a":1,"\u0062":2}`, `{"a":1,"\\u0061":2}`}},
		{"escaped apart", `{"b\n":1,"a":2,"b\u000A":3}`, ErrDuplicate, 15, []string{`{"b\n":1,"a":2,"b\u000B":3}`}},
		{"escaped pair", `{"😀":1,"\uD83D\uDE00":2}`, ErrDuplicate, 10, []string{`{"😀":1,"\uD83D\uDE01":2}`}},
		{"solidus", `{"/":1,"\/":2}`, ErrDuplicate, 7, []string{`{"/":1,"\\/":2}`}},
		{"empty", `{"":1,"":2}`, ErrDuplicate, 6, []string{`{"":1," ":2}`}},
		{"nested", `[{"x":{"a":1,"a":2}}]`, ErrDuplicate, 13, []string{`[{"x":{"a":1,"x":2}}]`, `[{"a":{"a":1}},{"a":2}]`}},
		{"control", `{"\u007f":1,"` + "\x7f" + `":2}`, ErrDuplicate, 12, []string{`{"\u007f":1,"\u007e":2}`}},
	} {
		r.run(t)
	}
}

func TestRefusesLoneSurrogates(t *testing.T) {
	for _, r := range []refusal{
		{"high at end", `"\ud800"`, ErrSurrogate, 1, []string{`"\ud7ff"`, `"\ud800\udc00"`}},
		{"high before text", `"\udbffabcdef"`, ErrSurrogate, 1, []string{`"\udbff\udfff"`}},
		{"high before escape", `"\ud800\n12345"`, ErrSurrogate, 1, []string{`"\ud800\udc00\n12345"`}},
		{"high before high", `"\ud800\ud800\udc00"`, ErrSurrogate, 1, []string{`"\ud800\udc00\ud800\udc00"`}},
		{"high before other", `"\ud800\ue000"`, ErrSurrogate, 1, []string{`"\ud800\udfff"`}},
		{"low", `"a\udc00"`, ErrSurrogate, 2, []string{`"a\ue000"`}},
		{"low before high", `"\udc00\ud800"`, ErrSurrogate, 1, []string{`"\ud800\udc00"`}},
		{"in a name", `{"\uDFFF":1}`, ErrSurrogate, 2, []string{`{"\uDBFF\uDFFF":1}`}},
		{"escaped backslash", `"\\\ud800"`, ErrSurrogate, 3, []string{`"\\ud800"`}},
	} {
		r.run(t)
	}
}

func TestRefusesInvalidUTF8(t *testing.T) {
	for _, r := range []refusal{
		{"lone continuation", "\"\x80\"", ErrUTF8, 1, []string{"\"\u0080\""}},
		{"cut short", "\"a\xc3\"", ErrUTF8, 2, []string{"\"aé\""}},
		{"overlong", "\"\xc0\xaf\"", ErrUTF8, 1, []string{`"/"`}},
		{"encoded surrogate", "\"\xed\xa0\x80\"", ErrUTF8, 1, []string{"\"\xed\x9f\xbf\""}},
		{"beyond U+10FFFF", "\"\xf4\x90\x80\x80\"", ErrUTF8, 1, []string{"\"\xf4\x8f\xbf\xbf\""}},
		{"in a name", "{\"\xff\":1}", ErrUTF8, 2, []string{"{\"\ufffd\":1}"}},
	} {
		r.run(t)
	}
}

func TestRefusesControlCharacters(t *testing.T) {
	for c := range 0x20 {
		raw := fmt.Sprintf(`"abcdefgh%cabcdefgh"`, c)
		escaped := fmt.Sprintf(`"abcdefgh\u%04xabcdefgh"`, c)
		refusal{fmt.Sprintf("U+%04X", c), raw, ErrSyntax, 9, []string{escaped}}.run(t)
	}
}

func TestRefusesTrailingBytes(t *testing.T) {
	for _, r := range []refusal{
		{"second value", `{} {}`, ErrTrailing, 3, []string{"{} \t\r\n"}},
		{"bracket", `[]]`, ErrTrailing, 2, []string{`[[]]`}},
		{"comma", `1,`, ErrTrailing, 1, []string{`1`}},
		{"NUL", "1\x00", ErrTrailing, 1, []string{`1 `}},
		{"digit", `01`, ErrSyntax, 0, []string{`10`}},
		{"form feed", "1\f", ErrTrailing, 1, []string{"1\n"}},
	} {
		r.run(t)
	}
}

func TestRefusesDeepNesting(t *testing.T) {
	arrays := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for _, r := range []refusal{
		{"arrays", arrays(MaxDepth + 1), ErrDepth, MaxDepth, []string{arrays(MaxDepth)}},
		{"objects", objects(MaxDepth + 1), ErrDepth, 5 * MaxDepth, []string{objects(MaxDepth)}},
		{"never shut", strings.Repeat("[", 1<<20), ErrDepth, MaxDepth, nil},
		{"beside", "[" + arrays(MaxDepth) + "]", ErrDepth, MaxDepth, []string{"[" + arrays(MaxDepth-1) + "," + arrays(MaxDepth-1) + "]"}},
	} {
		r.run(t)
	}
}

func TestRefusesLargeTexts(t *testing.T) {
	fits := `"` + strings.Repeat("a", MaxSize-2) + `"`
	refusal{"read", fits + " ", ErrSize, MaxSize, []string{fits}}.run(t)

	// The same holds for what is written: six bytes for one.
	grows := func(n int) []byte { return []byte(`"aa` + strings.Repeat("\x7f", n) + `"`) }
	const most = (MaxSize - 4) / 6
	if _, err := Append(nil, grows(most)); err != nil {
		t.Errorf("canonical form of just under MaxSize: %v", err)
	}
	text := grows(most + 1)
	_, err := Append(nil, text)
	wantError(t, string(text), err, ErrSize, len(text))
}

func TestRefusesSyntax(t *testing.T) {
	for _, r := range []refusal{
		{"empty", ``, ErrSyntax, 0, []string{`0`}},
		{"space", ` `, ErrSyntax, 1, []string{` 0`}},
		{"byte order mark", "\ufeff{}", ErrSyntax, 0, []string{`{}`, "\"\ufeff\""}},
		{"NUL", "\x00", ErrSyntax, 0, []string{`""`}},
		{"no-break space", "\u00a0{}", ErrSyntax, 0, []string{` {}`}},
		{"array open", `[1`, ErrSyntax, 2, []string{`[1]`}},
		{"array last comma", `[1,]`, ErrSyntax, 3, []string{`[1,1]`}},
		{"array first comma", `[,1]`, ErrSyntax, 1, []string{`[1]`}},
		{"array no comma", `[1 1]`, ErrSyntax, 3, []string{`[1,1]`}},
		{"array mismatch", `[1}`, ErrSyntax, 2, []string{`[1]`}},
		{"object open", `{"a":1`, ErrSyntax, 6, []string{`{"a":1}`}},
		{"object last comma", `{"a":1,}`, ErrSyntax, 7, []string{`{"a":1,"b":1}`}},
		{"object no colon", `{"a" 1}`, ErrSyntax, 5, []string{`{"a": 1}`}},
		{"object no value", `{"a":}`, ErrSyntax, 5, []string{`{"a":0}`}},
		{"object bare name", `{a:1}`, ErrSyntax, 1, []string{`{"a":1}`}},
		{"object number name", `{1:1}`, ErrSyntax, 1, []string{`{"1":1}`}},
		{"object mismatch", `{"a":1]`, ErrSyntax, 6, []string{`{"a":1}`}},
		{"string open", `"a`, ErrSyntax, 0, []string{`"a"`}},
		{"string open escape", `"a\`, ErrSyntax, 2, []string{`"a\\"`}},
		{"string open after escape", `"a\"`, ErrSyntax, 0, []string{`"a\""`}},
		{"single quotes", `'a'`, ErrSyntax, 0, []string{`"a"`}},
		{"unknown escape", `"\a"`, ErrSyntax, 1, []string{`"\b"`}},
		{"upper-case escape", `"\U0041"`, ErrSyntax, 1, []string{`"\u0041"`}},
		{"short escape", `"\u004"`, ErrSyntax, 1, []string{`"\u0041"`}},
		{"bad hex digit", `"\u004g"`, ErrSyntax, 1, []string{`"\u004f"`, `"\u004F"`}},
		{"literal", `nul`, ErrSyntax, 0, []string{`null`}},
		{"literal case", `True`, ErrSyntax, 0, []string{`true`}},
		{"literal tail", `falsey`, ErrTrailing, 5, []string{`false`}},
		{"comment", `1//`, ErrTrailing, 1, []string{`1`}},
		{"NaN", `NaN`, ErrSyntax, 0, []string{`0`}},
		{"infinity", `-Infinity`, ErrSyntax, 0, []string{`-1`}},
		{"plus", `+1`, ErrSyntax, 0, []string{`1`}},
		{"minus alone", `-`, ErrSyntax, 0, []string{`-0`}},
		{"leading zero", `[-01]`, ErrSyntax, 1, []string{`[-10]`, `[0]`, `[0.1]`}},
		{"no whole part", `.5`, ErrSyntax, 0, []string{`0.5`}},
		{"no fraction", `1.`, ErrSyntax, 0, []string{`1.0`}},
		{"no exponent", `1e`, ErrSyntax, 0, []string{`1e0`}},
		{"no exponent digits", `1e+`, ErrSyntax, 0, []string{`1e+0`}},
		{"hexadecimal", `0x1`, ErrTrailing, 1, []string{`0`}},
	} {
		r.run(t)
	}
}

func TestRefusesInfinity(t *testing.T) {
	for _, r := range []refusal{
		{"exponent", `[1e999]`, ErrNumber, 1, []string{`[1e308]`, `[1e-999]`}},
		{"just above", `1.797693134862315808e308`, ErrNumber, 0, []string{`1.7976931348623157e308`}},
		{"integer", strings.Repeat("9", 400), ErrNumber, 0, []string{strings.Repeat("9", 308)}},
	} {
		r.run(t)
	}
}

func TestNumbers(t *testing.T) {
	for in, want := range map[string]string{
		`0`: `0`, `-0`: `0`, `-0.0`: `0`, `0e9`: `0`, `-1e-999`: `0`, `1.0`: `1`, `1E2`: `100`, `-5`: `-5`,
		// Exact as long as 64 bits hold them.
		`9007199254740993`:     `9007199254740993`,
		`9223372036854775807`:  `9223372036854775807`,
		`9223372036854775808`:  `9223372036854775808`,
		`18446744073709551615`: `18446744073709551615`,
		`-9223372036854775808`: `-9223372036854775808`,
		// Doubles from there on, and with a fraction or exponent at once.
		`18446744073709551616`:   `18446744073709552000`,
		`-9223372036854775809`:   `-9223372036854776000`,
		`-18446744073709551615`:  `-18446744073709552000`,
		`99999999999999999999`:   `100000000000000000000`,
		`999999999999999999999`:  `1e+21`,
		`9007199254740993.0`:     `9007199254740992`,
		`1e20`:                   `100000000000000000000`,
		`1e21`:                   `1e+21`,
		`1000000000000000000000`: `1e+21`,
		`1e-6`:                   `0.000001`,
		`1e-7`:                   `1e-7`,
		`0.0000001`:              `1e-7`,
		`1.50e-10`:               `1.5e-10`,
		`1e-100`:                 `1e-100`,
	} {
		got, err := Canonical([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("Canonical(%s) = %s, %v; want %s", in, got, err, want)
		}
	}
}

// TestDoubles has the samples of RFC 8785, appendix B.
func TestDoubles(t *testing.T) {
	for _, c := range []struct {
		bits uint64
		want string
	}{
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
	} {
		if got := appendDouble(nil, math.Float64frombits(c.bits)); string(got) != c.want {
			t.Errorf("%016x = %s, want %s", c.bits, got, c.want)
		}
	}
}

func TestStrictNumbers(t *testing.T) {
	for _, c := range []struct {
		text string
		rule error // nil if taken
	}{
		{`0`, nil},
		{`-1`, nil},
		{`9007199254740991`, nil},
		{`9007199254740992`, ErrNumber},
		{`-9007199254740991`, nil},
		{`-9007199254740992`, ErrNumber},
		{`18446744073709551616`, ErrNumber},
		{`1.5`, nil},
		{`1.50`, ErrNumber},
		{`0.1`, nil},
		{`0.1000000000000000055`, ErrNumber},
		{`1.0`, ErrNumber},
		{`-0.0`, ErrNumber},
		{`1e2`, ErrNumber},
		{`1e+21`, ErrNumber},
		{`1.5e+300`, ErrNumber},
		{`1e-7`, nil},
		{`1E-7`, ErrNumber},
		{`1e-07`, ErrNumber},
		{`1e-6`, ErrNumber},
		{`0.000001`, nil},
		{`1e-999`, ErrNumber},
		{`-0`, ErrNotCanonical}, // an integer in range, but written 0
	} {
		for _, wrap := range []string{"%s", "[%s]", `{"n":%s}`} {
			text := fmt.Sprintf(wrap, c.text)
			err := Check([]byte(text), StrictNumbers)
			if c.rule == nil && err != nil || !errors.Is(err, c.rule) {
				t.Errorf("Check(%s) = %v, want %v", text, err, c.rule)
			}
		}
	}
	for _, text := range []string{`9007199254740993`, `1e+21`, `18446744073709551615`} {
		if err := Check([]byte(text), AnyNumbers); err != nil {
			t.Errorf("Check(%s) with any numbers: %v", text, err)
		}
	}
}

func TestCheckOffset(t *testing.T) {
	for text, offset := range map[string]int{
		` {}`:                  0,
		`{} `:                  2,
		`[1, 2]`:               3,
		`{"a":1,"c":1,"b":1}`:  13,
		`{"b":1,"\u0061":1}`:   7,
		`{"a":{"c":1,"b":1}}`:  12,
		`["\/"]`:               2,
		`["\u001F"]`:           2,
		`["\u000a"]`:           2,
		`["\u00e9"]`:           2,
		"[\"\x7f\"]":           2,
		`[1.0,"\/"]`:           1,
		`[100000000000e10,-0]`: 1,
	} {
		wantError(t, text, Check([]byte(text), AnyNumbers), ErrNotCanonical, offset)
	}
}

func TestStrings(t *testing.T) {
	for in, want := range map[string]string{
		`"\u0022\u005c\u002f\/"`:             `"\"\\//"`,
		`"\u0008\u000c\u000a\u000d\u0009"`:   `"\b\f\n\r\t"`,
		`"\u0000\u000B\u001F"`:               `"\u0000\u000b\u001f"`,
		"\"\x7f\u0080\u009f\u00a0\"":         "\"\\u007f\\u0080\\u009f\u00a0\"",
		`"\u007E\u007F\u0080\u009F\u00A0"`:   "\"~\\u007f\\u0080\\u009f\u00a0\"",
		`"\u00ad\u2028\u2029\ufeff\ufffd"`:   "\"\u00ad\u2028\u2029\ufeff\ufffd\"",
		`"\ud83d\ude00\uDBFF\uDFFF"`:         "\"😀\U0010ffff\"",
		`"<>&'"`:                             `"<>&'"`,
		"\"e\u0301\"":                        "\"e\u0301\"", // not composed
		`"0123456\n01234567\n012345678\t\""`: `"0123456\n01234567\n012345678\t\""`,
	} {
		got, err := Canonical([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("Canonical(%s) = %s, %v; want %s", in, got, err, want)
		}
		text, ok := String(got)
		var std string
		if err := json.Unmarshal([]byte(in), &std); err != nil || !ok || text != std {
			t.Errorf("String(%s) = %q, %v; want %q (%v)", got, text, ok, std, err)
		}
	}
}

func TestNameOrder(t *testing.T) {
	// In the order of UTF-16 code units.
	names := []string{
		``, `\u0000`, `\b`, `\t`, `\n`, `\u000b`, `\f`, `\r`, `\u001f`, ` `, `!`, `\"`, `\"a`, `#`, `/`, `0`, `A`,
		`[`, `\\`, `\\a`, `\\n`, `\\u0000`, `]`, `a`, `a\n`, `a!`, `a\\`, `aa`, `ab`, `b`, `n`, `~`, `\u007f`, `\u0080`,
		`\u009f`, "\u00a0", `é`, `é\n`, `éa`, "\u07ff", "\u0800", "\ud7ff", "𐀀", "😀", "\U0010ffff", "\ue000", "\ufb33", "\uffff",
	}
	for i, a := range names {
		for j, b := range names {
			if got := compareNames([]byte(a), []byte(b)); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compareNames(%q, %q) = %d, want the sign of %d", a, b, got, i-j)
			}
		}
	}

	var forth, back []string
	for _, name := range names {
		forth = append(forth, `"`+name+`":[1]`)
		back = append([]string{`"` + name + `" : [1.0]`}, back...)
	}
	want := "{" + strings.Join(forth, ",") + "}"
	got, err := Canonical([]byte("{" + strings.Join(back, ", ") + "}"))
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	if err := Check([]byte(want), StrictNumbers); err != nil {
		t.Error(err)
	}
}

func TestAppendKeepsDst(t *testing.T) {
	dst := []byte("before ")
	got, err := Append(dst, []byte(`{"b":{"d":1,"c":"\/"},"a":2}`))
	if want := `before {"a":2,"b":{"c":"/","d":1}}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if got, err := Append(dst, []byte(`{"b":1,"a":2,}`)); err == nil || string(got) != "before " {
		t.Errorf("on error: got %q, %v", got, err)
	}
}

// TestManyMembers would not end in reasonable time if sorting or looking for
// duplicates were quadratic.
func TestManyMembers(t *testing.T) {
	const n = 200_000
	var text bytes.Buffer
	text.WriteByte('{')
	for i := range n {
		fmt.Fprintf(&text, `"%06x":%d,`, n-i, i)
	}
	unique := append(bytes.Clone(text.Bytes()), `"":0}`...)
	out, err := Canonical(unique)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(out, StrictNumbers); err != nil {
		t.Error(err)
	}
	twice := append(bytes.Clone(text.Bytes()), `"000001":0}`...)
	_, err = Canonical(twice)
	wantError(t, string(twice), err, ErrDuplicate, text.Len())
}
