package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chiolog/chiolog/cmd/internal/flagenv"
	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/tile"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/logserver"
	"github.com/spf13/pflag"
)

// A process is a running chiolog-server.
type process struct {
	cmd    *exec.Cmd
	url    string
	stderr bytes.Buffer
}

var buildServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chiolog-server-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "chiolog-server")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := buildServer(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// start runs the server on home until the test ends, or returns how it failed.
func start(t *testing.T, home string, args ...string) (*process, error) {
	t.Helper()
	path, err := buildServer()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(path, append([]string{"--origin", testOrigin, "--listen", "127.0.0.1:0"}, args...)...)}
	p.cmd.Env = append(os.Environ(), "CHIO_HOME="+home)
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
			p.url = url
			go io.Copy(io.Discard, stdout)
			return p, nil
		}
	}
	err = p.cmd.Wait()
	return nil, fmt.Errorf("%w: %s", err, p.stderr.String())
}

func mustStart(t *testing.T, home string, args ...string) *process {
	t.Helper()
	p, err := start(t, home, args...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// kill ends the process as a power cut would, without a word to it.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// stop ends the process in order.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("server ended with %v: %s", err, p.stderr.String())
	}
}

// postAll sends receipts as NDJSON and returns the answers that came.
func postAll(ctx context.Context, client *http.Client, url string, receipts [][]byte) ([]api.Submitted, error) {
	body := append(bytes.Join(receipts, []byte("\n")), '\n')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+api.PathReceipts, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", api.TypeNDJSON)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answers []api.Submitted
	for d := json.NewDecoder(resp.Body); len(answers) < len(receipts); {
		var a api.Submitted
		if err := d.Decode(&a); err != nil {
			return answers, err
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// TestKillNine sends the same receipts of two writers over 64 connections in
// random orders while the server is killed and started again three times: each
// receipt is one leaf, and every answer names the same index for it.
func TestKillNine(t *testing.T) {
	const receipts, connections, chunk, kills = 10000, 64, 250, 3
	home := t.TempDir()
	writers := []testWriter{newTestWriter(1), newTestWriter(2)}
	args := []string{"--writer", writers[0].text() + "," + writers[1].text(), "--checkpoint-interval", "100ms"}
	all := make([][]byte, receipts)
	for i := range all {
		all[i] = writers[i%2].receipt(t, i)
	}

	var mu sync.Mutex // guards current, index, answered
	current := mustStart(t, home, args...)
	index := map[string]uint64{} // by receipt id
	answered := 0
	address := func() string {
		mu.Lock()
		defer mu.Unlock()
		return current.url
	}
	take := func(answers []api.Submitted) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range answers {
			if a.Error != nil {
				if !a.Error.Temporary() {
					t.Errorf("receipt refused: %v", a.Error)
				}
				continue
			}
			if old, ok := index[a.ID]; ok && old != a.Index {
				t.Errorf("receipt %s has the indexes %d and %d", a.ID, old, a.Index)
			}
			index[a.ID] = a.Index
			answered++
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() {
			order := rand.New(rand.NewPCG(uint64(c), 0)).Perm(receipts)
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for from := 0; from < receipts && ctx.Err() == nil; {
				batch := make([][]byte, 0, chunk)
				for _, i := range order[from : from+chunk] {
					batch = append(batch, all[i])
				}
				answers, err := postAll(ctx, client, address(), batch)
				take(answers)
				if err == nil {
					from += chunk
				}
			}
		})
	}
	// Kill when a quarter, a half and three quarters of the answers are in.
	for k := range kills {
		for {
			mu.Lock()
			due := answered >= receipts*connections*(k+1)/(kills+1)
			mu.Unlock()
			if due || ctx.Err() != nil {
				break
			}
			runtimeYield(ctx)
		}
		mu.Lock()
		current.kill()
		next, err := start(t, home, args...)
		if err != nil {
			mu.Unlock()
			t.Fatalf("start after kill %d: %v", k+1, err)
		}
		current = next
		mu.Unlock()
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Fatal("not done in five minutes")
	}
	if len(index) != receipts {
		t.Errorf("%d receipts have an index, want %d", len(index), receipts)
	}
	awaitPublished(t, current.url, receipts)
	current.stop(t)
	checkStore(t, filepath.Join(home, "log"), index)
}

// runtimeYield waits a moment for other goroutines and processes.
func runtimeYield(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Millisecond):
	}
}

// awaitPublished polls until the public checkpoint covers more than size leaves.
func awaitPublished(t *testing.T, url string, size uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		resp, err := http.Get(url + api.PathCheckpoint)
		if err == nil {
			data, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if note, err := checkpoint.ParseNote(data); err == nil {
				if c, err := checkpoint.Parse(note.Text); err == nil && c.Size > size {
					return
				}
			}
		}
		runtimeYield(ctx)
	}
	t.Fatalf("no checkpoint over more than %d leaves", size)
}

