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

// StoreClaim is the declaration of a claim about one value a block: of stores, the simulator, factorial
// experiments. In a store's [Ref], Placement is the setup and Cell the load.
type StoreClaim struct {
	Name, Source, Words string
	Metric              string
	AtMost              bool    // the bound is an upper one
	Always              bool    // it holds in every block: one that breaks it refutes the claim
	Bound               float64 // in the metric's unit; a ratio has none
	Ref                 Ref

	Rungs      []string // of a ratio: compared with the best of them in each block; none: a value
	RungRef    Ref      // their setup and load
	RungMetric string   // empty: Metric
	Others     []string // rungs for exploratory rows
	Lowest     bool     // the best of several rungs is the one with the lowest value
}

// blockwise are trials of which every block tells one value of a metric.
type blockwise interface {
	Values(ref Ref, metric string) map[int]stats.Value
	Why(arm string) string // the first reason for which a trial of arm could not be used, or ""
	Ran(arm string) bool   // arm has a usable trial
	unit(metric string) (unit string, known bool)
}

// judgeBlocks returns the rows of claims.csv for one claim: the primary row, then the exploratory ones.
func judgeBlocks(x blockwise, c StoreClaim, o Options) ([]record.Claim, error) {
	if err := c.validate(x); err != nil {
		return nil, err
	}
	if len(c.Rungs) == 0 {
		words := c.Words + " by " + c.Ref.Arm
		gaps := gaps{absent: absent(x, []string{c.Ref.Arm}), void: x.Why(c.Ref.Arm)}
		unit, _ := x.unit(c.Metric)
		return []record.Claim{judgeValues(c, x.Values(c.Ref, c.Metric), unit, words, gaps, o)}, nil
	}
	rows := []record.Claim{judgeRatio(x, c, c.Rungs, o)}
	rows[0].Primary = true
	if len(c.Rungs) > 1 {
		for _, r := range c.Rungs {
			rows = append(rows, judgeRatio(x, c, []string{r}, o))
		}
	}
	for _, r := range c.Others {
		rows = append(rows, judgeRatio(x, c, []string{r}, o))
	}
	return rows, nil
}

func (c *StoreClaim) validate(x blockwise) error {
	c.RungMetric = cmp.Or(c.RungMetric, c.Metric)
	for _, name := range []string{c.Metric, c.RungMetric} {
		if _, known := x.unit(name); !known {
			return fmt.Errorf("claim %q: no metric %q: results/README.md lists them", c.Name, name)
		}
	}
	if !(c.Bound >= 0) || c.Bound == 0 && !c.AtMost {
		return fmt.Errorf("claim %q: bound %v must be above 0", c.Name, c.Bound)
	}
	return nil
}

// judgeRatio compares with the best of rungs, block by block. A block counts if all of them ran in it.
func judgeRatio(x blockwise, c StoreClaim, rungs []string, o Options) record.Claim {
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
			case c.Lowest:
				best[block] = stats.Value{Lo: min(v.Lo, w.Lo), Hi: min(v.Hi, w.Hi)}
			default: // a rung of which only a lower bound was seen may be the best one
				best[block] = stats.Value{Lo: max(v.Lo, w.Lo), Hi: max(v.Hi, w.Hi)}
			}
		}
	}
	ratios := stats.PairedRatios(x.Values(c.Ref, c.Metric), best)
	e := stats.Estimated(ratios)
	words := c.Words
	if rungs[0] != c.Ref.Arm {
		words += " vs " + strings.Join(rungs, " or ")
	}
	row := c.row(e, ratios, absent(x, append([]string{c.Ref.Arm}, rungs...)), o, words, times(e, c.Bound))
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
	broken, unseen, worst := 0, 0, math.NaN()
	for _, v := range values {
		switch {
		case c.AtMost && v.Hi <= c.Bound, !c.AtMost && v.Lo >= c.Bound: // it holds
		case c.AtMost && v.Lo > c.Bound, !c.AtMost && v.Hi < c.Bound:
			broken++
			if p := v.Point(); math.IsNaN(worst) || (p > worst) == c.AtMost {
				worst = p
			}
		default:
			unseen++
		}
	}
	switch {
	case broken > 0:
		return record.NotReproduced, fmt.Sprintf("the bound is broken in %d of %d blocks, at worst by %s", broken,
			len(values), number(worst, c.Bound))
	case unseen > 0:
		return record.Inconclusive, fmt.Sprintf("in %d of %d blocks only a bound was seen, on the side that says "+
			"nothing", unseen, len(values))
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

func absent(x blockwise, arms []string) string {
	for _, arm := range arms {
		if why := x.Why(arm); why != "" && !x.Ran(arm) {
			return arm + " " + why
		}
	}
	return "no block has usable trials of it"
}
