package timeline

import (
	"crypto/sha256"
	"fmt"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// A SignFunc signs a message with a key that it holds and returns the
// signature in Chio's text form.
type SignFunc func(message []byte) (signature string, err error)

// Genesis is what a log's first event says.
type Genesis struct {
	Origin      string
	Key         chio.Key        // the kernel key that it introduces
	Bootstrap   chio.Key        // a key of its own, needed never again
	Recovery    *RecoveryPolicy // NoRecovery for none
	NextKeyID   *chio.Hash      // commits the next rotation to one key, or nil
	Predecessor *Predecessor    // the log that this one continues, or nil
	IssuedAt    uint64          // Unix seconds
}

// Metadata returns the metadata of the authority.genesis receipt, authorised
// by the bootstrap key through sign.
func (g Genesis) Metadata(sign SignFunc) (Metadata, error) {
	if err := CheckOrigin(g.Origin); err != nil {
		return Metadata{}, err
	}
	if err := g.Recovery.Check(); err != nil {
		return Metadata{}, err
	}
	if _, err := genesisRoles(g.Key, g.Bootstrap, g.Recovery); err != nil {
		return Metadata{}, err
	}
	terms, err := jcs.Marshal(Terms{
		Base:         Base{Root: sha256.Sum256(nil)},
		BootstrapKey: g.Bootstrap.Text(),
		NextKeyID:    g.NextKeyID,
		Operation:    OpGenesis,
		Origin:       g.Origin,
		Predecessor:  g.Predecessor,
		Recovery:     g.Recovery,
		Schema:       termsSchema,
	})
	if err != nil {
		return Metadata{}, fmt.Errorf("genesis terms: %w", err)
	}
	body := newBody(g.Origin, g.Key, terms, g.IssuedAt)
	body.Operation = Operation{Type: OpGenesis}
	signed, err := body.SignedBytes()
	if err != nil {
		return Metadata{}, err
	}
	signature, err := sign(signed)
	if err != nil {
		return Metadata{}, fmt.Errorf("bootstrap authorisation: %w", err)
	}
	envelope, err := jcs.Marshal(Envelope{Body: body, Authorizations: Authorizations{
		Bootstrap: &Authorization{Algorithm: g.Bootstrap.Algorithm(), KeyID: g.Bootstrap.ID(), Signature: signature},
	}})
	if err != nil {
		return Metadata{}, fmt.Errorf("genesis envelope: %w", err)
	}
	return Metadata{Event: EventGenesis, KeyEvent: envelope, KeyTerms: terms}, nil
}

// newBody returns a body with the members that every operation has.
func newBody(origin string, key chio.Key, terms []byte, issuedAt uint64) Body {
	return Body{
		Algorithm:   key.Algorithm(),
		AuthorityID: origin,
		EffectiveAt: issuedAt,
		EventID:     eventID(terms),
		IssuedAt:    issuedAt,
		KeyID:       key.ID(),
		LogID:       origin,
		PublicKey:   key.Text(),
		Schema:      eventSchema,
	}
}
