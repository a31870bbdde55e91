// Command chiolog is for those who write to a chiolog log and for those who
// rely on one: it appends receipts, fetches offline proofs, and verifies them.
//
// The exit status is 0 if what was asked for is so (verified, appended), 1 if
// it is not (not verified, suspect, refused), and 2 if that could not be told:
// a file that cannot be read, a log that does not answer, wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/chiolog/chiolog/cmd/internal/flagenv"
	"github.com/chiolog/chiolog/formats/api"
)

func main() {
	os.Exit(chiolog())
}

// chiolog runs the command line of the process and returns its exit status.
func chiolog() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	if line := errorLine(err); line != "" {
		fmt.Fprintln(os.Stderr, "chiolog: "+line)
	}
	return exitStatus(err)
}

// streams are what a command reads and writes beside files.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run runs one command line, without the program's name.
func run(ctx context.Context, args []string, s streams) error {
	root := &cobra.Command{
		Use:   "chiolog",
		Short: "Append receipts to a transparency log, prove and verify them",
		Long: `chiolog appends receipts to a log, fetches their offline proofs and verifies them.

Every flag can also be given as an environment variable: --max-age is
CHIOLOG_MAX_AGE. A flag on the command line wins.

Exit status: 0 verified or done, 1 not verified, suspect or refused, 2 could
not tell.`,
		Version:           version(),
		Args:              commandName,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return flagenv.Apply(cmd.Flags(), os.Environ()) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(appendCommand(s), proveCommand(s), verifyCommand(s), inspectCommand(s),
		checkpointCommand(s), auditCommand(s), vkeyCommand(s), keygenCommand(s))
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	return root.ExecuteContext(ctx)
}

// commandName refuses arguments of the program that name no command.
func commandName(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		if err := flagenv.CheckNotKey(args[0]); err != nil {
			return err
		}
	}
	return cobra.NoArgs(cmd, args)
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}

// A statusError ends a command with an exit status other than 2.
type statusError struct {
	status int
	err    error // nil if the command has printed all there is to say
}

func (e *statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// exitStatus is 2 for every error that does not say otherwise: whoever relies
// on a proof must not take a failure for an answer.
func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	var status *statusError
	if errors.As(err, &status) {
		return status.status
	}
	return 2
}

// A hintError says what to do about an error.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }

func (e *hintError) Unwrap() error { return e.err }

// withHint adds what the user can do to a failure.
func withHint(err error, hint string) error { return &hintError{err, hint} }

// errorLine returns the line that is printed for an error, "" for none.
func errorLine(err error) string {
	var status *statusError
	if err == nil || errors.As(err, &status) && status.err == nil {
		return ""
	}
	line := err.Error()
	if hint := hintFor(err); hint != "" {
		line += " (" + hint + ")"
	}
	return printable(strings.Join(strings.Fields(line), " "))
}

// hintFor says what to do about an error. The server's own hints are part of
// its errors already.
func hintFor(err error) string {
	var hint *hintError
	var fromLog *api.Error
	switch {
	case errors.As(err, &hint):
		return hint.hint
	case errors.As(err, &fromLog) && fromLog.Hint != "":
		return ""
	case fromLog != nil && fromLog.Code == api.CodeNotPublished:
		return "no checkpoint covers it yet: try again in a moment, or use --wait"
	case fromLog != nil && fromLog.Code == api.CodeNotFound:
		return "check the id and --log"
	case fromLog != nil && fromLog.Temporary():
		return "try again later"
	case errors.Is(err, os.ErrNotExist):
		return "check the path"
	case errors.Is(err, os.ErrPermission):
		return "check the permissions"
	case strings.HasPrefix(err.Error(), "unknown "), strings.Contains(err.Error(), "arg(s)"):
		return "see chiolog --help"
	}
	return ""
}
