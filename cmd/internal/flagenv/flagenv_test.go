package flagenv

import (
	"errors"
	"os"
	"path/filepath"
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

func TestApplyFile(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		args       []string
		want       string // listen and writers
		err        string
	}{
		{"settings", "# a log\n\nlisten  127.0.0.1:1 \n writer\ta\nwriter b\n", nil, "127.0.0.1:1 a,b", ""},
		{"CR LF", "listen x\r\nwriter a\r\n", nil, "x a", ""},
		{"no line feed at the end", "listen x", nil, "x ", ""},
		{"the flag wins", "listen x\nwriter a\nwriter b\n", []string{"--listen=y", "--writer=c"}, "y c", ""},
		{"unknown", "listn secret\n", nil, "", "line 1: \"listn\" is no setting"},
		{"dashes", "--listen x\n", nil, "", "line 1"},
		{"twice", "listen x\nlisten secret\n", nil, "", "line 2: listen is set in line 1"},
		{"no value", "\nlisten\n", nil, "", "line 2: listen has no value"},
		{"bad value", "age secret\n", nil, "", "line 1: not a value for age (duration)"},
		{"help", "help true\n", nil, "", "line 1"},
	} {
		flags := pflag.NewFlagSet("t", pflag.ContinueOnError)
		listen := flags.String("listen", "", "")
		writers := flags.StringSlice("writer", nil, "")
		flags.Duration("age", 0, "")
		flags.Bool("help", false, "")
		if err := flags.Parse(tt.args); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := ApplyFile(flags, path)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if got := *listen + " " + strings.Join(*writers, ","); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if err := ApplyFile(pflag.NewFlagSet("t", pflag.ContinueOnError), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that does not exist is applied")
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
