package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chiolog/chiolog/cmd/internal/flagenv"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/checkpointdb"
	"github.com/chiolog/chiolog/logserver"
	"github.com/chiolog/chiolog/logserver/trillianlog"
	"github.com/chiolog/chiolog/signer"
	"github.com/chiolog/chiolog/signer/seedfile"
)

type publicKeyer interface{ PublicKey() chio.Key }

// parts are what a running log is made of.
type parts struct {
	log     *logserver.Log
	key     signer.Backend
	dir     string
	closers []func() error
}

func (p *parts) close() {
	for i := len(p.closers) - 1; i >= 0; i-- {
		p.closers[i]()
	}
}

// assemble opens store, guard and key, and starts the log. On an error nothing
// stays open.
func assemble(ctx context.Context, o options, home string, logger *slog.Logger) (_ *parts, err error) {
	p := &parts{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if err := checkPolicy(o.policy); err != nil {
		return nil, err
	}
	if p.dir, err = storeDir(o.store, home); err != nil {
		return nil, err
	}
	seed, err := seedPath(o.key, home)
	if err != nil {
		return nil, err
	}
	tree, err := trillianlog.OpenFile(ctx, p.dir, trillianlog.Options{Logger: logger, Identity: identity})
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, tree.Close)
	size, _ := tree.Head()
	if p.key, err = kernelKey(seed, size == 0); err != nil {
		return nil, err
	}
	if o.guard == "" {
		sum := sha256.Sum256([]byte(o.origin))
		o.guard = filepath.Join(home, "guard", hex.EncodeToString(sum[:]))
	}
	if inside(o.guard, p.dir) {
		return nil, fmt.Errorf("--guard %s lies inside the store: the guard must not be rolled back with it, give it another place", o.guard)
	}
	guard, err := checkpointdb.OpenFile(o.guard)
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	p.closers = append(p.closers, guard.Close)
	s, err := signer.New(o.origin, p.key, guard)
	if err != nil {
		return nil, err
	}
	state, err := checkpointdb.OpenFile(filepath.Join(p.dir, ".publication", "record"))
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, state.Close)
	history, err := logserver.OpenHistory(filepath.Join(p.dir, ".publication", "checkpoints"))
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, history.Close)
	keys := filepath.Join(home, "keys")
	p.log, err = logserver.Open(ctx, logserver.Config{
		Origin: o.origin, Tree: treeOf{tree}, Signer: s, State: state, History: history,
		Genesis: func() (timeline.Metadata, error) { return genesis(o, p.key.PublicKey(), keys) },
		Writers: o.writers, AssumeCurrent: o.assumeCurrent, CheckpointInterval: o.interval, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	warnOfOfflineKeys(keys, logger)
	return p, nil
}

// identity is what makes two entries the same receipt.
func identity(entry []byte) ([32]byte, error) {
	r, err := receipt.ParseCanonical(entry)
	if err != nil {
		return [32]byte{}, err
	}
	return r.Identity(), nil
}

func storeDir(uri, home string) (string, error) {
	if uri == "" {
		return filepath.Join(home, "log"), nil
	}
	scheme, rest, ok := strings.Cut(uri, ":")
	switch {
	case !ok:
		return "", fmt.Errorf("--store %s has no scheme: write file:%s", uri, uri)
	case scheme == "mysql", scheme == "trillian":
		return "", fmt.Errorf("--store: %s: is not in this build, which has file:DIR", scheme)
	case scheme != "file":
		return "", fmt.Errorf("--store: scheme %q is not known, known is file:DIR", scheme)
	case rest == "":
		return "", errors.New("--store file: names no folder")
	}
	return rest, nil
}

func seedPath(uri, home string) (string, error) {
	if uri == "" {
		return filepath.Join(home, "keys", "kernel.seed"), nil
	}
	if err := flagenv.CheckNotKey(uri); err != nil {
		return "", fmt.Errorf("--key: %w", err)
	}
	scheme, rest, ok := strings.Cut(uri, ":")
	switch {
	case !ok:
		return "", errors.New("--key has no scheme: write seed:PATH for a seed file")
	case scheme == "pkcs11", scheme == "awskms", scheme == "gcpkms", scheme == "azurekms", scheme == "vault", scheme == "tpm", scheme == "tee":
		return "", fmt.Errorf("--key: %s: is not in this build, which has seed:PATH", scheme)
	case scheme != "seed":
		return "", errors.New("--key: its scheme is not known, known is seed:PATH")
	case rest == "":
		return "", errors.New("--key seed: names no file")
	}
	return rest, nil
}

// kernelKey loads the key, and makes it only for a log that is empty: to a log
// with leaves a new key would be a stranger's.
func kernelKey(path string, empty bool) (*seedfile.Key, error) {
	if empty {
		key, _, err := seedfile.LoadOrCreate(path)
		return key, err
	}
	key, err := seedfile.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; the log has leaves, so its key is not made anew: put the file back, or recover the log with its recovery keys", err)
	}
	return key, err
}

// checkPolicy reads the log's own policy. A quorum needs witnesses, which this
// build does not ask.
func checkPolicy(path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--policy: %w", err)
	}
	p, err := policy.Parse(data)
	if err != nil {
		return fmt.Errorf("--policy %s: %w", path, err)
	}
	if !p.Intersecting() {
		return fmt.Errorf("--policy %s: two disjoint sets of witnesses satisfy the quorum, so two histories could both be cosigned; raise the thresholds", path)
	}
	if !p.NoWitnesses() {
		return fmt.Errorf("--policy %s: asks for cosignatures, which are not in this build: write quorum none", path)
	}
	return nil
}

// inside reports whether path lies below dir.
func inside(path, dir string) bool {
	absPath, err1 := filepath.Abs(path)
	absDir, err2 := filepath.Abs(dir)
	rel, err3 := filepath.Rel(absDir, absPath)
	return errors.Join(err1, err2, err3) == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// offlineKeys are the files of keys that belong offline.
var offlineKeys = []string{"bootstrap", "recovery-1", "recovery-2", "recovery-3"}

func seedName(dir, name string) string { return filepath.Join(dir, name+".seed") }

func warnOfOfflineKeys(dir string, logger *slog.Logger) {
	for _, name := range offlineKeys {
		if _, err := os.Lstat(seedName(dir, name)); err == nil {
			logger.Warn("this key belongs offline: move it away, the log never reads it again; whoever holds two of the recovery keys owns the log", "file", seedName(dir, name))
		}
	}
}

// genesis makes the first event of a new log, and the keys that it needs.
func genesis(o options, kernel chio.Key, dir string) (timeline.Metadata, error) {
	recovery, err := recoveryPolicy(o.recovery, dir)
	if err != nil {
		return timeline.Metadata{}, err
	}
	if err := timeline.CheckPolicyFits(o.origin, recovery); err != nil {
		return timeline.Metadata{}, fmt.Errorf("--recovery: %w", err)
	}
	bootstrap, _, err := seedfile.LoadOrCreate(seedName(dir, "bootstrap"))
	if err != nil {
		return timeline.Metadata{}, err
	}
	g := timeline.Genesis{Origin: o.origin, Key: kernel, Bootstrap: bootstrap.PublicKey(), Recovery: recovery, IssuedAt: uint64(time.Now().Unix())}
	return g.Metadata(func(message []byte) (string, error) {
		return signer.Sign(context.Background(), bootstrap, bootstrap.PublicKey(), message)
	})
}
