package bundle_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/internal/tlogtest"
)

func readVectors(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile("../../testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestTP_5_Vectors(t *testing.T) {
	var file struct {
		Origin, VKey string
		Cases        []struct {
			Name  string
			Proof string
			Entry []byte `json:"entry_b64"`
			OK    bool
		}
	}
	readVectors(t, "tlog/generated/tlog-proofs.json", &file)
	p := mustPolicy(t, "log "+file.VKey+"\nquorum none\n")
	if len(file.Cases) < 20 {
		t.Fatalf("%d cases", len(file.Cases))
	}
	for _, c := range file.Cases {
		if err := bundle.VerifyC2SP([]byte(c.Proof), c.Entry, p); (err == nil) != c.OK {
			t.Errorf("%s: %v", c.Name, err)
		}
		if proof, err := bundle.ParseProof([]byte(c.Proof)); err == nil && string(proof.Bytes()) != c.Proof {
			t.Errorf("%s: printed as\n%s", c.Name, proof.Bytes())
		}
	}
}

// TestTP_5_Steps: each step of the verification refuses by itself.
func TestTP_5_Steps(t *testing.T) {
	f := newFixture(t)
	data, entry := f.Bundle(f.kernel), f.Entry(f.kernel)
	absent := f.Fork(f.Size())
	absent.Witnesses[0], absent.Witnesses[1] = &tlogtest.Witness{Name: "w1", Key: f.Witnesses[0].Key, Absent: true}, &tlogtest.Witness{Name: "w2", Key: f.Witnesses[1].Key, Absent: true}
	absent.Append(1)
	other := tlogtest.New(t, "example.com/other")
	var short *policy.QuorumError
	for _, tt := range []struct {
		name   string
		data   []byte
		entry  []byte
		policy *policy.Policy
		err    error // that it is, nil for none
		as     any
	}{
		{"good", data, entry, f.Policy(2), nil, nil},
		{"plain", f.Bundle(f.kernel, func(p *parts) { p.Extra = nil }), entry, f.Policy(2), nil, nil},
		{"another entry", data, f.Entry(f.writer), f.Policy(2), checkpoint.ErrProof, nil},
		{"origin of nobody", data, entry, other.Policy(0), policy.ErrOrigin, nil},
		{"key of another origin", data, entry, mustPolicy(t, "log "+nobody.VKey(testOrigin).String()+"\nlog "+f.Kernel.VKey("example.com/other").String()+"\nquorum none\n"), checkpoint.ErrUnsigned, nil},
		{"too few witnesses", absent.Bundle(f.kernel), entry, f.Policy(2), nil, &short},
		{"enough witnesses", absent.Bundle(f.kernel), entry, f.Policy(1), nil, nil},
		{"no note", f.Bundle(f.kernel, func(p *parts) { p.Note.Signatures = nil }), entry, f.Policy(0), checkpoint.ErrNote, nil},
	} {
		err := bundle.VerifyC2SP(tt.data, tt.entry, tt.policy)
		switch {
		case tt.as != nil:
			if !errors.As(err, tt.as) {
				t.Errorf("%s: %v", tt.name, err)
			}
		case !errors.Is(err, tt.err):
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
	}
	if err := bundle.VerifyC2SP(make([]byte, bundle.MaxBundle+1), entry, f.Policy(0)); err == nil {
		t.Error("a file above the limit was read")
	}
}

// TestTP_ParseProof edits a good proof.
func TestTP_ParseProof(t *testing.T) {
	hash := strings.Repeat("A", 43) + "="
	good := "c2sp.org/tlog-proof@v1\nextra AQ==\nindex 3\n" + hash + "\n" + hash + "\n\nnote"
	plain := "c2sp.org/tlog-proof@v1\nindex 0\n\nnote"
	for _, tt := range []struct {
		rule string
		data string
		ok   bool
	}{
		{"TP-1 good", good, true},
		{"TP-1 another version", strings.Replace(good, "v1", "v2", 1), false},
		{"TP-1 line feed of another system", strings.Replace(good, "v1\n", "v1\r\n", 1), false},
		{"TP-1 something before", "\n" + good, false},
		{"TP-1 nothing", "", false},
		{"TP-1 first line alone", "c2sp.org/tlog-proof@v1\n", false},
		{"TP-2 no extra", plain, true},
		{"TP-2 empty extra", strings.Replace(good, "AQ==", "", 1), false},
		{"TP-2 extra without a space", strings.Replace(good, "extra AQ==", "extra", 1), false},
		{"TP-2 extra twice", strings.Replace(good, "extra AQ==\n", "extra AQ==\nextra AQ==\n", 1), false},
		{"TP-2 extra after index", "c2sp.org/tlog-proof@v1\nindex 3\nextra AQ==\n\nnote", false},
		{"TP-2 extra with loose bits", strings.Replace(good, "AQ==", "AR==", 1), false},
		{"TP-2 extra without padding", strings.Replace(good, "AQ==", "AQ", 1), false},
		{"TP-2 extra of two words", strings.Replace(good, "AQ==", "AQ== AQ==", 1), false},
		{"TP-2 extra with a carriage return", strings.Replace(good, "AQ==", "AQ==\r", 1), false},
		{"TP-3 index 10", strings.Replace(good, "index 3", "index 10", 1), true},
		{"TP-3 index with a leading zero", strings.Replace(good, "index 3", "index 03", 1), false},
		{"TP-3 index with a sign", strings.Replace(good, "index 3", "index +3", 1), false},
		{"TP-3 negative index", strings.Replace(good, "index 3", "index -3", 1), false},
		{"TP-3 no number", strings.Replace(good, "index 3", "index ", 1), false},
		{"TP-3 hexadecimal", strings.Replace(good, "index 3", "index 0x3", 1), false},
		{"TP-3 index 2^63 - 1", strings.Replace(good, "index 3", "index 9223372036854775807", 1), true},
		{"TP-3 index 2^63", strings.Replace(good, "index 3", "index 9223372036854775808", 1), false},
		{"TP-3 no index", strings.Replace(good, "index 3\n", "", 1), false},
		{"TP-4 hash of 31 bytes", strings.Replace(good, hash, strings.Repeat("A", 42)+"==", 1), false},
		{"TP-4 hash with loose bits", strings.Replace(good, hash, strings.Repeat("A", 42)+"B=", 1), false},
		{"TP-4 hash in hex", strings.Replace(good, hash, strings.Repeat("0", 64), 1), false},
		{"TP-4 hash with a carriage return", strings.Replace(good, hash, hash+"\r", 1), false},
		{"TP-4 63 hashes", strings.Replace(good, hash, strings.Repeat(hash+"\n", 61)+hash, 1), true},
		{"TP-4 64 hashes", strings.Replace(good, hash, strings.Repeat(hash+"\n", 62)+hash, 1), false},
		{"TP-7 no hashes", strings.Replace(good, hash+"\n"+hash+"\n", "", 1), true},
		{"no empty line", strings.Replace(good, "\n\n", "\n", 1), false},
		{"no checkpoint", strings.TrimSuffix(good, "note"), false},
	} {
		p, err := bundle.ParseProof([]byte(tt.data))
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.rule, err)
		}
		if err == nil && string(p.Bytes()) != tt.data {
			t.Errorf("%s: printed as\n%s", tt.rule, p.Bytes())
		}
	}
}

