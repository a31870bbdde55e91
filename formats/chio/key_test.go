package chio

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func seeded(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string([]byte{b}), 32)))
}

func ecKey(t *testing.T, c elliptic.Curve) (*ecdsa.PrivateKey, string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := priv.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return priv, hex.EncodeToString(point)
}

func TestKeyID(t *testing.T) {
	// The key log's published genesis event: seed 02 is the key it introduces.
	k := NewEd25519(seeded(2).Public().(ed25519.PublicKey))
	if got, want := k.ID().String(), "0x6bd66dfc77930771af45dc94ec2fa7d1e78cd5af8a483fa79954b44f48f1f485"; got != want {
		t.Errorf("key_id = %s, want %s", got, want)
	}
}

func TestParseKey(t *testing.T) {
	_, p256 := ecKey(t, elliptic.P256())
	_, p384 := ecKey(t, elliptic.P384())
	ed := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"ed25519", ed, nil},
		{"upper case", strings.ToUpper(ed), ErrEncoding},
		{"0x prefix", "0x" + ed, ErrEncoding},
		{"31 bytes", ed[2:], ErrEncoding},
		{"33 bytes", ed + "ab", ErrEncoding},
		{"odd digits", ed[1:], ErrEncoding},
		{"empty", "", ErrEncoding},
		{"p256", "p256:" + p256, nil},
		{"p256 with 0x", "p256:0x" + p256, ErrEncoding},
		{"p256 off the curve", "p256:" + p256[:128] + "0000", ErrEncoding},
		{"p256 point as p384", "p384:" + p256, ErrEncoding},
		{"p384", "p384:" + p384, nil},
		{"hybrid", "hybrid:" + ed + ":00:ed25519+mldsa65", ErrHybrid},
		{"unknown prefix", "rsa:" + ed, ErrEncoding},
	} {
		k, err := ParseKey(tt.text)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		if err == nil && k.Text() != tt.text {
			t.Errorf("%s: text changed", tt.name)
		}
	}
}

func TestVerify(t *testing.T) {
	msg := []byte("message")
	priv := seeded(7)
	ed := NewEd25519(priv.Public().(ed25519.PublicKey))
	edSig := SignatureText(Ed25519, ed25519.Sign(priv, msg))

	priv256, text256 := ecKey(t, elliptic.P256())
	d256 := sha256.Sum256(msg)
	der256, _ := ecdsa.SignASN1(rand.Reader, priv256, d256[:])
	k256, err := ParseKey("p256:" + text256)
	if err != nil {
		t.Fatal(err)
	}
	priv384, text384 := ecKey(t, elliptic.P384())
	d384 := sha512.Sum384(msg)
	der384, _ := ecdsa.SignASN1(rand.Reader, priv384, d384[:])
	k384, err := ParseKey("p384:" + text384)
	if err != nil {
		t.Fatal(err)
	}
	// A long-form length where the short form would do is BER, not DER.
	ber := append([]byte{der256[0], 0x81}, der256[1:]...)

	for _, tt := range []struct {
		name string
		key  Key
		sig  string
		want error
	}{
		{"ed25519", ed, edSig, nil},
		{"ed25519 upper case", ed, strings.ToUpper(edSig), ErrEncoding},
		{"ed25519 short", ed, edSig[2:], ErrEncoding},
		{"ed25519 other", ed, strings.Repeat("00", 64), ErrSignature},
		{"p256", k256, SignatureText(P256, der256), nil},
		{"p256 BER", k256, SignatureText(P256, ber), ErrSignature},
		{"p256 trailing byte", k256, SignatureText(P256, append(der256[:len(der256):len(der256)], 0)), ErrSignature},
		{"p256 signature as p384", k384, SignatureText(P256, der256), ErrSignature},
		{"p384", k384, SignatureText(P384, der384), nil},
		{"p384 under p256", k256, SignatureText(P384, der384), ErrSignature},
		{"hybrid", ed, "hybrid:" + edSig + ":00:ed25519+mldsa65", ErrHybrid},
		{"zero key", Key{}, edSig, ErrSignature},
	} {
		if err := tt.key.Verify(msg, tt.sig); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestVerifyStrictRefusesSmallOrder(t *testing.T) {
	// The identity as key and as R with S = 0 verifies for every message.
	identity := "01" + strings.Repeat("00", 31)
	k, err := ParseKey(identity)
	if err != nil {
		t.Fatal(err)
	}
	sig := identity + strings.Repeat("00", 32)
	if err := k.Verify([]byte("any"), sig); err != nil {
		t.Fatalf("Verify: %v; the standard library takes this one", err)
	}
	if err := k.VerifyStrict([]byte("any"), sig); !errors.Is(err, ErrSmallOrder) {
		t.Errorf("VerifyStrict: %v, want %v", err, ErrSmallOrder)
	}
	if !k.SmallOrder() {
		t.Error("SmallOrder() = false for the identity")
	}
	priv := seeded(7)
	honest := NewEd25519(priv.Public().(ed25519.PublicKey))
	if err := honest.VerifyStrict([]byte("any"), SignatureText(Ed25519, ed25519.Sign(priv, []byte("any")))); err != nil {
		t.Errorf("VerifyStrict refuses an ordinary signature: %v", err)
	}
}

func TestHashText(t *testing.T) {
	good := "0x" + strings.Repeat("0a", 32)
	h, err := ParseHash(good)
	if err != nil || h.String() != good {
		t.Fatalf("ParseHash(%q) = %v, %v", good, h, err)
	}
	for _, bad := range []string{good[2:], strings.ToUpper(good), "0X" + good[2:], good + "00", good[:65] + "g", ""} {
		if _, err := ParseHash(bad); !errors.Is(err, ErrEncoding) {
			t.Errorf("ParseHash(%q): %v, want %v", bad, err, ErrEncoding)
		}
	}
	var o OptionalHash
	if err := o.UnmarshalText(nil); err != nil || o.Valid {
		t.Errorf("empty optional hash: %v, %v", o, err)
	}
	if err := o.UnmarshalText([]byte(good)); err != nil || !o.Valid {
		t.Errorf("optional hash: %v, %v", o, err)
	}
}
