package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/chiolog/chiolog/formats/timeline"
	"github.com/chiolog/chiolog/signer/seedfile"
)

// recoveryID names the policy of a genesis; a recover that changes the policy
// gives it another name.
const recoveryID = "recovery-1"

// recoveryPolicy reads the policy at path, or makes the default one: three
// keys in dir, of which two are needed.
func recoveryPolicy(path, dir string) (*timeline.RecoveryPolicy, error) {
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--recovery: %w", err)
		}
		p, err := parseRecovery(string(data))
		if err != nil {
			return nil, fmt.Errorf("--recovery %s: %w", path, err)
		}
		return p, nil
	}
	p := &timeline.RecoveryPolicy{Keys: map[string]string{}, PolicyID: recoveryID, Threshold: 2}
	for _, name := range offlineKeys[1:] {
		key, _, err := seedfile.LoadOrCreate(seedName(dir, name))
		if err != nil {
			return nil, err
		}
		p.Keys[name] = key.PublicKey().Text()
	}
	return p, nil
}

// parseRecovery reads a recovery policy: "none" alone, or a line "threshold K"
// and lines "key <id> <key text>". Empty lines and lines that begin with # are
// skipped. A threshold of 1 makes every one of the keys the owner of the log,
// so it has to be asked for by name: "threshold 1 single".
func parseRecovery(text string) (*timeline.RecoveryPolicy, error) {
	p := &timeline.RecoveryPolicy{Keys: map[string]string{}, PolicyID: recoveryID}
	none := false
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		fail := func(format string, args ...any) error {
			return fmt.Errorf("line %d: %s", i+1, fmt.Sprintf(format, args...))
		}
		switch {
		case words[0] == "none" && len(words) == 1:
			none = true
		case words[0] == "threshold" && (len(words) == 2 || len(words) == 3 && words[2] == "single"):
			k, err := strconv.Atoi(words[1])
			if err != nil || k < 1 || p.Threshold != 0 {
				return nil, fail("want one line threshold K, with K from 1 on")
			}
			if (k == 1) != (len(words) == 3) {
				return nil, fail("a threshold of 1 lets a single key take over the log; write \"threshold 1 single\" if that is meant, and only then")
			}
			p.Threshold = k
		case words[0] == "key" && len(words) == 3:
			if _, ok := p.Keys[words[1]]; ok {
				return nil, fail("id %s is there twice", words[1])
			}
			p.Keys[words[1]] = words[2]
		default:
			return nil, fail("not one of: none, threshold K, key ID KEY")
		}
	}
	if none {
		if len(p.Keys) > 0 || p.Threshold != 0 {
			return nil, fmt.Errorf("none stands with other lines: a log has a recovery policy or none")
		}
		return timeline.NoRecovery(), nil
	}
	if len(p.Keys) == 0 {
		return nil, fmt.Errorf("no keys: write none if the log is to have no recovery")
	}
	return p, p.Check()
}
