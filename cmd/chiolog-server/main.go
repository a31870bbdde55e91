// Command chiolog-server runs a log: it appends Chio receipts to a verifiable
// tree kept by Trillian, publishes signed checkpoints over it, and serves
// tiles, proofs and bundles.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/chiolog/chiolog/cmd/internal/flagenv"
	"github.com/chiolog/chiolog/formats/checkpoint"
	"github.com/chiolog/chiolog/formats/chio"
	"github.com/chiolog/chiolog/internal/daemon"
	"github.com/chiolog/chiolog/logserver"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "chiolog-server: %v\n", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	origin        string
	store         string
	key           string
	listen        string
	writers       []string
	policy        string
	recovery      string
	guard         string
	assumeCurrent bool
	interval      time.Duration
	status        time.Duration
	logLevel      string
	config        string
}

func (o *options) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.origin, "origin", "", "name of the log: the URL of its public prefix without scheme (required)")
	flags.StringVar(&o.store, "store", "", "where the log lies: file:DIR (default file:$CHIO_HOME/log)")
	flags.StringVar(&o.key, "key", "", "place of the kernel key: seed:PATH (default seed:$CHIO_HOME/keys/kernel.seed)")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:7480", "address of the public HTTP listener")
	flags.StringSliceVar(&o.writers, "writer", nil, "key text of a kernel that may append beside the log's own; repeatable; what is given is the whole set, a key that is left out is removed for good; none for an empty set; without the flag the set stands")
	flags.StringVar(&o.policy, "policy", "", "file with the log's own witness policy; the quorum must be none in this build")
	flags.StringVar(&o.recovery, "recovery", "", "file with the recovery policy of a new log (default: three keys made beside the kernel key, two needed)")
	flags.StringVar(&o.guard, "guard", "", "file with the record of what was signed (default $CHIO_HOME/guard/<SHA-256 of the origin>)")
	flags.BoolVar(&o.assumeCurrent, "assume-current", false, "go on where the guard cannot tell whether the store is the newest; recorded in the log")
	flags.DurationVar(&o.interval, "checkpoint-interval", logserver.DefaultInterval, "time between checkpoints, at least 50ms")
	flags.DurationVar(&o.status, "status-interval", logserver.DefaultStatusInterval, "longest time between statuses, which date what the log says of itself; at least 1s")
	flags.StringVar(&o.config, "config", "", "file of settings: lines of a flag's name and its value; flags and variables win over it")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
}

func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	var o options
	cmd := &cobra.Command{
		Use:           "chiolog-server --origin ORIGIN [flags]",
		Short:         "Run a transparency log for Chio receipts",
		Long:          "Run a transparency log for Chio receipts. Every flag is also an environment variable, --listen is CHIOLOG_LISTEN, and a setting of --config FILE.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(flagenv.CheckUnknown(cmd.Flags(), environ), flagenv.Apply(cmd.Flags(), environ)); err != nil {
				return err
			}
			if o.config != "" {
				if err := flagenv.ApplyFile(cmd.Flags(), o.config); err != nil {
					return err
				}
			}
			return serve(cmd.Context(), o, cmd.Flags().Changed("writer"), environ, stdout, stderr)
		},
	}
	o.register(cmd.Flags())
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return cmd.ExecuteContext(ctx)
}

// serve runs the log until ctx ends.
func serve(ctx context.Context, o options, writersGiven bool, environ []string, stdout, stderr io.Writer) error {
	home, err := chioHome(environ)
	if err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return fmt.Errorf("--log-level %.20q: known are debug, info, warn, error", o.logLevel)
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	if o.origin == "" {
		return errors.New("--origin is missing: the log needs a name that never changes, such as log.example.com/kernel1")
	}
	if o.writers, err = writerSet(o.writers, writersGiven); err != nil {
		return fmt.Errorf("--writer: %w", err)
	}
	// The address first: a start that fails on it should leave nothing behind.
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	defer ln.Close()
	p, err := assemble(ctx, o, home, logger)
	if err != nil {
		return err
	}
	defer p.close()
	logger.Info("serving", "addr", ln.Addr().String())
	defer logger.Info("stopped")
	if err := announce(stdout, p.log, ln.Addr()); err != nil {
		return err
	}
	// Publication goes on while requests that wait for it are let finish.
	publishing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	published := make(chan error, 1)
	go func() { published <- p.log.Run(publishing) }()
	err = daemon.Serve(ctx, ln, p.log.Handler(os.DirFS(p.dir)), logger)
	cancel()
	return errors.Join(err, <-published)
}

// announce prints what a reader of the log needs: the key that its timeline
// names, which is not the process's own if that is a wrong one.
func announce(w io.Writer, l *logserver.Log, addr net.Addr) error {
	key := l.ActiveKey()
	vkey, err := checkpoint.NewVKey(l.Origin(), key)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "origin  %s\nvkey    %s\nkernel  %s\nserving http://%s\n", l.Origin(), vkey, key.Text(), addr)
	return err
}

// writerSet reads the values of --writer; nil if there are none, empty for the
// word none.
func writerSet(values []string, given bool) ([]string, error) {
	if !given {
		return nil, nil
	}
	if len(values) == 0 {
		return nil, errors.New("is empty; write none for a log that only its own kernel writes to, or leave the flag out to keep the set")
	}
	if len(values) == 1 && values[0] == "none" {
		return []string{}, nil
	}
	for _, text := range values {
		if _, err := chio.ParseKey(text); err != nil {
			return nil, fmt.Errorf("%.80q: %w: 64 lowercase hex digits, or p256: or p384: and a point", text, err)
		}
	}
	return values, nil
}

// chioHome returns the root of all state that is not the store.
func chioHome(environ []string) (string, error) {
	get := func(name string) string {
		for _, v := range environ {
			if len(v) > len(name) && v[:len(name)+1] == name+"=" {
				return v[len(name)+1:]
			}
		}
		return ""
	}
	if home := get("CHIO_HOME"); home != "" {
		return home, nil
	}
	if state := get("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, "chiolog"), nil
	}
	if home := get("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "chiolog"), nil
	}
	return "", errors.New("none of CHIO_HOME, XDG_STATE_HOME and HOME is set: there is no place for keys and guard; set CHIO_HOME")
}
