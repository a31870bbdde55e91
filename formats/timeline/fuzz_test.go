package timeline

import (
	"bytes"
	"testing"

	"github.com/chiolog/chiolog/formats/receipt"
	"github.com/chiolog/chiolog/internal/jcs"
)

// FuzzLogEntry reads bytes as an entry and, so that signatures do not stand in
// the way, as the metadata of one that is signed here. What is read prints as
// it was, and every parser of what it says may be asked.
func FuzzLogEntry(f *testing.F) {
	for _, entry := range vectorLog(f).Entries {
		r, err := receipt.ParseCanonical([]byte(entry))
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(entry))
		f.Add(r.Metadata())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := ParseLogEntry(data); err == nil {
			checkReadEntry(t, e)
		}
		m, err := readMetadata(data)
		if err != nil {
			return
		}
		draft, err := NewDraft(m, kernelKey.Key)
		if err != nil {
			return
		}
		signature, _ := kernelKey.sign(draft.SignedBytes())
		entry, err := draft.Entry(signature)
		if err != nil {
			t.Fatal(err)
		}
		e, err := ParseLogEntry(entry)
		if err != nil {
			t.Fatalf("%s: %v", entry, err)
		}
		again, err := jcs.Marshal(e.Metadata)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("printed as %s, %v", again, err)
		}
		checkReadEntry(t, e)
	})
}

// checkReadEntry gives a log-authored receipt to every parser.
func checkReadEntry(t *testing.T, e *LogEntry) {
	tl := New(testOrigin)
	if err := tl.Apply(0, e); err == nil {
		envelope, err := ParseEnvelope(e.KeyEvent)
		if err != nil {
			t.Fatal(err)
		}
		if again := marshal(t, envelope); !bytes.Equal(again, e.KeyEvent) {
			t.Fatalf("envelope printed as %s", again)
		}
	}
	if s, err := ParseStatus(e, testOrigin); err == nil {
		if m, err := s.Metadata(); err != nil || !bytes.Equal(m.Payload, e.Payload) {
			t.Fatalf("status printed as %s, %v", m.Payload, err)
		}
	}
	var writers Writers
	if err := writers.Apply(tl, 2, e); err == nil && len(writers.Current()) != writers.Map.Len() {
		t.Fatalf("%d writers, %d entries", len(writers.Current()), writers.Map.Len())
	}
}
