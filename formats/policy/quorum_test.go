package policy

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestOverlap(t *testing.T) {
	abcdef := witnesses(t, "A", "B", "C", "D", "E", "F")
	for _, c := range []struct {
		groups        string
		overlap       int
		lying, absent int
		intersecting  bool
	}{
		{"quorum none\n", 0, -1, 0, true},
		{"quorum A\n", 1, 0, 0, true},
		{"group G any A B C\nquorum G\n", 0, -1, 2, false},
		{"group G 2 A B C\nquorum G\n", 1, 0, 1, true},
		{"group G 2 A B C D\nquorum G\n", 0, -1, 2, false},
		{"group G 3 A B C D\nquorum G\n", 2, 1, 1, true},
		{"group G 4 A B C D E F\nquorum G\n", 2, 1, 2, true},
		{"group G all A B C\nquorum G\n", 3, 2, 0, true},
		// Each of two groups may split within itself.
		{"group G any A B\ngroup H any C D\ngroup Q all G H\nquorum Q\n", 0, -1, 1, false},
		// One that cannot split is enough where all are needed.
		{"group G any A B\ngroup H all C D\ngroup Q all G H\nquorum Q\n", 2, 1, 0, true},
		{"group G all A B\ngroup H all C D\ngroup Q any G H\nquorum Q\n", 0, -1, 1, false},
		// The pair meets in the member with the smallest overlap.
		{"group G 2 A B C\ngroup H all D E\ngroup Q 2 G H F\nquorum Q\n", 1, 0, 1, true},
	} {
		p := parse(t, abcdef+c.groups)
		lying, absent := p.Survives()
		if p.Overlap() != c.overlap || lying != c.lying || absent != c.absent || p.Intersecting() != c.intersecting {
			t.Errorf("%s: overlap %d, survives %d and %d, intersecting %v", c.groups, p.Overlap(), lying, absent, p.Intersecting())
		}
	}
}

// TestQuorumsExhaustively compares all that is computed on the tree with what
// counting over all sets of witnesses says, for random policies.
func TestQuorumsExhaustively(t *testing.T) {
	const count = 8
	random := rand.New(rand.NewPCG(1, 2))
	var names []string
	for i := range count {
		names = append(names, fmt.Sprintf("w%d", i))
	}
	lines := witnesses(t, names...)
	for range 200 {
		text := lines + randomGroups(random, names)
		p := parse(t, text)
		in := func(set int) func(string) bool {
			return func(name string) bool { return set&(1<<(name[1]-'0')) != 0 }
		}
		var quorums []int
		for set := range 1 << count {
			if p.Quorum(in(set)) {
				quorums = append(quorums, set)
			}
		}
		overlap, blocking := count, count
		for _, a := range quorums {
			for _, b := range quorums {
				overlap = min(overlap, bits.OnesCount(uint(a&b)))
			}
		}
		for set := range 1 << count {
			if !p.Quorum(in(^set)) {
				blocking = min(blocking, bits.OnesCount(uint(set)))
			}
		}
		lying, absent := p.Survives()
		if p.Overlap() != overlap || lying != overlap-1 || absent != blocking-1 {
			t.Fatalf("overlap %d, want %d; absent %d, want %d:\n%s", p.Overlap(), overlap, absent, blocking-1, text)
		}
		checkSubset(t, p, random.IntN(1<<count), quorums, in, names, random)
	}
}

// checkSubset compares the quorum error and quorum time of one set of witnesses.
func checkSubset(t *testing.T, p *Policy, set int, quorums []int, in func(int) func(string) bool, names []string, random *rand.Rand) {
	t.Helper()
	fewest := len(names)
	for _, q := range quorums {
		fewest = min(fewest, bits.OnesCount(uint(q&^set)))
	}
	var quorum *QuorumError
	err := p.CheckQuorum(in(set))
	if (err == nil) != (fewest == 0) || err != nil && (!errors.As(err, &quorum) || quorum.Need-quorum.Have != fewest) {
		t.Errorf("%v, %d are missing", err, fewest)
	}
	times := map[string]uint64{}
	for i, name := range names {
		if set&(1<<i) != 0 {
			times[name] = random.Uint64N(5)
		}
	}
	want, ok := uint64(0), false
	for at := range uint64(5) {
		if p.Quorum(func(name string) bool { t, ok := times[name]; return ok && t >= at }) {
			want, ok = at, true
		}
	}
	if got, gotOK := p.QuorumTime(times); got != want || gotOK != ok {
		t.Errorf("QuorumTime = %d, %v, want %d, %v", got, gotOK, want, ok)
	}
}

// randomGroups joins names and groups into groups until one is left, or stops early.
func randomGroups(random *rand.Rand, names []string) string {
	free := append([]string(nil), names...)
	var b strings.Builder
	for i := 0; len(free) > 1 && (i == 0 || random.IntN(8) > 0); i++ {
		random.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
		n := 1 + random.IntN(len(free))
		group := fmt.Sprintf("g%d", i)
		fmt.Fprintf(&b, "group %s %d %s\n", group, 1+random.IntN(n), strings.Join(free[:n], " "))
		free = append([]string{group}, free[n:]...)
	}
	return b.String() + "quorum " + free[0] + "\n"
}

func TestQuorumTime(t *testing.T) {
	p := parse(t, witnesses(t, "A", "B", "C")+"group G 2 A B C\nquorum G\n")
	for _, c := range []struct {
		times map[string]uint64
		want  uint64
		ok    bool
	}{
		{map[string]uint64{"A": 10, "B": 20, "C": 30}, 20, true},
		{map[string]uint64{"A": 10, "B": 20}, 10, true},
		{map[string]uint64{"A": 0, "B": 0}, 0, true},
		{map[string]uint64{"A": 10}, 0, false},
		{map[string]uint64{"A": 10, "stranger": 20}, 0, false},
		{nil, 0, false},
	} {
		if got, ok := p.QuorumTime(c.times); got != c.want || ok != c.ok {
			t.Errorf("QuorumTime(%v) = %d, %v", c.times, got, ok)
		}
	}
	none := parse(t, "quorum none\n")
	if got, ok := none.QuorumTime(nil); got != math.MaxUint64 || !ok || !none.NoWitnesses() {
		t.Errorf("quorum none: %d, %v", got, ok)
	}
	if err := none.CheckQuorum(func(string) bool { return false }); err != nil {
		t.Errorf("quorum none: %v", err)
	}
}

func BenchmarkOverlap(b *testing.B) {
	p := parse(b, witnesses(b, "A", "B", "C", "D", "E")+"group G 2 A B C\ngroup H 2 G D E\nquorum H\n")
	for b.Loop() {
		p.Overlap()
	}
}
