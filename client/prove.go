package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/receipt"
)

// A VerdictError is a proof that a log gave and that is not verified, or
// suspect.
type VerdictError struct {
	ID     string // of the receipt
	Result *bundle.Result
}

func (e *VerdictError) Error() string {
	s := fmt.Sprintf("the log's proof of %.80s is %s", e.ID, e.Result.Verdict)
	if e.Result.Failure != nil {
		s += ": " + e.Result.Failure.Error()
	}
	return s
}

// Unwrap returns the *bundle.Failure, if there is one.
func (e *VerdictError) Unwrap() error {
	if e.Result.Failure == nil {
		return nil
	}
	return e.Result.Failure
}

// A Proven is the offline proof of a receipt.
type Proven struct {
	Bundle []byte
	// Receipt is the canonical receipt if it is too long for the bundle: it
	// then has to lie beside it. Otherwise it is nil.
	Receipt []byte
	// Result is what the verification says; nil if no policy was given.
	Result *bundle.Result
}

// Prove fetches the bundle of the receipt with this id and, with a policy,
// returns it only if it is verified under it; else the error is a
// *VerdictError. It always checks that the bundle is about a receipt with this
// id. Which policies are worth trusting is for the caller to say (see
// policy.Policy.Intersecting), and so is how old a bundle may be.
func (c *Client) Prove(ctx context.Context, id string, p *policy.Policy) (*Proven, error) {
	proven, err := c.fetchProof(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("proving %.80s: %w", id, err)
	}
	if p == nil {
		return proven, nil
	}
	proven.Result = bundle.Verify(proven.Bundle, bundle.Options{Policy: p, Receipt: proven.Receipt})
	if proven.Result.Verdict != bundle.Verified {
		return nil, &VerdictError{ID: id, Result: proven.Result}
	}
	return proven, nil
}

// errOtherReceipt reports an answer about another receipt than the one asked
// for: it might well verify.
var errOtherReceipt = errors.New("the log answered with another receipt")

// fetchProof fetches a bundle, and the receipt if it is not in it.
func (c *Client) fetchProof(ctx context.Context, id string) (*Proven, error) {
	data, err := c.Bundle(ctx, id)
	if err != nil {
		return nil, err
	}
	proof, err := bundle.ParseProof(data)
	if err != nil {
		return nil, err
	}
	extra := &bundle.Extra{}
	if proof.Extra != nil {
		if extra, err = bundle.ParseExtra(proof.Extra); err != nil {
			return nil, fmt.Errorf("extra: %w", err)
		}
	}
	proven := &Proven{Bundle: data}
	entry := []byte(extra.Receipt)
	if extra.Receipt == nil {
		answer, err := c.Receipt(ctx, id)
		if err != nil {
			return nil, err
		}
		entry = answer.Receipt
	}
	r, err := receipt.Parse(entry)
	if err != nil {
		return nil, err
	}
	if r.ID != id {
		return nil, errOtherReceipt
	}
	if extra.Receipt == nil {
		proven.Receipt = bytes.Clone(r.Canonical())
	}
	return proven, nil
}
