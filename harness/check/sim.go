package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// Sims holds the trials of an experiment on the simulator.
type Sims struct{ rows []record.SimTrial }

// NewSims takes trials.
func NewSims(rows []record.SimTrial) *Sims { return &Sims{rows} }

// values is a metric of the rows that a predicate keeps, block by block.
func (x *Sims) values(m record.SimMetric, keep func(*record.SimTrial) bool) map[int]stats.Value {
	blocks := map[int][]record.SimTrial{}
	for _, t := range x.rows {
		if keep(&t) {
			blocks[t.Block] = append(blocks[t.Block], t)
		}
	}
	values := map[int]stats.Value{}
	for block, rows := range blocks {
		if v := m.Value(rows); v == v { // not missing
			values[block] = stats.Exactly(v)
		}
	}
	return values
}

// Summarise returns the rows of summary.csv: each family and each mutation, then all of them together. Family
// and mutation stand in the place of an arm.
func (x *Sims) Summarise() (rows []record.Summary) {
	of := map[Ref]func(*record.SimTrial) bool{}
	for _, t := range x.rows {
		ref := simRef(&t)
		of[ref] = func(t *record.SimTrial) bool { return simRef(t) == ref }
	}
	refs := slices.SortedFunc(maps.Keys(of), func(a, b Ref) int {
		return cmp.Or(cmp.Compare(a.Placement, b.Placement), cmp.Compare(a.Arm, b.Arm))
	})
	everything := Ref{Arm: "all", Placement: "all"}
	of[everything] = func(*record.SimTrial) bool { return true }
	for _, ref := range append(refs, everything) {
		for _, m := range record.SimMetrics() {
			if e := estimated(x.values(m, of[ref])); e.N > 0 {
				rows = append(rows, summaryRow(ref, m.Name, m.Unit, e))
			}
		}
	}
	return rows
}

func simRef(t *record.SimTrial) Ref {
	if t.Mutation != "" {
		return Ref{Arm: t.Mutation, Placement: "mutation"}
	}
	return Ref{Arm: t.Family, Placement: "family"}
}

// Judge returns the row of claims.csv for one claim, which must hold in every block.
func (x *Sims) Judge(c StoreClaim, o Options) (record.Claim, error) {
	at := slices.IndexFunc(record.SimMetrics(), func(m record.SimMetric) bool { return m.Name == c.Metric })
	if at < 0 {
		return record.Claim{}, fmt.Errorf("claim %q: no metric %q: results/README.md lists them", c.Name, c.Metric)
	}
	m := record.SimMetrics()[at]
	c.Always = true
	values := x.values(m, func(*record.SimTrial) bool { return true })
	return judgeValues(c, values, m.Unit, c.Words, gaps{absent: x.why(), void: x.why()}, o), nil
}

// why is the first reason for which a trial could not be used.
func (x *Sims) why() string {
	for _, t := range x.rows {
		if t.Status != record.StatusOK {
			return cmp.Or(t.Mutation, t.Family) + " " + t.Status + ": " + t.Reason
		}
	}
	return ""
}
