package policy

import (
	"fmt"
	"math"
	"slices"
)

// A QuorumError reports a checkpoint that too few witnesses have cosigned.
type QuorumError struct {
	Have int // witnesses under the quorum that cosigned it
	Need int // Have, and the fewest more that would satisfy the quorum
}

func (e *QuorumError) Error() string {
	return fmt.Sprintf("cosigned by %d witnesses of the quorum, at least %d are needed", e.Have, e.Need)
}

// NoWitnesses reports whether the quorum is none: a checkpoint then has nobody's
// word but the log's.
func (p *Policy) NoWitnesses() bool { return p.quorum == nil }

// Quorum reports whether the witnesses of whom cosigned says true, by their names
// in the policy, satisfy the quorum. With quorum none they always do.
func (p *Policy) Quorum(cosigned func(name string) bool) bool {
	return p.missing(cosigned) == 0
}

// CheckQuorum returns nil if the witnesses of whom cosigned says true satisfy the
// quorum, else a *QuorumError.
func (p *Policy) CheckQuorum(cosigned func(name string) bool) error {
	missing := p.missing(cosigned)
	if missing == 0 {
		return nil
	}
	have := 0
	for _, name := range p.quorum.names(nil) {
		if cosigned(name) {
			have++
		}
	}
	return &QuorumError{Have: have, Need: have + missing}
}

// missing returns the fewest further witnesses that would satisfy the quorum.
func (p *Policy) missing(cosigned func(name string) bool) int {
	if p.quorum == nil {
		return 0
	}
	return p.quorum.fold(func(name string) int {
		if cosigned(name) {
			return 0
		}
		return 1
	}, func(missing []int, k int) int { return sumOfSmallest(missing, k) })
}

// QuorumTime returns the quorum time of a checkpoint: the greatest t for which
// the cosignatures with a time of t or later satisfy the quorum by themselves.
// Times are in Unix seconds, by the witnesses' names in the policy. It returns
// false if even all of them do not satisfy it. With quorum none no cosignature
// bounds the time, and it is the largest number of 64 bits.
func (p *Policy) QuorumTime(times map[string]uint64) (t uint64, ok bool) {
	if p.quorum == nil {
		return math.MaxUint64, true
	}
	return p.quorum.time(times)
}

// time is QuorumTime for a node. A group of threshold k is satisfied at t as long
// as k of its members are: until the k-th latest of their times.
func (n *node) time(times map[string]uint64) (uint64, bool) {
	if n.members == nil {
		t, ok := times[n.witness]
		return t, ok
	}
	var all []uint64
	for _, member := range n.members {
		if t, ok := member.time(times); ok {
			all = append(all, t)
		}
	}
	if len(all) < n.threshold {
		return 0, false
	}
	slices.Sort(all)
	return all[len(all)-n.threshold], true
}

// Overlap returns the smallest number of witnesses that two sets that satisfy
// the quorum have in common, 0 for quorum none.
//
// The nodes are a tree and a witness is one leaf of it, so what happens under
// two members of a group is independent. For a witness the answer is 1. Two sets
// satisfy a group of n members with threshold k if one satisfies k of the members
// and the other k; of these, at least 2k−n are the same members. Under such a
// member the two share at least that member's own overlap; under all others they
// need not share anything. So the answer is the sum of the 2k−n smallest overlaps
// of the members, and two sets exist that reach it; if 2k ≤ n it is 0.
func (p *Policy) Overlap() int {
	if p.quorum == nil {
		return 0
	}
	return p.quorum.fold(func(string) int { return 1 }, func(overlaps []int, k int) int {
		return sumOfSmallest(overlaps, 2*k-len(overlaps))
	})
}

// Intersecting reports whether any two sets of witnesses that satisfy the quorum
// share a member. If not, a log can show two views, each with a quorum, while no
// witness lies. Quorum none is exempt and counts as intersecting: who chose it
// asked for no witnesses.
func (p *Policy) Intersecting() bool { return p.NoWitnesses() || p.Overlap() > 0 }

// Survives returns how many witnesses the policy can lose. Up to lying of them may
// cosign whatever a log wants, and still no two contradicting checkpoints both
// satisfy the quorum; it is −1 if that can happen while no witness lies. Up to
// absent of them may be unreachable, whichever they are, and the others still
// satisfy the quorum.
//
// Two quorums contradict each other without an honest witness in both if all that
// they share lie; the fewest that they share is Overlap. A quorum is blocked when
// n−k+1 of the n members of a group with threshold k are, and the fewest witnesses
// block it through the members that are blocked by the fewest.
func (p *Policy) Survives() (lying, absent int) {
	if p.quorum == nil {
		return -1, 0
	}
	blocking := p.quorum.fold(func(string) int { return 1 }, func(blocking []int, k int) int {
		return sumOfSmallest(blocking, len(blocking)-k+1)
	})
	return p.Overlap() - 1, blocking - 1
}

// fold computes a number for a node from those of its members, in any order, and
// its threshold.
func (n *node) fold(witness func(name string) int, group func(members []int, threshold int) int) int {
	if n.members == nil {
		return witness(n.witness)
	}
	members := make([]int, len(n.members))
	for i, member := range n.members {
		members[i] = member.fold(witness, group)
	}
	return group(members, n.threshold)
}

// names appends the witnesses under a node to list.
func (n *node) names(list []string) []string {
	if n.members == nil {
		return append(list, n.witness)
	}
	for _, member := range n.members {
		list = member.names(list)
	}
	return list
}

// sumOfSmallest returns the sum of the count smallest numbers. It sorts numbers.
func sumOfSmallest(numbers []int, count int) int {
	slices.Sort(numbers)
	sum := 0
	for i := range max(count, 0) {
		sum += numbers[i]
	}
	return sum
}
