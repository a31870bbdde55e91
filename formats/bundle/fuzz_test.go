package bundle_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/internal/tlogtest"
)

// FuzzBundle: what is parsed is printed as the same bytes, and no bytes make
// Verify panic, or be verified and yet not parse.
func FuzzBundle(f *testing.F) {
	fix := newFixture(f)
	for _, index := range []uint64{0, fix.kernel, fix.writer, fix.child, fix.early, fix.suspectLater} {
		f.Add(fix.Bundle(index))
	}
	f.Add(fix.StatusFile(tlogtest.Question{From: []uint64{1, 5}}))
	f.Add(fix.Bundle(fix.kernel, func(p *parts) { p.Extra = nil }))
	files, err := filepath.Glob("../../testdata/chiolog/*.tlog-proof")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	none := bundle.Options{Policy: fix.Policy(0)}
	beside := bundle.Options{Policy: fix.Policy(3), Receipt: fix.Entry(fix.kernel), Now: fix.Time, MaxAge: 60}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, o := range []bundle.Options{none, beside} {
			r := bundle.Verify(data, o)
			good := r.Verdict == bundle.Verified || r.Verdict == bundle.Suspect
			if good != (r.Failure == nil) {
				t.Errorf("%s with failure %v", r.Verdict, r.Failure)
			}
			if good && (r.Receipt == nil || r.Status == nil || r.AsOf == 0) {
				t.Errorf("%s without %+v", r.Verdict, r)
			}
		}
		p, err := bundle.ParseProof(data)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Bytes(), data) {
			t.Errorf("printed as\n%s", p.Bytes())
		}
		roundTrip(t, p.Extra)
	})
}

// FuzzExtra is FuzzBundle's part under the base64, where bytes can be changed
// to some effect.
func FuzzExtra(f *testing.F) {
	fix := newFixture(f)
	for _, index := range []uint64{0, fix.kernel, fix.writer} {
		p, err := bundle.ParseProof(fix.Bundle(index))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Extra)
	}
	p, err := bundle.ParseProof(fix.Bundle(fix.writer))
	if err != nil {
		f.Fatal(err)
	}
	o := bundle.Options{Policy: fix.Policy(3)}
	f.Fuzz(func(t *testing.T, extra []byte) {
		roundTrip(t, extra)
		changed := *p
		changed.Extra = extra
		if len(extra) == 0 {
			changed.Extra = nil
		}
		if r := bundle.Verify(changed.Bytes(), o); r.Verdict == bundle.Verified && !bytes.Contains(extra, fix.Entry(fix.writer)) {
			t.Errorf("verified with another receipt: %s", extra)
		}
	})
}

func roundTrip(t *testing.T, data []byte) {
	extra, err := bundle.ParseExtra(data)
	if err != nil {
		return
	}
	again, err := extra.Canonical()
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("extra\n%s\nprinted as\n%s, %v", data, again, err)
	}
}
