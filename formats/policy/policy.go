// Package policy has the trust that a relying party pins: which logs, which
// witnesses, and how many of them must have cosigned a checkpoint. It reads the
// text form of C2SP tlog-policy:
//
//	log example.com/log+9be5d3c6+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c
//	witness A witness.example/a+81d624fa+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU
//	witness B witness.example/b+562108fa+BO1JKMYo0cLG6ukDOJBZlWEpWSc6XGP5NjbBRhSshzfR
//	group both all A B
//	quorum both
//
// Logs sign with Ed25519 or ECDSA (types 0x01, 0x02 and 0xff) and witnesses with
// timestamped Ed25519 (type 0x04). A log that has had several keys may have a
// line for each. What is not exactly of this form is refused, and no policy is
// guessed from it.
package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/chiolog/chiolog/formats/checkpoint"
)

// None is the quorum that asks for no witness at all.
const None = "none"

// ErrPolicy reports a text that is not a policy. Where a line is at fault, the
// error names it.
var ErrPolicy = errors.New("not a policy")

// A Policy is pinned trust. It is made by Parse and not changed afterwards; then
// its methods may be called concurrently.
type Policy struct {
	Logs       []Log
	Witnesses  []Witness
	Groups     []Group
	QuorumName string // of a witness or group, or None

	quorum *node // nil for None
}

// A Log is a pinned log key. The name of the key is the log's origin.
type Log struct {
	Key checkpoint.VKey
	URL string // where the log is read, "" if not given
}

// Origin returns the origin of the log.
func (l Log) Origin() string { return l.Key.Name() }

// A Witness is a pinned witness.
type Witness struct {
	Name string // in the policy; the key has a name of its own
	Key  checkpoint.VKey
	URL  string // where checkpoints are submitted, "" if not given
}

// A Group is satisfied if at least Threshold of its members are.
type Group struct {
	Name      string
	Threshold int // 1 to len(Members)
	Members   []string
}

// A node is a witness or group of the policy. A name is a member of at most one
// group and of none before its definition, so the nodes under a node are a tree,
// and no witness is in it twice.
type node struct {
	witness   string
	threshold int     // 0 for a witness
	members   []*node // nil for a witness
	taken     bool    // is a member of a group
}

// parser is the state between two lines of a policy.
type parser struct {
	policy    Policy
	nodes     map[string]*node
	logs      map[string]bool // public keys of logs
	witnesses map[string]bool // public keys of witnesses
}

// Parse reads a policy (PO-1 to PO-7). The error is ErrPolicy, and for a key of
// a type that is not verified here also a *checkpoint.UnsupportedKeyError.
func Parse(data []byte) (*Policy, error) {
	if len(data) > 0 && data[len(data)-1] != '\n' {
		return nil, fmt.Errorf("no line feed at the end: %w", ErrPolicy)
	}
	p := parser{nodes: map[string]*node{}, logs: map[string]bool{}, witnesses: map[string]bool{}}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if err := p.line(string(line[:len(line)-1])); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if p.policy.QuorumName == "" {
		return nil, fmt.Errorf("no quorum: %w", ErrPolicy)
	}
	return &p.policy, nil
}

func refuse(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrPolicy)...)
}

func (p *parser) line(line string) error {
	for i := range len(line) {
		if c := line[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return refuse("control character 0x%02x", c)
		}
	}
	items := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(items) == 0 || items[0][0] == '#' {
		return nil
	}
	switch keyword, args := items[0], items[1:]; keyword {
	case "log":
		return p.log(args)
	case "witness":
		return p.witness(args)
	case "group":
		return p.group(args)
	case "quorum":
		return p.quorum(args)
	default:
		return refuse("unknown keyword %q", keyword)
	}
}

// log reads "log <vkey> [<url>]".
func (p *parser) log(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return refuse("a log has a key and perhaps a URL, not %d items", len(args))
	}
	key, err := readKey(args[0], p.logs, checkpoint.TypeEd25519, checkpoint.TypeECDSA, checkpoint.TypeP384)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	p.policy.Logs = append(p.policy.Logs, Log{Key: key, URL: optional(args[1:])})
	return nil
}

