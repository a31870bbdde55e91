package checkpoint

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
	"golang.org/x/mod/sumdb/note"
)

func TestSN_14_PublicKeys(t *testing.T) {
	var v struct {
		Keys []struct {
			VKey  string
			Name  string
			KeyID string `json:"key_id"`
			Type  KeyType
		}
	}
	readVector(t, "tlog/keys/public-vkeys.json", &v)
	for _, c := range v.Keys {
		k, err := ParseVKey(c.VKey)
		if err != nil {
			t.Errorf("%s: %v", c.VKey, err)
			continue
		}
		if k.Name() != c.Name || fmt.Sprintf("%08x", k.KeyID()) != c.KeyID || k.Type() != c.Type || k.String() != c.VKey {
			t.Errorf("%s is read as %s", c.VKey, k)
		}
		if key, ok := k.ChioKey(); !ok {
			t.Errorf("%s has no Chio key", c.VKey)
		} else if again, err := NewVKey(c.Name, key); err != nil || !again.Equal(k) {
			t.Errorf("%s made again is %s, %v", c.VKey, again, err)
		}
	}
}

func TestSN_14_BadVKeys(t *testing.T) {
	var v struct {
		Bad []struct{ VKey, Why string } `json:"bad_vkeys"`
	}
	readVector(t, "tlog/generated/notes.json", &v)
	for _, c := range v.Bad {
		var unsupported *UnsupportedKeyError
		if _, err := ParseVKey(c.VKey); !errors.Is(err, ErrVKey) && !errors.As(err, &unsupported) {
			t.Errorf("%s (%s): %v", c.VKey, c.Why, err)
		}
	}
}

// ecdsaVKey returns the text of a type 0x02 key, made with x509 as publishers do.
func ecdsaVKey(t *testing.T, curve elliptic.Curve) (*ecdsa.PrivateKey, []byte, string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(spki)
	return priv, spki, fmt.Sprintf("example.com/ec+%x+%s", sum[:4], base64.StdEncoding.EncodeToString(append([]byte{2}, spki...)))
}

func TestSN_11_ECDSA(t *testing.T) {
	const text = "text\n"
	digest := sha256.Sum256([]byte(text))
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		priv, _, vkey := ecdsaVKey(t, curve)
		k, err := ParseVKey(vkey)
		if err != nil || k.String() != vkey {
			t.Errorf("%s: %v", curve.Params().Name, err)
			continue
		}
		der, err := ecdsa.SignASN1(rand.Reader, priv, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		if !k.Verify(text, der) || k.Verify("other\n", der) || k.Verify(text, append(der, 0)) || k.Verify(text, der[1:]) {
			t.Errorf("%s: wrong verdict", curve.Params().Name)
		}
		key, ok := k.ChioKey()
		if want := curve != elliptic.P521(); ok != want {
			t.Errorf("%s: ChioKey: %v", curve.Params().Name, ok)
		} else if ok && curve == elliptic.P256() && !key.VerifyRaw([]byte(text), der) {
			t.Error("the Chio key of a P-256 verifier key is another key")
		}
	}
	_, _, p224 := ecdsaVKey(t, elliptic.P224())
	if _, err := ParseVKey(p224); !errors.Is(err, ErrVKey) {
		t.Errorf("P-224: %v", err)
	}
}

