package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/policy"
	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/internal/jcs"
)

func inspectCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect FILE|-",
		Short: "Say what a file is and what it claims",
		Long: `inspect says what a file is and what it claims: a proof, checkpoint, receipt,
checkpoint statement, policy or verifier key. It verifies nothing: what it
prints is what the file says of itself.`,
		Args: cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		data, err := readFile(args[0], s, bundle.MaxStatusFile)
		if err != nil {
			return err
		}
		found, err := inspect(data)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if *asJSON {
			return writeJSON(s.out, found)
		}
		if err := found.print(s.out); err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.out, "\nNothing of this has been verified.")
		return err
	}
	return cmd
}

// A finding is what a file claims; its JSON has a kind and "verified": false.
type finding interface {
	print(io.Writer) error
}

var errUnknownKind = withHint(errors.New("not a file of a known kind"),
	"known are proofs, checkpoints, receipts, checkpoint statements, policies and verifier keys")

// inspect tells kinds apart by their beginnings where they have one, and else
// by which parser takes the file: no two take the same.
func inspect(data []byte) (finding, error) {
	text := strings.TrimSpace(string(data))
	switch {
	case len(data) > bundle.MaxStatusFile:
		return nil, fmt.Errorf("larger than any file of a log, %d bytes", bundle.MaxStatusFile)
	case seedText.MatchString(text):
		return nil, withHint(errors.New("64 hex digits: a public key or a secret seed, nothing tells which"),
			"chiolog vkey reads both, a seed file as seed:PATH")
	case strings.HasPrefix(text, "c2sp.org/tlog-proof@"):
		return inspectProof(data)
	case strings.HasPrefix(text, "{"):
		return inspectJSON(data)
	case bytes.Contains(data, []byte("\n\n— ")):
		note, err := checkpoint.ParseNote(data)
		if err != nil {
			return nil, err
		}
		return newCheckpointReport(note)
	}
	if !strings.ContainsAny(text, " \n") {
		k, err := checkpoint.ParseVKey(text)
		if err != nil {
			return nil, errUnknownKind
		}
		return &vkeyFinding{Kind: "verifier key", vkeyReport: newVKeyReport(k)}, nil
	}
	p, err := policy.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w; as a policy: %w", errUnknownKind, err)
	}
	return newPolicyFinding(p), nil
}

type vkeyFinding struct {
	Kind     string `json:"kind"`
	Verified bool   `json:"verified"`
	vkeyReport
}

func (f *vkeyFinding) print(w io.Writer) error {
	t := table{}
	t.line("%s", f.Kind)
	t.row("name", "%s", f.Name)
	t.row("key hash", "%s", f.KeyHash)
	t.row("type", "%s, %s", f.Type, keyTypes[f.Type])
	t.text("public key", f.PublicKey)
	_, err := w.Write(t.Bytes())
	return err
}

type policyFinding struct {
	Kind         string   `json:"kind"`
	Verified     bool     `json:"verified"`
	Logs         []string `json:"logs"`
	Witnesses    []string `json:"witnesses"`
	Quorum       string   `json:"quorum"`
	Intersecting bool     `json:"intersecting"`
	Lying        int      `json:"survives_lying"` // witnesses; -1 if the log alone can show two views
	Absent       int      `json:"survives_absent"`
}

func newPolicyFinding(p *policy.Policy) *policyFinding {
	f := &policyFinding{Kind: "policy", Quorum: p.QuorumName, Intersecting: p.Intersecting(), Logs: []string{}, Witnesses: []string{}}
	f.Lying, f.Absent = p.Survives()
	for _, l := range p.Logs {
		f.Logs = append(f.Logs, l.Key.String())
	}
	for _, w := range p.Witnesses {
		f.Witnesses = append(f.Witnesses, w.Name+" "+w.Key.String())
	}
	return f
}

func (f *policyFinding) print(w io.Writer) error {
	t := table{}
	t.line("%s", f.Kind)
	for _, l := range f.Logs {
		t.row("log", "%s", l)
	}
	for _, w := range f.Witnesses {
		t.row("witness", "%s", w)
	}
	switch {
	case f.Quorum == policy.None:
		t.row("quorum", "none: no witnesses")
	case !f.Intersecting:
		t.row("quorum", "%s: two quorums need not share a witness; chiolog refuses it without --allow-split-quorum", f.Quorum)
	default:
		t.row("quorum", "%s: holds while at most %d witnesses lie, can be had while at most %d are absent", f.Quorum, f.Lying, f.Absent)
	}
	_, err := w.Write(t.Bytes())
	return err
}

type proofFinding struct {
	Kind       string            `json:"kind"`
	Verified   bool              `json:"verified"`
	Index      uint64            `json:"index"`
	Path       int               `json:"path_hashes"`
	Events     int               `json:"key_events"`
	Status     *timeline.Status  `json:"status,omitempty"`
	Receipt    *receiptFinding   `json:"receipt,omitempty"`
	Checkpoint *checkpointReport `json:"checkpoint"`
}

