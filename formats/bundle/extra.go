package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/jcs"
)

// Schema is the schema of a bundle's extra.
const Schema = "chiolog.bundle.v1"

// An Extra is what a bundle carries beside the tlog-proof.
type Extra struct {
	Consistency []Consistency       `json:"consistency,omitempty"`
	Events      []Leaf              `json:"events,omitempty"` // all key events, from genesis on
	Receipt     json.RawMessage     `json:"receipt,omitempty"`
	Revocation  []timeline.MapProof `json:"revocation,omitempty"`
	Schema      string              `json:"schema"`
	Status      *Leaf               `json:"status,omitempty"`
	Writer      []timeline.MapProof `json:"writer,omitempty"`
}

// A Leaf is a log-authored leaf with its inclusion path. Leaf is canonical
// JSON: the leaf's bytes.
type Leaf struct {
	Index uint64          `json:"index"`
	Leaf  json.RawMessage `json:"leaf"`
	Path  Hashes          `json:"path"`
}

// A Consistency is a consistency proof from an earlier size to the file's.
type Consistency struct {
	Path Hashes `json:"path"`
	Size uint64 `json:"size"`
}

// Hashes are written as the base64 of their concatenation.
type Hashes [][32]byte

// MarshalJSON implements json.Marshaler.
func (h Hashes) MarshalJSON() ([]byte, error) {
	flat := make([]byte, 0, 32*len(h))
	for _, x := range h {
		flat = append(flat, x[:]...)
	}
	return json.Marshal(flat)
}

// UnmarshalJSON implements json.Unmarshaler. It reads at most MaxPath hashes.
func (h *Hashes) UnmarshalJSON(data []byte) error {
	var flat []byte
	if err := json.Unmarshal(data, &flat); err != nil {
		return err
	}
	if len(flat)%32 != 0 || len(flat)/32 > MaxPath {
		return fmt.Errorf("path of %d bytes", len(flat))
	}
	*h = Hashes{}
	for len(flat) > 0 {
		*h = append(*h, [32]byte(flat))
		flat = flat[32:]
	}
	return nil
}

// ParseExtra reads an extra: canonical bytes, known members only, and the
// limits of V-1.
func ParseExtra(data []byte) (*Extra, error) {
	var e Extra
	// Receipts may have any JSON number; chiolog's own numbers are checked
	// below.
	if err := jcs.Unmarshal(data, &e, jcs.AnyNumbers); err != nil {
		return nil, err
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return &e, nil
}

// check applies what V-1 and DESIGN §6 say of an extra beyond its members.
func (e *Extra) check() error {
	switch {
	case e.Schema != Schema:
		return fmt.Errorf("schema %.60q, want %s", e.Schema, Schema)
	case len(e.Events) > MaxEvents:
		return fmt.Errorf("%d events, the limit is %d", len(e.Events), MaxEvents)
	case (e.Status == nil) != (e.Events == nil):
		return errors.New("status and events are not left out together")
	case e.Receipt != nil && e.Receipt[0] != '{':
		return errors.New("receipt is not an object")
	}
	leaves := e.Events
	if e.Status != nil {
		leaves = append(slices.Clone(leaves), *e.Status)
	}
	for _, l := range leaves {
		if len(l.Leaf) == 0 || l.Leaf[0] != '{' {
			return fmt.Errorf("leaf %d is not an object", l.Index)
		}
		if l.Index > timeline.MaxNumber {
			return fmt.Errorf("index %d, the limit is 2^53 - 1", l.Index)
		}
	}
	for i, c := range e.Consistency {
		if c.Size == 0 || c.Size > timeline.MaxNumber {
			return fmt.Errorf("consistency from size %d", c.Size)
		}
		if slices.ContainsFunc(e.Consistency[:i], func(o Consistency) bool { return o.Size == c.Size }) {
			return fmt.Errorf("consistency from size %d is there twice", c.Size)
		}
	}
	for _, p := range slices.Concat(e.Writer, e.Revocation) {
		if err := checkValues(p); err != nil {
			return fmt.Errorf("map proof of %s: %w", p.Key, err)
		}
	}
	return nil
}

// checkValues applies the limits of numbers to the values of a map proof.
func checkValues(p timeline.MapProof) error {
	if p.Value != nil {
		if err := jcs.Check(p.Value, jcs.StrictNumbers); err != nil {
			return err
		}
	}
	if p.Other == nil {
		return nil
	}
	return jcs.Check(p.Other.Value, jcs.StrictNumbers)
}

// Canonical returns the bytes of the extra.
func (e *Extra) Canonical() ([]byte, error) { return jcs.Marshal(e) }

// Fit leaves out of a bundle's extra what does not fit MaxExtra (V-1), and
// returns the canonical bytes: the receipt, which then lies beside the bundle,
// or, when the timeline is too long by itself, status and events, which then
// travel in a status file.
func (e *Extra) Fit() ([]byte, error) {
	noReceipt, noStatus, neither := *e, *e, *e
	noReceipt.Receipt, neither.Receipt = nil, nil
	noStatus.Status, noStatus.Events = nil, nil
	neither.Status, neither.Events = nil, nil
	var data []byte
	for _, x := range []*Extra{e, &noReceipt, &noStatus, &neither} {
		var err error
		if data, err = x.Canonical(); err != nil || len(data) <= MaxExtra {
			return data, err
		}
	}
	return data, nil
}
