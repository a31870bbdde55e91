package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/chiolog/chiolog/cmd/internal/flagenv"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/policy"
)

// maxPolicy bounds a policy file, in bytes.
const maxPolicy = 1 << 20

// openFile opens a file, or standard input for "-". What may be a key is
// refused without repeating it, as it would be in the error of a missing file.
func openFile(path string, s streams) (io.ReadCloser, error) {
	if err := flagenv.CheckNotKey(path); err != nil {
		return nil, err
	}
	if path == "-" {
		return io.NopCloser(s.in), nil
	}
	return os.Open(path)
}

// readFile reads a file, or standard input for "-", up to one byte more than
// limit: whoever takes the content refuses what is too long by its own rule.
func readFile(path string, s streams, limit int64) ([]byte, error) {
	in, err := openFile(path, s)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return data, nil
}

// writeFile puts data at path, whole or not at all.
func writeFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// A policyError is a policy that can be read and not be used.
type policyError struct {
	path string
	err  error
}

func (e *policyError) Error() string { return fmt.Sprintf("policy %s: %v", e.path, e.err) }

func (e *policyError) Unwrap() error { return e.err }

// unsupported reports whether the policy has a key that this program cannot
// judge: another one might.
func (e *policyError) unsupported() bool {
	var key *checkpoint.UnsupportedKeyError
	return errors.As(e.err, &key)
}

// loadPolicy reads a policy and applies the rule of intersecting quorums. A
// policy that breaks it, or is none, is a *policyError.
func loadPolicy(path string, s streams, allowSplitQuorum bool) (*policy.Policy, error) {
	data, err := readFile(path, s, maxPolicy)
	if err != nil {
		return nil, fmt.Errorf("reading policy: %w", err)
	}
	if len(data) > maxPolicy {
		return nil, &policyError{path, fmt.Errorf("more than %d bytes", maxPolicy)}
	}
	p, err := policy.Parse(data)
	if err != nil {
		return nil, &policyError{path, err}
	}
	if !p.Intersecting() && !allowSplitQuorum {
		return nil, &policyError{path, withHint(
			fmt.Errorf("quorum %s can be reached by two sets of witnesses that share none: a log could show two views while no witness lies", p.QuorumName),
			"raise the thresholds above half of the members, or accept the risk with --allow-split-quorum")}
	}
	return p, nil
}
