package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/formats/receipt"
)

func verifyCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify PROOF [RECEIPT]",
		Short: "Verify an offline proof",
		Long: `verify judges an offline proof under a policy: which keys of the log are pinned,
and which witnesses must have cosigned. It makes no connection.

RECEIPT is needed when the proof says that it lies beside it. What is known is
as of the time printed; whoever needs it fresh asks for --max-age.

Exit status: 0 verified, 1 not verified or suspect, 2 could not tell.`,
		Args: cobra.RangeArgs(1, 2),
	}
	policyPath := cmd.Flags().String("policy", "", "policy file: the trust that you pin")
	maxAge := cmd.Flags().Duration("max-age", 0, "could not tell if what is known is older, such as 24h")
	split := splitFlag(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		now := time.Now()
		if cmd.Flags().Changed("max-age") && *maxAge < time.Second {
			return withHint(errors.New("--max-age is less than a second"), "leave it out for no limit")
		}
		if *policyPath == "" {
			return withHint(errors.New("no policy given"), "give --policy FILE or set CHIOLOG_POLICY; chiolog vkey --policy makes one")
		}
		if named := append(slices.Clone(args), *policyPath); len(slices.DeleteFunc(named, func(path string) bool { return path != "-" })) > 1 {
			return errors.New("standard input is named more than once")
		}
		result, err := verifyFiles(args, *policyPath, *split, bundle.Options{Now: uint64(now.Unix()), MaxAge: uint64(*maxAge / time.Second)}, s)
		report := newReport(result, err, now)
		if printErr := report.print(s.out, *asJSON); printErr != nil {
			return printErr
		}
		if err != nil || result.Verdict == bundle.Verified {
			return err
		}
		hint := classHint(result)
		if hint == "" || *asJSON {
			return &statusError{status: result.Verdict.ExitStatus()}
		}
		return &statusError{result.Verdict.ExitStatus(), errors.New(hint)}
	}
	return cmd
}

func splitFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("allow-split-quorum", false, "accept a policy of which two quorums need not share a witness")
}

// verifyFiles verifies a bundle, and a receipt beside it, from files. An error
// is a file that cannot be read.
func verifyFiles(paths []string, policyPath string, split bool, o bundle.Options, s streams) (*bundle.Result, error) {
	p, err := loadPolicy(policyPath, s, split)
	var unusable *policyError
	if errors.As(err, &unusable) {
		verdict := bundle.NotVerified
		if unusable.unsupported() {
			verdict = bundle.CouldNotTell
		}
		return &bundle.Result{Verdict: verdict, Failure: &bundle.Failure{Class: bundle.ClassPolicy, Rule: "V-1", Err: err}}, nil
	}
	if err != nil {
		return nil, err
	}
	o.Policy = p
	data, err := readFile(paths[0], s, bundle.MaxBundle)
	if err != nil {
		return nil, fmt.Errorf("reading proof: %w", err)
	}
	if len(paths) == 2 {
		if o.Receipt, err = readFile(paths[1], s, maxReceiptFile); err != nil {
			return nil, fmt.Errorf("reading receipt: %w", err)
		}
		if o.Receipt == nil {
			o.Receipt = []byte{}
		}
	}
	return bundle.Verify(data, o), nil
}

// maxReceiptFile bounds what is read of a receipt, in bytes: with generous
// white space, one that can be an entry is far shorter.
const maxReceiptFile = 16 * receipt.MaxSize

// classHint says what to do about a failed check.
func classHint(r *bundle.Result) string {
	if r.Failure == nil {
		return ""
	}
	var hint *hintError
	if errors.As(r.Failure.Err, &hint) {
		return hint.hint
	}
	switch r.Failure.Class {
	case bundle.ClassOrigin:
		return "the policy pins no key of this log: check that it is the log you mean, then add its key"
	case bundle.ClassQuorum:
		return "too few of your witnesses have seen this checkpoint: fetch the proof again later"
	case bundle.ClassPin:
		return "the pinned key is not in this log's history: do not replace the pin before you know why"
	case bundle.ClassNoReceipt:
		return "give the receipt too: chiolog verify PROOF RECEIPT"
	case bundle.ClassStale:
		return "fetch the proof again with chiolog prove, and check this machine's clock"
	}
	return ""
}

func warnings(r *bundle.Result) []string {
	if r == nil {
		return nil
	}
	return r.Warnings
}

// A report is what verify prints; members are there as far as the
// verification came. Times are RFC 3339 in UTC.
type report struct {
	Verdict  string   `json:"verdict"`
	Class    string   `json:"class,omitempty"`
	Rule     string   `json:"rule,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	AsOf     string   `json:"as_of,omitempty"`
	Age      *int64   `json:"age_seconds,omitempty"` // at the time of the verification
	Origin   string   `json:"origin,omitempty"`
	Size     *uint64  `json:"size,omitempty"`
	Root     string   `json:"root,omitempty"`
	Index    *uint64  `json:"index,omitempty"`
	Receipt  string   `json:"receipt,omitempty"` // id
	Signer   string   `json:"signer,omitempty"`  // of the receipt
	LogKey   string   `json:"log_key,omitempty"` // active at size
	Warnings []string `json:"warnings,omitempty"`
}

func newReport(r *bundle.Result, err error, now time.Time) report {
	if err != nil {
		return report{Verdict: bundle.CouldNotTell.String(), Reason: err.Error()}
	}
	p := report{Verdict: r.Verdict.String(), Origin: r.Origin, LogKey: r.Active.Text(), Warnings: r.Warnings}
	if r.Failure != nil {
		p.Class, p.Rule, p.Reason = string(r.Failure.Class), r.Failure.Rule, r.Failure.Err.Error()
	}
	if r.AsOf > 0 {
		asOf := time.Unix(int64(r.AsOf), 0)
		age := now.Unix() - asOf.Unix()
		p.AsOf, p.Age = asOf.UTC().Format(time.RFC3339), &age
	}
	if r.Origin != "" {
		p.Size, p.Index, p.Root = &r.Size, &r.Index, chio.Hash(r.Root).Hex()
	}
	if r.Receipt != nil {
		p.Receipt, p.Signer = r.Receipt.ID, r.Receipt.Key.Text()
	}
	return p
}

func (p report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return writeJSON(w, p)
	}
	t := table{}
	switch {
	case p.Class != "":
		t.line("%s: %s (%s): %s", p.Verdict, p.Class, p.Rule, p.Reason)
	case p.Reason != "":
		t.line("%s: %s", p.Verdict, p.Reason)
	case p.Verdict == bundle.Suspect.String():
		t.line("%s: its signer was later found compromised, and may not have signed it", p.Verdict)
	default:
		t.line("%s", p.Verdict)
	}
	if p.AsOf != "" {
		t.row("as of", "%s (%s)", p.AsOf, age(*p.Age))
	}
	t.text("origin", p.Origin)
	if p.Size != nil {
		t.row("size", "%d", *p.Size)
		t.row("index", "%d", *p.Index)
	}
	t.text("receipt", p.Receipt)
	t.text("signer", p.Signer)
	t.text("log key", p.LogKey)
	for _, warning := range p.Warnings {
		t.row("warning", "%s", warning)
	}
	_, err := w.Write(t.Bytes())
	return err
}

// age prints a number of seconds.
func age(seconds int64) string {
	if seconds < 0 {
		return (time.Duration(-seconds) * time.Second).String() + " in the future"
	}
	if days := seconds / (24 * 60 * 60); days >= 2 {
		return fmt.Sprintf("%d days ago", days)
	}
	return (time.Duration(seconds) * time.Second).String() + " ago"
}
