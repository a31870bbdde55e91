// Package seedfile keeps an Ed25519 key in Chio's seed file: 64 hex digits of
// the 32-byte seed and a newline, mode 0600 from its first byte on.
package seedfile

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/signer"
)

// A Key is the key of a seed file. It implements signer.Backend.
type Key struct {
	private ed25519.PrivateKey
	public  chio.Key
}

var _ signer.Backend = (*Key)(nil)

// maxFile bounds what is read of a seed file, white space included.
const maxFile = 4096

// Load reads the seed file at path: white space around the digits and a 0x
// before them are taken, as Chio takes them. A file that others than its owner
// may read or write is refused. The error never has a part of the content.
func Load(path string) (*Key, error) {
	// A pipe would make the open wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("seed file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("seed file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("seed file %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("seed file %s has mode %#o: others can reach the key; run chmod 600 on it, and make a new key if anybody may have read it", path, mode)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("seed file %s has %d bytes, a seed is 64 hex digits", path, info.Size())
	}
	text := make([]byte, info.Size())
	defer clear(text)
	if _, err := f.ReadAt(text, 0); err != nil && len(text) > 0 {
		return nil, fmt.Errorf("seed file %s: reading: %w", path, err)
	}
	digits := strings.TrimPrefix(strings.TrimSpace(string(text)), "0x")
	seed, err := hex.DecodeString(digits)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("seed file %s: not 64 hex digits", path)
	}
	return newKey(seed), nil
}

// Create makes a new key and writes it to path, whole or not at all and
// durable on return. The error is fs.ErrExist if there is a file already.
func Create(path string) (*Key, error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	if err := write(path, []byte(hex.EncodeToString(seed)+"\n")); err != nil {
		return nil, fmt.Errorf("creating seed file %s: %w", path, err)
	}
	return newKey(seed), nil
}

// LoadOrCreate loads the key at path, and creates it, with its folder, if the
// file is missing.
func LoadOrCreate(path string) (key *Key, created bool, err error) {
	key, err = Load(path)
	if err == nil {
		return key, false, removeTwin(path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, false, fmt.Errorf("seed file: %w", err)
	}
	key, err = Create(path)
	return key, err == nil, err
}

// removeTwin removes the temporary name that a kill may have left of a whole
// file: a secret has one name.
func removeTwin(path string) error {
	tmp, err := os.Lstat(path + ".tmp")
	if err != nil {
		return nil
	}
	if key, err := os.Lstat(path); err == nil && os.SameFile(tmp, key) {
		return os.Remove(path + ".tmp")
	}
	return nil
}

// step is called before each step of a write; a test stops there.
var step = func(string) {}

// write puts content at path by way of a temporary file that is never
// readable by others. A crash leaves the old state, or the new file whole, and
// perhaps the temporary file, which the next write removes.
func write(path string, content []byte) error {
	tmp := path + ".tmp"
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	step("remove")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	step("create")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	step("write")
	if _, err := f.Write(content); err != nil {
		return err
	}
	step("sync")
	if err := f.Sync(); err != nil {
		return err
	}
	step("link")
	// A link, unlike a rename, never replaces a key that appeared meanwhile.
	if err := os.Link(tmp, path); err != nil {
		return err
	}
	step("unlink")
	if err := os.Remove(tmp); err != nil {
		return err
	}
	step("sync folder")
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func newKey(seed []byte) *Key {
	private := ed25519.NewKeyFromSeed(seed)
	return &Key{private: private, public: chio.NewEd25519(private.Public().(ed25519.PublicKey))}
}

// PublicKey implements signer.Backend.
func (k *Key) PublicKey() chio.Key { return k.public }

// Sign implements signer.Backend.
func (k *Key) Sign(_ context.Context, message []byte) (signer.Signature, error) {
	return signer.Signature{Key: k.public, Text: chio.SignatureText(chio.Ed25519, ed25519.Sign(k.private, message))}, nil
}

// MaxMessage implements signer.Backend; there is no limit that a log meets.
func (k *Key) MaxMessage() int { return 1 << 30 }

// String keeps the private key out of logs.
func (k *Key) String() string { return "ed25519 key " + k.public.Text() }
