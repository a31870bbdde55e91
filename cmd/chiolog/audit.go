package main

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/chiolog/chiolog/client"
	"github.com/chiolog/chiolog/formats/chio"
)

func auditCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read all of a log and recompute everything",
		Long: `audit reads every entry of a log, and recomputes what the log says of them:
its tiles and roots, receipts and their signers, statuses and statements, all
under a policy and up to the newest checkpoint.

Exit status: 0 everything agrees, 1 something does not, 2 could not tell.`,
		Args: cobra.NoArgs,
	}
	log := logFlag(cmd)
	policyPath := cmd.Flags().String("policy", "", "policy file: the trust that you pin")
	split := splitFlag(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *policyPath == "" {
			return withHint(errors.New("no policy given"), "give --policy FILE or set CHIOLOG_POLICY; chiolog vkey --policy makes one")
		}
		p, err := loadPolicy(*policyPath, s, *split)
		if err != nil {
			return err
		}
		c, err := log()
		if err != nil {
			return err
		}
		show, end := progress(s.err)
		report, err := c.Audit(cmd.Context(), p, client.AuditOptions{Progress: show})
		end()
		return printAudit(report, err, s, *asJSON)
	}
	return cmd
}

// progress returns what shows how far an audit is, nil if w is no terminal, and
// what clears that away.
func progress(w io.Writer) (show func(done, total uint64), end func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions64(0, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription("auditing"),
		progressbar.OptionShowCount(), progressbar.OptionSetItsString("entries"), progressbar.OptionShowIts(),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
	show = func(done, total uint64) {
		bar.ChangeMax64(int64(total)) // sizes are below 2^63 (CP-10)
		bar.Set64(int64(done))
	}
	return show, func() { bar.Clear() }
}

// An auditReport is the outcome of an audit in JSON.
type auditReport struct {
	Kind       string `json:"kind"`
	Agrees     bool   `json:"agrees"`
	Rule       string `json:"rule,omitempty"`  // that is broken
	Where      string `json:"where,omitempty"` // what breaks it
	Reason     string `json:"reason,omitempty"`
	Origin     string `json:"origin,omitempty"`
	Size       uint64 `json:"size,omitempty"`
	Root       string `json:"root,omitempty"` // hex
	Receipts   uint64 `json:"receipts"`
	OwnLeaves  uint64 `json:"own_leaves"`
	Writers    uint64 `json:"writers"`
	Flagged    uint64 `json:"flagged"`
	Statements uint64 `json:"statements"`
	LastStatus string `json:"last_status,omitempty"` // RFC 3339
	AsOf       string `json:"as_of,omitempty"`       // RFC 3339
}

// printAudit prints what an audit came to. What could not be told is returned
// and not printed.
func printAudit(found *client.AuditReport, err error, s streams, asJSON bool) error {
	r := auditReport{Kind: "audit", Agrees: err == nil}
	var broken *client.AuditError
	switch {
	case errors.As(err, &broken):
		r.Rule, r.Where, r.Reason = broken.Rule, broken.Where, broken.Err.Error()
	case err != nil:
		return err
	default:
		r.Origin, r.Size, r.Root = found.Origin, found.Size, chio.Hash(found.Root).Hex()
		r.Receipts, r.OwnLeaves, r.Writers = found.Receipts, found.OwnLeaves, found.Writers
		r.Flagged, r.Statements = found.Flagged, found.Statements
		r.LastStatus, r.AsOf = unixTime(found.LastStatus), unixTime(found.AsOf)
	}
	print := r.print
	if asJSON {
		print = func(w io.Writer) error { return writeJSON(w, r) }
	}
	if err := print(s.out); err != nil {
		return err
	}
	if !r.Agrees {
		return &statusError{status: 1}
	}
	return nil
}

func (r auditReport) print(w io.Writer) error {
	t := table{}
	if !r.Agrees {
		t.line("does not agree: %s: %s (%s)", r.Where, r.Reason, r.Rule)
	} else {
		t.line("everything agrees")
		t.row("as of", "%s", r.AsOf)
		t.row("origin", "%s", r.Origin)
		t.row("size", "%d", r.Size)
		t.row("root", "%s", r.Root)
		t.row("receipts", "%d", r.Receipts)
		t.row("flagged", "%d", r.Flagged)
		t.row("own leaves", "%d", r.OwnLeaves)
		t.row("writers", "%d", r.Writers)
		t.row("statements", "%d", r.Statements)
		t.row("status", "%s", r.LastStatus)
	}
	_, err := w.Write(t.Bytes())
	return err
}
