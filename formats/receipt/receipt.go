// Package receipt reads and verifies Chio's receipts (chio-wire §5).
//
// Three forms exist. A semantic receipt (generations B and C) has a
// receipt_kind and a content-addressed id; it signs canonical {"body","id"}.
// A legacy receipt (generation A) is flat, has a free-text id and signs itself
// without signature and algorithm; a log refuses to append it, evidence may
// hold it. A child receipt records a request inside a session and signs
// itself like a legacy one.
//
// A receipt is one JSON object. Its canonical bytes (package jcs) are the
// entry and the leaf of a log, so reading canonicalises: any JSON number is
// taken, members in any order, but no member twice, none that the form does
// not have, and none in an encoding that Chio's typed writer would change.
package receipt

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// MaxSize is the largest canonical receipt in bytes: an entry of a tlog-tiles
// bundle has a 16-bit length (TT-14).
const MaxSize = 65535

// A Form is one of the three shapes of a receipt.
type Form int

// The forms.
const (
	Semantic Form = iota + 1 // generations B and C
	Child                    // child request receipt
	Legacy                   // generation A
)

func (f Form) String() string {
	switch f {
	case Semantic:
		return "semantic"
	case Child:
		return "child"
	case Legacy:
		return "legacy"
	}
	return "unknown"
}

// A Rule names what a refused receipt broke.
type Rule string

// The rules, in the order in which they are checked.
const (
	RuleJSON        Rule = "json"        // not one JSON object that can be canonicalised
	RuleSize        Rule = "size"        // canonical form larger than MaxSize
	RuleForm        Rule = "form"        // none of the three forms
	RuleMember      Rule = "member"      // a member is unknown, missing or of the wrong type
	RuleEncoding    Rule = "encoding"    // a key, signature, id or algorithm is not in its canonical form
	RuleHybrid      Rule = "hybrid"      // a hybrid key or signature
	RuleCombination Rule = "combination" // kind, boundary, outcome, decision and trust do not go together
	RuleBBS         Rule = "bbs"         // the two BBS members do not go together
	RuleID          Rule = "id"          // the id is not the hash of the body
	RuleSignature   Rule = "signature"   // the signature does not verify under kernel_key
)

// An Error says which rule a receipt broke, and on what.
type Error struct {
	Rule   Rule
	Member string // the member it is about, "" for the whole receipt
	Err    error
}

