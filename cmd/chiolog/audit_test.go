package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/chiolog/chiolog/internal/tlogtest"
)

// TestAuditScripts has an honest log at $HONEST and one at $LYING, which goes on
// with a receipt of somebody who is no writer; both under the policy at $POLICY.
func TestAuditScripts(t *testing.T) {
	const origin = "example.com/audited"
	honest := tlogtest.New(t, origin)
	honest.SetWriters([]tlogtest.Key{tlogtest.NewKey("writer")})
	honest.Append(300)
	lying := honest.Fork(honest.Size())
	lying.Add(tlogtest.Receipt(tlogtest.NewKey("stranger"), "x", lying.Time))
	lying.Publish()
	policy := filepath.Join(t.TempDir(), "policy.txt")
	if err := os.WriteFile(policy, []byte("log "+honest.Kernel.VKey(origin).String()+"\nquorum none\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	honestURL, lyingURL := honest.Serve(), lying.Serve()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/audit",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HONEST", honestURL)
			env.Setenv("LYING", lyingURL)
			env.Setenv("POLICY", policy)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}
