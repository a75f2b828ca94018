package check

import (
	"cmp"
	"slices"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// Rate is what the bracket of one block says about the highest rate an arm can take.
type Rate struct {
	FPS stats.Value   // frames/s
	At  *record.Trial // the trial at that rate; nil if every rate lost too much

	// Inverted says that a lower rate than At lost too much: the arm is not steady near its limit.
	Inverted bool
}

// LossFree returns the highest offered rate at which the loss ratio stayed within limit, out of the
// bracket trials of one arm, cell and block. It is false without a usable trial. (The idea of
// searching rates by loss ratio is that of RFC 2544, section 26.1, and of MLRsearch.)
func LossFree(block []record.Trial, limit float64) (Rate, bool) {
	var rates []*record.Trial
	for i := range block {
		t := &block[i]
		if t.Role == record.RoleBracket && t.LossRatio >= 0 && t.OfferedActualFPS > 0 {
			rates = append(rates, t)
		}
	}
	if len(rates) == 0 {
		return Rate{}, false
	}
	slices.SortStableFunc(rates, func(a, b *record.Trial) int {
		return cmp.Compare(a.OfferedActualFPS, b.OfferedActualFPS)
	})
	r := Rate{FPS: stats.AtMost(rates[0].OfferedActualFPS)}
	failed := false
	for _, t := range rates {
		if t.LossRatio <= limit {
			r.At, r.Inverted = t, failed
		} else {
			failed = true
		}
	}
	if r.At != nil {
		r.FPS = bounded(r.At, r.At == rates[len(rates)-1])
	}
	return r, true
}

// bounded returns a trial's offered rate, as a lower bound if nothing above it was seen to fail or
// if the generator was near its own limit.
func bounded(t *record.Trial, highest bool) stats.Value {
	if highest || t.GeneratorLimited {
		return stats.AtLeast(t.OfferedActualFPS)
	}
	return stats.Exactly(t.OfferedActualFPS)
}
