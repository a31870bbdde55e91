// Package flagenv has what the commands of the project do alike with flags:
// each can be set by an environment variable as well, --checkpoint-interval by
// CHIOLOG_CHECKPOINT_INTERVAL, or by a line of a config file, and none takes a
// key itself. The command line wins over the environment, and that over the
// file.
package flagenv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

const prefix = "CHIOLOG_"

// None is the annotation of a flag that no variable sets.
const None = "no-environment"

// name returns the variable of a flag.
func name(flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Apply sets each flag that the command line left alone from its variable in
// environ. An empty variable is not set. No error shows a variable's value.
func Apply(flags *pflag.FlagSet, environ []string) error {
	values := map[string]string{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		values[name] = value
	}
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		value := values[name(f.Name)]
		if f.Changed || value == "" || f.Annotations[None] != nil || f.Name == "help" || f.Name == "version" {
			return
		}
		if flags.Set(f.Name, value) != nil {
			errs = append(errs, fmt.Errorf("%s: its value is not one for --%s (%s)", name(f.Name), f.Name, f.Value.Type()))
		}
	})
	return errors.Join(errs...)
}

// maxFile bounds a config file, in bytes.
const maxFile = 1 << 20

// ApplyFile sets each flag that is not set yet from a config file: lines of a
// flag's name, white space, and its value to the end of the line. A flag that
// takes a list may have several lines. Empty lines and lines that begin with #
// are skipped. An unknown name, or a second line for a flag that takes one
// value, is an error that names the line and not its value.
func ApplyFile(flags *pflag.FlagSet, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("config file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return fmt.Errorf("config file %s: %w", path, err)
	}
	if len(data) > maxFile {
		return fmt.Errorf("config file %s is larger than %d bytes", path, maxFile)
	}
	lines := map[string]int{} // of flags that this file sets
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		fail := func(what string) error { return fmt.Errorf("config file %s, line %d: %s", path, i+1, what) }
		name, value := line, ""
		if cut := strings.IndexAny(line, " \t"); cut > 0 {
			name, value = line[:cut], strings.TrimSpace(line[cut:])
		}
		flag := flags.Lookup(name)
		if flag == nil || flag.Annotations[None] != nil || name == "help" || name == "version" {
			return fail(fmt.Sprintf("%.40q is no setting; --help lists the flags, each is also a setting", name))
		}
		if value == "" {
			return fail(name + " has no value")
		}
		_, list := flag.Value.(pflag.SliceValue)
		if lines[name] > 0 && !list {
			return fail(fmt.Sprintf("%s is set in line %d already", name, lines[name]))
		}
		if lines[name] == 0 && flag.Changed {
			continue // by the command line or the environment
		}
		lines[name] = i + 1
		if flags.Set(name, value) != nil {
			return fail(fmt.Sprintf("not a value for %s (%s)", name, flag.Value.Type()))
		}
	}
	return nil
}

// others are the variables that another command of the project reads: one
// environment may serve all.
var others = []string{"CHIOLOG_LOG", "CHIOLOG_POLICY", "CHIOLOG_MAX_AGE", "CHIOLOG_JSON", "CHIOLOG_WAIT", "CHIOLOG_OUTPUT", "CHIOLOG_ALLOW_SPLIT_QUORUM", "CHIOLOG_ORIGIN"}

// serviceLink matches what Kubernetes puts into the environment of every pod
// beside a service that is called chiolog.
var serviceLink = regexp.MustCompile(`^CHIOLOG_(SERVICE_.*|PORT|PORT_.*)$`)

// CheckUnknown refuses variables that look like flags and are none: settings
// that would have no effect.
func CheckUnknown(flags *pflag.FlagSet, environ []string) error {
	known := slices.Clone(others)
	flags.VisitAll(func(f *pflag.Flag) { known = append(known, name(f.Name)) })
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, prefix) && !slices.Contains(known, name) && !serviceLink.MatchString(name) {
			return fmt.Errorf("%s: no flag of this name; --help lists the flags, each is also a variable", name)
		}
	}
	return nil
}

// ErrBareKey reports what may be private key material where the place of a
// key, a file or a URL is wanted.
var ErrBareKey = errors.New("that is a key in hex where a place is wanted, and it may be known to others now: " +
	"give the place of the key, such as seed:/path/to/key.seed; if it was a real one, make another with chiolog keygen")

var bareKey = regexp.MustCompile(`^\s*(seed:)?(0[xX])?([0-9a-fA-F]{2}){16,}\s*$`)

// CheckNotKey returns ErrBareKey for a text that looks like a key.
func CheckNotKey(text string) error {
	if bareKey.MatchString(text) {
		return ErrBareKey
	}
	return nil
}
