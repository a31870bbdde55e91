package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chiolog/chiolog/client"
	"github.com/chiolog/chiolog/formats/api"
)

func appendCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "append FILE|-",
		Short: "Append receipts to a log",
		Long: `append sends the receipts of FILE, or of standard input, to a log: one receipt
as JSON, or many as NDJSON, one a line. For each it prints index, leaf hash and
id; refused ones and a summary go to standard error. A receipt that the log has
already keeps its index, so appending a file again is safe.

With --wait it returns only when a published checkpoint covers each receipt.`,
		Args: cobra.ExactArgs(1),
	}
	log := logFlag(cmd)
	wait := cmd.Flags().Bool("wait", false, "wait until a published checkpoint covers each receipt")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := log()
		if err != nil {
			return err
		}
		in, err := openFile(args[0], s)
		if err != nil {
			return err
		}
		defer in.Close()
		return appendAll(cmd.Context(), c, receiptsOf(in, args[0]), *wait, &appendReport{out: s.out, err: s.err, json: *asJSON})
	}
	return cmd
}

func appendAll(ctx context.Context, c *client.Client, receipts iter.Seq2[[]byte, error], wait bool, r *appendReport) error {
	err := c.SubmitAll(ctx, receipts, wait, r.add)
	r.summary()
	if err != nil {
		return withHint(err, "what was sent is kept or was never taken: run the same command again to append the rest")
	}
	if r.count == 0 {
		return withHint(errors.New("no receipts"), "the input is empty")
	}
	return r.verdict()
}

// receiptsOf yields the receipts of NDJSON, or the one of any other JSON. It
// is NDJSON if its name or its first line says so.
func receiptsOf(in io.Reader, name string) iter.Seq2[[]byte, error] {
	buffered := bufio.NewReaderSize(in, api.MaxReceipt+1)
	if ext := strings.ToLower(filepath.Ext(name)); ext == ".ndjson" || ext == ".jsonl" || firstLineWhole(buffered) {
		return client.Lines(buffered)
	}
	return func(yield func([]byte, error) bool) {
		whole, err := io.ReadAll(io.LimitReader(buffered, api.MaxReceipt+1))
		if err != nil {
			yield(nil, fmt.Errorf("reading %s: %w", name, err))
			return
		}
		yield(whole, nil)
	}
}

// firstLineWhole reports whether the first line that is not empty is a JSON
// value by itself, or longer than any receipt. It takes the empty lines only.
func firstLineWhole(in *bufio.Reader) bool {
	for {
		ahead, err := in.Peek(api.MaxReceipt + 1)
		line, _, found := bytes.Cut(ahead, []byte("\n"))
		if found && len(bytes.TrimSpace(line)) == 0 {
			in.Discard(len(line) + 1)
			continue
		}
		if !found && err == nil {
			return true
		}
		return len(line) == 0 || json.Valid(line)
	}
}

// An appendReport prints the answers to receipts and counts them.
type appendReport struct {
	out, err io.Writer
	json     bool

	count, accepted, duplicate int
	refused                    map[string]int // by code
	final                      bool           // a receipt was refused for what it is
}

// add prints one answer.
func (r *appendReport) add(s api.Submitted) error {
	r.count++
	switch {
	case s.Error != nil:
		if r.refused == nil {
			r.refused = map[string]int{}
		}
		r.refused[s.Error.Code]++
		r.final = r.final || s.Error.Status()/100 == 4 && !s.Error.Temporary()
	case s.Duplicate:
		r.duplicate++
	default:
		r.accepted++
	}
	if r.json {
		return writeJSON(r.out, s)
	}
	if s.Error != nil {
		_, err := fmt.Fprintf(r.err, "chiolog: receipt %d: %s\n", r.count, printable(s.Error.Error()))
		return err
	}
	if s.ParameterHashMismatch {
		fmt.Fprintf(r.err, "chiolog: receipt %d: warning: its parameter_hash is wrong; it is kept as evidence and will not verify\n", r.count)
	}
	_, err := fmt.Fprintln(r.out, s.Index, printable(s.LeafHash), printable(s.ID))
	return err
}

// summary prints one line to standard error.
func (r *appendReport) summary() {
	refused, reasons := 0, []string{}
	for _, code := range slices.Sorted(maps.Keys(r.refused)) {
		refused += r.refused[code]
		reasons = append(reasons, fmt.Sprintf("%s %d", printable(code), r.refused[code]))
	}
	line := fmt.Sprintf("accepted %d, duplicate %d, refused %d", r.accepted, r.duplicate, refused)
	if refused > 0 {
		line += " (" + strings.Join(reasons, ", ") + ")"
	}
	fmt.Fprintln(r.err, line)
}

// verdict is 1 if a receipt was refused, and 2 if the log was only too busy
// for some: whether it takes them is open.
func (r *appendReport) verdict() error {
	switch {
	case r.final:
		return &statusError{status: 1}
	case len(r.refused) > 0:
		return &statusError{status: 2}
	}
	return nil
}
