package flagenv

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestApply(t *testing.T) {
	parse := func(args, environ []string) (string, []string, error) {
		flags := pflag.NewFlagSet("t", pflag.ContinueOnError)
		listen := flags.String("listen-on", "default", "")
		writers := flags.StringSlice("writer", nil, "")
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		err := Apply(flags, environ)
		return *listen, *writers, err
	}
	if got, _, err := parse(nil, []string{"CHIOLOG_LISTEN_ON=a", "HOME=/x"}); got != "a" || err != nil {
		t.Errorf("variable alone: %q, %v", got, err)
	}
	if got, _, err := parse([]string{"--listen-on=b"}, []string{"CHIOLOG_LISTEN_ON=a"}); got != "b" || err != nil {
		t.Errorf("flag and variable: %q, %v; the flag wins", got, err)
	}
	if _, got, err := parse(nil, []string{"CHIOLOG_WRITER=a,b"}); len(got) != 2 || err != nil {
		t.Errorf("list: %q, %v", got, err)
	}
	if _, _, err := parse(nil, []string{"CHIOLOG_LISTEN=secret"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("unknown variable: %v", err)
	}
	if _, _, err := parse(nil, []string{"CHIOLOG_LOG=http://x"}); err != nil {
		t.Errorf("variable of another command: %v", err)
	}
}

func TestCheckKeyURI(t *testing.T) {
	seed := strings.Repeat("0a", 32)
	for _, bare := range []string{seed, "0x" + seed, "seed:" + seed, " " + strings.ToUpper(seed) + "\n"} {
		if err := CheckKeyURI(bare); !errors.Is(err, ErrBareKey) || strings.Contains(err.Error(), seed[:8]) {
			t.Errorf("CheckKeyURI of a bare key: %v", err)
		}
	}
	for _, uri := range []string{"seed:/var/lib/chio/kernel.seed", "kernel.seed", "pkcs11:token=x", "cafe"} {
		if err := CheckKeyURI(uri); err != nil {
			t.Errorf("CheckKeyURI(%q): %v", uri, err)
		}
	}
}
