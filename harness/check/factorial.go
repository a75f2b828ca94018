package check

import (
	"maps"
	"math"
	"slices"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// Factorials holds the usable trials of a factorial experiment by arm, cell, block and metric. In [Ref],
// Placement is empty.
type Factorials struct {
	values  map[Ref]map[string]map[int]stats.Value // by metric and block; of first trials
	second  map[Ref]map[string]map[int]stats.Value // of those that repeat a trial of the block
	units   map[string]string
	metrics []string // in the order in which the declaration has them
	why     map[string]string
}

// trialKey identifies the attempts at one trial.
type trialKey struct {
	ref           Ref
	block, repeat int
}

func keyOfRow(r *record.FactorialRow) trialKey {
	return trialKey{Ref{Arm: r.Arm, Cell: r.Cell}, r.Block, r.Repeat}
}

// NewFactorials sorts rows. Only the last attempt at a trial counts, and only if its status is ok. The
// metrics are those of a declaration.
func NewFactorials(rows []record.FactorialRow, metrics []record.DesignName) *Factorials {
	x := &Factorials{values: map[Ref]map[string]map[int]stats.Value{},
		second: map[Ref]map[string]map[int]stats.Value{}, units: map[string]string{}, why: map[string]string{}}
	for _, m := range metrics {
		x.units[m.Name], x.metrics = m.Unit, append(x.metrics, m.Name)
	}
	last := map[trialKey]int{}
	for i := range rows {
		k := keyOfRow(&rows[i])
		last[k] = max(last[k], rows[i].Attempt)
	}
	for i := range rows {
		if rows[i].Attempt == last[keyOfRow(&rows[i])] {
			x.add(&rows[i])
		}
	}
	return x
}

func (x *Factorials) add(r *record.FactorialRow) {
	if r.Status != record.StatusOK {
		if r.Reason != "" && x.why[r.Arm] == "" {
			x.why[r.Arm] = r.Status + ": " + r.Reason
		}
		return
	}
	if r.Metric == "" || math.IsNaN(r.Value) {
		return
	}
	into, ref := x.values, Ref{Arm: r.Arm, Cell: r.Cell}
	if r.Repeat > 1 {
		into = x.second
	}
	if into[ref] == nil {
		into[ref] = map[string]map[int]stats.Value{}
	}
	if into[ref][r.Metric] == nil {
		into[ref][r.Metric] = map[int]stats.Value{}
	}
	into[ref][r.Metric][r.Block] = seen(r)
}

// seen is a row's value, or the bound that it is.
func seen(r *record.FactorialRow) stats.Value {
	switch r.Censor {
	case stats.LowerBound.String():
		return stats.AtLeast(r.Value)
	case stats.UpperBound.String():
		return stats.AtMost(r.Value)
	}
	return stats.Exactly(r.Value)
}

// Refs returns everything that has a usable trial, sorted.
func (x *Factorials) Refs() []Ref { return slices.SortedFunc(maps.Keys(x.values), compareRefs) }

// Why returns the first reason for which a trial of arm could not be used, or "".
func (x *Factorials) Why(arm string) string { return x.why[arm] }

// Ran reports whether arm has a usable trial.
func (x *Factorials) Ran(arm string) bool {
	return slices.ContainsFunc(x.Refs(), func(r Ref) bool { return r.Arm == arm })
}

// Values returns the value of a metric in each block that has one.
func (x *Factorials) Values(ref Ref, metric string) map[int]stats.Value {
	if metric == record.FactorialNoise && len(x.metrics) > 0 {
		return x.noise(ref, x.metrics[0])
	}
	return maps.Clone(x.values[ref][metric])
}

// noise is the ratio of each block's two equal trials.
func (x *Factorials) noise(ref Ref, metric string) map[int]stats.Value {
	ratios := map[int]stats.Value{}
	for block, v := range x.second[ref][metric] {
		if first, ok := x.values[ref][metric][block]; ok {
			ratios[block] = v.Over(first)
		}
	}
	return ratios
}

// Estimate returns the estimate of a metric over the blocks.
func (x *Factorials) Estimate(ref Ref, metric string) stats.Estimate {
	return estimated(x.Values(ref, metric))
}

// Summarise returns the rows of summary.csv.
func (x *Factorials) Summarise() (rows []record.Summary) {
	for _, ref := range x.Refs() {
		for _, m := range append(slices.Clone(x.metrics), record.FactorialNoise) {
			if e := x.Estimate(ref, m); e.N > 0 {
				unit, _ := x.unit(m)
				rows = append(rows, summaryRow(ref, m, unit, e))
			}
		}
	}
	return rows
}

// Judge returns the rows of claims.csv for one claim: the primary row, then the exploratory ones.
func (x *Factorials) Judge(c StoreClaim, o Options) ([]record.Claim, error) {
	return judgeBlocks(x, c, o)
}

func (x *Factorials) unit(metric string) (unit string, known bool) {
	if metric == record.FactorialNoise {
		return "ratio", true
	}
	unit, known = x.units[metric]
	return unit, known
}
