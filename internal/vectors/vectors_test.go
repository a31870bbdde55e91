// Package vectors checks testdata/VECTORS.md, the list of the public vectors and
// of the tests that read them: a vector that nothing reads proves nothing, and
// one that no list names is soon read by nothing.
package vectors

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.." // of the repository

// A row is one line of the list.
type row struct {
	path  string   // of a file, or a pattern
	files int      // how many files it stands for
	tests []string // that read them, none if nothing does yet
}

// mustRead are the vectors of which every one has to be read today.
var mustRead = []string{
	"chio/anchor/**", "chio/bindings/canonical-v1.json", "chio/bindings/hashing-v1.json", "chio/bindings/MANIFEST.sha256", "chio/bindings/receipt-flat-v1.json",
	"chio/derived/canonical-edge.json", "chio/derived/checkpoint-chain-rotation.json", "chio/derived/checkpoint-negative.json",
	"chio/derived/transparency-inclusion-proof-v2.json", "chio/evidence/hello-minimal/*",
	"chio/key-log/key-log-checkpoint-envelope-genesis-v1.json", "chio/key-log/key-log-event-envelope-genesis-v1.json",
	"chio/receipt-samples/**", "chio/receipt-v1-semantic/**", "chio/replay-receipts/**",
	"tlog/examples.json", "tlog/keys/**", "tlog/merkle/consistency/**", "tlog/merkle/inclusion/**", "tlog/tessera-log/checkpoint*", "tlog/tessera-log/tile/**",
	"tlog/generated/cosignatures.json", "tlog/generated/entry-bundles.json", "tlog/generated/merkle.json", "tlog/generated/notes.json",
	"tlog/generated/policies.json", "tlog/generated/tile-paths.json", "tlog/generated/tlog-proofs.json",
}

func TestEveryListedVectorIsRead(t *testing.T) {
	files := vectorFiles(t)
	for _, r := range readList(t) {
		matched := 0
		for _, f := range files {
			if covers(r.path, f) {
				matched++
			}
		}
		if len(r.tests) == 0 {
			if matched > 0 {
				t.Errorf("%s lies in testdata, and no test reads it", r.path)
			}
			continue
		}
		if matched != r.files {
			t.Errorf("%s stands for %d files, testdata has %d", r.path, r.files, matched)
		}
		for _, name := range r.tests {
			source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
			if err != nil {
				t.Errorf("%s: %v", r.path, err)
			} else if word := mention(r.path); !strings.Contains(string(source), word) {
				t.Errorf("%s does not name %s", name, word)
			}
		}
	}
}

func TestEveryVectorIsListed(t *testing.T) {
	rows := readList(t)
	for _, f := range vectorFiles(t) {
		n := 0
		for _, r := range rows {
			if covers(r.path, f) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s stands in %d rows, want 1", f, n)
		}
	}
}

func TestNothingOfTodayIsLeftForLater(t *testing.T) {
	rows := readList(t)
	for _, want := range mustRead {
		found := false
		for _, r := range rows {
			if r.path != want && !covers(want, r.path) {
				continue
			}
			found = true
			if len(r.tests) == 0 {
				t.Errorf("no test reads %s", r.path)
			}
		}
		if !found {
			t.Errorf("no row has %s", want)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"a/b.json", "a/b.json", true},
		{"a/b.json", "a/c.json", false},
		{"a/*", "a/b.json", true},
		{"a/*", "a/b/c.json", false},
		{"a/b*", "a/b.1", true},
		{"a/b*", "a/c.1", false},
		{"a/**", "a/b/c.json", true},
		{"a/**", "ab/c.json", false},
	} {
		if got := covers(tt.pattern, tt.name); got != tt.want {
			t.Errorf("covers(%q, %q) = %t", tt.pattern, tt.name, got)
		}
	}
}

// covers reports whether a row's path stands for a file.
func covers(pattern, name string) bool {
	if folder, ok := strings.CutSuffix(pattern, "**"); ok {
		return strings.HasPrefix(name, folder)
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// mention returns what a test that reads a row's files has in its source: the
// name of the file or, where there are many, that of their folder.
func mention(pattern string) string {
	folder, _, many := strings.Cut(pattern, "*")
	if !many {
		return path.Base(pattern)
	}
	return path.Base(path.Dir(folder))
}

// vectorFiles lists the vectors from elsewhere that lie in testdata.
func vectorFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	testdata := os.DirFS(filepath.Join(root, "testdata"))
	for _, folder := range []string{"chio", "tlog"} {
		err := fs.WalkDir(testdata, folder, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// readList reads the table of VECTORS.md: in the order of the paths, each once.
func readList(t *testing.T) []row {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "testdata", "VECTORS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(data), "\n|---|---|---|\n")
	if !ok {
		t.Fatal("VECTORS.md has no table")
	}
	var rows []row
	for line := range strings.Lines(table) {
		r, err := parseRow(strings.TrimSuffix(line, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if !slices.IsSortedFunc(rows, func(a, b row) int { return strings.Compare(a.path, b.path) }) {
		t.Error("the rows are not in the order of their paths")
	}
	return rows
}

func parseRow(line string) (row, error) {
	cells := strings.Split(line, " | ")
	if len(cells) != 3 || !strings.HasPrefix(cells[0], "| `") || !strings.HasSuffix(cells[0], "`") || !strings.HasSuffix(cells[2], " |") {
		return row{}, fmt.Errorf("not a row: %s", line)
	}
	r := row{path: strings.Trim(cells[0], "| `")}
	n, err := strconv.Atoi(cells[1])
	if err != nil || n < 1 {
		return row{}, fmt.Errorf("%s: %q files", r.path, cells[1])
	}
	r.files = n
	by := strings.TrimSuffix(cells[2], " |")
	if strings.HasPrefix(by, "later: ") || strings.HasPrefix(by, "none: ") {
		return r, nil
	}
	for _, name := range strings.Split(by, ", ") {
		if !strings.HasSuffix(name, "_test.go") {
			return row{}, fmt.Errorf("%s: %q is no test", r.path, name)
		}
		r.tests = append(r.tests, name)
	}
	return r, nil
}
