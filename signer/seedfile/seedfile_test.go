package seedfile

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/signer"
)

func TestCreateIsWhatChioWrites(t *testing.T) {
	// With no umask at all the file is still 0600, from its first byte.
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "kernel.seed")
	var modes []fs.FileMode
	step = func(name string) {
		if info, err := os.Stat(path + ".tmp"); err == nil {
			modes = append(modes, info.Mode().Perm())
		}
	}
	defer func() { step = func(string) {} }()
	key, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(modes) == 0 {
		t.Error("no step saw the temporary file")
	}
	for _, m := range modes {
		if m != 0o600 {
			t.Errorf("temporary file has mode %#o", m)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) != 65 || content[64] != '\n' || bytes.ContainsAny(content, "ABCDEF") {
		t.Errorf("file of %d bytes is not 64 lowercase digits and a newline", len(content))
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode().Perm(), err)
	}
	again, err := Load(path)
	if err != nil || !again.PublicKey().Equal(key.PublicKey()) {
		t.Errorf("Load: %v", err)
	}
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a key: %v", err)
	}
}

func TestLoad(t *testing.T) {
	seed := strings.Repeat("07", 32)
	want := "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"
	for _, tt := range []struct {
		name, content string
		mode          os.FileMode
		ok            bool
	}{
		{"Chio's file", seed + "\n", 0o600, true},
		{"0x and spaces", " \t0x" + seed + " \r\n\n", 0o600, true},
		{"upper case", strings.ToUpper(strings.Repeat("0a", 32)), 0o600, true},
		{"read-only", seed, 0o400, true},
		{"group may read", seed + "\n", 0o640, false},
		{"others may write", seed + "\n", 0o602, false},
		{"63 digits", seed[1:], 0o600, false},
		{"66 digits", seed + "00", 0o600, false},
		{"not hex", seed[:62] + "zz", 0o600, false},
		{"space inside", seed[:32] + " " + seed[32:], 0o600, false},
		{"empty", "", 0o600, false},
	} {
		path := filepath.Join(t.TempDir(), "seed")
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		key, err := Load(path)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil && strings.Contains(tt.content, seed) && key.PublicKey().Text() != want {
			t.Errorf("%s: key %s", tt.name, key.PublicKey().Text())
		}
		if err != nil && strings.Contains(err.Error(), seed[:8]) {
			t.Errorf("%s: the error shows the seed: %v", tt.name, err)
		}
	}
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, t.TempDir()} {
		if _, err := Load(path); err == nil {
			t.Errorf("Load(%s) succeeds", path)
		}
	}
}

func TestSign(t *testing.T) {
	key := newKey(bytes.Repeat([]byte{7}, 32))
	text, err := signer.Sign(context.Background(), key, key.PublicKey(), []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := hex.DecodeString(text)
	if !ed25519.Verify(key.PublicKey().Ed25519(), []byte("m"), raw) {
		t.Error("signature does not verify")
	}
	other := newKey(bytes.Repeat([]byte{8}, 32))
	if _, err := signer.Sign(context.Background(), key, other.PublicKey(), []byte("m")); err == nil {
		t.Error("a signature by another key than asked for is returned")
	}
	if _, err := chio.ParseKey(key.PublicKey().Text()); err != nil {
		t.Error(err)
	}
}

// TestKilledWrite kills a process at every step of a write. What is left is
// no key, or a whole one that is never replaced.
func TestKilledWrite(t *testing.T) {
	if at := os.Getenv("SEEDFILE_KILL_AT"); at != "" {
		step = func(name string) {
			if name == at {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
		Create(os.Getenv("SEEDFILE_PATH"))
		os.Exit(0)
	}
	for _, at := range []string{"remove", "create", "write", "sync", "link", "unlink", "sync folder"} {
		path := filepath.Join(t.TempDir(), "seed")
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWrite$")
		cmd.Env = append(os.Environ(), "SEEDFILE_KILL_AT="+at, "SEEDFILE_PATH="+path)
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: process was not killed: %v", at, err)
		}
		before, err := Load(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("killed before %s: %v", at, err)
		}
		after, created, err := LoadOrCreate(path)
		if err != nil {
			t.Errorf("killed before %s: next start: %v", at, err)
			continue
		}
		if _, err := os.Lstat(path + ".tmp"); err == nil {
			t.Errorf("killed before %s: a second name of the key is left", at)
		}
		if before != nil && (created || !after.PublicKey().Equal(before.PublicKey())) {
			t.Errorf("killed before %s: a whole key was replaced", at)
		}
	}
}
