package check

import (
	"maps"
	"math"
	"slices"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// Stores holds the usable trials of an experiment on stores by arm, setup, load and block.
type Stores struct {
	blocks map[Ref]map[int][]record.StoreTrial
	why    map[string]string // arm to the reason it has no usable trial
}

// NewStores sorts trials. Only the last attempt at a trial counts, and only if its status is ok.
func NewStores(trials []record.StoreTrial) *Stores {
	type attempt struct {
		ref           Ref
		role          string
		block, repeat int
	}
	key := func(t *record.StoreTrial) attempt {
		return attempt{Ref{t.Arm, t.Setup, t.Load}, t.Role, t.Block, t.Repeat}
	}
	x := &Stores{blocks: map[Ref]map[int][]record.StoreTrial{}, why: map[string]string{}}
	last := map[attempt]int{}
	for i := range trials {
		k := key(&trials[i])
		if j, seen := last[k]; !seen || trials[j].Attempt <= trials[i].Attempt {
			last[k] = i
		}
	}
	for i := range trials {
		if last[key(&trials[i])] == i {
			x.add(trials[i])
		}
	}
	return x
}

func (x *Stores) add(t record.StoreTrial) {
	if t.Status != record.StatusOK {
		if t.Reason != "" && x.why[t.Arm] == "" {
			x.why[t.Arm] = t.Status + ": " + t.Reason
		}
		return
	}
	ref := Ref{t.Arm, t.Setup, t.Load}
	if x.blocks[ref] == nil {
		x.blocks[ref] = map[int][]record.StoreTrial{}
	}
	x.blocks[ref][t.Block] = append(x.blocks[ref][t.Block], t)
}

// Refs returns everything that has a usable trial, sorted.
func (x *Stores) Refs() []Ref { return slices.SortedFunc(maps.Keys(x.blocks), compareRefs) }

// Why returns the first reason for which a trial of arm could not be used, or "".
func (x *Stores) Why(arm string) string { return x.why[arm] }

// Ran reports whether arm has a usable trial.
func (x *Stores) Ran(arm string) bool {
	return slices.ContainsFunc(x.Refs(), func(r Ref) bool { return r.Arm == arm })
}

// Trials returns the usable trials of ref, block by block.
func (x *Stores) Trials(ref Ref) (all []record.StoreTrial) {
	for _, block := range slices.Sorted(maps.Keys(x.blocks[ref])) {
		all = append(all, x.blocks[ref][block]...)
	}
	return all
}

// Values returns the value of a metric in each block that has one. The second of two equal trials is for
// the noise floor only.
func (x *Stores) Values(ref Ref, metric string) map[int]stats.Value {
	values := map[int]stats.Value{}
	for block, trials := range x.blocks[ref] {
		v := math.NaN()
		if metric == record.StoreNoise {
			v = noise(trials)
		} else if i := slices.IndexFunc(trials, measured); i >= 0 {
			v = trials[i].Value(metric)
		}
		if !math.IsNaN(v) {
			values[block] = stats.Exactly(v)
		}
	}
	return values
}

func measured(t record.StoreTrial) bool { return t.Role != record.RoleAA }

func noise(block []record.StoreTrial) float64 {
	first := slices.IndexFunc(block, measured)
	second := slices.IndexFunc(block, func(t record.StoreTrial) bool { return !measured(t) })
	if first < 0 || second < 0 || block[first].AchievedOPS == 0 {
		return math.NaN()
	}
	return block[second].AchievedOPS / block[first].AchievedOPS
}

// Estimate returns the estimate of a metric over the blocks.
func (x *Stores) Estimate(ref Ref, metric string) stats.Estimate {
	return estimated(x.Values(ref, metric))
}

func estimated(values map[int]stats.Value) stats.Estimate {
	list := make([]stats.Value, 0, len(values))
	for _, block := range slices.Sorted(maps.Keys(values)) {
		list = append(list, values[block])
	}
	return stats.Estimated(list)
}

// Summarise returns the rows of summary.csv.
func (x *Stores) Summarise() (rows []record.Summary) {
	for _, ref := range x.Refs() {
		all := x.together(ref)
		for _, m := range record.StoreMetrics() {
			if e := x.Estimate(ref, m.Name); e.N > 0 {
				rows = append(rows, all.over(summaryRow(ref, m.Name, m.Unit, e)))
			}
		}
	}
	return rows
}

// Judge returns the rows of claims.csv for one claim: the primary row, then the exploratory ones.
func (x *Stores) Judge(c StoreClaim, o Options) ([]record.Claim, error) { return judgeBlocks(x, c, o) }

func (x *Stores) unit(metric string) (unit string, known bool) {
	for _, m := range record.StoreMetrics() {
		if m.Name == metric {
			return m.Unit, true
		}
	}
	return "", false
}
