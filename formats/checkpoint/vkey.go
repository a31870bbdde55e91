package checkpoint

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/chiolog/chiolog/formats/chio"
)

// A KeyType is the first byte of a verifier key: it says how the key signs notes.
type KeyType byte

// The key types that are verified. More exist; see UnsupportedKeyError.
const (
	TypeEd25519     KeyType = 0x01 // Ed25519 over the text
	TypeECDSA       KeyType = 0x02 // ECDSA in ASN.1 DER over the SHA-256 of the text
	TypeCosignature KeyType = 0x04 // Ed25519 over the text and a time: a witness's
	TypeP384        KeyType = 0xff // P-384 ECDSA in DER over the SHA-384 of the text, with p384Name
)

// p384Name follows the type 0xff, which is for all signatures without a type of
// their own, and says which of them is meant.
const p384Name = "chiolog/ecdsa-p384-sha384\x00"

// ErrVKey reports a text that is not a verifier key in canonical form, or whose
// key ID is another key's.
var ErrVKey = errors.New("not a verifier key")

// An UnsupportedKeyError reports a well-formed verifier key of a type that this
// package does not verify. The key ID is not checked: how it is made depends on
// the type.
type UnsupportedKeyError struct {
	Name  string
	KeyID uint32
	Type  KeyType
}

func (e *UnsupportedKeyError) Error() string {
	return fmt.Sprintf("verifier key %s+%08x has type 0x%02x, which is not supported", e.Name, e.KeyID, byte(e.Type))
}

// A VKey is the verifier key of a log or a witness. The zero value verifies nothing.
type VKey struct {
	name string
	id   uint32
	typ  KeyType
	pub  string            // as in the text, without the type
	ed   ed25519.PublicKey // types 0x01 and 0x04
	ec   *ecdsa.PublicKey  // types 0x02 and 0xff
}

// A curve is one over which ECDSA keys are read. Its prefix is all of the DER
// SubjectPublicKeyInfo before the uncompressed point: the structure has no other
// variable part, so comparing it admits the canonical encoding alone.
type curve struct {
	elliptic.Curve
	prefix string
}

var (
	p256 = curve{elliptic.P256(), "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"}
	p384 = curve{elliptic.P384(), "\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"}
	p521 = curve{elliptic.P521(), "\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00"}
)

