package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chiolog/chiolog/formats/api"
	"k8s.io/klog/v2"
)

const origin = "example.com/log"

// What the tests share: the server's program, a log that is being served and
// grows no more, and one whose server has ended.
var (
	program string
	served  *server
	stopped *server
)

// receiptsShared is how many receipts a shared log holds: enough for full tiles
// and a partial one at level 0, and a partial one at level 1.
const receiptsShared = 700

func TestMain(m *testing.M) {
	klog.LogToStderr(false) // fsck says what it does
	klog.SetOutput(io.Discard)
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status, err := run(m, dir)
	if served != nil {
		err = errors.Join(err, served.stop())
	}
	err = errors.Join(err, os.RemoveAll(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func run(m *testing.M, dir string) (status int, err error) {
	program = filepath.Join(dir, "chiolog-server")
	build := exec.Command("go", "build", "-o", program, "./cmd/chiolog-server")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the server: %w\n%s", err, out)
	}
	if served, err = startShared(filepath.Join(dir, "served")); err != nil {
		return 1, err
	}
	if stopped, err = startShared(filepath.Join(dir, "stopped")); err != nil {
		return 1, err
	}
	if err := stopped.stop(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// startShared starts a log and fills it over several checkpoints.
func startShared(dir string) (*server, error) {
	s, err := start(dir, "--checkpoint-interval", "50ms")
	if err != nil {
		return nil, err
	}
	for _, n := range []int{1, 2, 97, 153, 3, 300, 144} {
		if _, err := s.append(n, true); err != nil {
			return nil, errors.Join(err, s.stop())
		}
	}
	if len(s.sent) != receiptsShared {
		return nil, errors.Join(fmt.Errorf("%d receipts sent, want %d", len(s.sent), receiptsShared), s.stop())
	}
	return s, nil
}

// A server is a running log server, or one that has ended.
type server struct {
	url  string // without a slash at the end
	vkey string
	dir  string   // the store
	sent [][]byte // receipts appended, in order
	at   []uint64 // index of each

	args   []string
	home   string
	writer *writer
	cmd    *exec.Cmd
	output chan struct{} // closed when standard output has ended
}

// start starts a new log in dir and waits until it serves.
func start(dir string, flags ...string) (*server, error) {
	s := &server{dir: filepath.Join(dir, "store"), home: filepath.Join(dir, "home"), writer: newWriter()}
	s.args = append([]string{
		"--origin", origin, "--store", "file:" + s.dir, "--listen", "127.0.0.1:0",
		"--writer", s.writer.keyText(), "--log-level", "error",
	}, flags...)
	return s, s.restart()
}

// startLog starts a new log for one test.
func startLog(t *testing.T, flags ...string) *server {
	t.Helper()
	s, err := start(t.TempDir(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// restart starts the server again over the same store and home.
func (s *server) restart() error {
	s.cmd = exec.Command(program, s.args...)
	s.cmd.Env = append(os.Environ(), "CHIO_HOME="+s.home)
	s.cmd.Stderr = os.Stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	s.url = ""
	lines := bufio.NewScanner(stdout)
	for s.url == "" && lines.Scan() {
		if vkey, ok := strings.CutPrefix(lines.Text(), "vkey "); ok {
			s.vkey = strings.TrimSpace(vkey)
		}
		if url, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
			s.url = url
		}
	}
	s.output = make(chan struct{})
	go func() {
		defer close(s.output)
		io.Copy(io.Discard, stdout)
	}()
	if s.url == "" || s.vkey == "" {
		return errors.Join(errors.New("the server did not say where it serves"), s.stop())
	}
	return s.awaitReady()
}

// awaitReady asks until the log has its first checkpoint. The server answers
// each request when it can, so nothing is gained by pauses.
func (s *server) awaitReady() error {
	for deadline := time.Now().Add(time.Minute); ; {
		resp, err := http.Get(s.url + api.PathReady)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("the server did not get ready: %w", err), s.stop())
		}
	}
}

// stop ends the server as an operator does, and does nothing if it has ended.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.output
	err = errors.Join(err, s.cmd.Wait())
	s.cmd = nil
	if err != nil {
		return fmt.Errorf("stopping the server: %w", err)
	}
	return nil
}

// append sends n new receipts in one request, and with published waits until a
// checkpoint covers them. It returns the answers.
func (s *server) append(n int, published bool) ([]api.Submitted, error) {
	var lines [][]byte
	for i := range n {
		line, err := s.writer.receipt(len(s.sent) + i)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	answers, err := s.submit(lines, published)
	if err != nil {
		return nil, err
	}
	s.sent = append(s.sent, lines...)
	for _, a := range answers {
		s.at = append(s.at, a.Index)
	}
	return answers, nil
}

// submit sends receipts and returns the answers, none of which is an error.
func (s *server) submit(lines [][]byte, published bool) ([]api.Submitted, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url := s.url + api.PathReceipts
	if published {
		url += "?wait=" + api.WaitPublished
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(bytes.Join(lines, []byte("\n"))))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", api.TypeNDJSON)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("submitting: %w", err)
	}
	defer resp.Body.Close()
	var answers []api.Submitted
	for dec := json.NewDecoder(resp.Body); ; {
		var a api.Submitted
		err := dec.Decode(&a)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("submitting: answer %d: %w", len(answers), err)
		}
		if a.Error != nil {
			return nil, fmt.Errorf("submitting: receipt %d: %w", len(answers), a.Error)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(lines) {
		return nil, fmt.Errorf("submitting: %d answers to %d receipts", len(answers), len(lines))
	}
	return answers, nil
}
