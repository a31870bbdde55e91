package policy

import (
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/chiolog/chiolog/formats/checkpoint"
)

const practiceText = "example.com/log\n7\nPh9uO5DuwfYZikYwhx0zZacnyuO9E0aFobaz2JY1ot8=\n"

// logLine signs the practice text under the name of a log.
func logLine(t *testing.T, name string, seed byte) checkpoint.Signature {
	return logKey(t, name, seed).Sign(ed25519.Sign(seeded(seed), []byte(practiceText)))
}

func note(t *testing.T, lines ...checkpoint.Signature) checkpoint.Note {
	t.Helper()
	n, err := checkpoint.Note{Text: practiceText}.Add(lines...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCP_7_KeyNameIsTheOrigin: a log signs under its origin, and a line under
// another name makes nothing a checkpoint of it, whoever holds the key.
func TestCP_7_KeyNameIsTheOrigin(t *testing.T) {
	p := parse(t, "log "+logKey(t, "example.com/log", 1).String()+"\nlog "+logKey(t, "example.com/other", 2).String()+"\nquorum none\n")
	if _, err := p.Verify(note(t, logLine(t, "example.com/log", 1))); err != nil {
		t.Errorf("line of the origin: %v", err)
	}
	if _, err := p.Verify(note(t, logLine(t, "example.com/other", 2))); !errors.Is(err, checkpoint.ErrUnsigned) {
		t.Errorf("line of another pinned log: %v", err)
	}
	if _, err := p.Verify(note(t, logLine(t, "example.com/lag", 1))); !errors.Is(err, checkpoint.ErrUnsigned) {
		t.Errorf("the log's key under another name: %v", err)
	}
	other := parse(t, "log "+logKey(t, "example.com/other", 1).String()+"\nquorum none\n")
	if _, err := other.Verify(note(t, logLine(t, "example.com/other", 1))); !errors.Is(err, ErrOrigin) {
		t.Errorf("a name that is pinned over an origin that is not: %v", err)
	}
}

// TestCP_9_OldAndNewKeyAtOnce: a checkpoint with the lines of two keys is good to
// who pins either of them or both, and lines that nobody pins change nothing.
func TestCP_9_OldAndNewKeyAtOnce(t *testing.T) {
	const origin = "example.com/log"
	n := note(t, logLine(t, origin, 1), logLine(t, origin, 2), logLine(t, "example.com/other", 3))
	for _, c := range []struct {
		pins []byte
		logs int // that signed; 0 for a checkpoint that is refused
	}{{[]byte{1}, 1}, {[]byte{2}, 1}, {[]byte{1, 2}, 2}, {[]byte{2, 4}, 1}, {[]byte{3}, 0}, {[]byte{4}, 0}} {
		text := ""
		for _, seed := range c.pins {
			text += "log " + logKey(t, origin, seed).String() + "\n"
		}
		v, err := parse(t, text+"quorum none\n").Verify(n)
		if c.logs == 0 && !errors.Is(err, checkpoint.ErrUnsigned) || c.logs != 0 && (err != nil || len(v.Logs) != c.logs) {
			t.Errorf("keys %v pinned: %+v, %v", c.pins, v, err)
		}
	}
}

// TestCS_6_OtherLinesDoNotCount: a witness's key as type 0x01, or its line under
// another name, is no cosignature for the quorum and spoils none.
func TestCS_6_OtherLinesDoNotCount(t *testing.T) {
	k := witnessKey(t, "witness.example/A", 100)
	p := parse(t, "log "+logKey(t, "example.com/log", 1).String()+"\nwitness A "+k.String()+"\nquorum A\n")
	by := func(k checkpoint.VKey) checkpoint.Signature {
		sig, err := checkpoint.Cosign(k, practiceText, 5, func(message []byte) ([]byte, error) { return ed25519.Sign(seeded(100), message), nil })
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	own := logLine(t, "example.com/log", 1)
	skipped := []checkpoint.Signature{logLine(t, "witness.example/A", 100), by(witnessKey(t, "witness.example/B", 100))}
	var quorum *QuorumError
	for _, line := range skipped {
		if _, err := p.Verify(note(t, own, line)); !errors.As(err, &quorum) || quorum.Have != 0 {
			t.Errorf("line by %s+%08x: %v", line.Name, line.KeyID, err)
		}
	}
	if v, err := p.Verify(note(t, append(skipped, own, by(k))...)); err != nil || v.Times["A"] != 5 {
		t.Errorf("the witness's own line among them: %v", err)
	}
}

// TestCS_9_OneKeyForEachCosigner: two names for one key would count one vote twice.
func TestCS_9_OneKeyForEachCosigner(t *testing.T) {
	two := func(seedOfB byte) string {
		return "witness A " + witnessKey(t, "witness.example/A", 100).String() +
			"\nwitness B " + witnessKey(t, "witness.example/B", seedOfB).String() + "\ngroup G all A B\nquorum G\n"
	}
	if _, err := Parse([]byte(two(100))); !errors.Is(err, ErrPolicy) {
		t.Errorf("one key under two names: %v", err)
	}
	if _, err := Parse([]byte(two(101))); err != nil {
		t.Errorf("two keys: %v", err)
	}
}
