package tlogtest

import (
	"crypto/ed25519"
	"crypto/sha256"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
)

// A Key is an Ed25519 key pair for tests.
type Key struct {
	chio.Key
	private ed25519.PrivateKey
}

// NewKey returns the key of a name: the same name gives the same key in every
// run. Its seed is a hash of the name.
func NewKey(name string) Key {
	seed := sha256.Sum256([]byte("tlogtest key\x00" + name))
	private := ed25519.NewKeyFromSeed(seed[:])
	return Key{chio.NewEd25519(private.Public().(ed25519.PublicKey)), private}
}

// Sign returns the raw signature of message, 64 bytes.
func (k Key) Sign(message []byte) []byte { return ed25519.Sign(k.private, message) }

// SignText is a timeline.SignFunc: the signature in Chio's text form.
func (k Key) SignText(message []byte) (string, error) {
	return chio.SignatureText(chio.Ed25519, k.Sign(message)), nil
}

// VKey returns the key under which k signs notes of a log.
func (k Key) VKey(origin string) checkpoint.VKey {
	v, err := checkpoint.NewVKey(origin, k.Key)
	if err != nil {
		panic("tlogtest: " + err.Error()) // an origin that no key can have
	}
	return v
}

// SignNote returns the line by which k signs a checkpoint's text for origin,
// whether k may or not.
func (k Key) SignNote(origin, text string) checkpoint.Signature {
	return k.VKey(origin).Sign(k.Sign([]byte(text)))
}

// A Witness cosigns the checkpoints of a log. It decides nothing: what a
// witness refuses is for the tests of one.
type Witness struct {
	Name string // in policies, and in the name of its key
	Key  Key
	// Time is the time of its cosignatures, in Unix seconds; 0 takes the log's.
	Time uint64
	// Absent witnesses do not cosign.
	Absent bool
}

// NewWitness returns the witness of a name, with the key of "witness/" + name.
func NewWitness(name string) *Witness { return &Witness{Name: name, Key: NewKey("witness/" + name)} }

// VKey returns the key under which w cosigns.
func (w *Witness) VKey() checkpoint.VKey {
	v, err := checkpoint.NewCosignatureVKey("witness.example/"+w.Name, w.Key.Ed25519())
	if err != nil {
		panic("tlogtest: " + err.Error()) // a name that no key can have
	}
	return v
}

// Cosign returns w's cosignature of a checkpoint's text at a time in Unix
// seconds.
func (w *Witness) Cosign(text string, timestamp uint64) checkpoint.Signature {
	sig, err := checkpoint.Cosign(w.VKey(), text, timestamp, func(m []byte) ([]byte, error) { return w.Key.Sign(m), nil })
	if err != nil {
		panic("tlogtest: " + err.Error()) // not a checkpoint's text
	}
	return sig
}
