// Package flagenv lets every flag of a command be set by an environment
// variable as well: --checkpoint-interval is CHIOLOG_CHECKPOINT_INTERVAL.
package flagenv

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Prefix begins the name of every variable.
const Prefix = "CHIOLOG_"

// others are the variables that some command of the project has: one
// environment serves all of them.
var others = []string{"LOG", "POLICY"}

// Name returns the variable of a flag.
func Name(flag string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Apply sets each flag that the command line left alone from its variable in
// environ. An unknown variable with the prefix is an error: it would be a
// setting that has no effect. No error shows a variable's value.
func Apply(flags *pflag.FlagSet, environ []string) error {
	known := map[string]*pflag.Flag{}
	flags.VisitAll(func(f *pflag.Flag) { known[Name(f.Name)] = f })
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		suffix, ok := strings.CutPrefix(name, Prefix)
		if !ok {
			continue
		}
		flag := known[name]
		if flag == nil {
			if slices.Contains(others, suffix) {
				continue
			}
			return fmt.Errorf("%s: no flag of this name; --help lists the flags, each is also a variable", name)
		}
		if flag.Changed || value == "" {
			continue
		}
		if err := flags.Set(flag.Name, value); err != nil {
			return fmt.Errorf("%s: its value is not one for --%s (%s)", name, flag.Name, flag.Value.Type())
		}
	}
	return nil
}

// ErrBareKey reports private key material where a key's place is wanted.
var ErrBareKey = errors.New("this looks like a key itself, and it may be known to others now: a flag or variable takes the place of a key, such as seed:/path/to/key.seed, never the key; make a new key if it was a real one")

// CheckKeyURI refuses what looks like a bare key, without repeating it.
func CheckKeyURI(uri string) error {
	digits := strings.TrimPrefix(strings.TrimSpace(uri), "seed:")
	digits = strings.TrimPrefix(digits, "0x")
	if raw, err := hex.DecodeString(digits); err == nil && len(raw) >= 16 {
		return ErrBareKey
	}
	return nil
}