// checkStore reads the log from its files alone: the root follows from the
// entries, and each receipt is at its index once.
func checkStore(t *testing.T, dir string, index map[string]uint64) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	note, err := checkpoint.ParseNote(data)
	if err != nil {
		t.Fatal(err)
	}
	head, err := checkpoint.Parse(note.Text)
	if err != nil {
		t.Fatal(err)
	}
	var tree checkpoint.Frontier
	found := map[string]bool{}
	own := 0
	for n := uint64(0); n*tile.Width < head.Size; n++ {
		width := int(min(tile.Width, head.Size-n*tile.Width))
		data, err := os.ReadFile(filepath.Join(dir, tile.EntriesPath(n, width)))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := tile.ParseBundle(data, width)
		if err != nil {
			t.Fatal(err)
		}
		for i, entry := range entries {
			at := n*tile.Width + uint64(i)
			tree.Append(checkpoint.LeafHash(entry))
			r, err := receipt.ParseCanonical(entry)
			if err != nil {
				t.Fatalf("entry %d: %v", at, err)
			}
			if _, ok := timeline.Reserved(r); ok {
				own++
				continue
			}
			if want, ok := index[r.ID]; !ok || want != at || found[r.ID] {
				t.Errorf("receipt %s is at index %d, was answered with %d, %t; seen before: %t", r.ID, at, want, ok, found[r.ID])
			}
			found[r.ID] = true
		}
	}
	if tree.Root() != head.Root {
		t.Error("the entries do not lead to the published root")
	}
	if len(found) != len(index) || uint64(own+len(found)) != head.Size {
		t.Errorf("%d receipts and %d leaves of the log's own under size %d, want %d receipts", len(found), own, head.Size, len(index))
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	home := t.TempDir()
	mustStart(t, home)
	_, err := start(t, home)
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second server on the store: %v", err)
	}
}

// TestOrderlyEnd: a submission that waits for publication is answered although
// the server was told to end.
func TestOrderlyEnd(t *testing.T) {
	writer := newTestWriter(1)
	p := mustStart(t, t.TempDir(), "--writer", writer.text(), "--checkpoint-interval", "2s")
	awaitPublished(t, p.url, 1)
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Post(p.url+api.PathReceipts+"?wait=published", api.TypeJSON, bytes.NewReader(writer.receipt(t, 1)))
		if err == nil {
			if resp.Body.Close(); resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		answered <- err
	}()
	// The receipt is in once it can be looked up by its leaf hash.
	hash := checkpoint.LeafHash(writer.receipt(t, 1))
	for {
		resp, err := http.Get(fmt.Sprintf("%s%s?leaf_hash=%x", p.url, api.PathInclusion, hash))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusNotFound {
			break
		}
		runtimeYield(t.Context())
	}
	p.stop(t)
	if err := <-answered; err != nil {
		t.Errorf("waiting submission: %v", err)
	}
}