// TestP384 checks the form of type 0xff: the key ID is over name, type, identifier
// and key, and the signature over SHA-384.
func TestP384(t *testing.T) {
	const text = "text\n"
	priv, spki, type2 := ecdsaVKey(t, elliptic.P384())
	point, err := priv.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	key, err := chio.ParseKey(fmt.Sprintf("p384:%x", point))
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewVKey("example.com/ec", key)
	if err != nil {
		t.Fatal(err)
	}
	payload := append([]byte("\xffchiolog/ecdsa-p384-sha384\x00"), spki...)
	sum := sha256.Sum256(append([]byte("example.com/ec\n"), payload...))
	want := fmt.Sprintf("example.com/ec+%x+%s", sum[:4], base64.StdEncoding.EncodeToString(payload))
	if again, err := ParseVKey(want); err != nil || k.String() != want || !again.Equal(k) {
		t.Errorf("%s, want %s: %v", k, want, err)
	}
	digest := sha512.Sum384([]byte(text))
	der, err := ecdsa.SignASN1(rand.Reader, priv, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	old, err := ParseVKey(type2)
	if err != nil {
		t.Fatal(err)
	}
	if !k.Verify(text, der) || k.Verify("other\n", der) || old.Verify(text, der) {
		t.Error("wrong verdict")
	}
	if got, ok := k.ChioKey(); !ok || !got.Equal(key) || old.PublicKey() != k.PublicKey() {
		t.Error("another public key")
	}
	// Another identifier is another, unknown kind of key; another curve is none.
	var unsupported *UnsupportedKeyError
	payload[1] = 'C'
	if _, err := ParseVKey("example.com/ec+00000000+" + base64.StdEncoding.EncodeToString(payload)); !errors.As(err, &unsupported) {
		t.Errorf("another identifier: %v", err)
	}
	_, p256SPKI, _ := ecdsaVKey(t, elliptic.P256())
	if _, err := makeVKey("example.com/ec", TypeP384, p384Name+string(p256SPKI)); !errors.Is(err, ErrVKey) {
		t.Errorf("P-256 key: %v", err)
	}
}

func TestParseVKeyRefuses(t *testing.T) {
	good := logKey(t, "example.com/log", 1).String()
	_, spki, ec := ecdsaVKey(t, elliptic.P256())
	point := len(spki) - 65
	altered := func(change func([]byte)) string {
		other := append([]byte(nil), spki...)
		change(other)
		sum := sha256.Sum256(other)
		return fmt.Sprintf("example.com/ec+%x+%s", sum[:4], base64.StdEncoding.EncodeToString(append([]byte{2}, other...)))
	}
	id := good[len("example.com/log+"):][:8]
	for _, c := range []refusal{
		{"SN-13 three parts", good, strings.Replace(good, "+", "-", 1), ErrVKey},
		{"SN-13 eight hex digits", good, strings.Replace(good, id, id+"0", 1), ErrVKey},
		{"SN-13 not seven", good, strings.Replace(good, id, id[1:], 1), ErrVKey},
		{"SN-13 lower case", good, strings.Replace(good, id, strings.ToUpper(id), 1), ErrVKey},
		{"SN-13 base64", good, good[:len(good)-1] + "_", ErrVKey},
		{"base64 line feed", good, good[:len(good)-4] + "\n" + good[len(good)-4:], ErrVKey},
		{"SN-14 key ID of another name", good, strings.Replace(good, "/log", "/lag", 1), ErrVKey},
		{"SN-4 name", good, strings.Replace(good, "/log", "/l g", 1), ErrVKey},
		{"point off the curve", ec, altered(func(b []byte) { b[point+40] ^= 1 }), ErrVKey},
		{"compressed form byte", ec, altered(func(b []byte) { b[point] = 2 }), ErrVKey},
		{"other DER", ec, altered(func(b []byte) { b[0] = 0x31 }), ErrVKey},
	} {
		if k, err := ParseVKey(c.good); err != nil || k.String() != c.good {
			t.Errorf("%s: neighbour is refused: %v", c.name, err)
		}
		if _, err := ParseVKey(c.bad); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSN_12_UnsupportedTypes(t *testing.T) {
	for _, typ := range []byte{0, 3, 5, 6, 0xfa, 0xff} {
		text := "example.com/x+0a0b0c0d+" + base64.StdEncoding.EncodeToString(append([]byte{typ}, make([]byte, 40)...))
		var unsupported *UnsupportedKeyError
		if _, err := ParseVKey(text); !errors.As(err, &unsupported) {
			t.Errorf("type 0x%02x: %v", typ, err)
		} else if *unsupported != (UnsupportedKeyError{"example.com/x", 0x0a0b0c0d, KeyType(typ)}) {
			t.Errorf("type 0x%02x: %+v", typ, unsupported)
		}
	}
}

func TestSN_15_EachTypeHasItsKeyID(t *testing.T) {
	pub := seeded(1).Public().(ed25519.PublicKey)
	a := logKey(t, "example.com/log", 1)
	b, err := NewCosignatureVKey("example.com/log", pub)
	if err != nil {
		t.Fatal(err)
	}
	if a.KeyID() == b.KeyID() || a.Equal(b) || a.PublicKey() != b.PublicKey() {
		t.Errorf("%s and %s", a, b)
	}
}

func TestNewVKeyRefuses(t *testing.T) {
	pub := seeded(1).Public().(ed25519.PublicKey)
	if _, err := NewEd25519VKey("a+b", pub); !errors.Is(err, ErrVKey) {
		t.Errorf("name: %v", err)
	}
	if _, err := NewCosignatureVKey("", pub); !errors.Is(err, ErrVKey) {
		t.Errorf("name: %v", err)
	}
	if _, err := NewCosignatureVKey("a", pub[1:]); !errors.Is(err, ErrVKey) {
		t.Errorf("31 bytes: %v", err)
	}
	if _, err := NewVKey("a", chio.Key{}); !errors.Is(err, ErrVKey) {
		t.Errorf("no key: %v", err)
	}
	var zero VKey
	if zero.Verify("text\n", make([]byte, 64)) || zero.String() != "" {
		t.Error("the zero key verifies or prints something")
	}
}

// FuzzVKey checks that a key prints as what was parsed, and that golang.org/x/mod
// reads our Ed25519 keys.
func FuzzVKey(f *testing.F) {
	f.Add(logKey(f, "example.com/log", 1).String())
	f.Add("developers.google.com/x+aacba1b3+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKh9xi5WKD+WxbAh/Ax8uTbaYyW0UMN3yTUgE0pqPDpV1DKdKHtdqkcBx7XT+5PVx5SbAmKfI49HUGmPjfX7Xy8=")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseVKey(text)
		if err != nil {
			return
		}
		if k.String() != text {
			t.Fatalf("%q is printed as %q", text, k)
		}
		if k.Type() != TypeEd25519 {
			return
		}
		theirs, err := note.NewVerifier(text)
		if err != nil || theirs.Name() != k.Name() || theirs.KeyHash() != k.KeyID() {
			t.Fatalf("x/mod reads %q otherwise: %v", text, err)
		}
	})
}

func TestCosignature_Vectors(t *testing.T) {
	var v struct {
		Checkpoint string
		LogVKey    string `json:"log_vkey"`
		Ed25519    struct {
			Line, Private string
			SignedMessage string `json:"signed_message"`
			Timestamp     uint64
			VKey1         string `json:"vkey_type1"`
			VKey4         string `json:"vkey_type4"`
		}
		MLDSA struct {
			Line string
			VKey string
		} `json:"ml_dsa_44"`
		MustIgnore []struct{ Line, Why string } `json:"must_ignore"`
		MustRefuse []struct{ Line, Why string } `json:"must_refuse"`
	}
	readVector(t, "tlog/generated/cosignatures.json", &v)
	log, err := ParseVKey(v.LogVKey)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseVKey(v.Ed25519.VKey4)
	if err != nil {
		t.Fatal(err)
	}
	note, _, err := Open([]byte(v.Checkpoint), log)
	if err != nil {
		t.Fatal(err)
	}
	if got := CosignatureMessage(note.Text, v.Ed25519.Timestamp); string(got) != v.Ed25519.SignedMessage {
		t.Errorf("message is\n%s", got)
	}
	n, err := ParseNote([]byte(v.Checkpoint + v.Ed25519.Line))
	if err != nil {
		t.Fatal(err)
	}
	if at, ok, err := n.Cosigned(k); at != v.Ed25519.Timestamp || !ok || err != nil {
		t.Errorf("Cosigned: %d, %v, %v", at, ok, err)
	}
	// The private key gives the published line.
	parts := strings.SplitN(v.Ed25519.Private, "+", 5)
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil {
		t.Fatal(err)
	}
	sig, err := Cosign(k, n.Text, v.Ed25519.Timestamp, func(message []byte) ([]byte, error) {
		return ed25519.Sign(ed25519.NewKeyFromSeed(seed[1:]), message), nil
	})
	if err != nil || sig.String() != v.Ed25519.Line {
		t.Errorf("Cosign: %v\n%s", err, sig)
	}
	// The type 0x01 key of the same bytes does not know the line.
	k1, err := ParseVKey(v.Ed25519.VKey1)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := n.Cosigned(k1); ok || err != nil {
		t.Errorf("type 0x01: %v, %v", ok, err)
	}
	for _, c := range v.MustIgnore {
		n, err := ParseNote([]byte(v.Checkpoint + c.Line))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := n.Cosigned(k); ok || err != nil {
			t.Errorf("%s: %v, %v", c.Why, ok, err)
		}
	}
	for _, c := range v.MustRefuse {
		n, err := ParseNote([]byte(v.Checkpoint + c.Line))
		if err != nil {
			t.Fatal(err)
		}
		var bad *BadSignatureError
		if _, ok, err := n.Cosigned(k); ok || !errors.As(err, &bad) {
			t.Errorf("%s: %v, %v", c.Why, ok, err)
		}
	}
	// ML-DSA-44 is not verified: its key is refused by type, its line tolerated.
	var unsupported *UnsupportedKeyError
	if _, err := ParseVKey(v.MLDSA.VKey); !errors.As(err, &unsupported) || unsupported.Type != 6 {
		t.Errorf("ML-DSA key: %v", err)
	}
	if _, _, err := Open([]byte(v.Checkpoint+v.MLDSA.Line), log); err != nil {
		t.Errorf("note with an ML-DSA line: %v", err)
	}
}

func TestCS_4_ExampleLine(t *testing.T) {
	var v struct {
		Parse struct {
			Line      string
			KeyID     string `json:"key_id"`
			Timestamp uint64
		} `json:"cosignature_parse"`
	}
	readVector(t, "tlog/examples.json", &v)
	sigs, err := ParseSignatures([]byte(v.Parse.Line + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	at, raw, err := splitCosignature(sigs[0].Bytes)
	if err != nil || at != v.Parse.Timestamp || len(raw) != 64 || fmt.Sprintf("%08x", sigs[0].KeyID) != v.Parse.KeyID {
		t.Errorf("%d, %d bytes, %v", at, len(raw), err)
	}
}

func TestCS_CosignRefuses(t *testing.T) {
	priv := seeded(3)
	k, err := NewCosignatureVKey("witness.example/w", priv.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	sign := func(message []byte) ([]byte, error) { return ed25519.Sign(priv, message), nil }
	text := Checkpoint{Origin: "example.com/log", Size: 1}.String()
	failing := errors.New("no key")
	for _, c := range []struct {
		name string
		key  VKey
		text string
		at   uint64
		sign func([]byte) ([]byte, error)
		want error
	}{
		{"good", k, text, 1<<63 - 1, sign, nil},
		{"CS-5 time", k, text, 1 << 63, sign, ErrCosignature},
		{"CS-1 not a checkpoint", k, "text\n", 1, sign, ErrCheckpoint},
		{"CS-3 type", logKey(t, "witness.example/w", 3), text, 1, sign, ErrVKey},
		{"signer fails", k, text, 1, func([]byte) ([]byte, error) { return nil, failing }, failing},
	} {
		sig, err := Cosign(c.key, c.text, c.at, c.sign)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && !c.key.Verify(c.text, sig.Bytes) {
			t.Errorf("%s: does not verify", c.name)
		}
	}
	var bad *BadSignatureError
	if _, err := Cosign(k, text, 1, func([]byte) ([]byte, error) { return make([]byte, 64), nil }); !errors.As(err, &bad) {
		t.Errorf("another key's signature: %v", err)
	}
	// A signature that is good but for its time above 2^63−1.
	late := uint64(1) << 63
	raw := append(binary.BigEndian.AppendUint64(nil, late), ed25519.Sign(priv, CosignatureMessage(text, late))...)
	if k.Verify(text, raw) {
		t.Error("CS-5: a time above 2^63−1 verifies")
	}
}
