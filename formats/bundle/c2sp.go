package bundle

import (
	"fmt"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/policy"
)

// VerifyC2SP returns nil if data is a tlog-proof that entry is in a log, under
// a checkpoint that a pinned key of its origin signed and that the witnesses
// cosigned according to the quorum (TP-5). It reads no extra: neither the key
// timeline nor the receipt's own rules are looked at, so a retired key that is
// still pinned counts, and entry may be anything. It is for callers who asked
// for just that (V-3); Verify is for all others.
//
// The error is that of ParseProof, checkpoint.ParseNote or policy.Verify, or
// checkpoint.ErrProof.
func VerifyC2SP(data, entry []byte, p *policy.Policy) error {
	if len(data) > MaxBundle {
		return fmt.Errorf("%w: %d bytes, the limit is %d", errProof, len(data), MaxBundle)
	}
	proof, err := ParseProof(data)
	if err != nil {
		return err
	}
	note, err := checkpoint.ParseNote(proof.Checkpoint)
	if err != nil {
		return err
	}
	verified, err := p.Verify(note)
	if err != nil {
		return err
	}
	head := verified.Checkpoint
	return checkpoint.VerifyInclusion(checkpoint.LeafHash(entry), proof.Index, head.Size, proof.Path, head.Root)
}
