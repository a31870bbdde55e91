package jcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// reference is Canonical written for obviousness instead of speed, on the
// standard library's parser.
func reference(src []byte) (string, error) {
	switch {
	case len(src) > MaxSize, !json.Valid(src), !utf8.Valid(src), hasLoneSurrogate(src):
		return "", errors.New("refused")
	}
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	return referenceValue(dec, 0)
}

func referenceValue(dec *json.Decoder, depth int) (string, error) {
	token, err := dec.Token()
	if err != nil {
		return "", err
	}
	if _, nested := token.(json.Delim); nested && depth == MaxDepth {
		return "", errors.New("too deep")
	}
	switch token := token.(type) {
	case string:
		return referenceString(token), nil
	case json.Number:
		return referenceNumber(string(token))
	case json.Delim:
		if token == '[' {
			return referenceArray(dec, depth+1)
		}
		return referenceObject(dec, depth+1)
	case nil:
		return "null", nil
	default:
		return fmt.Sprint(token), nil
	}
}

func referenceArray(dec *json.Decoder, depth int) (string, error) {
	var elements []string
	for dec.More() {
		e, err := referenceValue(dec, depth)
		if err != nil {
			return "", err
		}
		elements = append(elements, e)
	}
	_, err := dec.Token()
	return "[" + strings.Join(elements, ",") + "]", err
}

func referenceObject(dec *json.Decoder, depth int) (string, error) {
	values := make(map[string]string)
	var names []string
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return "", err
		}
		name := token.(string)
		if _, ok := values[name]; ok {
			return "", errors.New("duplicate")
		}
		names = append(names, name)
		if values[name], err = referenceValue(dec, depth); err != nil {
			return "", err
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
	})
	var members []string
	for _, name := range names {
		members = append(members, referenceString(name)+":"+values[name])
	}
	_, err := dec.Token()
	return "{" + strings.Join(members, ",") + "}", err
}

func referenceString(s string) string {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	var out strings.Builder
	for _, r := range s {
		if escape, ok := short[r]; ok {
			out.WriteString(escape)
		} else if r < 0x20 || 0x7f <= r && r <= 0x9f {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return `"` + out.String() + `"`
}

func referenceNumber(token string) (string, error) {
	if n, ok := new(big.Int).SetString(token, 10); ok && (n.IsInt64() || n.IsUint64()) {
		return n.String(), nil
	}
	f, err := strconv.ParseFloat(token, 64)
	if err != nil {
		return "", err
	}
	out, err := json.Marshal(f) // encoding/json follows ECMAScript but for -0
	if string(out) == "-0" {
		return "0", nil
	}
	return string(out), err
}

var (
	escapes    = regexp.MustCompile(`\\(?:u[0-9a-fA-F]{4}|[^u])`)
	highEscape = regexp.MustCompile(`^\\u[dD][89abAB]`)
	lowEscape  = regexp.MustCompile(`^\\u[dD][c-fC-F]`)
)

func hasLoneSurrogate(src []byte) bool {
	expectLowAt := -1
	for _, at := range escapes.FindAllIndex(src, -1) {
		escape := src[at[0]:at[1]]
		low := lowEscape.Match(escape)
		if low != (at[0] == expectLowAt) {
			return true
		}
		if expectLowAt >= 0 && !low {
			return true
		}
		expectLowAt = -1
		if highEscape.Match(escape) {
			expectLowAt = at[1]
		}
	}
	return expectLowAt >= 0
}

func FuzzCanonical(f *testing.F) {
	canonical, shuffled := receipt(f)
	f.Add(canonical)
	f.Add(shuffled)
	for _, seed := range []string{
		`{"b":[1.0,-0,1e21,18446744073709551616],"a":{"\u0061\n":"\ud83d\ude00\u007f","":null}}`,
		` [ true , false , { "\ue000" : 1 , "\ud800\udc00" : 2 } ] `,
		"{\"\x7f\":1,\"\u0080\":2,\"\\\\\":3,\"\\\"\":4}",
		`"\ud800"`, `{"a":1,"a":1}`, `1e999`, `[1,]`, "\ufeff1", `"\ufffd\/"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		got, err := Canonical(src)
		if !bytes.Equal(src, before) {
			t.Fatal("input changed")
		}
		want, wantErr := reference(src)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: error %v, reference %v", src, err, wantErr)
		}
		check := Check(src, AnyNumbers)
		if err != nil {
			if check == nil || check.Error() != err.Error() {
				t.Fatalf("%q: Check says %v, Canonical %v", src, check, err)
			}
			return
		}
		if string(got) != want {
			t.Fatalf("%q:\n got %s\nwant %s", src, got, want)
		}
		if (check == nil) != bytes.Equal(src, got) {
			t.Fatalf("%q: canonical is %q, Check says %v", src, got, check)
		}
		if err := Check(got, AnyNumbers); err != nil {
			t.Fatalf("Check of canonical %q: %v", got, err)
		}
		if again := rebuild(got); !bytes.Equal(again, got) {
			t.Fatalf("%q read back is %q", got, again)
		}
	})
}

// rebuild takes a canonical text apart and puts it together again.
func rebuild(value []byte) []byte {
	var parts [][]byte
	switch value[0] {
	case '{':
		for m := range Members(value) {
			name, _ := String(m.Raw[:len(m.Name)+2])
			parts = append(parts, []byte(referenceString(name)+":"+string(rebuild(m.Value))))
		}
		return []byte("{" + string(bytes.Join(parts, []byte(","))) + "}")
	case '[':
		for e := range Elements(value) {
			parts = append(parts, rebuild(e))
		}
		return []byte("[" + string(bytes.Join(parts, []byte(","))) + "]")
	case '"':
		text, _ := String(value)
		return []byte(referenceString(text))
	}
	return value
}

// FuzzRead gives bytes that nobody checked to the functions that trust theirs.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"a":[1,"\u0000"],"b":{}}`))
	f.Add([]byte(`["\",{]`))
	f.Fuzz(func(t *testing.T, src []byte) {
		for m := range Members(src) {
			String(m.Value)
		}
		for e := range Elements(src) {
			Uint(e)
		}
		String(src)
		_ = Unmarshal(src, new(document), StrictNumbers)
	})
}