// TestTwoLogsDoNotShareKeys: a key is introduced in one log (K-1).
func TestTwoLogsDoNotShareKeys(t *testing.T) {
	home := t.TempDir()
	mustStart(t, home).stop(t)
	second := []string{"--origin", "example.com/second", "--store", "file:" + filepath.Join(home, "second")}
	if _, err := start(t, home, second...); err == nil || !strings.Contains(err.Error(), "another log") {
		t.Errorf("second log with the first one's offline keys beside it: %v", err)
	}
	for _, name := range offlineKeys {
		if err := os.Remove(seedName(filepath.Join(home, "keys"), name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := start(t, home, second...); err == nil || !strings.Contains(err.Error(), "signs another log") {
		t.Errorf("second log with the first one's kernel key: %v", err)
	}
	mustStart(t, home, append(second, "--key", "seed:"+filepath.Join(home, "keys", "second.seed"))...)
}

func TestBareKeyIsRefused(t *testing.T) {
	seed := strings.Repeat("5a", 32)
	var out bytes.Buffer
	err := run(t.Context(), []string{"--origin", testOrigin}, []string{"CHIOLOG_KEY=" + seed, "CHIO_HOME=" + t.TempDir()}, &out, &out)
	if err == nil || !strings.Contains(err.Error(), "seed:/path") {
		t.Errorf("bare key in CHIOLOG_KEY: %v", err)
	}
	if err != nil && strings.Contains(err.Error()+out.String(), seed[:16]) {
		t.Error("the key is echoed")
	}
}

func TestBadStart(t *testing.T) {
	home := t.TempDir()
	policyFile := filepath.Join(home, "policy")
	if err := os.WriteFile(policyFile, []byte("quorum none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	linked := filepath.Join(home, "linked")
	if err := os.Symlink(state, linked); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		env  string
		want string
	}{
		{"no origin", nil, "", "--origin is missing"},
		{"bad origin", []string{"--origin", "a b"}, "", "origin"},
		{"unknown flag", []string{"--orgin", "x"}, "", "unknown flag"},
		{"unknown variable", []string{"--origin", testOrigin}, "CHIOLOG_LISTN=x", "CHIOLOG_LISTN"},
		{"no such config file", []string{"--origin", testOrigin, "--config", home + "/none"}, "", "config file"},
		{"config file with an unknown setting", []string{"--origin", testOrigin, "--config", policyFile}, "", `line 1: "quorum" is no setting`},
		{"MySQL", []string{"--origin", testOrigin, "--store", "mysql://h/db"}, "", "not in this build"},
		{"unknown store", []string{"--origin", testOrigin, "--store", "s3:x"}, "", "not known"},
		{"KMS", []string{"--origin", testOrigin, "--key", "awskms:x"}, "", "not in this build"},
		{"guard in the store", []string{"--origin", testOrigin, "--store", "file:" + home + "/log", "--guard", home + "/log/guard"}, "", "inside the store"},
		{"key in the store", []string{"--origin", testOrigin, "--store", "file:" + home + "/log", "--key", "seed:" + home + "/log/kernel.seed"}, "", "inside the store"},
		{"store around the keys", []string{"--origin", testOrigin, "--store", "file:" + linked, "--guard", home + "/guard"}, "CHIO_HOME=" + state, "inside the store"},
		{"interval", []string{"--origin", testOrigin, "--checkpoint-interval", "49ms"}, "", "minimum"},
		{"address", []string{"--origin", testOrigin, "--listen", "nowhere:xyz"}, "", "--listen"},
		{"writer", []string{"--origin", testOrigin, "--writer", "0x12"}, "", "--writer"},
		{"empty writer", []string{"--origin", testOrigin, "--writer", ""}, "", "--writer: is empty"},
		{"origin with a scheme", []string{"--origin", "https://example.com/log"}, "", "scheme"},
		{"no such policy", []string{"--origin", testOrigin, "--policy", home + "/none"}, "", "--policy"},
		{"no such recovery", []string{"--origin", testOrigin, "--recovery", home + "/none"}, "", "--recovery"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a start that should fail does not serve if it does not
		env := []string{tt.env, "CHIO_HOME=" + t.TempDir()}
		args := append([]string{"--listen", "127.0.0.1:0"}, tt.args...)
		err := run(ctx, args, env, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	if err := checkPolicy(policyFile); err != nil {
		t.Errorf("policy without witnesses: %v", err)
	}
}

// TestShippedConfig reads the example of deployments.
func TestShippedConfig(t *testing.T) {
	var o options
	flags := pflag.NewFlagSet("t", pflag.ContinueOnError)
	o.register(flags)
	if err := flagenv.ApplyFile(flags, "../../deployments/chiolog-server.conf"); err != nil {
		t.Fatal(err)
	}
	if o.origin == "" || len(o.writers) != 1 || o.interval != logserver.DefaultInterval || o.status != logserver.DefaultStatusInterval {
		t.Errorf("settings %+v", o)
	}
}

func TestRecoveryFile(t *testing.T) {
	keys := make([]string, 3)
	for i := range keys {
		keys[i] = newTestWriter(byte(0x60 + i)).text()
	}
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"two of three", "threshold 2\nkey a " + keys[0] + "\nkey b " + keys[1] + "\nkey c " + keys[2] + "\n", true},
		{"comment and spaces", "# who\n\n threshold  2 \nkey a " + keys[0] + "\nkey b " + keys[1] + "\n", true},
		{"none", "none\n", true},
		{"none with keys", "none\nkey a " + keys[0] + "\n", false},
		{"one by oversight", "threshold 1\nkey a " + keys[0] + "\n", false},
		{"one by name", "threshold 1 single\nkey a " + keys[0] + "\n", true},
		{"threshold too high", "threshold 3\nkey a " + keys[0] + "\nkey b " + keys[1] + "\n", false},
		{"one key twice", "threshold 2\nkey a " + keys[0] + "\nkey b " + keys[0] + "\n", false},
		{"one id twice", "threshold 2\nkey a " + keys[0] + "\nkey a " + keys[1] + "\n", false},
		{"bad key", "threshold 2\nkey a x\nkey b " + keys[1] + "\n", false},
		{"unknown line", "treshold 2\n", false},
		{"empty", "", false},
	} {
		if _, err := parseRecovery(tt.text); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