func (e *Error) Error() string {
	if len(e.Member) > 80 {
		return fmt.Sprintf("receipt: %s: %.80q…: %v", e.Rule, e.Member, e.Err)
	}
	if e.Member == "" {
		return fmt.Sprintf("receipt: %s: %v", e.Rule, e.Err)
	}
	return fmt.Sprintf("receipt: %s: %s: %v", e.Rule, e.Member, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// A Receipt is a parsed receipt. It is immutable and safe for concurrent use.
// Parse checks shape and encodings only; Verify checks that it is valid.
type Receipt struct {
	Form       Form
	ID         string
	Timestamp  uint64 // Unix seconds
	Key        chio.Key
	Signature  string // canonical text
	ToolServer string // "" for child receipts
	ToolName   string // "" for child receipts

	canonical []byte
	metadata  []byte
	action    action

	// The members of the combination rules, "" where absent.
	kind, boundary, outcome, trust string
	decision                       bool
	bbsProjection                  string
	bbs                            *bbsBlock
	algorithm                      string
}

type action struct {
	parameters    []byte
	parameterHash string
}

// Parse reads one receipt. src may have any white space and member order; it
// is not kept. A failure is an *Error.
func Parse(src []byte) (*Receipt, error) {
	canonical, err := jcs.Canonical(src)
	if err != nil {
		return nil, &Error{Rule: RuleJSON, Err: err}
	}
	return parseCanonical(canonical)
}

// ParseCanonical reads a receipt that must be in canonical form already, as
// the entries of a log are. It keeps entry.
func ParseCanonical(entry []byte) (*Receipt, error) {
	if err := jcs.Check(entry, jcs.AnyNumbers); err != nil {
		return nil, &Error{Rule: RuleJSON, Err: err}
	}
	return parseCanonical(entry)
}

func parseCanonical(canonical []byte) (*Receipt, error) {
	if len(canonical) > MaxSize {
		return nil, &Error{Rule: RuleSize, Err: fmt.Errorf("%d bytes, the limit is %d", len(canonical), MaxSize)}
	}
	if canonical[0] != '{' {
		return nil, &Error{Rule: RuleJSON, Err: errors.New("not an object")}
	}
	r := &Receipt{canonical: canonical, Form: formOf(canonical)}
	if r.Form == 0 {
		return nil, &Error{Rule: RuleForm, Err: errors.New("has neither receipt_kind, terminal_state nor decision: no receipt of a known generation")}
	}
	if err := r.readMembers(shapes[r.Form]); err != nil {
		return nil, err
	}
	if want := algorithmMember(r.Key); r.algorithm != want {
		return nil, &Error{Rule: RuleEncoding, Member: "algorithm", Err: fmt.Errorf("is %q, a receipt by this key has %q (absent when Ed25519)", r.algorithm, want)}
	}
	return r, nil
}

func formOf(canonical []byte) Form {
	form := Form(0)
	for m := range jcs.Members(canonical) {
		switch string(m.Name) {
		case "receipt_kind":
			return Semantic
		case "terminal_state":
			form = Child
		case "decision":
			if form == 0 {
				form = Legacy
			}
		}
	}
	return form
}

// algorithmMember is what the algorithm member of a receipt by k says.
func algorithmMember(k chio.Key) string {
	if k.Algorithm() == chio.Ed25519 {
		return ""
	}
	return string(k.Algorithm())
}

// Canonical returns the canonical bytes of the whole signed receipt: its entry
// in a log. The caller must not change them.
func (r *Receipt) Canonical() []byte { return r.canonical }

// LeafHash returns the RFC 6962 leaf hash of the canonical bytes.
func (r *Receipt) LeafHash() [32]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(r.canonical)
	return [32]byte(h.Sum(nil))
}

// Metadata returns the canonical JSON of the metadata member, nil if there is
// none.
func (r *Receipt) Metadata() []byte { return r.metadata }

// Identity returns what makes two receipts the same one for a log (DESIGN
// §2): the id where it is a hash of the body, else a hash of key and id. It is
// meaningful only for a receipt that Verify accepts.
func (r *Receipt) Identity() [32]byte {
	if r.Form == Semantic {
		var id [32]byte
		hex.Decode(id[:], []byte(r.ID))
		return id
	}
	h := sha256.New()
	h.Write([]byte(r.Key.Text()))
	h.Write([]byte{0})
	h.Write([]byte(r.ID))
	return [32]byte(h.Sum(nil))
}

// SignedBytes returns the bytes that the signature is over.
func (r *Receipt) SignedBytes() []byte {
	signed, _ := r.signedBytes()
	return signed
}

// signedBytes returns the signed bytes and, for a semantic receipt, the id
// input that lies within them.
func (r *Receipt) signedBytes() (signed, idInput []byte) {
	buf := make([]byte, 0, len(r.canonical)+64)
	if r.Form != Semantic {
		return r.appendWithout(buf, "algorithm", "signature"), nil
	}
	buf = append(buf, '{')
	if r.bbs != nil {
		buf = append(append(buf, `"bbs_signature":`...), r.bbs.raw...)
		buf = append(buf, ',')
	}
	buf = append(buf, `"body":`...)
	start := len(buf)
	buf = r.appendWithout(buf, "algorithm", "bbs_signature", "id", "signature")
	end := len(buf)
	buf = append(append(append(buf, `,"id":"`...), r.ID...), `"}`...)
	return buf, buf[start:end]
}

// appendWithout appends the canonical receipt without the named members.
func (r *Receipt) appendWithout(buf []byte, names ...string) []byte {
	buf = append(buf, '{')
	first := true
members:
	for m := range jcs.Members(r.canonical) {
		for _, name := range names {
			if string(m.Name) == name {
				continue members
			}
		}
		if !first {
			buf = append(buf, ',')
		}
		first = false
		buf = append(buf, m.Raw...)
	}
	return append(buf, '}')
}

// Verify checks the receipt in Chio's order: the combination rules, the BBS
// pairing, the id, the signature (chio-wire §5.1). A failure is an *Error. It
// says nothing about parameters and their hash, or about trust in the key.
func (r *Receipt) Verify() error {
	if r.Form == Semantic {
		if err := r.checkCombination(); err != nil {
			return &Error{Rule: RuleCombination, Err: err}
		}
		if err := r.checkBBS(); err != nil {
			return &Error{Rule: RuleBBS, Err: err}
		}
	}
	signed, idInput := r.signedBytes()
	if r.Form == Semantic {
		if want := hex.EncodeToString(sum(idInput)); r.ID != want {
			return &Error{Rule: RuleID, Member: "id", Err: fmt.Errorf("is %s, the hash of the body is %s", r.ID, want)}
		}
	}
	if err := r.Key.Verify(signed, r.Signature); err != nil {
		return &Error{Rule: RuleSignature, Member: "signature", Err: fmt.Errorf("by key %s: %w", r.Key.Text(), err)}
	}
	return nil
}

// ParameterHashValid reports whether action.parameter_hash is the hash of
// action.parameters. A receipt where it is not is signed evidence, appended
// and flagged, but never verified. Child receipts have no parameters: true.
func (r *Receipt) ParameterHashValid() bool {
	return r.Form == Child || r.action.parameterHash == hex.EncodeToString(sum(r.action.parameters))
}

func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// checkCombination applies the table of signable combinations.
func (r *Receipt) checkCombination() error {
	want, ok := signable[r.kind]
	if !ok || r.boundary != want.boundary {
		return fmt.Errorf("receipt_kind %s with boundary_class %s is not signable", r.kind, r.boundary)
	}
	mediated := r.kind == "mediated_decision"
	switch {
	case r.decision != mediated:
		return fmt.Errorf("receipt_kind %s with decision present %t", r.kind, r.decision)
	case (r.outcome == "") != mediated:
		return fmt.Errorf("receipt_kind %s with observation_outcome %q", r.kind, r.outcome)
	case r.trust != want.trust:
		return fmt.Errorf("receipt_kind %s with trust_level %s, wants %s", r.kind, r.trust, want.trust)
	}
	return nil
}

var signable = map[string]struct{ boundary, trust string }{
	"mediated_decision":   {"prevent", "mediated"},
	"trace_observation":   {"detect_only", "verified"},
	"advisory_evaluation": {"advisory_only", "advisory"},
}

// checkBBS checks that both BBS members are there or neither, and that they
// name one projection. The BBS signature itself is not checked: the kernel's
// signature covers it.
func (r *Receipt) checkBBS() error {
	switch {
	case r.bbs == nil && r.bbsProjection == "":
		return nil
	case r.bbs == nil:
		return errors.New("bbs_projection_version without bbs_signature")
	case r.bbsProjection == "":
		return errors.New("bbs_signature without bbs_projection_version")
	case r.bbs.projection != r.bbsProjection:
		return fmt.Errorf("bbs_projection_version is %q, the block's projection_version %q", r.bbsProjection, r.bbs.projection)
	}
	return nil
}
