package receipt

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/jcs"
)

// A field is one member that a form may have.
type field struct {
	name     string
	optional bool
	read     func(r *Receipt, value []byte) error
}

// shapes lists the members of each form, in canonical order.
var shapes = map[Form][]field{
	Semantic: {
		{"action", false, readAction},
		{"actor_chain", true, readActorChain},
		{"algorithm", true, text(func(r *Receipt) *string { return &r.algorithm })},
		{"bbs_projection_version", true, text(func(r *Receipt) *string { return &r.bbsProjection })},
		{"bbs_signature", true, readBBS},
		{"boundary_class", false, oneOf(func(r *Receipt) *string { return &r.boundary }, "prevent", "detect_only", "advisory_only", "cannot_see")},
		{"capability_id", false, anyText},
		{"content_hash", false, anyText},
		{"decision", true, readDecision},
		{"evidence", true, readEvidence},
		{"id", false, readHashID},
		{"kernel_key", false, readKey},
		{"metadata", true, readMetadata},
		{"observation_outcome", true, oneOf(func(r *Receipt) *string { return &r.outcome }, "observed", "evaluated", "dropped")},
		{"policy_hash", false, anyText},
		{"receipt_kind", false, oneOf(func(r *Receipt) *string { return &r.kind }, "mediated_decision", "trace_observation", "advisory_evaluation")},
		{"redaction_mode", false, oneOf(nil, "none", "summary", "redacted")},
		{"signature", false, readSignature},
		{"tenant_id", true, anyText},
		{"timestamp", false, readTimestamp},
		{"tool_name", false, text(func(r *Receipt) *string { return &r.ToolName })},
		{"tool_origin", false, oneOf(nil, "caller_executed", "host_executed_provider_reported", "host_executed_unmediated")},
		{"tool_server", false, text(func(r *Receipt) *string { return &r.ToolServer })},
		{"trust_level", false, oneOf(func(r *Receipt) *string { return &r.trust }, "mediated", "verified", "advisory")},
	},
	Child: {
		{"algorithm", true, text(func(r *Receipt) *string { return &r.algorithm })},
		{"id", false, text(func(r *Receipt) *string { return &r.ID })},
		{"kernel_key", false, readKey},
		{"metadata", true, readMetadata},
		{"operation_kind", false, oneOf(nil, "tool_call", "create_message", "create_elicitation", "list_roots", "list_resources", "read_resource",
			"list_resource_templates", "list_prompts", "get_prompt", "complete", "list_capabilities", "heartbeat")},
		{"outcome_hash", false, anyText},
		{"parent_request_id", false, anyText},
		{"policy_hash", false, anyText},
		{"request_id", false, anyText},
		{"session_id", false, anyText},
		{"signature", false, readSignature},
		{"terminal_state", false, readTerminalState},
		{"timestamp", false, readTimestamp},
	},
	Legacy: {
		{"action", false, readAction},
		{"algorithm", true, text(func(r *Receipt) *string { return &r.algorithm })},
		{"capability_id", false, anyText},
		{"content_hash", false, anyText},
		{"decision", false, readDecision},
		{"evidence", true, readEvidence},
		{"id", false, text(func(r *Receipt) *string { return &r.ID })},
		{"kernel_key", false, readKey},
		{"metadata", true, readMetadata},
		{"policy_hash", false, anyText},
		{"signature", false, readSignature},
		{"tenant_id", true, anyText},
		{"timestamp", false, readTimestamp},
		{"tool_name", false, text(func(r *Receipt) *string { return &r.ToolName })},
		{"tool_server", false, text(func(r *Receipt) *string { return &r.ToolServer })},
		// Omitted when mediated: Chio's writer would drop it.
		{"trust_level", true, oneOf(func(r *Receipt) *string { return &r.trust }, "verified", "advisory")},
	},
}

