package main

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/policy"
)

func checkpointCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Fetch the newest checkpoint of a log",
		Long: `checkpoint prints the newest published checkpoint as it was signed. With --policy
it is printed only if a pinned key has signed it and the quorum cosigned it.`,
		Args: cobra.NoArgs,
	}
	log := logFlag(cmd)
	policyPath := cmd.Flags().String("policy", "", "verify under this policy before anything is printed")
	split := splitFlag(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var p *policy.Policy
		var err error
		if *policyPath != "" {
			if p, err = loadPolicy(*policyPath, s, *split); err != nil {
				return err
			}
		}
		c, err := log()
		if err != nil {
			return err
		}
		note, err := c.Checkpoint(cmd.Context())
		if err != nil {
			return err
		}
		return printCheckpoint(note, p, s, *asJSON)
	}
	return cmd
}

// printCheckpoint prints a note that p accepts, or any if p is nil.
func printCheckpoint(note checkpoint.Note, p *policy.Policy, s streams, asJSON bool) error {
	var verified *policy.Verified
	if p != nil {
		var err error
		if verified, err = p.Verify(note); err != nil {
			return &statusError{1, withHint(err, checkpointHint(err))}
		}
	}
	if asJSON {
		r, err := newCheckpointReport(note)
		if err != nil {
			return err
		}
		r.Verified = p != nil
		return writeJSON(s.out, r)
	}
	if _, err := s.out.Write(note.Bytes()); err != nil {
		return err
	}
	switch {
	case p == nil:
		fmt.Fprintln(s.err, "not checked: no policy given")
	case p.NoWitnesses():
		fmt.Fprintln(s.err, "verified: signed by the log, no witnesses")
	default:
		fmt.Fprintf(s.err, "verified: signed by the log, quorum %s as of %s\n", p.QuorumName, unixTime(verified.QuorumTime))
	}
	return nil
}

func checkpointHint(err error) string {
	switch {
	case errors.Is(err, policy.ErrOrigin):
		return "the policy pins no key of this log"
	case errors.Is(err, checkpoint.ErrUnsigned):
		return "no pinned key has signed it: if the log has changed its key, chiolog verify follows the change, and then the new key can be pinned"
	}
	return ""
}

// A checkpointReport is a checkpoint in JSON.
type checkpointReport struct {
	Kind       string            `json:"kind"`
	Verified   bool              `json:"verified"`
	Origin     string            `json:"origin"`
	Size       uint64            `json:"size"`
	Root       string            `json:"root"` // hex
	Extensions []string          `json:"extensions,omitempty"`
	Signatures []signatureReport `json:"signatures"`
	Note       string            `json:"note"`
}

// A signatureReport is a signature line. Time is there if it has the form of
// a cosignature.
type signatureReport struct {
	Name    string `json:"name"`
	KeyHash string `json:"key_hash"` // 4 bytes in hex
	Time    string `json:"time,omitempty"`
}

func newCheckpointReport(n checkpoint.Note) (*checkpointReport, error) {
	c, err := checkpoint.Parse(n.Text)
	if err != nil {
		return nil, err
	}
	r := &checkpointReport{
		Kind: "checkpoint", Origin: c.Origin, Size: c.Size, Root: chio.Hash(c.Root).Hex(),
		Extensions: c.Extensions, Signatures: []signatureReport{}, Note: n.String(),
	}
	for _, sig := range n.Signatures {
		line := signatureReport{Name: sig.Name, KeyHash: fmt.Sprintf("%08x", sig.KeyID)}
		// A cosignature is a time and an Ed25519 signature. ECDSA signatures of
		// a log can be as long, so the log's own lines are left out.
		if len(sig.Bytes) == 8+ed25519.SignatureSize && sig.Name != c.Origin {
			line.Time = unixTime(binary.BigEndian.Uint64(sig.Bytes))
		}
		r.Signatures = append(r.Signatures, line)
	}
	return r, nil
}

// rows adds what a checkpoint says to a table.
func (r *checkpointReport) rows(t *table) {
	t.row("origin", "%s", r.Origin)
	t.row("size", "%d", r.Size)
	t.row("root", "%s", r.Root)
	for _, line := range r.Extensions {
		t.row("extension", "%s", line)
	}
	for _, sig := range r.Signatures {
		if sig.Time == "" {
			t.row("signature", "%s+%s", sig.Name, sig.KeyHash)
		} else {
			t.row("cosigned", "%s+%s at %s", sig.Name, sig.KeyHash, sig.Time)
		}
	}
}

func (r *checkpointReport) print(w io.Writer) error {
	t := table{}
	t.line("checkpoint")
	r.rows(&t)
	_, err := w.Write(t.Bytes())
	return err
}

// unixTime prints Unix seconds as RFC 3339 in UTC.
func unixTime(seconds uint64) string {
	const year9999 = 253402300799 // RFC 3339 goes no further
	if seconds > year9999 {
		return fmt.Sprintf("%d s after 1970", seconds)
	}
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}
