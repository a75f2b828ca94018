package check

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// StoreClaim is the declaration of a claim about stores. In [Ref], Placement is the setup and Cell the load.
type StoreClaim struct {
	Name, Source, Words string
	Metric              string  // of record.StoreMetrics
	AtMost              bool    // the bound is an upper one
	Always              bool    // it holds in every block: one that breaks it refutes the claim
	Bound               float64 // in the metric's unit; a ratio has none
	Ref                 Ref

	Rungs      []string // of a ratio: compared with the best of them in each block; none: a value
	RungRef    Ref      // their setup and load
	RungMetric string   // empty: Metric
	Others     []string // rungs for exploratory rows
}

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
func (x *Stores) Judge(c StoreClaim, o Options) ([]record.Claim, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if len(c.Rungs) == 0 {
		words := c.Words + " by " + c.Ref.Arm
		gaps := gaps{absent: x.absent([]string{c.Ref.Arm}), void: x.why[c.Ref.Arm]}
		row := judgeValues(c, x.Values(c.Ref, c.Metric), unitOfStore(c.Metric), words, gaps, o)
		return []record.Claim{row}, nil
	}
	rows := []record.Claim{x.judgeRatio(c, c.Rungs, o)}
	rows[0].Primary = true
	if len(c.Rungs) > 1 {
		for _, r := range c.Rungs {
			rows = append(rows, x.judgeRatio(c, []string{r}, o))
		}
	}
	for _, r := range c.Others {
		rows = append(rows, x.judgeRatio(c, []string{r}, o))
	}
	return rows, nil
}

func (c *StoreClaim) validate() error {
	c.RungMetric = cmp.Or(c.RungMetric, c.Metric)
	known := func(name string) bool {
		return slices.ContainsFunc(record.StoreMetrics(), func(m record.StoreMetric) bool { return m.Name == name })
	}
	for _, name := range []string{c.Metric, c.RungMetric} {
		if !known(name) {
			return fmt.Errorf("claim %q: no metric %q: results/README.md lists them", c.Name, name)
		}
	}
	if !(c.Bound >= 0) || c.Bound == 0 && !c.AtMost {
		return fmt.Errorf("claim %q: bound %v must be above 0", c.Name, c.Bound)
	}
	return nil
}

// judgeRatio compares with the best of rungs, block by block. A block counts if all of them ran in it.
func (x *Stores) judgeRatio(c StoreClaim, rungs []string, o Options) record.Claim {
	var best map[int]stats.Value
	for i, r := range rungs {
		values := x.Values(Ref{r, c.RungRef.Placement, c.RungRef.Cell}, c.RungMetric)
		if i == 0 {
			best = values
			continue
		}
		for block, v := range best {
			w, both := values[block]
			switch {
			case !both:
				delete(best, block)
			case w.Point() > v.Point():
				best[block] = w
			}
		}
	}
	ratios := stats.PairedRatios(x.Values(c.Ref, c.Metric), best)
	e := stats.Estimated(ratios)
	words := c.Words
	if rungs[0] != c.Ref.Arm {
		words += " vs " + strings.Join(rungs, " or ")
	}
	row := c.row(e, ratios, x.absent(append([]string{c.Ref.Arm}, rungs...)), o, words, times(e, c.Bound))
	row.Rung = strings.Join(rungs, " or ")
	return row
}

// gaps says what is missing.
type gaps struct {
	absent string // why there is no value at all
	void   string // what else was measured in vain: it might have broken what must always hold
}

// judgeValues is the row of a claim about one value a block.
func judgeValues(c StoreClaim, blocks map[int]stats.Value, unit, words string, g gaps, o Options,
) record.Claim {
	e := estimated(blocks)
	values := slices.Collect(maps.Values(blocks))
	row := c.row(e, values, g.absent, o, words, rates(e, unit))
	if c.Always && g.void != "" && row.Verdict == record.Reproduced {
		row = o.finish(row, record.Inconclusive, g.void, words, rates(e, unit))
	}
	row.Primary = true
	return row
}

// row is the claim against its values, one a block; absent says why there are none.
func (c *StoreClaim) row(e stats.Estimate, values []stats.Value, absent string, o Options, words,
	measured string) record.Claim {
	row := record.Claim{Claim: c.Name, Source: c.Source, Expected: c.Bound, Measured: e.Median.Point(),
		CILow: openLow(e), CIHigh: e.High, N: e.N, Arm: c.Ref.Arm, Placement: c.Ref.Placement, Cell: c.Ref.Cell}
	verdict, because := decide(e, c.Bound)
	switch {
	case c.Always:
		verdict, because = c.decideAlways(values)
	case c.AtMost:
		verdict, because = decideAtMost(e, c.Bound)
	}
	if e.N == 0 {
		because = absent
	}
	return o.finish(row, verdict, because, words, measured)
}

// decideAlways returns the verdict on a bound that must hold in every block.
func (c *StoreClaim) decideAlways(values []stats.Value) (verdict, because string) {
	broken, worst := 0, math.NaN()
	for _, v := range values {
		p := v.Point()
		if c.AtMost && p > c.Bound || !c.AtMost && p < c.Bound {
			broken++
			if math.IsNaN(worst) || (p > worst) == c.AtMost {
				worst = p
			}
		}
	}
	switch {
	case broken > 0:
		return record.NotReproduced, fmt.Sprintf("the bound is broken in %d of %d blocks, at worst by %s", broken,
			len(values), number(worst, c.Bound))
	case len(values) < stats.MinValues:
		return record.Inconclusive, fmt.Sprintf("a verdict needs %d blocks", stats.MinValues)
	}
	return record.Reproduced, ""
}

// decideAtMost returns the verdict on "at most bound".
func decideAtMost(e stats.Estimate, bound float64) (verdict, because string) {
	switch {
	case !e.HasInterval():
		return record.Inconclusive, fmt.Sprintf("an interval needs %d blocks", stats.MinValues)
	case e.High <= bound:
		return record.Reproduced, ""
	case e.Low > bound:
		return record.NotReproduced, ""
	}
	return record.Inconclusive, "the interval contains the bound"
}

func (x *Stores) absent(arms []string) string {
	for _, arm := range arms {
		if why := x.Why(arm); why != "" && !x.Ran(arm) {
			return arm + " " + why
		}
	}
	return "no block has usable trials of it"
}

func unitOfStore(metric string) string {
	for _, m := range record.StoreMetrics() {
		if m.Name == metric {
			return m.Unit
		}
	}
	return ""
}
