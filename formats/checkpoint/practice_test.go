package checkpoint

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// cosigner returns the key of type 0x04 of a seed.
func cosigner(t testing.TB, name string, seed byte) VKey {
	t.Helper()
	k, err := NewCosignatureVKey(name, seeded(seed).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// cosignature returns the line of a cosigner, from bytes that the caller writes out.
func cosignature(k VKey, seed byte, timestamp uint64, message string) Signature {
	raw := binary.BigEndian.AppendUint64(nil, timestamp)
	return k.Sign(append(raw, ed25519.Sign(seeded(seed), []byte(message))...))
}

const practiceText = "example.com/log\n17\nPh9uO5DuwfYZikYwhx0zZacnyuO9E0aFobaz2JY1ot8=\n"

// TestCP_9_OldAndNewKeyAtOnce: during a change of keys a checkpoint carries two
// lines of one name, and a reader who knows only one of the keys reads it.
func TestCP_9_OldAndNewKeyAtOnce(t *testing.T) {
	const origin = "example.com/log"
	older, newer, other := logKey(t, origin, 1), logKey(t, origin, 2), logKey(t, origin, 3)
	both := signed(t, practiceText, origin, 1, 2)
	// What no reader here can judge: another type, another name, no signature at all.
	for _, line := range []Signature{
		{Name: origin, KeyID: 0x11223344, Bytes: make([]byte, 2428)},
		{Name: "witness.example/w", KeyID: older.KeyID(), Bytes: make([]byte, 72)},
		{Name: origin, KeyID: newer.KeyID() + 1, Bytes: []byte{0}},
	} {
		var err error
		if both, err = both.Add(line); err != nil {
			t.Fatal(err)
		}
	}
	damaged := func(i int) Note {
		n := Note{Text: both.Text, Signatures: slices.Clone(both.Signatures)}
		n.Signatures[i].Bytes = slices.Clone(n.Signatures[i].Bytes)
		n.Signatures[i].Bytes[7] ^= 1
		return n
	}
	var bad *BadSignatureError
	for _, c := range []struct {
		name    string
		note    Note
		known   []VKey
		signers []VKey
	}{
		{"the old key is known", both, []VKey{older}, []VKey{older}},
		{"the new key is known", both, []VKey{newer}, []VKey{newer}},
		{"both are known", both, []VKey{newer, older}, []VKey{newer, older}},
		{"a third one is known too", both, []VKey{other, older}, []VKey{older}},
		{"only a third one is known", both, []VKey{other}, nil},
		{"the unknown line is damaged", damaged(1), []VKey{older}, []VKey{older}},
		{"the known line is damaged", damaged(0), []VKey{older}, nil},
		{"one of the known lines is damaged", damaged(1), []VKey{older, newer}, nil},
	} {
		_, signers, err := Open(c.note.Bytes(), c.known...)
		if !slices.EqualFunc(signers, c.signers, VKey.Equal) {
			t.Errorf("%s: signed by %v, want %v", c.name, signers, c.signers)
		}
		if (err == nil) != (c.signers != nil) || err != nil && !errors.Is(err, ErrUnsigned) && !errors.As(err, &bad) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestCS_1_LineOnACheckpoint: a cosignature is one more line of the note, and
// what is no checkpoint is not cosigned.
func TestCS_1_LineOnACheckpoint(t *testing.T) {
	k := cosigner(t, "witness.example/w", 3)
	sign := func(message []byte) ([]byte, error) { return ed25519.Sign(seeded(3), message), nil }
	for _, text := range []string{"text\n", "example.com/log\n17\n", practiceText + "\n"} {
		if _, err := Cosign(k, text, 1, sign); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("cosigning %q: %v", text, err)
		}
	}
	sig, err := Cosign(k, practiceText, 1, sign)
	if err != nil {
		t.Fatal(err)
	}
	n := signed(t, practiceText, "example.com/log", 1)
	got, _, err := Open([]byte(n.String()+sig.String()), logKey(t, "example.com/log", 1))
	if err != nil {
		t.Fatal(err)
	}
	if at, ok, err := got.Cosigned(k); at != 1 || !ok || err != nil {
		t.Errorf("the line after the log's own: %d, %t, %v", at, ok, err)
	}
}

// TestCS_3_KeyID computes key IDs from their definition.
func TestCS_3_KeyID(t *testing.T) {
	const name = "witness.example/w"
	pub := string(seeded(3).Public().(ed25519.PublicKey))
	vkey := func(material string) string {
		sum := sha256.Sum256([]byte(material))
		return fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString([]byte("\x04"+pub)))
	}
	good := vkey(name + "\n\x04" + pub)
	k, err := ParseVKey(good)
	if err != nil || k.Type() != TypeCosignature || k.String() != good {
		t.Errorf("%s: %v", good, err)
	}
	if made := cosigner(t, name, 3); made.String() != good {
		t.Errorf("made is %s, want %s", made, good)
	}
	for what, material := range map[string]string{
		"type 0x01":    name + "\n\x01" + pub,
		"type 0x06":    name + "\n\x06" + pub,
		"no type":      name + "\n" + pub,
		"no line feed": name + "\x04" + pub,
		"no name":      "\x04" + pub,
		"another name": "witness.example/v\n\x04" + pub,
	} {
		if _, err := ParseVKey(vkey(material)); !errors.Is(err, ErrVKey) {
			t.Errorf("key ID of %s: %v", what, err)
		}
	}
}

func TestCS_5_Times(t *testing.T) {
	const name = "witness.example/w"
	k := cosigner(t, name, 3)
	sign := func(message []byte) ([]byte, error) { return ed25519.Sign(seeded(3), message), nil }
	n := signed(t, practiceText, "example.com/log", 1)
	for _, c := range []struct {
		at   uint64
		text string
		ok   bool
	}{
		{0, "0", true},
		{1<<63 - 1, "9223372036854775807", true},
		{1 << 63, "9223372036854775808", false},
		{1<<64 - 1, "18446744073709551615", false},
	} {
		if _, err := Cosign(k, practiceText, c.at, sign); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrCosignature) {
			t.Errorf("cosigning at %d: %v", c.at, err)
		}
		// The same line by somebody who does not know the limit.
		with, err := n.Add(cosignature(k, 3, c.at, "cosignature/v1\ntime "+c.text+"\n"+practiceText))
		if err != nil {
			t.Fatal(err)
		}
		var bad *BadSignatureError
		at, ok, err := with.Cosigned(k)
		if ok != c.ok || ok && at != c.at || !ok && !errors.As(err, &bad) {
			t.Errorf("line of %d: %d, %t, %v", c.at, at, ok, err)
		}
	}
}

// TestCS_6_OtherLinesAreSkipped: only a line with the name, the key and the
// version that a client holds is a cosignature to it, and only such a line can
// refuse the note.
func TestCS_6_OtherLinesAreSkipped(t *testing.T) {
	const name, at = "witness.example/w", 1700000000
	message := "cosignature/v1\ntime 1700000000\n" + practiceText
	k := cosigner(t, name, 3)
	good := cosignature(k, 3, at, message)
	damaged := k.Sign(append([]byte{1}, good.Bytes[1:]...))
	asNote := logKey(t, name, 3)
	asNoteLine := asNote.Sign(ed25519.Sign(seeded(3), []byte(practiceText)))
	for _, c := range []struct {
		what    string
		line    Signature
		ok, bad bool
	}{
		{"name, key and version", good, true, false},
		{"the same, damaged", damaged, false, true},
		{"the same key as type 0x01", asNoteLine, false, false},
		{"the bytes of a cosignature under the type 0x01 key ID", Signature{name, asNote.KeyID(), good.Bytes}, false, false},
		{"another name", cosignature(cosigner(t, "witness.example/v", 3), 3, at, message), false, false},
		{"another name with this key ID", Signature{"witness.example/v", k.KeyID(), good.Bytes}, false, false},
		{"another key", cosignature(cosigner(t, name, 4), 4, at, message), false, false},
		{"another version", Signature{name, 0x06060606, make([]byte, 2428)}, false, false},
	} {
		n, err := signed(t, practiceText, "example.com/log", 1).Add(c.line)
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := n.Cosigned(k)
		var bad *BadSignatureError
		if ok != c.ok || ok && got != at || errors.As(err, &bad) != c.bad || !c.bad && err != nil {
			t.Errorf("%s: %d, %t, %v", c.what, got, ok, err)
		}
		if _, ok, err := n.Cosigned(asNote); ok || err != nil {
			t.Errorf("%s, to who holds the key as type 0x01: %t, %v", c.what, ok, err)
		}
	}
}

// TestCS_7_MessageBytes has the signed bytes of a checkpoint with extension lines
// written out, and the signature that Ed25519 gives for them.
func TestCS_7_MessageBytes(t *testing.T) {
	const (
		text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nextension\nand another one\n"
		// By the key of seed 03…03, made with another implementation of Ed25519.
		signature = "f06b7e905b108a84588fe4bafa2c296e935161b25cfb3310e721e5da9dae1669" +
			"0dca7ae35f4cfef5c9f7c97d3045784d3d1d95d66495d823c1e354f9a1ac7f04"
		at = 1679315147
	)
	const message = "cosignature/v1\n" +
		"time 1679315147\n" +
		"example.com/behind-the-sofa\n" +
		"20852163\n" +
		"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n" +
		"extension\n" +
		"and another one\n"
	if got := CosignatureMessage(text, at); string(got) != message {
		t.Errorf("message is %q, want %q", got, message)
	}
	if got := CosignatureMessage(text, 7); string(got[:22]) != "cosignature/v1\ntime 7\n" {
		t.Errorf("message at 7 begins %q", got[:22])
	}
	k := cosigner(t, "witness.example/w", 3)
	known, err := hex.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	if !k.Verify(text, append(binary.BigEndian.AppendUint64(nil, at), known...)) {
		t.Error("the known answer does not verify")
	}
	sig, err := Cosign(k, text, at, func(m []byte) ([]byte, error) { return ed25519.Sign(seeded(3), m), nil })
	if err != nil || hex.EncodeToString(sig.Bytes[8:]) != signature {
		t.Errorf("cosigned as %x, %v", sig.Bytes, err)
	}
	for what, other := range map[string]string{
		"leading zero":          "cosignature/v1\ntime 01679315147\n" + text,
		"another time":          "cosignature/v1\ntime 1679315148\n" + text,
		"no time":               "cosignature/v1\n" + text,
		"another version":       "cosignature/v2\ntime 1679315147\n" + text,
		"no extension lines":    "cosignature/v1\ntime 1679315147\n" + text[:len(text)-len("extension\nand another one\n")],
		"no line feed at end":   message[:len(message)-1],
		"line feed too many":    message + "\n",
		"the text alone":        text,
		"CR LF after the lines": "cosignature/v1\r\ntime 1679315147\r\n" + text,
	} {
		if k.Verify(text, cosignature(k, 3, at, other).Bytes) {
			t.Errorf("%s: a signature over %q verifies", what, other)
		}
	}
}

// TestCS_8_ExtensionLinesAreCovered: who cosigns says nothing of extension lines,
// and still nobody can change them under the cosignature.
func TestCS_8_ExtensionLinesAreCovered(t *testing.T) {
	k := cosigner(t, "witness.example/w", 3)
	text := practiceText + "extension 1\n"
	sig, err := Cosign(k, text, 5, func(message []byte) ([]byte, error) { return ed25519.Sign(seeded(3), message), nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, text string
		ok         bool
	}{
		{"as cosigned", text, true},
		{"changed", practiceText + "extension 2\n", false},
		{"one more", text + "extension 2\n", false},
		{"taken away", practiceText, false},
	} {
		var bad *BadSignatureError
		at, ok, err := Note{Text: c.text, Signatures: []Signature{sig}}.Cosigned(k)
		if ok != c.ok || ok && at != 5 || !ok && !errors.As(err, &bad) {
			t.Errorf("extension lines %s: %d, %t, %v", c.what, at, ok, err)
		}
	}
}

// TestCS_9_NameIsNotSigned is why every cosigner has a key of its own: the
// signature of one is good under the name of another with the same key.
func TestCS_9_NameIsNotSigned(t *testing.T) {
	a, b, c := cosigner(t, "witness.example/a", 3), cosigner(t, "witness.example/b", 3), cosigner(t, "witness.example/b", 4)
	sig := cosignature(a, 3, 5, "cosignature/v1\ntime 5\n"+practiceText)
	if a.KeyID() == b.KeyID() || !b.Verify(practiceText, sig.Bytes) {
		t.Error("a cosignature commits to its cosigner's name")
	}
	if c.Verify(practiceText, sig.Bytes) {
		t.Error("a cosignature verifies under another key")
	}
}