// readMembers walks the receipt and its shape side by side, both sorted.
func (r *Receipt) readMembers(shape []field) error {
	for m := range jcs.Members(r.canonical) {
		for len(shape) > 0 && shape[0].name < string(m.Name) {
			if !shape[0].optional {
				return missing(shape[0].name)
			}
			shape = shape[1:]
		}
		if len(shape) == 0 || shape[0].name != string(m.Name) {
			return &Error{Rule: RuleMember, Member: string(m.Name), Err: fmt.Errorf("a %s receipt has no such member", r.Form)}
		}
		if err := shape[0].read(r, m.Value); err != nil {
			return memberError(shape[0].name, err)
		}
		shape = shape[1:]
	}
	for _, f := range shape {
		if !f.optional {
			return missing(f.name)
		}
	}
	return nil
}

func missing(name string) error {
	return &Error{Rule: RuleMember, Member: name, Err: errors.New("missing")}
}

func memberError(name string, err error) error {
	rule := RuleMember
	switch {
	case errors.Is(err, chio.ErrHybrid):
		rule = RuleHybrid
	case errors.Is(err, chio.ErrEncoding):
		rule = RuleEncoding
	}
	return &Error{Rule: rule, Member: name, Err: err}
}

var (
	errString = errors.New("not a string")
	errObject = errors.New("not an object")
)

// text reads a string into the field that at returns.
func text(at func(*Receipt) *string) func(*Receipt, []byte) error {
	return func(r *Receipt, value []byte) error {
		s, ok := jcs.String(value)
		if !ok {
			return errString
		}
		*at(r) = s
		return nil
	}
}

// anyText demands a string and keeps nothing of it.
func anyText(_ *Receipt, value []byte) error {
	if value[0] != '"' {
		return errString
	}
	return nil
}

// oneOf reads a string that must be one of words; at may be nil.
func oneOf(at func(*Receipt) *string, words ...string) func(*Receipt, []byte) error {
	return func(r *Receipt, value []byte) error {
		if len(value) < 2 || value[0] != '"' {
			return errString
		}
		// The words have no escapes, so the raw bytes are the string.
		raw := value[1 : len(value)-1]
		i := slices.IndexFunc(words, func(w string) bool { return w == string(raw) })
		if i < 0 {
			return fmt.Errorf("%.60q is none of %s", raw, strings.Join(words, ", "))
		}
		if at != nil {
			*at(r) = words[i]
		}
		return nil
	}
}

func readTimestamp(r *Receipt, value []byte) error {
	t, ok := jcs.Uint(value)
	if !ok {
		return errors.New("not a whole number of seconds")
	}
	r.Timestamp = t
	return nil
}

func readHashID(r *Receipt, value []byte) error {
	s, ok := jcs.String(value)
	if !ok {
		return errString
	}
	if _, err := chio.ParseHex(s); err != nil {
		return err
	}
	r.ID = s
	return nil
}

func readKey(r *Receipt, value []byte) error {
	s, ok := jcs.String(value)
	if !ok {
		return errString
	}
	k, err := chio.ParseKey(s)
	if err != nil {
		return err
	}
	r.Key = k
	return nil
}

func readSignature(r *Receipt, value []byte) error {
	s, ok := jcs.String(value)
	if !ok {
		return errString
	}
	if err := chio.CheckSignature(s); err != nil {
		return err
	}
	r.Signature = s
	return nil
}

func readMetadata(r *Receipt, value []byte) error {
	if string(value) == "null" {
		return errors.New("null: Chio's writer omits it")
	}
	r.metadata = value
	return nil
}

func readAction(r *Receipt, value []byte) error {
	return readObject(value, []string{"parameter_hash", "parameters"}, nil, func(name string, v []byte) error {
		if name == "parameters" {
			r.action.parameters = v
			return nil
		}
		s, ok := jcs.String(v)
		if !ok {
			return errString
		}
		r.action.parameterHash = s
		return nil
	})
}

func readDecision(r *Receipt, value []byte) error {
	r.decision = true
	return readTagged(value, "verdict", map[string][]string{
		"allow":      {"verdict"},
		"deny":       {"guard", "reason", "verdict"},
		"cancelled":  {"reason", "verdict"},
		"incomplete": {"reason", "verdict"},
	})
}

