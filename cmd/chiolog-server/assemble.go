package main

import (
	"bytes"
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
	if err := timeline.CheckOrigin(o.origin); err != nil {
		return nil, fmt.Errorf("--origin: %w", err)
	}
	if strings.Contains(o.origin, "://") {
		return nil, fmt.Errorf("--origin %s: leave the scheme out; the name never changes, also when the URL does", o.origin)
	}
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
	keys := filepath.Join(home, "keys")
	if o.guard == "" {
		sum := sha256.Sum256([]byte(o.origin))
		o.guard = filepath.Join(home, "guard", hex.EncodeToString(sum[:]))
	}
	for what, path := range map[string]string{"--guard": o.guard, "--key": seed, "the folder of keys,": keys} {
		if inside(path, p.dir) {
			return nil, fmt.Errorf("%s %s lies inside the store %s, which is public and may be rolled back: give it another place", what, path, p.dir)
		}
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
	guard, err := checkpointdb.OpenFile(o.guard)
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	p.closers = append(p.closers, guard.Close)
	s, err := signer.New(o.origin, p.key, guard)
	if err != nil {
		return nil, err
	}
	if _, ok := s.Position(); size == 0 && !ok {
		if err := checkKeysAreNew(o.guard, keys, p.key.PublicKey()); err != nil {
			return nil, err
		}
	}
	if size > 0 && o.recovery != "" {
		logger.Warn("--recovery has no effect: the log's genesis has the policy already; a recover event changes it")
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
	p.log, err = logserver.Open(ctx, logserver.Config{
		Origin: o.origin, Tree: treeOf{tree}, Signer: s, State: state, History: history,
		Genesis: func(issuedAt uint64) (timeline.Metadata, error) {
			return genesis(o, p.key.PublicKey(), keys, issuedAt)
		},
		Writers: o.writers, AssumeCurrent: o.assumeCurrent, CheckpointInterval: o.interval, StatusInterval: o.status, Logger: logger,
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
		return nil, fmt.Errorf("%w; the log has leaves, so its key is not made anew: put the file back", err)
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

// inside reports whether path lies below dir, or is it, wherever links lead.
func inside(path, dir string) bool {
	rel, err := filepath.Rel(resolve(dir), resolve(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// resolve follows the links of a path, the end of which need not exist.
func resolve(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	if parent := filepath.Dir(abs); parent != abs {
		return filepath.Join(resolve(parent), filepath.Base(abs))
	}
	return abs
}

// checkKeysAreNew refuses to begin a log with the keys of another one: a key
// is introduced once, in one log (K-1). An interrupted first start has a guard
// and does not come here.
func checkKeysAreNew(guard, keys string, kernel chio.Key) error {
	for _, name := range offlineKeys {
		if _, err := os.Lstat(seedName(keys, name)); err == nil {
			return fmt.Errorf("%s exists: it is of another log, and each log has keys of its own; set another CHIO_HOME for this log, or move the other log's offline keys away, where they belong", seedName(keys, name))
		}
	}
	others, err := filepath.Glob(filepath.Join(filepath.Dir(guard), "*"))
	if err != nil {
		return err
	}
	for _, other := range others {
		data, err := os.ReadFile(other)
		if err == nil && other != guard && bytes.Contains(data, []byte(`"active_key":"`+kernel.Text()+`"`)) {
			return fmt.Errorf("the kernel key signs another log already, see %s: a key has one log; give this one another --key", other)
		}
	}
	return nil
}

// offlineKeys are the files of keys that belong offline.
var offlineKeys = []string{"bootstrap", "recovery-1", "recovery-2", "recovery-3"}

func seedName(dir, name string) string { return filepath.Join(dir, name+".seed") }

func warnOfOfflineKeys(dir string, logger *slog.Logger) {
	var beside []string
	for _, name := range offlineKeys {
		// A kill while the key was made may have left a second name for it.
		for _, path := range []string{seedName(dir, name), seedName(dir, name) + ".tmp"} {
			if _, err := os.Lstat(path); err == nil {
				beside = append(beside, path)
			}
		}
	}
	if len(beside) > 0 {
		logger.Warn("these keys belong offline: move them to different places, the log never reads them again; whoever holds two of the recovery keys owns the log", "files", beside)
	}
}

// genesis makes the first event of a new log, and the keys that it needs.
func genesis(o options, kernel chio.Key, dir string, issuedAt uint64) (timeline.Metadata, error) {
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
	g := timeline.Genesis{Origin: o.origin, Key: kernel, Bootstrap: bootstrap.PublicKey(), Recovery: recovery, IssuedAt: issuedAt}
	return g.Metadata(func(message []byte) (string, error) {
		return signer.Sign(context.Background(), bootstrap, bootstrap.PublicKey(), message)
	})
}