// inspectProof reads a bundle, a status file or a plain tlog-proof.
func inspectProof(data []byte) (finding, error) {
	proof, err := bundle.ParseProof(data)
	if err != nil {
		return nil, err
	}
	note, err := checkpoint.ParseNote(proof.Checkpoint)
	if err != nil {
		return nil, err
	}
	f := &proofFinding{Kind: "tlog-proof", Index: proof.Index, Path: len(proof.Path)}
	if f.Checkpoint, err = newCheckpointReport(note); err != nil {
		return nil, err
	}
	if proof.Extra == nil {
		return f, nil
	}
	extra, err := bundle.ParseExtra(proof.Extra)
	if err != nil {
		f.Kind = "tlog-proof with an extra of another program"
		return f, nil
	}
	f.Kind, f.Events = "bundle", len(extra.Events)
	if s := extra.Status; s != nil {
		if entry, err := timeline.ParseLogEntry(s.Leaf); err == nil {
			f.Status, _ = timeline.ParseStatus(entry, f.Checkpoint.Origin)
		}
		if s.Index == proof.Index && extra.Receipt == nil {
			f.Kind = "status file"
		}
	}
	if extra.Receipt != nil {
		r, err := receipt.Parse(extra.Receipt)
		if err != nil {
			return nil, err
		}
		f.Receipt = newReceiptFinding(r)
	}
	return f, nil
}

func (f *proofFinding) print(w io.Writer) error {
	t := table{}
	t.line("%s", f.Kind)
	t.row("index", "%d", f.Index)
	t.row("path", "%d hashes", f.Path)
	f.Checkpoint.rows(&t)
	if f.Status != nil {
		t.row("status", "%d of %s, %d key events, %d writers, %d revocations", f.Status.Sequence, unixTime(f.Status.IssuedAt),
			f.Status.KeyEvents.Count, f.Status.Writers.Size, f.Status.Revocations.Size)
	}
	if f.Kind == "bundle" && f.Receipt == nil {
		t.row("receipt", "lies beside the bundle")
	}
	if f.Receipt != nil {
		f.Receipt.rows(&t)
	}
	_, err := w.Write(t.Bytes())
	return err
}

type receiptFinding struct {
	Kind       string `json:"kind"`
	Verified   bool   `json:"verified"`
	Form       string `json:"form"`
	ID         string `json:"id"`
	Time       string `json:"time"`
	Key        string `json:"kernel_key"`
	ToolServer string `json:"tool_server,omitempty"`
	ToolName   string `json:"tool_name,omitempty"`
	LogEvent   string `json:"log_event,omitempty"` // of the log's own receipts
	LeafHash   string `json:"leaf_hash"`
	Bytes      int    `json:"bytes"` // canonical
}

func newReceiptFinding(r *receipt.Receipt) *receiptFinding {
	f := &receiptFinding{
		Kind: "receipt", Form: r.Form.String(), ID: r.ID, Time: unixTime(r.Timestamp), Key: r.Key.Text(),
		ToolServer: r.ToolServer, ToolName: r.ToolName, LeafHash: chio.Hash(r.LeafHash()).Hex(), Bytes: len(r.Canonical()),
	}
	f.LogEvent, _ = timeline.Reserved(r)
	return f
}

func (f *receiptFinding) rows(t *table) {
	t.row("receipt", "%s", f.ID)
	t.row("form", "%s", f.Form)
	t.row("time", "%s", f.Time)
	t.row("key", "%s", f.Key)
	t.text("server", f.ToolServer)
	t.text("tool", f.ToolName)
	t.text("log event", f.LogEvent)
	t.row("leaf hash", "%s", f.LeafHash)
	t.row("bytes", "%d", f.Bytes)
}

func (f *receiptFinding) print(w io.Writer) error {
	t := table{}
	t.line("%s", f.Kind)
	f.rows(&t)
	_, err := w.Write(t.Bytes())
	return err
}

type statementFinding struct {
	Kind      string               `json:"kind"`
	Verified  bool                 `json:"verified"`
	Statement checkpoint.Statement `json:"statement"`
}

// inspectJSON reads a checkpoint statement or a receipt.
func inspectJSON(data []byte) (finding, error) {
	canonical, err := jcs.Canonical(data)
	if err != nil {
		return nil, err
	}
	var probe struct {
		Body struct {
			Schema string `json:"schema"`
		} `json:"body"`
	}
	if json.Unmarshal(canonical, &probe) == nil && (probe.Body.Schema == checkpoint.SchemaV1 || probe.Body.Schema == checkpoint.SchemaV2) {
		statement, err := checkpoint.ParseStatement(canonical)
		if err != nil {
			return nil, err
		}
		return &statementFinding{Kind: "checkpoint statement", Statement: statement}, nil
	}
	r, err := receipt.Parse(data)
	if err != nil {
		return nil, err
	}
	return newReceiptFinding(r), nil
}

func (f *statementFinding) print(w io.Writer) error {
	b := f.Statement.Body
	t := table{}
	t.line("%s", f.Kind)
	t.row("schema", "%s", b.Schema)
	t.row("sequence", "%d", b.CheckpointSeq)
	t.row("batch", "%d to %d, %d entries", b.BatchStartSeq, b.BatchEndSeq, b.TreeSize)
	t.row("root", "%s", b.MerkleRoot)
	t.row("issued", "%s", unixTime(b.IssuedAt))
	t.row("key", "%s", b.KernelKey)
	t.text("previous", b.PreviousSHA256)
	if b.ChainRoot != nil {
		t.row("chain root", "%s", b.ChainRoot)
	}
	_, err := w.Write(t.Bytes())
	return err
}