func readTerminalState(_ *Receipt, value []byte) error {
	return readTagged(value, "state", map[string][]string{
		"completed":  {"state"},
		"cancelled":  {"reason", "state"},
		"incomplete": {"reason", "state"},
	})
}

func readActorChain(_ *Receipt, value []byte) error {
	return readArray(value, func(v []byte) error {
		return readObject(v, []string{"actor_id"}, []string{"actor_kind"}, stringMember)
	})
}

func readEvidence(_ *Receipt, value []byte) error {
	return readArray(value, func(v []byte) error {
		return readObject(v, []string{"guard_name", "verdict"}, []string{"details"}, func(name string, v []byte) error {
			if name != "verdict" {
				return stringMember(name, v)
			}
			if string(v) != "true" && string(v) != "false" {
				return errors.New("not a boolean")
			}
			return nil
		})
	})
}

// A bbsBlock is the bbs_signature member: what pairing needs, and its bytes,
// which the kernel's signature covers.
type bbsBlock struct {
	raw        []byte
	projection string
}

func readBBS(r *Receipt, value []byte) error {
	block := &bbsBlock{raw: value}
	fixed := map[string]string{
		"schema":             "chio.receipt.bbs_signature.v1",
		"projection_version": "chio.bbs-projection.receipt.v1",
		"algorithm":          "bbs",
		"ciphersuite":        "BBS_BLS12381G1_XMD:SHA-256_SSWU_RO_",
	}
	required := []string{"algorithm", "ciphersuite", "issuer_fingerprint", "issuer_public_key_hex", "message_count", "projection_version", "schema", "signature_hex"}
	err := readObject(value, required, nil, func(name string, v []byte) error {
		if name == "message_count" {
			if string(v) != "14" {
				return errors.New("is not 14")
			}
			return nil
		}
		s, ok := jcs.String(v)
		if !ok {
			return errString
		}
		if want, ok := fixed[name]; ok && s != want {
			return fmt.Errorf("is %.60q, want %q", s, want)
		}
		if name == "issuer_public_key_hex" && len(s) != 192 {
			return fmt.Errorf("has %d digits, want 192", len(s))
		}
		if name == "projection_version" {
			block.projection = s
		}
		return nil
	})
	r.bbs = block
	return err
}

func stringMember(_ string, value []byte) error { return anyText(nil, value) }

// readObject demands an object with the required members and at most the
// optional ones, each sorted, and gives each to read.
func readObject(value []byte, required, optional []string, read func(name string, value []byte) error) error {
	if value[0] != '{' {
		return errObject
	}
	found := 0
	for m := range jcs.Members(value) {
		name := string(m.Name)
		if slices.Contains(required, name) {
			found++
		} else if !slices.Contains(optional, name) {
			return fmt.Errorf("unknown member %.60q", name)
		}
		if err := read(name, m.Value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if found != len(required) {
		return fmt.Errorf("wants the members %s", strings.Join(required, ", "))
	}
	return nil
}

// readTagged demands an object of strings whose members are those that its tag
// calls for.
func readTagged(value []byte, tag string, shapes map[string][]string) error {
	if value[0] != '{' {
		return errObject
	}
	var word string
	for m := range jcs.Members(value) {
		if string(m.Name) == tag {
			word, _ = jcs.String(m.Value)
		}
	}
	shape, ok := shapes[word]
	if !ok {
		return fmt.Errorf("%s %.60q is not known", tag, word)
	}
	return readObject(value, shape, nil, stringMember)
}

// readArray demands an array that is not empty: Chio's writer omits an empty
// one.
func readArray(value []byte, read func([]byte) error) error {
	if value[0] != '[' {
		return errors.New("not an array")
	}
	i := 0
	for v := range jcs.Elements(value) {
		if err := read(v); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
		i++
	}
	if i == 0 {
		return errors.New("empty: Chio's writer omits it")
	}
	return nil
}
