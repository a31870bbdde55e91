package interop

import (
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/chiolog/chiolog/formats/api"
	"github.com/chiolog/chiolog/formats/tile"
)

// TestThreeLevels reads a log of more than 256² leaves: it has a full tile at
// level 1 and a partial one at level 2.
func TestThreeLevels(t *testing.T) {
	if testing.Short() {
		t.Skip("signs and appends 65,800 receipts")
	}
	s := startLog(t)
	for i := range 4 {
		if _, err := s.append(16450, i == 3); err != nil {
			t.Fatal(err)
		}
	}
	c, err := readMod(t.Context(), s.url, s.vkey)
	if err != nil {
		t.Fatal(err)
	}
	checkEntries(t, c, s)
	size := uint64(c.tree.N)
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		to := 1 + random.Uint64N(size)
		checkConsistency(t, c, getJSON[api.ConsistencyProof](t, consistencyURL(s, 1+random.Uint64N(to), to)))
		checkInclusion(t, c, getJSON[api.InclusionProof](t, inclusionURL(s, random.Uint64N(to), to)))
	}
	for _, beyond := range []string{"/tile/1/001", "/tile/2/000", "/tile/2/000.p/2", "/tile/3/000.p/1"} {
		if a := do(t, http.MethodGet, s.url+beyond); a.status != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", beyond, a.status)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	d := damagedCopy(t, s)
	d.accepted(t)
	for n := range tile.Needed(size) {
		if n.Level > 0 { // those below are many, and as in a small log
			d.refuseDamage(t, n.Path(), 2)
		}
	}
}
