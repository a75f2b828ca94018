package check

import (
	"fmt"
	"math"
	"slices"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// Kind says how a claim is judged.
type Kind string

// The kinds of claims.
const (
	KindRatio    Kind = "ratio"    // metric of the arm ÷ metric of the rung, at least Bound
	KindRate     Kind = "rate"     // metric of the arm, at least Bound
	KindOffloads Kind = "offloads" // the arm's offloads are a strict subset of the rung's
)

// Claim is the declaration of a claim. Its cell and rung are fixed before the run.
type Claim struct {
	Name   string // short: "11x"
	Source string // where it was made
	Words  string // how a sentence names it: "11×", "millions of data items per second"
	Kind   Kind

	Bound      float64 // in the metric's unit; a ratio has none
	Metric     string  // a name of record.Metrics; empty: loss_free_fps
	RungMetric string  // of the rung, if another

	Arm, Placement, Cell string   // the primary cell
	Rung                 string   // the primary rung; none for KindRate
	Others               []string // rungs for exploratory rows
}

// Options say how to judge.
type Options struct {
	// NotJudged writes every verdict as such: a smoke run shows that things work, not how fast.
	NotJudged bool
	// Conditions end every sentence: "software path, no NIC".
	Conditions string
}

// Judge returns the rows of claims.csv for one claim: the primary row first, then the exploratory
// ones, then, for a ratio, the maximum over the cells of the arm.
func (x *Index) Judge(c Claim, offloads []record.Offload, o Options) ([]record.Claim, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	switch c.Kind {
	case KindRate:
		return []record.Claim{x.judgeRate(c, o)}, nil
	case KindOffloads:
		return judgeOffloads(c, offloads, o), nil
	}
	rows := []record.Claim{x.judgeRatio(c, c.Rung, c.Placement, o)}
	rows[0].Primary = true
	for _, rung := range append([]string{c.Rung}, c.Others...) {
		for _, placement := range x.placementsOr(rung, c.Placement) {
			if rung != c.Rung || placement != c.Placement {
				rows = append(rows, x.judgeRatio(c, rung, placement, o))
			}
		}
	}
	if row, ok := x.maximum(c, o); ok {
		rows = append(rows, row)
	}
	return rows, nil
}

// placementsOr returns where arm ran, or the given placement if it ran nowhere: a rung that could
// not run has a row that says so.
func (x *Index) placementsOr(arm, otherwise string) []string {
	if p := x.Placements(arm); len(p) > 0 {
		return p
	}
	return []string{otherwise}
}

func (c *Claim) validate() error {
	if c.Metric == "" {
		c.Metric = record.LossFreeFPS
	}
	if c.RungMetric == "" {
		c.RungMetric = c.Metric
	}
	known := func(name string) bool { return perBlock()[name] != nil }
	switch {
	case c.Kind != KindRatio && c.Kind != KindRate && c.Kind != KindOffloads:
		return fmt.Errorf("claim %q: unknown kind %q: use %s, %s or %s",
			c.Name, c.Kind, KindRatio, KindRate, KindOffloads)
	case c.Kind != KindOffloads && !(c.Bound > 0):
		return fmt.Errorf("claim %q: bound %v must be above 0", c.Name, c.Bound)
	case !known(c.Metric) || !known(c.RungMetric):
		return fmt.Errorf("claim %q: no metric %q over %q: results/README.md lists them",
			c.Name, c.Metric, c.RungMetric)
	case c.Arm == "" || (c.Kind != KindRate && c.Rung == ""):
		return fmt.Errorf("claim %q: names no arm or no rung", c.Name)
	}
	return nil
}

// judgeRatio compares the claim's primary cell with one rung at one placement.
func (x *Index) judgeRatio(c Claim, rung, placement string, o Options) record.Claim {
	ref := x.resolve(c, placement)
	ratios, _ := x.Ratios(ref, rung, placement, c.Metric, c.RungMetric)
	e := stats.Estimated(ratios)
	row := claimRow(c, e)
	row.Rung, row.Placement = rung, placement
	verdict, because := decide(e, c.Bound)
	if e.N == 0 {
		because = x.absent(c.Arm, rung)
	}
	words := c.Words + " vs " + rung
	if placement != c.Placement {
		words += " in " + placement
	}
	return o.finish(row, verdict, because, words, times(e, c.Bound))
}

// resolve returns where the claim's arm stands when compared at a placement: there, or, if it never
// runs there, at the claim's own placement.
func (x *Index) resolve(c Claim, placement string) Ref {
	if slices.Contains(x.Placements(c.Arm), placement) {
		return Ref{c.Arm, placement, c.Cell}
	}
	return Ref{c.Arm, c.Placement, c.Cell}
}

func (x *Index) judgeRate(c Claim, o Options) record.Claim {
	e := x.Estimate(Ref{c.Arm, c.Placement, c.Cell}, c.Metric)
	row := claimRow(c, e)
	row.Primary = true
	verdict, because := decide(e, c.Bound)
	if e.N == 0 {
		because = x.absent(c.Arm)
	}
	return o.finish(row, verdict, because, c.Words+" by "+c.Arm, rates(e, unitOf(c.Metric)))
}

func unitOf(metric string) string {
	for _, m := range record.Metrics() {
		if m.Name == metric {
			return m.Unit
		}
	}
	return ""
}

// decide returns the verdict on "at least bound", and why it is inconclusive if it is.
func decide(e stats.Estimate, bound float64) (verdict, because string) {
	switch {
	case !e.HasInterval():
		return record.Inconclusive, fmt.Sprintf("an interval needs %d blocks", stats.MinValues)
	case e.Low >= bound:
		return record.Reproduced, ""
	case e.High < bound:
		return record.NotReproduced, ""
	case math.IsInf(e.High, 1):
		return record.Inconclusive, "only a lower bound was seen: generator-limited or bracket too low"
	case e.Low == 0 && e.Censored > 0:
		return record.Inconclusive, "only an upper bound was seen: rung generator-limited, " +
			"or bracket too high"
	}
	return record.Inconclusive, "the interval contains the bound"
}

// absent says why there is nothing to compare.
func (x *Index) absent(arms ...string) string {
	for _, arm := range arms {
		if why := x.Why(arm); why != "" && len(x.Placements(arm)) == 0 {
			return arm + " " + why
		}
	}
	return "no block has usable trials of both in this cell"
}

// maximum returns the largest ratio to the primary rung over every cell and placement of the
// claim's arm. It is chosen after the fact, so it is never judged. It is false if there is nothing
// to choose.
func (x *Index) maximum(c Claim, o Options) (record.Claim, bool) {
	var best record.Claim
	var most stats.Estimate
	cells := 0
	for _, ref := range x.Refs() {
		for _, placement := range x.Placements(c.Rung) {
			ratios, ok := x.Ratios(ref, c.Rung, placement, c.Metric, c.RungMetric)
			e := stats.Estimated(ratios)
			if ref.Arm != c.Arm || !ok || e.N == 0 {
				continue
			}
			cells++
			if p := e.Median.Point(); !(p <= best.Measured) && !math.IsNaN(p) {
				best, most = claimRow(c, e), e
				best.Rung, best.Placement, best.Cell = c.Rung, placement, ref.Cell
			}
		}
	}
	if cells < 2 {
		return best, false
	}
	words := fmt.Sprintf("%s vs %s, maximum of %d cells (%s, %s)",
		c.Words, c.Rung, cells, best.Placement, best.Cell)
	return o.finish(best, record.NotJudged, "chosen after the fact", words, times(most, c.Bound)), true
}

func claimRow(c Claim, e stats.Estimate) record.Claim {
	return record.Claim{
		Claim: c.Name, Source: c.Source, Expected: c.Bound,
		Measured: e.Median.Point(), CILow: openLow(e), CIHigh: e.High, N: e.N,
		Arm: c.Arm, Rung: c.Rung, Placement: c.Placement, Cell: c.Cell,
	}
}
