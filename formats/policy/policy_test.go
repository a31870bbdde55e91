package policy

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/checkpoint"
)

func readVector(t testing.TB, v any) {
	t.Helper()
	data, err := os.ReadFile("../../testdata/tlog/generated/policies.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

func seeded(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32))
}

func logKey(t testing.TB, name string, seed byte) checkpoint.VKey {
	t.Helper()
	k, err := checkpoint.NewEd25519VKey(name, seeded(seed).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func witnessKey(t testing.TB, name string, seed byte) checkpoint.VKey {
	t.Helper()
	k, err := checkpoint.NewCosignatureVKey(name, seeded(seed).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// witnesses returns the lines of witnesses with the given names; their seeds
// count from 100.
func witnesses(t testing.TB, names ...string) string {
	var lines string
	for i, name := range names {
		lines += fmt.Sprintf("witness %s %s\n", name, witnessKey(t, "witness.example/"+name, byte(100+i)))
	}
	return lines
}

func parse(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return p
}

// same compares two policies in all but the shape of their memory.
func same(a, b *Policy) bool {
	return reflect.DeepEqual(a.Logs, b.Logs) && reflect.DeepEqual(a.Witnesses, b.Witnesses) &&
		reflect.DeepEqual(a.Groups, b.Groups) && a.QuorumName == b.QuorumName
}

func TestPO_Vectors(t *testing.T) {
	var v struct {
		Policies []struct {
			Policy string
			Tests  []struct {
				Checkpoint string
				CosignedBy []string `json:"cosigned_by"`
				Satisfied  bool
			}
		}
		Malformed []struct{ Policy, Why string }
	}
	readVector(t, &v)
	for i, c := range v.Policies {
		p := parse(t, c.Policy)
		if again := parse(t, p.String()); !same(p, again) || again.String() != p.String() {
			t.Errorf("policy %d is printed as\n%s", i, p)
		}
		for j, test := range c.Tests {
			cosigned := func(name string) bool { return slices.Contains(test.CosignedBy, name) }
			if p.Quorum(cosigned) != test.Satisfied {
				t.Errorf("policy %d, test %d: Quorum = %v", i, j, !test.Satisfied)
			}
			n, err := checkpoint.ParseNote([]byte(test.Checkpoint))
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Verify(n)
			var quorum *QuorumError
			if test.Satisfied != (err == nil) || err != nil && !errors.As(err, &quorum) {
				t.Errorf("policy %d, test %d: %v", i, j, err)
				continue
			}
			if err == nil && len(got.Times) != len(test.CosignedBy) {
				t.Errorf("policy %d, test %d: cosigned by %v", i, j, got.Times)
			}
		}
	}
	for _, c := range v.Malformed {
		if _, err := Parse([]byte(c.Policy)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", c.Why, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	log := "log " + logKey(t, "example.com/log", 1).String() + "\n"
	abc := witnesses(t, "A", "B", "C")
	keyA := strings.Fields(abc)[2]
	for _, c := range []struct{ name, good, bad string }{
		{"PO-1 line feed at the end", "quorum none\n", "quorum none"},
		{"PO-1 blanks", " \tquorum  \t none \t\n", "\vquorum none\n"},
		{"PO-1 no other space", "quorum none\n", "quorum\u00a0none\n"},
		{"PO-1 comments take a line", "# c\n \t# c\n\nquorum none\n", "quorum none # c\n"},
		{"PO-2 CR", "quorum none\n", "quorum none\r\n"},
		{"PO-2 DEL", "# \u0080\nquorum none\n", "# \x7f\nquorum none\n"},
		{"PO-2 high octets in names", strings.Replace(abc, "A ", "\xff ", 1) + "quorum \xff\n", strings.Replace(abc, "A ", "\xff ", 1) + "quorum \xfe\n"},
		{"PO-2 bytewise", strings.Replace(abc, "A ", "é ", 1) + "quorum é\n", strings.Replace(abc, "A ", "é ", 1) + "quorum e\u0301\n"},
		{"PO-3 log with a key", log + "quorum none\n", "log\nquorum none\n"},
		{"PO-3 log with three items", log[:len(log)-1] + " https://x/\nquorum none\n", log[:len(log)-1] + " https://x/ y\nquorum none\n"},
		{"PO-3 key", log + "quorum none\n", strings.Replace(log, "example.com/log", "example.com/lag", 1) + "quorum none\n"},
		{"PO-3 public key twice", log + "log " + logKey(t, "example.com/log", 2).String() + "\nquorum none\n",
			log + "log " + logKey(t, "example.com/other", 1).String() + "\nquorum none\n"},
		{"PO-3 type of a log", log + "quorum none\n", "log " + keyA + "\nquorum none\n"},
		{"PO-4 type of a witness", abc + "quorum none\n", "witness A " + logKey(t, "example.com/w", 1).String() + "\nquorum none\n"},
		{"PO-4 witness with a name", abc + "quorum A\n", "witness " + keyA + "\nquorum none\n"},
		{"PO-4 witness with four items", strings.Replace(abc, "\n", " https://x/\n", 1) + "quorum A\n", strings.Replace(abc, "\n", " https://x/ y\n", 1) + "quorum A\n"},
		{"PO-4 public key twice", abc + "witness D " + witnessKey(t, "witness.example/A", 110).String() + "\nquorum A\n",
			abc + "witness D " + witnessKey(t, "witness.example/D", 100).String() + "\nquorum A\n"},
		{"PO-5 at least one member", abc + "group G all A\nquorum G\n", abc + "group G all\nquorum G\n"},
		{"PO-5 k at least 1", abc + "group G 1 A B\nquorum G\n", abc + "group G 0 A B\nquorum G\n"},
		{"PO-5 k at most n", abc + "group G 2 A B\nquorum G\n", abc + "group G 3 A B\nquorum G\n"},
		{"PO-5 k decimal", abc + "group G 2 A B\nquorum G\n", abc + "group G 0x2 A B\nquorum G\n"},
		{"PO-5 k without leading zero", abc + "group G 2 A B\nquorum G\n", abc + "group G 02 A B\nquorum G\n"},
		{"PO-5 k without sign", abc + "group G 2 A B\nquorum G\n", abc + "group G +2 A B\nquorum G\n"},
		{"PO-5 threshold in lower case", abc + "group G all A B\nquorum G\n", abc + "group G ALL A B\nquorum G\n"},
		{"PO-5 members defined above", abc + "group G all A\ngroup H all G\nquorum H\n", abc + "group H all G\ngroup G all A\nquorum H\n"},
		{"PO-5 not a member of itself", abc + "group G all A\nquorum G\n", abc + "group G all G\nquorum G\n"},
		{"PO-6 one group each", abc + "group G any A B\ngroup H any C G\nquorum H\n", abc + "group G any A B\ngroup H any A C\nquorum H\n"},
		{"PO-6 once in a group", abc + "group G any A B\nquorum G\n", abc + "group G any A A\nquorum G\n"},
		{"PO-6 one name space", abc + "group G any A\nquorum G\n", abc + "group B any A\nquorum B\n"},
		{"PO-6 witness names differ", abc + "quorum A\n", strings.Replace(abc, "witness B", "witness A", 1) + "quorum A\n"},
		{"PO-6 none is no witness", abc + "quorum A\n", strings.Replace(abc, "witness A", "witness none", 1) + "quorum B\n"},
		{"PO-6 none is no group", abc + "group G any A\nquorum none\n", abc + "group none any A\nquorum none\n"},
		{"PO-6 none is no member", abc + "group G any A\nquorum G\n", abc + "group G any none\nquorum G\n"},
		{"PO-7 quorum", abc + "quorum A\n", abc},
		{"PO-7 one quorum", abc + "quorum A\n", abc + "quorum A\nquorum A\n"},
		{"PO-7 quorum defined above", abc + "quorum A\n", "quorum A\n" + abc},
		{"PO-7 one name", abc + "quorum A\n", abc + "quorum A B\n"},
		{"keyword", "quorum none\n", "Quorum none\n"},
	} {
		if _, err := Parse([]byte(c.good)); err != nil {
			t.Errorf("%s: neighbour is refused: %v", c.name, err)
		}
		if _, err := Parse([]byte(c.bad)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	unsupported := "example.com/x+0a0b0c0d+" + base64.StdEncoding.EncodeToString(append([]byte{6}, make([]byte, 1312)...))
	for _, c := range []struct{ text, want string }{
		{"\n\nfrobnicate\n", "line 3"},
		{"# c\nlog " + unsupported + "\nquorum none\n", "line 2"},
		{"witness A " + unsupported + "\nquorum none\n", "line 1"},
	} {
		_, err := Parse([]byte(c.text))
		if err == nil || !strings.HasPrefix(err.Error(), c.want+":") {
			t.Errorf("%v, want %s", err, c.want)
		}
		var key *checkpoint.UnsupportedKeyError
		if strings.Contains(c.text, unsupported) && (!errors.As(err, &key) || key.Type != 6) {
			t.Errorf("%v is no UnsupportedKeyError", err)
		}
	}
}

func TestPO_9_Sizes(t *testing.T) {
	var b strings.Builder
	for i := range 32 {
		fmt.Fprintf(&b, "log %s\n", logKey(t, "example.com/log", byte(i)))
	}
	var names []string
	for i := range 32 {
		names = append(names, fmt.Sprintf("w%d", i))
	}
	b.WriteString(witnesses(t, names...))
	member := names[0]
	for i := range 31 {
		fmt.Fprintf(&b, "group g%d all %s %s\n", i, member, names[i+1])
		member = fmt.Sprintf("g%d", i)
	}
	fmt.Fprintf(&b, "group top any %s\nquorum top\n", member)
	p := parse(t, b.String())
	if len(p.Logs) != 32 || len(p.Witnesses) != 32 || len(p.Groups) != 32 || p.Overlap() != 32 {
		t.Errorf("%d logs, %d witnesses, %d groups, overlap %d", len(p.Logs), len(p.Witnesses), len(p.Groups), p.Overlap())
	}
	if lying, absent := p.Survives(); lying != 31 || absent != 0 {
		t.Errorf("Survives = %d, %d", lying, absent)
	}
}

// cosign returns a note over a checkpoint of an origin, signed by log keys of
// the given seeds and cosigned by the witnesses of the policy at the given times.
func cosign(t *testing.T, p *Policy, origin string, logSeeds []byte, times map[string]uint64) checkpoint.Note {
	t.Helper()
	n := checkpoint.Note{Text: checkpoint.Checkpoint{Origin: origin, Size: 7, Root: [32]byte{1}}.String()}
	add := func(sig checkpoint.Signature, err error) {
		t.Helper()
		if err == nil {
			n, err = n.Add(sig)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, seed := range logSeeds {
		add(logKey(t, origin, seed).Sign(ed25519.Sign(seeded(seed), []byte(n.Text))), nil)
	}
	for i, w := range p.Witnesses {
		if at, ok := times[w.Name]; ok {
			add(checkpoint.Cosign(w.Key, n.Text, at, func(message []byte) ([]byte, error) {
				return ed25519.Sign(seeded(byte(100+i)), message), nil
			}))
		}
	}
	return n
}

func TestPO_8_Verify(t *testing.T) {
	const origin = "example.com/log"
	p := parse(t, "log "+logKey(t, origin, 1).String()+"\nlog "+logKey(t, origin, 2).String()+
		"\nlog "+logKey(t, "example.com/other", 3).String()+"\n"+witnesses(t, "A", "B", "C")+
		"group G 2 A B C\nquorum G\n")
	times := map[string]uint64{"A": 30, "C": 20}
	var quorum *QuorumError
	var bad *checkpoint.BadSignatureError

	v, err := p.Verify(cosign(t, p, origin, []byte{2}, times))
	if err != nil || len(v.Logs) != 1 || v.Logs[0].Key.PublicKey() != p.Logs[1].Key.PublicKey() ||
		!reflect.DeepEqual(v.Times, times) || v.QuorumTime != 20 || v.Checkpoint.Size != 7 {
		t.Errorf("one of two keys: %+v, %v", v, err)
	}
	if v, err := p.Verify(cosign(t, p, origin, []byte{1, 2}, times)); err != nil || len(v.Logs) != 2 {
		t.Errorf("both keys: %v", err)
	}
	if _, err := p.Verify(cosign(t, p, origin, []byte{3}, times)); !errors.Is(err, checkpoint.ErrUnsigned) {
		t.Errorf("key of another origin under this name: %v", err)
	}
	if _, err := p.Verify(cosign(t, p, origin, nil, times)); !errors.Is(err, checkpoint.ErrUnsigned) {
		t.Errorf("no log key: %v", err)
	}
	if _, err := p.VerifyCosigned(cosign(t, p, origin, nil, times)); err != nil {
		t.Errorf("V-2 no log key, judged elsewhere: %v", err)
	}
	if _, err := p.VerifyCosigned(cosign(t, p, origin, []byte{1}, nil)); !errors.As(err, &quorum) {
		t.Errorf("V-2 no cosignature: %v", err)
	}
	if _, err := p.Verify(cosign(t, p, "example.com/else", []byte{1}, times)); !errors.Is(err, ErrOrigin) {
		t.Errorf("another origin: %v", err)
	}
	_, err = p.Verify(cosign(t, p, origin, []byte{1}, map[string]uint64{"A": 30}))
	if !errors.As(err, &quorum) || *quorum != (QuorumError{Have: 1, Need: 2}) {
		t.Errorf("one witness: %v", err)
	}
	if _, err := p.Verify(checkpoint.Note{Text: "text\n"}); !errors.Is(err, checkpoint.ErrCheckpoint) {
		t.Errorf("no checkpoint: %v", err)
	}
	// A damaged line of any pinned key refuses the note, whatever else is in it.
	for i := range 3 {
		n := cosign(t, p, origin, []byte{1}, times)
		n.Signatures[i].Bytes[20] ^= 1
		if _, err := p.Verify(n); !errors.As(err, &bad) {
			t.Errorf("line %d damaged: %v", i, err)
		}
		n.Signatures[i].KeyID++ // then it is nobody's
		if _, err := p.Verify(n); errors.As(err, &bad) || err == nil {
			t.Errorf("line %d by an unknown key: %v", i, err)
		}
	}
	n := cosign(t, p, origin, []byte{1, 4}, times) // 4 is not pinned
	if _, err := p.Verify(n); err != nil {
		t.Errorf("a further line by an unknown key: %v", err)
	}
	n, err = n.Add(checkpoint.Signature{Name: "example.com/other", KeyID: p.Logs[2].Key.KeyID(), Bytes: make([]byte, 64)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(n); !errors.As(err, &bad) {
		t.Errorf("a bad line of another pinned log: %v", err)
	}
}

func FuzzPolicy(f *testing.F) {
	var v struct {
		Policies  []struct{ Policy string }
		Malformed []struct{ Policy string }
	}
	readVector(f, &v)
	for _, c := range append(v.Policies, v.Malformed...) {
		f.Add([]byte(c.Policy))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse([]byte(p.String()))
		if err != nil || !same(p, again) || again.String() != p.String() {
			t.Fatalf("%q is printed as %q, %v", data, p, err)
		}
		all := p.Quorum(func(string) bool { return true })
		none := p.Quorum(func(string) bool { return false })
		if !all || none != p.NoWitnesses() {
			t.Fatalf("%q: all %v, none %v", data, all, none)
		}
		lying, absent := p.Survives()
		if p.Intersecting() != (p.NoWitnesses() || lying >= 0) || absent < 0 {
			t.Fatalf("%q: survives %d, %d", data, lying, absent)
		}
	})
}
