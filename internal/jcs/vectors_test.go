package jcs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vectors = "../../testdata/chio"

func readVectors(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectors, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestVectors(t *testing.T) {
	for name, count := range map[string]int{
		"bindings/canonical-v1.json":  20,
		"derived/canonical-edge.json": 32,
	} {
		var file struct {
			Cases []struct {
				ID        string `json:"id"`
				Input     string `json:"input_json"`
				Canonical string `json:"canonical_json"`
			} `json:"cases"`
		}
		readVectors(t, name, &file)
		if len(file.Cases) != count {
			t.Errorf("%s has %d cases, want %d", name, len(file.Cases), count)
		}
		for _, c := range file.Cases {
			t.Run(c.ID, func(t *testing.T) {
				got, err := Canonical([]byte(c.Input))
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != c.Canonical {
					t.Errorf("Canonical(%s)\n got %s\nwant %s", c.Input, got, c.Canonical)
				}
				if err := Check([]byte(c.Canonical), AnyNumbers); err != nil {
					t.Errorf("Check(%s): %v", c.Canonical, err)
				}
			})
		}
	}
}

// TestHashingVectors checks that texts reach the hash as they are: through
// canonical JSON and back, each has the digest that Chio gives.
func TestHashingVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			ID     string  `json:"id"`
			Text   *string `json:"input_utf8"`
			SHA256 string  `json:"sha256_hex"`
		} `json:"cases"`
	}
	readVectors(t, "bindings/hashing-v1.json", &file)
	if len(file.Cases) != 20 {
		t.Errorf("%d cases, want 20", len(file.Cases))
	}
	for _, c := range file.Cases {
		if c.Text == nil {
			t.Errorf("%s: no text", c.ID)
			continue
		}
		value, err := Marshal(*c.Text)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		text, ok := String(value)
		if sum := sha256.Sum256([]byte(text)); !ok || hex.EncodeToString(sum[:]) != c.SHA256 {
			t.Errorf("%s: SHA-256 of %q (%v) is %x, want %s", c.ID, text, ok, sum, c.SHA256)
		}
	}
}

// TestVectorManifest checks the copied vectors against Chio's own checksums.
func TestVectorManifest(t *testing.T) {
	manifest, err := os.ReadFile(filepath.Join(vectors, "bindings/MANIFEST.sha256"))
	if err != nil {
		t.Fatal(err)
	}
	// Of the manifest's names, tests/bindings/vectors/KIND/v1.json, these two
	// are what this package reads.
	files := map[string]string{
		"canonical": "bindings/canonical-v1.json",
		"hashing":   "bindings/hashing-v1.json",
	}
	for line := range strings.Lines(string(manifest)) {
		sum, path, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("manifest line %q", line)
		}
		kind := filepath.Base(filepath.Dir(path))
		name, ok := files[kind]
		if !ok {
			continue
		}
		delete(files, kind)
		data, err := os.ReadFile(filepath.Join(vectors, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s: SHA-256 is %x, manifest says %s", name, got, sum)
		}
	}
	if len(files) != 0 {
		t.Errorf("not in the manifest: %v", files)
	}
}

// receipt returns a receipt of the semantic vectors in canonical form, and the
// same with the members of each object in reverse order.
func receipt(t testing.TB) (canonical, shuffled []byte) {
	var file struct {
		Cases []struct {
			Receipt json.RawMessage `json:"receipt"`
		} `json:"cases"`
	}
	readVectors(t, "receipt-v1-semantic/v1.json", &file)
	canonical, err := Canonical(file.Cases[0].Receipt)
	if err != nil {
		t.Fatal(err)
	}
	return canonical, reverse(canonical)
}

func reverse(value []byte) []byte {
	var parts [][]byte
	for m := range Members(value) {
		part := append([]byte(`"`+string(m.Name)+`":`), reverse(m.Value)...)
		parts = append([][]byte{part}, parts...)
	}
	if parts != nil {
		return append(append([]byte("{"), bytes.Join(parts, []byte(","))...), '}')
	}
	for e := range Elements(value) {
		parts = append(parts, reverse(e))
	}
	if parts != nil {
		return append(append([]byte("["), bytes.Join(parts, []byte(","))...), ']')
	}
	return value
}

func TestReceipt(t *testing.T) {
	canonical, shuffled := receipt(t)
	if bytes.Equal(canonical, shuffled) {
		t.Fatal("reversing the members changed nothing")
	}
	got, err := Canonical(shuffled)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, canonical) {
		t.Errorf("got  %s\nwant %s", got, canonical)
	}
}

func TestAllocations(t *testing.T) {
	canonical, shuffled := receipt(t)
	dst := make([]byte, 0, len(canonical))
	p := new(parser)
	for name, text := range map[string][]byte{"canonical": canonical, "shuffled": shuffled} {
		allocs := testing.AllocsPerRun(10, func() {
			if err := p.parse(dst, text, AnyNumbers); err != nil {
				t.Fatal(err)
			}
			if out, err := p.finish(dst); err != nil || !bytes.Equal(out, canonical) {
				t.Fatalf("%s, %v", out, err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s input: %v allocations", name, allocs)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	canonical, shuffled := receipt(b)
	for name, text := range map[string][]byte{"canonical": canonical, "shuffled": shuffled} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			dst := make([]byte, 0, len(text))
			for b.Loop() {
				if _, err := Append(dst, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	canonical, _ := receipt(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(canonical)))
	for b.Loop() {
		if err := Check(canonical, StrictNumbers); err != nil {
			b.Fatal(err)
		}
	}
}
