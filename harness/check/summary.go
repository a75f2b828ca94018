package check

import (
	"math"
	"slices"
	"strings"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// Summarise returns the rows of summary.csv: every metric that has a value, for every arm,
// placement and cell, and the ratio of its loss-free rate to that of each rung. Rows are sorted.
func (x *Index) Summarise(rungs []string) []record.Summary {
	var rows []record.Summary
	for _, ref := range x.Refs() {
		for _, m := range record.Metrics() {
			if strings.HasPrefix(m.Name, record.RatioPrefix) {
				continue
			}
			if e := x.Estimate(ref, m.Name); e.N > 0 {
				rows = append(rows, summaryRow(ref, m.Name, m.Unit, e))
			}
		}
		rows = append(rows, x.ratioRows(ref, rungs)...)
	}
	return rows
}

// ratioRows compares one cell of an arm with every rung at every placement.
func (x *Index) ratioRows(ref Ref, rungs []string) []record.Summary {
	var rows []record.Summary
	for _, rung := range rungs {
		for _, placement := range x.Placements(rung) {
			ratios, ok := x.Ratios(ref, rung, placement, record.LossFreeFPS, record.LossFreeFPS)
			if !ok || len(ratios) == 0 {
				continue
			}
			at := Ref{ref.Arm, placement, ref.Cell}
			rows = append(rows, summaryRow(at, record.RatioPrefix+rung, "ratio", stats.Estimated(ratios)))
		}
	}
	return rows
}

func summaryRow(ref Ref, metric, unit string, e stats.Estimate) record.Summary {
	return record.Summary{
		Arm: ref.Arm, Placement: ref.Placement, Cell: ref.Cell,
		Metric: metric, Unit: unit,
		Median: e.Median.Point(), CILow: openLow(e), CIHigh: e.High,
		N: e.N, Censor: e.Median.Censor().String(), Method: e.Method(),
	}
}

// openLow returns the lower end of the interval, -Inf where censoring left it open: 0 as a number
// would look measured.
func openLow(e stats.Estimate) float64 {
	if e.Low == 0 && e.Censored > 0 {
		return math.Inf(-1)
	}
	return e.Low
}

// Arms returns the arms that have a usable trial, sorted.
func (x *Index) Arms() []string {
	var arms []string
	for _, ref := range x.Refs() {
		arms = append(arms, ref.Arm)
	}
	return slices.Compact(arms)
}
