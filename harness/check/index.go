package check

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// Ref names what is compared: an arm at a placement in a cell.
type Ref struct {
	Arm, Placement, Cell string
}

func compareRefs(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Arm, b.Arm), cmp.Compare(a.Placement, b.Placement),
		cmp.Compare(a.Cell, b.Cell))
}

// Index holds the usable trials of a run by arm, placement, cell and block. It is read-only.
type Index struct {
	blocks map[Ref]map[int][]record.Trial
	sample map[Ref]record.Trial // any trial, for its factors
	why    map[string]string    // arm to the reason it has no usable trial
}

// attempt identifies the attempts at one trial.
type attempt struct {
	ref     Ref
	block   int
	role    string
	offered uint64 // bits: a missing rate equals itself
	repeat  int
}

// NewIndex sorts trials. Only the last attempt at a trial counts, and only if its status is ok;
// trials of the search are left out.
func NewIndex(trials []record.Trial) *Index {
	x := &Index{
		blocks: map[Ref]map[int][]record.Trial{},
		sample: map[Ref]record.Trial{},
		why:    map[string]string{},
	}
	last := map[attempt]int{}
	for i := range trials {
		k := attemptOf(&trials[i])
		if j, seen := last[k]; !seen || trials[j].Attempt <= trials[i].Attempt {
			last[k] = i
		}
	}
	for i := range trials {
		if last[attemptOf(&trials[i])] == i {
			x.add(trials[i])
		}
	}
	return x
}

func attemptOf(t *record.Trial) attempt {
	ref := Ref{t.Arm, t.Placement, t.Cell}
	return attempt{ref, t.Block, t.Role, math.Float64bits(t.OfferedFPS), t.Repeat}
}

func (x *Index) add(t record.Trial) {
	switch {
	case t.Status != record.StatusOK:
		if t.Reason != "" && x.why[t.Arm] == "" {
			x.why[t.Arm] = t.Status + ": " + t.Reason
		}
		return
	case t.Role == record.RoleSearch:
		return
	}
	ref := Ref{t.Arm, t.Placement, t.Cell}
	if x.blocks[ref] == nil {
		x.blocks[ref] = map[int][]record.Trial{}
		x.sample[ref] = t
	}
	x.blocks[ref][t.Block] = append(x.blocks[ref][t.Block], t)
}

// Refs returns everything that has a usable trial, sorted.
func (x *Index) Refs() []Ref { return slices.SortedFunc(maps.Keys(x.blocks), compareRefs) }

// Factors returns a trial of ref, whose factor columns hold for all of them.
func (x *Index) Factors(ref Ref) (record.Trial, bool) {
	t, ok := x.sample[ref]
	return t, ok
}

// Trials returns the usable trials of ref, block by block.
func (x *Index) Trials(ref Ref) []record.Trial {
	var all []record.Trial
	for _, block := range slices.Sorted(maps.Keys(x.blocks[ref])) {
		all = append(all, x.blocks[ref][block]...)
	}
	return all
}

// Why returns the first reason for which a trial of arm could not be used, or "".
func (x *Index) Why(arm string) string { return x.why[arm] }

// Values returns the value of a metric in each block that has one.
func (x *Index) Values(ref Ref, metric string) map[int]stats.Value {
	values := map[int]stats.Value{}
	of, ok := perBlock()[metric]
	if !ok {
		return values
	}
	for block, trials := range x.blocks[ref] {
		if v, ok := of(trials); ok {
			values[block] = v
		}
	}
	return values
}

// Estimate returns the estimate of a metric over the blocks.
func (x *Index) Estimate(ref Ref, metric string) stats.Estimate {
	values := x.Values(ref, metric)
	list := make([]stats.Value, 0, len(values))
	for _, block := range slices.Sorted(maps.Keys(values)) {
		list = append(list, values[block])
	}
	return stats.Estimated(list)
}

// Partner returns the cell of arm to compare ref with at a placement: the same workload (item size,
// items a frame, digest), and among those the same cell if there is one, else the nearest burst,
// since a socket that takes one datagram a call has no burst to vary.
func (x *Index) Partner(ref Ref, arm, placement string) (Ref, bool) {
	want, ok := x.sample[ref]
	if !ok {
		return Ref{}, false
	}
	var best Ref
	found := false
	for _, r := range x.Refs() {
		have := x.sample[r]
		if r.Arm != arm || r.Placement != placement || have.Workload() != want.Workload() {
			continue
		}
		if !found || nearer(want, have, x.sample[best]) {
			best, found = r, true
		}
	}
	return best, found
}

// nearer reports whether a is configured more like want than b is.
func nearer(want, a, b record.Trial) bool {
	return cmp.Or(
		cmp.Compare(miss(a.Cell != want.Cell), miss(b.Cell != want.Cell)),
		cmp.Compare(apart(a.Burst, want.Burst), apart(b.Burst, want.Burst)),
		cmp.Compare(miss(a.Hugepages != want.Hugepages), miss(b.Hugepages != want.Hugepages)),
		cmp.Compare(miss(a.Lanes != want.Lanes), miss(b.Lanes != want.Lanes)),
	) < 0
}

func miss(differs bool) int {
	if differs {
		return 1
	}
	return 0
}

func apart(a, b int) int { return max(a-b, b-a) }

// Placements returns the placements at which arm has usable trials, sorted.
func (x *Index) Placements(arm string) []string {
	seen := map[string]bool{}
	for ref := range x.blocks {
		if ref.Arm == arm {
			seen[ref.Placement] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// Ratios returns metric of ref divided by that of the rung at a placement, block by block, and the
// rung's cell. An arm without a kernel half runs at one placement only and is compared from there.
func (x *Index) Ratios(ref Ref, rung, placement, metric, rungMetric string) ([]stats.Value, bool) {
	if placement != ref.Placement && slices.Contains(x.Placements(ref.Arm), placement) {
		return nil, false
	}
	partner, ok := x.Partner(ref, rung, placement)
	if !ok || partner.Arm == ref.Arm {
		return nil, false
	}
	return stats.PairedRatios(x.Values(ref, metric), x.Values(partner, rungMetric)), true
}
