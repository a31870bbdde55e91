package checkpoint

import (
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/chio"
)

// ErrContinuity reports a statement that is not the successor of another one, or
// not the first of a chain.
var ErrContinuity = errors.New("statement does not continue the chain")

// CheckContinuity returns nil if both statements are valid and succ is the
// immediate successor of pred (chio-wire §4.4). The key may differ: no statement
// authorises the next key, that is for the key timeline.
func CheckContinuity(pred, succ Statement) error {
	if err := pred.Check(); err != nil {
		return err
	}
	if err := succ.Check(); err != nil {
		return err
	}
	return continues(pred.Body, succ.Body)
}

func continues(pred, succ Body) error {
	refuse := func(what string) error {
		return fmt.Errorf("checkpoint statement %d after %d: %s: %w", succ.CheckpointSeq, pred.CheckpointSeq, what, ErrContinuity)
	}
	hash, err := pred.SHA256()
	if err != nil {
		return err
	}
	switch {
	case succ.CheckpointSeq != pred.CheckpointSeq+1:
		return refuse("checkpoint_seq is not the next")
	case succ.BatchStartSeq != pred.BatchEndSeq+1:
		return refuse("the batch does not start where the last ended")
	case succ.PreviousSHA256 != hash.Hex():
		return refuse("previous_checkpoint_sha256 is not the predecessor's")
	case pred.ChainRoot != nil && succ.ChainRoot == nil:
		return refuse("chain_root is missing, the predecessor has one")
	}
	return nil
}

// A Chain replays the statements of a log from the first one on. The zero value
// has seen none. It may not be used by several goroutines at once.
type Chain struct {
	frontier Frontier
	last     Body
}

// ResumeChain returns the chain that ended in the statement last with the given
// frontier of chain leaves. What it is given must come from a Chain: nothing but
// the sizes and a chain_root is checked.
func ResumeChain(last Body, frontier Frontier) (*Chain, error) {
	if frontier.Size() != last.CheckpointSeq {
		return nil, fmt.Errorf("resuming the chain after statement %d: frontier has size %d: %w",
			last.CheckpointSeq, frontier.Size(), ErrFrontier)
	}
	if last.ChainRoot != nil && frontier.Root() != *last.ChainRoot {
		return nil, fmt.Errorf("resuming the chain after statement %d: %w", last.CheckpointSeq, ErrChainRoot)
	}
	return &Chain{frontier: frontier, last: last}, nil
}

// Append checks that s is valid and the next statement of the chain, and takes
// it in: rules and signature, continuity, and its chain_root against that of all
// statements before it. On error the chain is unchanged.
func (c *Chain) Append(s Statement) error {
	if err := s.Check(); err != nil {
		return err
	}
	if c.Size() == 0 {
		if s.Body.CheckpointSeq != 1 || s.Body.BatchStartSeq != 1 || s.Body.PreviousSHA256 != "" {
			return fmt.Errorf("checkpoint statement %d as the first of a chain: %w", s.Body.CheckpointSeq, ErrContinuity)
		}
	} else if err := continues(c.last, s.Body); err != nil {
		return err
	}
	next := c.frontier
	next.Append(s.Body.ChainLeaf())
	if s.Body.ChainRoot != nil && next.Root() != *s.Body.ChainRoot {
		return fmt.Errorf("checkpoint statement %d: %w", s.Body.CheckpointSeq, ErrChainRoot)
	}
	c.frontier, c.last = next, s.Body
	return nil
}

// Size returns the number of statements, which is the last checkpoint_seq.
func (c *Chain) Size() uint64 { return c.frontier.Size() }

// Root returns the root over the chain leaves: what the last statement has or
// would have as chain_root.
func (c *Chain) Root() chio.Hash { return c.frontier.Root() }

// Frontier returns the frontier of the chain leaves.
func (c *Chain) Frontier() Frontier { return c.frontier }

// Last returns the body of the last statement, the zero Body if there is none.
func (c *Chain) Last() Body { return c.last }
