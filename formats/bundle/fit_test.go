package bundle_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chiolog/chiolog/formats/bundle"
	"github.com/chiolog/chiolog/internal/tlogtest"
)

// TestV_1_Fit: an extra of at most MaxExtra bytes is written whole; of a longer
// one the receipt is left out first, then the timeline, then both.
func TestV_1_Fit(t *testing.T) {
	f := newFixture(t)
	whole := func() *bundle.Extra {
		p, err := bundle.ParseProof(f.Bundle(f.writer))
		if err != nil {
			t.Fatal(err)
		}
		extra, err := bundle.ParseExtra(p.Extra)
		if err != nil {
			t.Fatal(err)
		}
		return extra
	}
	// fill returns a leaf or receipt that makes the extra have size bytes.
	fill := func(extra *bundle.Extra, set func(raw []byte), size int) {
		set([]byte(`{"x":""}`))
		data, err := extra.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		set([]byte(`{"x":"` + strings.Repeat("r", size-len(data)) + `"}`))
	}
	receipt := func(e *bundle.Extra) func([]byte) { return func(raw []byte) { e.Receipt = raw } }
	timeline := func(e *bundle.Extra) func([]byte) { return func(raw []byte) { e.Events[0].Leaf = raw } }
	for _, tt := range []struct {
		name              string
		receipt, timeline int // sizes of the extra with this in it and the other one at its usual size
		left              string
	}{
		{"usual", 0, 0, "events receipt status writer"},
		{"receipt to the limit", bundle.MaxExtra, 0, "events receipt status writer"},
		{"receipt a byte longer", bundle.MaxExtra + 1, 0, "events status writer"},
		{"largest receipt", 66000, 0, "events status writer"},
		{"timeline to the limit", 0, bundle.MaxExtra, "events receipt status writer"},
		{"timeline a byte longer: the receipt is what lies beside", 0, bundle.MaxExtra + 1, "events status writer"},
		{"timeline too long by itself", 0, 60000, "receipt writer"},
		{"both too long together", 40000, 40000, "events status writer"},
		{"both too long by themselves", 60000, 60000, "writer"},
	} {
		extra := whole()
		if tt.receipt > 0 {
			fill(extra, receipt(extra), tt.receipt)
		}
		if tt.timeline > 0 {
			long := whole()
			fill(long, timeline(long), tt.timeline)
			extra.Events = long.Events
		}
		data, err := extra.Fit()
		if err != nil {
			t.Fatal(err)
		}
		fit, err := bundle.ParseExtra(data)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := members(fit); got != tt.left || len(data) > bundle.MaxExtra {
			t.Errorf("%s: %d bytes with %s, want %s", tt.name, len(data), got, tt.left)
		}
		if members(extra) != "events receipt status writer" {
			t.Errorf("%s: Fit changed what it was called on", tt.name)
		}
	}
}

func members(e *bundle.Extra) string {
	var names []string
	for name, has := range map[string]bool{"events": e.Events != nil, "receipt": e.Receipt != nil, "status": e.Status != nil, "writer": e.Writer != nil} {
		if has {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestV_1_LongReceipt: a bundle whose receipt does not fit is verified with the
// receipt beside it, and then readers of lines of 65,536 bytes can read it.
func TestV_1_LongReceipt(t *testing.T) {
	f := newFixture(t)
	o := func(receipt []byte) bundle.Options { return bundle.Options{Policy: f.Policy(2), Receipt: receipt} }
	for n, beside := range map[int]bool{20000: false, 60000: true} {
		index := f.Add(tlogtest.Receipt(f.Kernel, fmt.Sprint(n), f.Time, tlogtest.Set("metadata", tlogtest.Object{"note": strings.Repeat("n", n)})))
		f.Publish()
		data := f.Bundle(index)
		for line := range bytes.Lines(data) {
			if len(line) > 65536 {
				t.Errorf("line of %d bytes", len(line))
			}
		}
		alone := verified()
		if beside {
			alone = untold("V-7", bundle.ClassNoReceipt)
		}
		runRows(t, []row{
			{fmt.Sprint(n, " alone"), data, o(nil), alone},
			{fmt.Sprint(n, " with its receipt"), data, o(f.Entry(index)), verified()},
		})
	}
}
