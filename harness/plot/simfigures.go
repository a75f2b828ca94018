package plot

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"

	"metronome/harness/record"
)

// simView is a run of an experiment on the simulator as figures see it: a row a mutation.
type simView struct {
	record.Results
	mutations []string // those that take more seeds first
}

func allSims(r record.Results) (figures []Figure, err error) {
	v := &simView{Results: r}
	for _, t := range r.Sims {
		if t.Mutation != "" && !slices.Contains(v.mutations, t.Mutation) {
			v.mutations = append(v.mutations, t.Mutation)
		}
	}
	slices.SortFunc(v.mutations, func(a, b string) int {
		return cmp.Or(cmp.Compare(v.median(b).v, v.median(a).v), cmp.Compare(a, b))
	})
	var errs []error
	for _, name := range r.Manifest.Figures {
		if name != "seeds-to-catch" {
			errs = append(errs, fmt.Errorf("figure %s: there is none of that name", name))
			continue
		}
		f, err := seedsToCatch(v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		figures = append(figures, f)
	}
	return figures, errors.Join(errs...)
}

// seedsToCatch draws after how many seeds each mutation was caught.
func seedsToCatch(v *simView) (Figure, error) {
	median := series{look{color: blue, glyph: circle}, 0, v.median}
	most := series{look{color: vermillion, glyph: triangle, hollow: true}, 0, v.most}
	values := spread(v.mutations, median, most)
	if !anyDrawn(values) {
		return Figure{}, noData("seeds-to-catch", "no mutation was caught, or none was tried")
	}
	f := rowFigure{view: v, columns: []column{{label: "seeds until the mutation was caught",
		scale: logScale(values...), series: []series{median, most}}},
		legend: []entry{glyphEntry("median of blocks", median.look), glyphEntry("most", most.look)},
		extra: []string{"Each row is one way of breaking the protocol on purpose. It is caught by a seed that " +
			"shows a violation with it and none without."}}
	if missed := v.missed(); len(missed) > 0 {
		f.extra = append(f.extra, "NOT caught in some block: "+strings.Join(missed, ", ")+".")
	}
	return f.build("seeds-to-catch", "Seeds until each mutation of the protocol was caught."), nil
}

// median is how many seeds a mutation took: median over the blocks, and its interval.
func (v *simView) median(mutation string) point {
	for _, s := range v.Summaries {
		if s.Arm == mutation && s.Placement == "mutation" && s.Metric == record.SimSeedsToCatch {
			return pointOf(s)
		}
	}
	return missing()
}

func (v *simView) most(mutation string) point {
	n := 0
	for _, t := range v.Sims {
		if t.Mutation == mutation && t.Caught {
			n = max(n, t.Seeds)
		}
	}
	if n == 0 {
		return missing()
	}
	return bare(float64(n))
}

func (v *simView) names() []string  { return v.mutations }
func (v *simView) group(string) int { return 0 }

// absent: it could not be tried.
func (v *simView) absent(mutation string) bool {
	return !slices.ContainsFunc(v.Sims, func(t record.SimTrial) bool {
		return t.Mutation == mutation && t.Status == record.StatusOK
	})
}

// missed are the mutations that some block did not catch.
func (v *simView) missed() []string {
	return slices.DeleteFunc(slices.Clone(v.mutations), func(m string) bool {
		return !slices.ContainsFunc(v.Sims, func(t record.SimTrial) bool {
			return t.Mutation == m && t.Status == record.StatusOK && !t.Caught
		})
	})
}

// footer returns the lines of conditions, broken to a width.
func (v *simView) footer(width vg.Length, extra []string) (lines []string) {
	seeds, violations, operations := 0, 0, uint64(0)
	for _, t := range v.Sims {
		if t.Mutation == "" {
			seeds, violations, operations = seeds+t.Seeds, violations+t.Violations, operations+t.Operations
		}
	}
	all := append([]string{fmt.Sprintf("%s; %d blocks. Unbroken: %d seeds, %s operations, %d violations.",
		pathWords(v.Manifest), v.Manifest.Blocks, seeds, si(float64(operations)), violations)}, extra...)
	for _, l := range append(all, "run "+cmp.Or(v.Manifest.RunID, record.Unknown)) {
		lines = append(lines, wrap(l, sizeSmall, width)...)
	}
	return lines
}
