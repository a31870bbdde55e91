package flagenv

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestApply(t *testing.T) {
	for _, tt := range []struct {
		name     string
		args     []string
		variable string
		want     time.Duration
		ok       bool
	}{
		{"neither", nil, "", time.Second, true},
		{"variable", nil, "CHIOLOG_MAX_AGE=1h", time.Hour, true},
		{"flag and variable: the flag wins", []string{"--max-age=1m"}, "CHIOLOG_MAX_AGE=1h", time.Minute, true},
		{"empty variable is not set", nil, "CHIOLOG_MAX_AGE=", time.Second, true},
		{"bad value", nil, "CHIOLOG_MAX_AGE=secret", 0, false},
		{"another name", nil, "CHIOLOG_MAXAGE=1h", time.Second, true},
		{"help is no setting", nil, "CHIOLOG_HELP=true", time.Second, true},
		{"flag without a variable", nil, "CHIOLOG_BARE=true", time.Second, true},
	} {
		flags := pflag.NewFlagSet("t", pflag.ContinueOnError)
		age := flags.Duration("max-age", time.Second, "")
		help := flags.Bool("help", false, "")
		bare := flags.Bool("bare", false, "")
		flags.SetAnnotation("bare", None, []string{"true"})
		if err := flags.Parse(tt.args); err != nil {
			t.Fatal(err)
		}
		err := Apply(flags, []string{"HOME=/x", tt.variable})
		if (err == nil) != tt.ok || tt.ok && *age != tt.want || *help || *bare {
			t.Errorf("%s: %v, %v, want %v", tt.name, *age, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "CHIOLOG_MAX_AGE")) {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

func TestList(t *testing.T) {
	flags := pflag.NewFlagSet("t", pflag.ContinueOnError)
	writers := flags.StringSlice("writer", nil, "")
	if err := Apply(flags, []string{"CHIOLOG_WRITER=a,b"}); err != nil || len(*writers) != 2 || !flags.Changed("writer") {
		t.Errorf("%q, %v", *writers, err)
	}
}

func TestCheckUnknown(t *testing.T) {
	flags := pflag.NewFlagSet("t", pflag.ContinueOnError)
	flags.String("listen", "", "")
	for variable, ok := range map[string]bool{
		"CHIOLOG_LISTEN=a": true, "HOME=/x": true, "CHIOLOG_LOG=http://x": true, "CHIOLOG_PORT_80_TCP=tcp://10.0.0.1:80": true, "CHIOLOG_SERVICE_HOST=10.0.0.1": true, "CHIOLOG_PORTS=1": false, "CHIOLOG_LISTN=secret": false,
	} {
		err := CheckUnknown(flags, []string{variable})
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", variable, err)
		}
	}
}

func TestCheckNotKey(t *testing.T) {
	seed := strings.Repeat("0a", 32)
	for _, bare := range []string{seed, "0x" + seed, "seed:" + seed, " " + strings.ToUpper(seed) + "\n", seed + seed} {
		if err := CheckNotKey(bare); !errors.Is(err, ErrBareKey) || strings.Contains(err.Error(), seed[:8]) {
			t.Errorf("a bare key: %v", err)
		}
	}
	for _, uri := range []string{"seed:/var/lib/chio/kernel.seed", "kernel.seed", "pkcs11:token=x", "cafe", "http://x"} {
		if err := CheckNotKey(uri); err != nil {
			t.Errorf("CheckNotKey(%q): %v", uri, err)
		}
	}
}
