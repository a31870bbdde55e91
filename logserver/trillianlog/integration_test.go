package trillianlog

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/integration"
	"google.golang.org/grpc"
)

// A suiteClient is the log's client for Trillian's integration suite, which
// presupposes one thing that the log refuses: extra data beside a leaf. A
// tlog-tiles log has no place for it, and what no hash covers is better not
// kept. So the client keeps it here, and the suite's check of it ("leaf
// ExtraData") says nothing about the log. All its other checks do.
//
// The suite's runs with UniqueLeaves below LeafCount are left out: they want
// the same leaf to be sequenced several times, and the log's dedup is strict.
type suiteClient struct {
	trillian.TrillianLogClient
	mu    sync.Mutex
	extra map[string][]byte
}

func (c *suiteClient) QueueLeaf(ctx context.Context, in *trillian.QueueLeafRequest, opts ...grpc.CallOption) (*trillian.QueueLeafResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.extra[string(in.Leaf.LeafValue)] = in.Leaf.ExtraData
	leaf := &trillian.LogLeaf{LeafValue: in.Leaf.LeafValue}
	return c.TrillianLogClient.QueueLeaf(ctx, &trillian.QueueLeafRequest{LogId: in.LogId, Leaf: leaf}, opts...)
}

func (c *suiteClient) GetLeavesByRange(ctx context.Context, in *trillian.GetLeavesByRangeRequest, opts ...grpc.CallOption) (*trillian.GetLeavesByRangeResponse, error) {
	out, err := c.TrillianLogClient.GetLeavesByRange(ctx, in, opts...)
	for _, leaf := range out.GetLeaves() {
		leaf.ExtraData = c.extra[string(leaf.LeafValue)]
	}
	return out, err
}

func TestTrillianIntegrationSuite(t *testing.T) {
	t.Attr("component", "trillian "+version("github.com/google/trillian"))
	dir := t.TempDir()
	extra := make(map[string][]byte)
	for _, run := range []struct {
		name  string
		fresh bool
	}{
		{"fresh", true},
		{"every leaf again, after a restart", false},
	} {
		l, err := OpenFile(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		params := integration.DefaultTestParameters(l.TreeID())
		params.CheckLogEmpty = run.fresh
		params.SequencingPollWait = time.Millisecond
		c := &suiteClient{TrillianLogClient: l.Client(), extra: maps.Clone(extra)}
		if err := integration.RunLogIntegration(c, params); err != nil {
			t.Errorf("%s: %v", run.name, err)
		}
		maps.Copy(extra, c.extra)
		if size, _ := l.Head(); size != uint64(params.LeafCount) {
			t.Errorf("%s: size %d, want %d", run.name, size, params.LeafCount)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAppendRunsTrillian runs an append once more with coverage of Trillian, and
// looks for lines of the two functions that every entry must go through.
func TestAppendRunsTrillian(t *testing.T) {
	t.Attr("component", "trillian "+version("github.com/google/trillian"))
	profile := filepath.Join(t.TempDir(), "profile")
	const packages = "github.com/google/trillian/log,github.com/google/trillian/server"
	cmd := exec.Command("go", "test", "-count=1", "-run=^TestWaitEndsWithContext$", "-coverpkg="+packages, "-coverprofile="+profile, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct{ file, function string }{
		{"log/sequencer.go", "func IntegrateBatch("},
		{"log/sequencer.go", "func updateCompactRange("},
		{"server/log_rpc_server.go", "func (t *TrillianLogRPCServer) QueueLeaf("},
	} {
		if !covered(t, string(data), f.file, f.function) {
			t.Errorf("an append does not run %s of %s", f.function, f.file)
		}
	}
}

// covered reports whether a profile counts a block that begins in a function.
func covered(t *testing.T, profile, file, function string) bool {
	t.Helper()
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/trillian").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), file))
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := bytes.Cut(source, []byte("\n"+function))
	if !ok {
		t.Fatalf("there is no %s in %s", function, file)
	}
	body, _, _ := bytes.Cut(after, []byte("\n}"))
	first := bytes.Count(before, []byte("\n")) + 2
	last := first + bytes.Count(body, []byte("\n"))
	block := regexp.MustCompile(`(?m)^github\.com/google/trillian/` + regexp.QuoteMeta(file) + `:(\d+)\.\S+ \d+ [1-9]\d*$`)
	for _, match := range block.FindAllStringSubmatch(profile, -1) {
		if line := atoi(t, match[1]); first <= line && line <= last {
			return true
		}
	}
	return false
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
