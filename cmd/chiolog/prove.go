package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chiolog/chiolog/client"
	"github.com/chiolog/chiolog/formats/policy"
)

// proofSuffix is that of a bundle's file name.
const proofSuffix = ".tlog-proof"

func proveCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prove ID",
		Short: "Fetch the offline proof of a receipt",
		Long: `prove fetches the offline proof (bundle) of the receipt with this id and writes
it to a file that chiolog verify reads. With --policy the file is written only
if it verifies. A receipt too long for the bundle is written beside it.`,
		Args: cobra.ExactArgs(1),
	}
	log := logFlag(cmd)
	output := cmd.Flags().StringP("output", "o", "", "file to write, - for standard output (default ID"+proofSuffix+")")
	policyPath := cmd.Flags().String("policy", "", "verify under this policy before anything is written")
	split := splitFlag(cmd)
	wait := cmd.Flags().Bool("wait", false, "wait until a published checkpoint covers the receipt")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id := args[0]
		path, err := proofPath(id, *output)
		if err != nil {
			return err
		}
		var p *policy.Policy
		if *policyPath != "" {
			if p, err = loadPolicy(*policyPath, s, *split); err != nil {
				return err
			}
		}
		c, err := log()
		if err != nil {
			return err
		}
		if *wait {
			if _, err := c.Await(cmd.Context(), client.ByID(id)); err != nil {
				return err
			}
		}
		proven, err := c.Prove(cmd.Context(), id, p)
		var verdict *client.VerdictError
		if errors.As(err, &verdict) {
			return &statusError{verdict.Result.Verdict.ExitStatus(), withHint(err, classHint(verdict.Result))}
		}
		if err != nil {
			return err
		}
		return writeProof(proven, id, path, s, *asJSON)
	}
	return cmd
}

// fileName matches ids that are file names as they are.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// proofPath is where the bundle goes.
func proofPath(id, output string) (string, error) {
	if output != "" {
		return output, nil
	}
	if !fileName.MatchString(id) {
		return "", withHint(errors.New("the id is no file name"), "say where the proof goes with -o FILE")
	}
	return id + proofSuffix, nil
}

// A provenReport is what prove --json prints.
type provenReport struct {
	ID       string `json:"id"`
	File     string `json:"file,omitempty"`
	Receipt  string `json:"receipt_file,omitempty"` // beside the bundle
	Verified bool   `json:"verified"`
}

// writeProof writes the files. The receipt goes first: a bundle without it
// would be of no use.
func writeProof(proven *client.Proven, id, path string, s streams, asJSON bool) error {
	report := provenReport{ID: id, File: path, Verified: proven.Result != nil}
	if path == "-" {
		if proven.Receipt != nil {
			return withHint(errors.New("the receipt is too long for the bundle and needs a file of its own"), "use -o FILE")
		}
		_, err := s.out.Write(proven.Bundle)
		return err
	}
	if proven.Receipt != nil {
		report.Receipt = strings.TrimSuffix(path, proofSuffix) + ".receipt.json"
		if err := writeFile(report.Receipt, proven.Receipt); err != nil {
			return fmt.Errorf("writing the receipt: %w", err)
		}
	}
	if err := writeFile(path, proven.Bundle); err != nil {
		return fmt.Errorf("writing the proof: %w", err)
	}
	if asJSON {
		return writeJSON(s.out, report)
	}
	fmt.Fprintln(s.out, path)
	if report.Receipt != "" {
		fmt.Fprintln(s.out, report.Receipt)
	}
	if !report.Verified {
		fmt.Fprintln(s.err, "not checked: no policy given; see chiolog verify")
	}
	for _, w := range warnings(proven.Result) {
		fmt.Fprintln(s.err, "warning: "+w)
	}
	return nil
}
