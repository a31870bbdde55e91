package checkpoint

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func readVector(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func seeded(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32))
}

func logKey(t testing.TB, name string, seed byte) VKey {
	t.Helper()
	k, err := NewEd25519VKey(name, seeded(seed).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signed returns a note with one signature for each seed, all by keys of one name.
func signed(t testing.TB, text, name string, seeds ...byte) Note {
	t.Helper()
	n := Note{Text: text}
	for _, seed := range seeds {
		var err error
		n, err = n.Add(logKey(t, name, seed).Sign(ed25519.Sign(seeded(seed), []byte(text))))
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestSN_Vectors runs the notes and checkpoints of the shared vectors: ok is
// whether they are usable as a checkpoint, note_ok whether the note alone is good.
func TestSN_Vectors(t *testing.T) {
	var v struct {
		Origin string
		Cases  []struct {
			Name       string
			Keys       []string
			Note       string
			NoteB64    []byte `json:"note_b64"`
			OK         bool
			NoteOK     bool `json:"note_ok"`
			Size       uint64
			Extensions []string
		}
	}
	readVector(t, "tlog/generated/notes.json", &v)
	for _, c := range v.Cases {
		data := []byte(c.Note)
		if c.NoteB64 != nil {
			data = c.NoteB64
		}
		var keys []VKey
		for _, text := range c.Keys {
			k, err := ParseVKey(text)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k)
		}
		n, signers, err := Open(data, keys...)
		if (err == nil) != (c.OK || c.NoteOK) {
			t.Errorf("%s: Open: %v", c.Name, err)
		}
		if err != nil {
			continue
		}
		if len(signers) == 0 || !bytes.Equal(n.Bytes(), data) {
			t.Errorf("%s: %d signers; printed as\n%s", c.Name, len(signers), n)
		}
		cp, err := Parse(n.Text)
		ok := err == nil && cp.Origin == v.Origin
		if ok != c.OK {
			t.Errorf("%s: Parse: %+v, %v", c.Name, cp, err)
		}
		if ok && (cp.Size != c.Size || cp.String() != n.Text || !reflect.DeepEqual(cp.Extensions, c.Extensions)) {
			t.Errorf("%s: %+v", c.Name, cp)
		}
	}
}

func TestSN_Examples(t *testing.T) {
	type example struct{ Private, VKey, Note string }
	var v struct {
		SignedNote example `json:"signed_note"`
		GoNote     example `json:"go_note"`
	}
	readVector(t, "tlog/examples.json", &v)
	for _, e := range []example{v.SignedNote, v.GoNote} {
		k, err := ParseVKey(e.VKey)
		if err != nil || k.String() != e.VKey {
			t.Fatalf("%s: %v", e.VKey, err)
		}
		if _, _, err := Open([]byte(e.Note), k); err != nil {
			t.Errorf("%s: %v", k.Name(), err)
		}
	}
	// The signature is deterministic, so signing gives the published note.
	_, material, _ := strings.Cut(strings.TrimPrefix(v.GoNote.Private, "PRIVATE+KEY+"), "+")
	_, material, _ = strings.Cut(material, "+")
	raw, err := base64.StdEncoding.DecodeString(material)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseVKey(v.GoNote.VKey)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(v.GoNote.Note, "\n\n")
	text += "\n"
	n, err := Note{Text: text}.Add(k.Sign(ed25519.Sign(ed25519.NewKeyFromSeed(raw[1:]), []byte(text))))
	if err != nil || n.String() != v.GoNote.Note {
		t.Errorf("signed again: %v\n%s", err, n)
	}
}

// refusal is a table row: bad breaks one rule, and good differs in it alone.
type refusal struct {
	name      string
	good, bad string
	want      error
}

func TestParseNoteRefuses(t *testing.T) {
	n := signed(t, "text\n", "example.com/log", 1)
	good := n.String()
	line := strings.TrimPrefix(good, "text\n\n")
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in the note", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	unknown := func(i int) string {
		return Signature{Name: fmt.Sprintf("stranger.example/%d", i), KeyID: 1, Bytes: []byte{1}}.String()
	}
	many := func(count int) (lines string) {
		for i := range count {
			lines += unknown(i)
		}
		return lines
	}
	long := func(length int) string {
		return strings.Repeat("x", length-len(line)-2) + "\n\n" + line
	}
	for _, c := range []refusal{
		{"SN-1 UTF-8", replace("text", "té"), replace("text", "t\xe9"), ErrNote},
		{"SN-1 CR", good, replace("text\n", "text\r\n"), ErrNote},
		{"SN-1 TAB", replace("text", "te xt"), replace("text", "te\txt"), ErrNote},
		{"SN-1 control character in a name", good, replace("example.com/log", "example.com/\x01log"), ErrNote},
		{"SN-2 text ends with a line feed", good, "text\n" + line, ErrNote},
		{"SN-3 no empty line among signatures", good + unknown(1), good + "\n\n" + unknown(1) + "\n", ErrNote},
		{"SN-3 at least one signature", good, "text\n\n", ErrNote},
		{"SN-3 last line ends", good, strings.TrimSuffix(good, "\n"), ErrNote},
		{"SN-4 name not empty", good, replace("— example.com/log ", "—  "), ErrNote},
		{"SN-4 no space in a name", replace("com/log", "com/l_g"), replace("com/log", "com/l g"), ErrNote},
		{"SN-4 no Unicode space in a name", replace("com/log", "com/lög"), replace("com/log", "com/l\u00a0g"), ErrNote},
		{"SN-4 no plus in a name", replace("com/log", "com/l-g"), replace("com/log", "com/l+g"), ErrNote},
		{"SN-5 key ID and signature", "text\n\n— a AAAAAAE=\n", "text\n\n— a AAAAAA==\n", ErrNote},
		{"dash", good, replace("— ", "- "), ErrNote},
		{"one space", good, replace("— example.com/log ", "— example.com/log  "), ErrNote},
		{"base64 padding", "text\n\n— a AAAAAAE=\n", "text\n\n— a AAAAAAE\n", ErrNote},
		{"base64 trailing bits", "text\n\n— a AAAAAAE=\n", "text\n\n— a AAAAAAF=\n", ErrNote},
		{"base64 alphabet", "text\n\n— a AAAAAP/8\n", "text\n\n— a AAAAAP_8\n", ErrNote},
		{"V-1 one line for a name and key ID", good + unknown(1) + unknown(2), good + unknown(1) + unknown(1), ErrDuplicateSignature},
		{"V-1 the same with other bytes", good, good + logKey(t, "example.com/log", 1).Sign([]byte("else")).String(), ErrDuplicateSignature},
		{"SN-9 number of lines", "text\n\n" + many(MaxSignatures), "text\n\n" + many(MaxSignatures+1), ErrNote},
		{"V-1 length", long(MaxNote), long(MaxNote + 1), ErrNote},
	} {
		if n, err := ParseNote([]byte(c.good)); err != nil || n.String() != c.good {
			t.Errorf("%s: neighbour is refused: %v", c.name, err)
		}
		if _, err := note.Open([]byte(c.good), acceptAll{}); err != nil {
			t.Errorf("%s: x/mod refuses the neighbour: %v", c.name, err)
		}
		if _, err := ParseNote([]byte(c.bad)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestSN_3_SplitAtLastEmptyLine(t *testing.T) {
	text := "one\n\ntwo\n\n"
	n := signed(t, text, "example.com/log", 1)
	got, _, err := Open(n.Bytes(), logKey(t, "example.com/log", 1))
	if err != nil || got.Text != text {
		t.Errorf("Open: %q, %v", got.Text, err)
	}
}

func TestSN_6_UnknownPairIsIgnored(t *testing.T) {
	known := logKey(t, "example.com/log", 1)
	n := signed(t, "text\n", "example.com/log", 1)
	bad := []byte("damaged")
	for _, c := range []struct {
		name string
		line Signature
		ok   bool
	}{
		{"other name and key ID", Signature{"example.com/x", 7, bad}, true},
		{"same name", Signature{known.Name(), known.KeyID() + 1, bad}, true},
		{"same key ID", Signature{"example.com/x", known.KeyID(), bad}, true},
	} {
		with, err := Note{Text: n.Text, Signatures: []Signature{c.line}}.Add(n.Signatures...)
		if err != nil {
			t.Fatal(err)
		}
		if _, signers, err := Open(with.Bytes(), known); err != nil || len(signers) != 1 {
			t.Errorf("%s: %v", c.name, err)
		}
		alone := Note{Text: n.Text, Signatures: []Signature{c.line}}
		if _, _, err := Open(alone.Bytes(), known); !errors.Is(err, ErrUnsigned) {
			t.Errorf("SN-8 %s alone: %v, want %v", c.name, err, ErrUnsigned)
		}
	}
}

func TestSN_7_BadLineOfKnownKeyRefusesNote(t *testing.T) {
	a, b := logKey(t, "example.com/log", 1), logKey(t, "example.com/log", 2)
	n := signed(t, "text\n", "example.com/log", 1, 2)
	if _, signers, err := Open(n.Bytes(), a, b); err != nil || len(signers) != 2 {
		t.Fatalf("both good: %v", err)
	}
	n.Signatures[1].Bytes[5] ^= 1
	var bad *BadSignatureError
	if _, _, err := Open(n.Bytes(), a, b); !errors.As(err, &bad) || bad.KeyID != b.KeyID() {
		t.Errorf("one damaged: %v", err)
	}
	if _, _, err := Open(n.Bytes(), a); err != nil {
		t.Errorf("the damaged line is by an unknown key: %v", err)
	}
	for _, length := range []int{1, 63, 65} {
		n.Signatures[1].Bytes = make([]byte, length)
		if _, _, err := Open(n.Bytes(), a, b); !errors.As(err, &bad) {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	n := signed(t, "text\n", "example.com/log", 1)
	for _, c := range []struct {
		name string
		sig  Signature
		want error
	}{
		{"good", Signature{"a", 1, []byte{1}}, nil},
		{"same key", n.Signatures[0], ErrDuplicateSignature},
		{"name", Signature{"a b", 1, []byte{1}}, ErrNote},
		{"nothing", Signature{"a", 1, nil}, ErrNote},
	} {
		got, err := n.Add(c.sig)
		if !errors.Is(err, c.want) || len(n.Signatures) != 1 {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && (len(got.Signatures) != 2 || !strings.HasPrefix(got.String(), n.String())) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	full := Note{Text: "text\n"}
	for i := range MaxSignatures {
		full.Signatures = append(full.Signatures, Signature{"a", uint32(i), []byte{1}})
	}
	if _, err := full.Add(Signature{"b", 1, []byte{1}}); !errors.Is(err, ErrNote) {
		t.Errorf("too many: %v", err)
	}
}

// FuzzNote checks that a note prints as what was parsed, and that the note reader
// of golang.org/x/mod reads all that we read.
func FuzzNote(f *testing.F) {
	f.Add("text\n\n— a AAAAAAE=\n")
	f.Add(signed(f, "example.com/log\n1\nPh9uO5DuwfYZikYwhx0zZacnyuO9E0aFobaz2JY1ot8=\n", "example.com/log", 1, 2).String())
	f.Fuzz(func(t *testing.T, data string) {
		n, err := ParseNote([]byte(data))
		if err != nil {
			return
		}
		if n.String() != data {
			t.Fatalf("%q is printed as %q", data, n)
		}
		theirs, err := note.Open([]byte(data), acceptAll{})
		if err != nil {
			t.Fatalf("x/mod refuses %q: %v", data, err)
		}
		if theirs.Text != n.Text || len(theirs.Sigs) != len(n.Signatures) {
			t.Fatalf("x/mod reads %q otherwise", data)
		}
		for i, sig := range theirs.Sigs {
			if sig.Name != n.Signatures[i].Name || sig.Hash != n.Signatures[i].KeyID {
				t.Fatalf("x/mod reads line %d of %q otherwise", i, data)
			}
		}
	})
}

// acceptAll knows every key and takes every signature.
type acceptAll struct{}

func (acceptAll) Verifier(name string, hash uint32) (note.Verifier, error) {
	return accepting{name, hash}, nil
}

type accepting struct {
	name string
	hash uint32
}

func (a accepting) Name() string              { return a.name }
func (a accepting) KeyHash() uint32           { return a.hash }
func (a accepting) Verify(msg, _ []byte) bool { return true }