// witness reads "witness <name> <vkey> [<url>]".
func (p *parser) witness(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return refuse("a witness has a name, a key and perhaps a URL, not %d items", len(args))
	}
	name := args[0]
	key, err := readKey(args[1], p.witnesses, checkpoint.TypeCosignature)
	if err != nil {
		return fmt.Errorf("witness %s: %w", name, err)
	}
	if err := p.define(name, &node{witness: name}); err != nil {
		return err
	}
	p.policy.Witnesses = append(p.policy.Witnesses, Witness{Name: name, Key: key, URL: optional(args[2:])})
	return nil
}

// group reads "group <name> all|any|<k> <name>...".
func (p *parser) group(args []string) error {
	if len(args) < 3 {
		return refuse("a group has a name, a threshold and members")
	}
	g := Group{Name: args[0], Members: slices.Clone(args[2:])}
	switch text := args[1]; text {
	case "all":
		g.Threshold = len(g.Members)
	case "any":
		g.Threshold = 1
	default:
		k, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(k) != text || k < 1 || k > len(g.Members) {
			return refuse("group %s: threshold %q is not all, any or 1 to %d", g.Name, text, len(g.Members))
		}
		g.Threshold = k
	}
	n := &node{threshold: g.Threshold}
	for _, name := range g.Members {
		member, ok := p.nodes[name]
		if !ok {
			return refuse("group %s: member %q is not defined above", g.Name, name)
		}
		if member.taken {
			return refuse("group %s: %q is a member of a group already", g.Name, name)
		}
		member.taken = true
		n.members = append(n.members, member)
	}
	if err := p.define(g.Name, n); err != nil {
		return err
	}
	p.policy.Groups = append(p.policy.Groups, g)
	return nil
}

// quorum reads "quorum <name>|none".
func (p *parser) quorum(args []string) error {
	if len(args) != 1 {
		return refuse("a quorum has one name, not %d items", len(args))
	}
	if p.policy.QuorumName != "" {
		return refuse("second quorum")
	}
	n, ok := p.nodes[args[0]]
	if !ok && args[0] != None {
		return refuse("quorum %q is not defined above", args[0])
	}
	p.policy.QuorumName, p.policy.quorum = args[0], n
	return nil
}

// define gives a name to a witness or group.
func (p *parser) define(name string, n *node) error {
	if name == None {
		return refuse("the name none is reserved")
	}
	if p.nodes[name] != nil {
		return refuse("the name %q is taken", name)
	}
	p.nodes[name] = n
	return nil
}

// readKey parses a verifier key of one of the types, whose public key must be
// new among those seen, whatever its name and key ID.
func readKey(text string, seen map[string]bool, types ...checkpoint.KeyType) (checkpoint.VKey, error) {
	key, err := checkpoint.ParseVKey(text)
	if err != nil {
		return checkpoint.VKey{}, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	if !slices.Contains(types, key.Type()) {
		return checkpoint.VKey{}, refuse("key %s has type 0x%02x, which does not sign here", text, byte(key.Type()))
	}
	if seen[key.PublicKey()] {
		return checkpoint.VKey{}, refuse("key %s: its public key is in another line", text)
	}
	seen[key.PublicKey()] = true
	return key, nil
}

func optional(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// String returns the policy in its plainest form: logs, witnesses, groups and
// quorum, one space between items, no comments. Parse reads it as the same policy.
func (p *Policy) String() string {
	var b strings.Builder
	line := func(items ...string) {
		if items[len(items)-1] == "" { // no URL
			items = items[:len(items)-1]
		}
		b.WriteString(strings.Join(items, " "))
		b.WriteByte('\n')
	}
	for _, l := range p.Logs {
		line("log", l.Key.String(), l.URL)
	}
	for _, w := range p.Witnesses {
		line("witness", w.Name, w.Key.String(), w.URL)
	}
	for _, g := range p.Groups {
		threshold := strconv.Itoa(g.Threshold)
		switch g.Threshold {
		case len(g.Members):
			threshold = "all"
		case 1:
			threshold = "any"
		}
		line(append([]string{"group", g.Name, threshold}, g.Members...)...)
	}
	line("quorum", p.QuorumName)
	return b.String()
}
