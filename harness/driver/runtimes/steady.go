package runtimes

import (
	"math"
	"slices"

	"metronome/harness/stats"
)

// What a series of times may look like (the words of Barrett et al., OOPSLA 2017).
const (
	Flat     = "flat"     // all segments are alike
	WarmUp   = "warm-up"  // the last segment is among the fastest, and others are slower
	SlowDown = "slowdown" // the last segment is slower than another
	None     = "unsteady" // the last segment is too short to be called a state
)

const (
	alike   = 0.05 // relative difference below which segments count as equal
	leastOf = 0.2  // share of the series that a steady state must have
	leastN  = 10   // values below which nothing is said

	leastSegment = 3 // values of a segment: fewer are outliers, not a level
)

// Steady cuts a series of times into segments of constant level, says what it looks like, and returns the
// median of its last segment, or of its last half if that segment is too short. A series of fewer than ten
// values gives "" and nothing.
//
// The cuts are those that minimise the squared error of the logarithms plus a penalty for each segment
// (optimal partitioning, Jackson et al. 2005; the penalty is twice the Schwarz criterion's). The noise is
// estimated from differences of neighbours, which a change of level hardly touches.
func Steady(times []float64) (shape string, level float64) {
	n := len(times)
	if n < leastN {
		return "", math.NaN()
	}
	logs := make([]float64, n)
	for i, t := range times {
		logs[i] = math.Log(max(t, 1e-9))
	}
	starts := cuts(logs)
	last := starts[len(starts)-1]
	if float64(n-last) < leastOf*float64(n) {
		return None, stats.Median(times[n/2:])
	}
	level = stats.Median(times[last:])
	shape = Flat
	for i, from := range starts[:len(starts)-1] {
		switch other := stats.Median(times[from:starts[i+1]]); {
		case other < level*(1-alike):
			return SlowDown, level
		case other > level*(1+alike):
			shape = WarmUp
		}
	}
	return shape, level
}

// cuts returns where segments begin; the first is 0.
func cuts(x []float64) []int {
	n := len(x)
	sum, squares := make([]float64, n+1), make([]float64, n+1)
	for i, v := range x {
		sum[i+1], squares[i+1] = sum[i]+v, squares[i]+v*v
	}
	cost := func(from, to int) float64 {
		d := sum[to] - sum[from]
		return squares[to] - squares[from] - d*d/float64(to-from)
	}
	noise := spread(x)
	penalty := 4 * math.Log(float64(n)) * max(noise*noise, 1e-6)
	best, begin := make([]float64, n+1), make([]int, n+1)
	for to := 1; to <= n; to++ {
		best[to] = math.Inf(1)
		for from := range to - leastSegment + 1 {
			if c := best[from] + cost(from, to) + penalty; c < best[to] {
				best[to], begin[to] = c, from
			}
		}
	}
	var starts []int
	for to := n; to > 0; to = begin[to] {
		starts = append(starts, begin[to])
	}
	slices.Reverse(starts)
	return starts
}

// spread estimates the standard deviation of x around its level: by the median of the differences of
// neighbours, made comparable with a normal distribution's.
func spread(x []float64) float64 {
	d := make([]float64, 0, len(x))
	for i := 1; i < len(x); i++ {
		d = append(d, math.Abs(x[i]-x[i-1]))
	}
	return stats.Median(d) / (0.6745 * math.Sqrt2)
}
