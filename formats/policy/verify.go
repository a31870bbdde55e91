package policy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/chiolog/chiolog/formats/checkpoint"
)

// ErrOrigin reports a checkpoint of a log that the policy does not name.
var ErrOrigin = errors.New("origin is not in the policy")

// Verified is a checkpoint that a policy accepts.
type Verified struct {
	Checkpoint checkpoint.Checkpoint
	Logs       []Log             // the pinned keys of the origin that signed it
	Times      map[string]uint64 // of cosignatures, in Unix seconds, by witness name
	QuorumTime uint64            // see Policy.QuorumTime
}

// Verify accepts a checkpoint that one of the pinned keys of its origin signed
// and that the witnesses cosigned according to the quorum (PO-8). It knows no key
// timeline: a retired key that is still pinned counts. Other lines are ignored,
// but one with the name and key ID of a pinned key that does not verify refuses
// the note.
//
// The error is checkpoint.ErrCheckpoint, ErrOrigin, a
// *checkpoint.BadSignatureError, checkpoint.ErrUnsigned or a *QuorumError, the
// first of these that applies.
func (p *Policy) Verify(n checkpoint.Note) (*Verified, error) {
	v, err := p.signatures(n)
	if err != nil {
		return nil, err
	}
	if len(v.Logs) == 0 {
		return nil, fmt.Errorf("verifying checkpoint of %s: %w", v.Checkpoint.Origin, checkpoint.ErrUnsigned)
	}
	return p.quorate(v)
}

// VerifyCosigned is Verify for a caller who knows the key timeline of the log and
// judges by it who must have signed: a pinned key need not have (KEYS V-2).
func (p *Policy) VerifyCosigned(n checkpoint.Note) (*Verified, error) {
	v, err := p.signatures(n)
	if err != nil {
		return nil, err
	}
	return p.quorate(v)
}

// signatures verifies the lines of all pinned keys and collects what they say.
func (p *Policy) signatures(n checkpoint.Note) (*Verified, error) {
	c, err := checkpoint.Parse(n.Text)
	if err != nil {
		return nil, fmt.Errorf("verifying checkpoint: %w", err)
	}
	ofOrigin := func(l Log) bool { return l.Origin() == c.Origin }
	if !slices.ContainsFunc(p.Logs, ofOrigin) {
		return nil, fmt.Errorf("verifying checkpoint of %s: %w", c.Origin, ErrOrigin)
	}
	v := &Verified{Checkpoint: c, Times: map[string]uint64{}}
	for _, l := range p.Logs {
		signed, err := n.Verify(l.Key)
		if err != nil {
			return nil, fmt.Errorf("verifying checkpoint of %s: %w", c.Origin, err)
		}
		if signed && ofOrigin(l) {
			v.Logs = append(v.Logs, l)
		}
	}
	for _, w := range p.Witnesses {
		t, ok, err := n.Cosigned(w.Key)
		if err != nil {
			return nil, fmt.Errorf("verifying checkpoint of %s: witness %s: %w", c.Origin, w.Name, err)
		}
		if ok {
			v.Times[w.Name] = t
		}
	}
	return v, nil
}

// quorate returns v with its quorum time if there is a quorum.
func (p *Policy) quorate(v *Verified) (*Verified, error) {
	t, ok := p.QuorumTime(v.Times)
	if !ok {
		err := p.CheckQuorum(func(name string) bool { _, ok := v.Times[name]; return ok })
		return nil, fmt.Errorf("verifying checkpoint of %s: %w", v.Checkpoint.Origin, err)
	}
	v.QuorumTime = t
	return v, nil
}