// ParseVKey reads the text of a verifier key, "<name>+<key ID>+<base64>" (SN-13),
// and recomputes the key ID (SN-14). The error is ErrVKey or, for a key of another
// type, an *UnsupportedKeyError.
func ParseVKey(text string) (VKey, error) {
	refuse := func(what string) (VKey, error) {
		return VKey{}, fmt.Errorf("%.120q: %s: %w", text, what, ErrVKey)
	}
	name, rest, _ := strings.Cut(text, "+")
	idText, material, ok := strings.Cut(rest, "+")
	if !ok {
		return refuse("not three parts")
	}
	if !validName(name) {
		return refuse("no valid key name")
	}
	var id [4]byte
	if n, err := hex.Decode(id[:], []byte(idText[:min(len(idText), 8)])); err != nil || n != 4 ||
		len(idText) != 8 || strings.ToLower(idText) != idText {
		return refuse("key ID is not 8 lowercase hex digits")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(material)
	if err != nil || strings.ContainsAny(material, "\r\n") || len(raw) == 0 {
		return refuse("key is not canonical base64")
	}
	keyID := binary.BigEndian.Uint32(id[:])
	k, err := newVKey(name, KeyType(raw[0]), string(raw[1:]))
	if errors.Is(err, errKeyType) {
		return VKey{}, &UnsupportedKeyError{Name: name, KeyID: keyID, Type: KeyType(raw[0])}
	}
	if err != nil {
		return refuse(err.Error())
	}
	if k.id != keyID {
		return refuse(fmt.Sprintf("key ID should be %08x", k.id))
	}
	return k, nil
}

var errKeyType = errors.New("key type is not supported")

// newVKey returns the key of the given type and encoding under a valid name.
func newVKey(name string, typ KeyType, pub string) (VKey, error) {
	k := VKey{name: name, typ: typ, pub: pub}
	switch typ {
	case TypeEd25519, TypeCosignature:
		if len(pub) != ed25519.PublicKeySize {
			return VKey{}, fmt.Errorf("Ed25519 key of %d bytes", len(pub))
		}
		k.ed = ed25519.PublicKey(pub)
		k.id = keyID(name + "\n" + string([]byte{byte(typ)}) + pub)
		return k, nil
	case TypeECDSA:
		ec, err := parseSPKI(pub, p256, p384, p521)
		k.ec = ec
		k.id = keyID(pub) // neither name nor type, by an old convention (SN-11)
		return k, err
	case TypeP384:
		spki, ok := strings.CutPrefix(pub, p384Name)
		if !ok {
			return VKey{}, errKeyType
		}
		ec, err := parseSPKI(spki, p384)
		k.ec = ec
		k.id = keyID(name + "\n" + string([]byte{byte(typ)}) + pub)
		return k, err
	}
	return VKey{}, errKeyType
}

// parseSPKI reads the DER SubjectPublicKeyInfo of a key over one of the curves.
func parseSPKI(der string, curves ...curve) (*ecdsa.PublicKey, error) {
	for _, c := range curves {
		if point, ok := strings.CutPrefix(der, c.prefix); ok {
			key, err := ecdsa.ParseUncompressedPublicKey(c.Curve, []byte(point))
			if err != nil {
				return nil, errors.New("ECDSA key is not an uncompressed point of its curve")
			}
			return key, nil
		}
	}
	return nil, errors.New("ECDSA key is not the DER SubjectPublicKeyInfo of a NIST curve")
}

func keyID(material string) uint32 {
	sum := sha256.Sum256([]byte(material))
	return binary.BigEndian.Uint32(sum[:])
}

// NewVKey returns the key under which a log signs notes: of type 0x01 for an
// Ed25519 key, 0x02 for P-256 and 0xff for P-384. The name of a log's key is its
// origin. The error is ErrVKey.
func NewVKey(name string, key chio.Key) (VKey, error) {
	_, digits, _ := strings.Cut(key.Text(), ":")
	point, err := hex.DecodeString(digits)
	if err != nil {
		return VKey{}, fmt.Errorf("key %s: %w", key.Text(), ErrVKey)
	}
	switch key.Algorithm() {
	case chio.Ed25519:
		return makeVKey(name, TypeEd25519, string(key.Ed25519()))
	case chio.P256:
		return makeVKey(name, TypeECDSA, p256.prefix+string(point))
	case chio.P384:
		return makeVKey(name, TypeP384, p384Name+p384.prefix+string(point))
	}
	return VKey{}, fmt.Errorf("no key: %w", ErrVKey)
}

// NewEd25519VKey returns the key of type 0x01 under which a log signs. The error
// is ErrVKey.
func NewEd25519VKey(name string, pub ed25519.PublicKey) (VKey, error) {
	return makeVKey(name, TypeEd25519, string(pub))
}

// NewCosignatureVKey returns the key of type 0x04 under which a witness cosigns.
// The error is ErrVKey.
func NewCosignatureVKey(name string, pub ed25519.PublicKey) (VKey, error) {
	return makeVKey(name, TypeCosignature, string(pub))
}

// makeVKey is newVKey with a check of the name.
func makeVKey(name string, typ KeyType, pub string) (VKey, error) {
	if !validName(name) {
		return VKey{}, fmt.Errorf("key name %q: %w", name, ErrVKey)
	}
	k, err := newVKey(name, typ, pub)
	if err != nil {
		return VKey{}, fmt.Errorf("key of %s: %w: %w", name, err, ErrVKey)
	}
	return k, nil
}

// Name returns the name of the key: for a log's key its origin.
func (k VKey) Name() string { return k.name }

// KeyID returns the key ID, which with the name marks the key's signature lines.
func (k VKey) KeyID() uint32 { return k.id }

// Type returns the type of the key.
func (k VKey) Type() KeyType { return k.typ }

// String returns the text that ParseVKey reads, "" for the zero VKey.
func (k VKey) String() string {
	if k.name == "" {
		return ""
	}
	material := base64.StdEncoding.EncodeToString(append([]byte{byte(k.typ)}, k.pub...))
	return fmt.Sprintf("%s+%08x+%s", k.name, k.id, material)
}

// Equal reports whether two verifier keys are the same in name, type and key.
func (k VKey) Equal(o VKey) bool { return k.name == o.name && k.typ == o.typ && k.pub == o.pub }

// PublicKey returns the encoded public key, 32 bytes for Ed25519 and the DER
// SubjectPublicKeyInfo for ECDSA: the same whatever the name and type.
func (k VKey) PublicKey() string {
	if k.typ == TypeP384 {
		return k.pub[len(p384Name):]
	}
	return k.pub
}

// ChioKey returns the public key as Chio's documents write it. A P-521 key has
// no such form.
func (k VKey) ChioKey() (key chio.Key, ok bool) {
	switch {
	case k.ed != nil:
		return chio.NewEd25519(bytes.Clone(k.ed)), true
	case k.ec != nil && k.ec.Curve != elliptic.P521():
		point, err := k.ec.Bytes()
		if err != nil {
			return chio.Key{}, false
		}
		alg := chio.P256
		if k.ec.Curve == elliptic.P384() {
			alg = chio.P384
		}
		key, err = chio.ParseKey(string(alg) + ":" + hex.EncodeToString(point))
		return key, err == nil
	}
	return chio.Key{}, false
}

// Sign returns the signature line of raw, which is a signature of a note's text
// by this key in the form that Verify takes. It verifies nothing.
func (k VKey) Sign(raw []byte) Signature {
	return Signature{Name: k.name, KeyID: k.id, Bytes: raw}
}

// Verify reports whether sig, the bytes after the key ID, is a signature of a
// note's text by k: 64 bytes for type 0x01, ASN.1 DER for 0x02 and 0xff, and an
// 8-byte time and 64 bytes for 0x04.
func (k VKey) Verify(text string, sig []byte) bool {
	switch k.typ {
	case TypeEd25519:
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(k.ed, []byte(text), sig)
	case TypeECDSA:
		digest := sha256.Sum256([]byte(text))
		return ecdsa.VerifyASN1(k.ec, digest[:], sig)
	case TypeP384:
		digest := sha512.Sum384([]byte(text))
		return ecdsa.VerifyASN1(k.ec, digest[:], sig)
	case TypeCosignature:
		timestamp, raw, err := splitCosignature(sig)
		return err == nil && ed25519.Verify(k.ed, CosignatureMessage(text, timestamp), raw)
	}
	return false
}