// TestTP_2_ExtraProvesNothing: the extra of one proof under another is read
// and not believed, the plain proof stays what it is.
func TestTP_2_ExtraProvesNothing(t *testing.T) {
	f := newFixture(t)
	swapped := f.Bundle(f.kernel, func(p *parts) { p.Extra.Receipt = f.Entry(f.writer) })
	if err := bundle.VerifyC2SP(swapped, f.Entry(f.kernel), f.Policy(2)); err != nil {
		t.Error(err)
	}
	if r := bundle.Verify(swapped, bundle.Options{Policy: f.Policy(2)}); outcome(r) != refused("V-7", bundle.ClassInclusion) {
		t.Errorf("%v", r.Failure)
	}
}

// TestBundleVectors judges the bundles that an independent implementation made.
func TestBundleVectors(t *testing.T) {
	var file struct {
		Bundles []struct {
			File, Verdict, Class, Receipt, Status string
			Index, Size                           uint64
			AsOf                                  uint64 `json:"as_of"`
		}
	}
	readVectors(t, "chiolog/bundles.json", &file)
	read := func(name string) []byte {
		data, err := os.ReadFile("../../testdata/chiolog/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	p := mustPolicy(t, string(read("policy.txt")))
	for _, b := range file.Bundles {
		if b.Status != "" {
			continue // judged by a status file
		}
		o := bundle.Options{Policy: p}
		if b.Receipt != "" {
			o.Receipt = read(b.Receipt)
		}
		data := read(b.File)
		r := bundle.Verify(data, o)
		class := bundle.Class("")
		if r.Failure != nil {
			class = r.Failure.Class
		}
		if r.Verdict.String() != b.Verdict || string(class) != b.Class || r.Index != b.Index || r.Size != b.Size || r.AsOf != b.AsOf {
			t.Errorf("%s: %s, %v, index %d of %d as of %d; want %+v", b.File, r.Verdict, r.Failure, r.Index, r.Size, r.AsOf, b)
		}
		proof, err := bundle.ParseProof(data)
		if err != nil || !bytes.Equal(proof.Bytes(), data) {
			t.Errorf("%s is not printed as it was read: %v", b.File, err)
			continue
		}
		extra, err := bundle.ParseExtra(proof.Extra)
		if err != nil {
			t.Errorf("%s: %v", b.File, err)
			continue
		}
		if again, err := extra.Canonical(); err != nil || !bytes.Equal(again, proof.Extra) {
			t.Errorf("%s: extra %s, %v", b.File, base64.StdEncoding.EncodeToString(again), err)
		}
	}
}
