package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/chiolog/chiolog/formats/api"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"chiolog": main})
}

// TestScripts runs the commands as a user does. Each script has a log server
// of its own at $LOG, which serves the log of the vectors in $VECTORS.
func TestScripts(t *testing.T) {
	vectors, err := filepath.Abs("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			log, err := newTestLog(filepath.Join(vectors, "chiolog"))
			if err != nil {
				return err
			}
			env.Defer(log.Close)
			env.Values["log"] = log
			env.Setenv("LOG", log.URL)
			env.Setenv("VECTORS", filepath.Join(vectors, "chiolog"))
			env.Setenv("TESTDATA", vectors)
			return nil
		},
		Condition: func(name string) (bool, error) {
			return exec.Command("unshare", "-n", "true").Run() == nil, nil // "netns"
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"requests": requests,
			"subst":    subst,
		},
	})
}

// exits STATUS COMMAND... demands an exit status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// requests N demands that the log server had N requests so far.
func requests(ts *testscript.TestScript, _ bool, args []string) {
	if got := ts.Value("log").(*testLog).requests.Load(); strconv.FormatInt(got, 10) != args[0] {
		ts.Fatalf("%d requests, want %s", got, args[0])
	}
}

// subst FILE OLD NEW replaces the first OLD in a file.
func subst(ts *testscript.TestScript, _ bool, args []string) {
	before := ts.ReadFile(args[0])
	after := strings.Replace(before, args[1], args[2], 1)
	if after == before {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(after), 0o644))
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain — text": "plain — text",
		"a\x1b[2Jb":    `a\u001b[2Jb`,
		"a\nb\tc":      `a\u000ab\u0009c`,
		"a\u202eb":     `a\u202eb`, // turns the direction of writing
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestAppendVerdict(t *testing.T) {
	refused := func(codes ...string) (answers []api.Submitted) {
		for _, code := range codes {
			answers = append(answers, api.Submitted{Error: &api.Error{Code: code}})
		}
		return answers
	}
	for _, tt := range []struct {
		name    string
		answers []api.Submitted
		want    int
	}{
		{"accepted and duplicate", []api.Submitted{{}, {Duplicate: true}}, 0},
		{"refused", refused(api.CodeForbidden), 1},
		{"conflict", refused(api.CodeConflict), 1},
		{"log is busy", refused(api.CodeOverloaded), 2},
		{"log is broken", refused(api.CodeInternal), 2},
		{"not published in time", refused(api.CodeNotPublished), 2},
		{"refused, and busy for others", refused(api.CodeOverloaded, api.CodeInvalidReceipt), 1},
	} {
		r := &appendReport{out: io.Discard, err: io.Discard}
		for _, s := range tt.answers {
			if err := r.add(s); err != nil {
				t.Fatal(err)
			}
		}
		if got := exitStatus(r.verdict()); got != tt.want {
			t.Errorf("%s: exit status %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestErrorLineIsOneLine(t *testing.T) {
	err := fmt.Errorf("appending: %w", &api.Error{Code: api.CodeInternal, Message: "two\nlines \x1b[2J"})
	if got, want := errorLine(err), `appending: internal: two lines \u001b[2J`; got != want {
		t.Errorf("errorLine = %q, want %q", got, want)
	}
	if got := errorLine(&statusError{status: 1}); got != "" {
		t.Errorf("a command that has said all: %q", got)
	}
}

func TestAge(t *testing.T) {
	for seconds, want := range map[int64]string{0: "0s ago", 90: "1m30s ago", 86400: "24h0m0s ago", 200000: "2 days ago", -5: "5s in the future"} {
		if got := age(seconds); got != want {
			t.Errorf("age(%d) = %s, want %s", seconds, got, want)
		}
	}
}
