// Package imports tests who imports whom: the arrows of CONTRIBUTING.md, and
// that client and formats stay light for those who import them.
package imports

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/chiolog/chiolog/"

// arrows says what each package may import of ours; "/..." stands for all
// below. Every package may import the ones of everywhere.
var arrows = map[string][]string{
	"formats/chio":                  {},
	"formats/tile":                  {},
	"formats/receipt":               {},
	"formats/checkpoint":            {},
	"formats/timeline":              {"formats/receipt", "formats/checkpoint"},
	"formats/policy":                {"formats/checkpoint"},
	"formats/bundle":                {"formats/receipt", "formats/checkpoint", "formats/timeline", "formats/policy"},
	"formats/api":                   {"formats/..."},
	"client":                        {"formats/..."},
	"signer":                        {"formats/receipt", "formats/checkpoint", "formats/timeline", "internal/checkpointdb"},
	"signer/seedfile":               {"signer"},
	"logserver":                     {"formats/...", "signer"},
	"logserver/tilestore":           {},
	"logserver/trillianlog":         {"logserver/tilestore"},
	"internal/jcs":                  {},
	"internal/checkpointdb":         {},
	"internal/daemon":               {},
	"internal/imports":              {},
	"internal/vectors":              {},
	"internal/tlogtest":             {"formats/..."},
	"cmd/chiolog":                   {"..."},
	"cmd/chiolog-server":            {"..."},
	"cmd/internal/flagenv":          {},
	"cmd/internal/testtable":        {},
	"logserver/tilestore/storetest": {"logserver/tilestore"},
}

var everywhere = []string{"internal/jcs", "formats/tile", "formats/chio"}

// homes are the libraries that only some packages may import.
var homes = map[string][]string{
	"github.com/google/trillian":                 {"logserver/trillianlog", "logserver/tilestore", "logserver/tilestore/storetest"},
	"google.golang.org/grpc":                     {"logserver/trillianlog", "logserver/tilestore", "logserver/tilestore/storetest"},
	"github.com/gorilla/mux":                     {"logserver"},
	"github.com/prometheus/client_golang":        {"logserver"},
	"github.com/schollz/progressbar/v3":          {"cmd/chiolog"},
	"golang.org/x/term":                          {"cmd/chiolog"},
	"github.com/spf13/cobra":                     {"cmd/chiolog", "cmd/chiolog-server"},
	"github.com/spf13/pflag":                     {"cmd/chiolog", "cmd/chiolog-server", "cmd/internal/flagenv"},
	"filippo.io/edwards25519":                    {"formats/chio", "formats/timeline"},
	"github.com/rogpeppe/go-internal/testscript": {"cmd/chiolog"},
}

type goPackage struct {
	ImportPath                         string
	Standard                           bool
	Imports, TestImports, XTestImports []string
}

func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports,TestImports,XTestImports"}, args...)...)
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	return packages
}

func allowed(imported string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
			return strings.HasPrefix(imported, prefix) && !strings.HasPrefix(imported, "cmd/") || prefix == "" && strings.HasPrefix(imported, "cmd/internal/")
		}
		return imported == pattern
	})
}

// broken lists the imports of a package that no arrow allows.
func broken(name string, imports []string, extra ...string) []string {
	var list []string
	for _, i := range imports {
		if ours, ok := strings.CutPrefix(i, module); ok && ours != name && !allowed(ours, slices.Concat(arrows[name], everywhere, extra)) {
			list = append(list, ours)
		}
		for library, where := range homes {
			if (i == library || strings.HasPrefix(i, library+"/")) && !slices.Contains(where, name) {
				list = append(list, i)
			}
		}
	}
	return list
}

func TestArrows(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if _, ok := arrows[name]; !ok {
			t.Errorf("package %s has no row: say what it may import", name)
			continue
		}
		for _, i := range broken(name, p.Imports) {
			t.Errorf("%s imports %s", name, i)
		}
		for _, i := range broken(name, slices.Concat(p.TestImports, p.XTestImports), "internal/tlogtest", path.Join(name, "storetest")) {
			t.Errorf("a test of %s imports %s", name, i)
		}
	}
}

// TestArrowsCanBreak shows that the test above would notice.
func TestArrowsCanBreak(t *testing.T) {
	for _, tt := range []struct{ name, imported string }{
		{"client", module + "logserver"},
		{"formats/receipt", module + "formats/timeline"},
		{"logserver", module + "logserver/trillianlog"},
		{"logserver", "github.com/google/trillian/types"},
		{"signer", module + "cmd/chiolog"},
		{"cmd/chiolog-server", module + "cmd/chiolog"},
	} {
		if len(broken(tt.name, []string{tt.imported})) == 0 {
			t.Errorf("%s may import %s", tt.name, tt.imported)
		}
	}
}

// TestLightClient compares everything that client and formats bring along with
// the committed list. What is more needs its reason in CONTRIBUTING.md.
func TestLightClient(t *testing.T) {
	want, err := os.ReadFile("light.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range list(t, "-deps", "./client", "./formats/...") {
		if !p.Standard && !strings.HasPrefix(p.ImportPath, module) {
			got = append(got, p.ImportPath)
		}
	}
	slices.Sort(got)
	if text := strings.Join(got, "\n") + "\n"; text != string(want) {
		t.Errorf("client and formats import\n%swant\n%s", text, want)
	}
}
