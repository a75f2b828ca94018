package stats

import (
	"fmt"
	"math"
	"slices"
)

// Level is the confidence every interval must reach.
const Level = 0.95

// Median returns the middle of xs, or the mean of the two middle values; NaN for none.
func Median(xs []float64) float64 {
	n := len(xs)
	if n == 0 {
		return math.NaN()
	}
	s := slices.Clone(xs)
	slices.Sort(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// Ranks returns the largest d for which the d-th smallest and the d-th largest of n values cover
// their true median with at least the probability level, and that probability. Without such an
// interval, d is 0.
func Ranks(n int, level float64) (d int, coverage float64) {
	tail := 0.0 // P(Bin(n, 1/2) < d)
	for k := 0; 2*(k+1) <= n; k++ {
		tail += binomialHalf(n, k)
		if 1-2*tail < level {
			break
		}
		d, coverage = k+1, 1-2*tail
	}
	return d, coverage
}

// binomialHalf returns the probability of k heads in n tosses of a fair coin.
func binomialHalf(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(a - b - c - float64(n)*math.Ln2)
}

// Estimate is a median over blocks and the interval of that median.
type Estimate struct {
	Median    Value
	Low, High float64 // ends of the interval; NaN without one
	Coverage  float64 // its confidence; 0 without one
	N         int     // values it rests on
	Censored  int     // of which only a bound, or less, was seen
}

// HasInterval reports whether there were values enough for an interval.
func (e Estimate) HasInterval() bool { return e.Coverage > 0 }

// Method says how the interval was formed, for the column of that name.
func (e Estimate) Method() string {
	switch {
	case !e.HasInterval():
		return fmt.Sprintf("median; n < %d: no interval", MinValues)
	case e.Censored > 0:
		return fmt.Sprintf("median; order statistics, %.1f %%; %d of %d censored",
			100*e.Coverage, e.Censored, e.N)
	}
	return fmt.Sprintf("median; order statistics, %.1f %%", 100*e.Coverage)
}

// MinValues is the smallest number of values that give an interval at [Level].
const MinValues = 6

// Estimated returns the median of values and its interval at [Level]. Values that are not numbers
// are left out.
func Estimated(values []Value) Estimate {
	var lo, hi []float64
	e := Estimate{Low: math.NaN(), High: math.NaN()}
	for _, v := range values {
		if math.IsNaN(v.Lo) || math.IsNaN(v.Hi) {
			continue
		}
		lo, hi = append(lo, v.Lo), append(hi, v.Hi)
		if v.Censor() != None {
			e.Censored++
		}
	}
	e.N = len(lo)
	e.Median = Value{Median(lo), Median(hi)}
	d, coverage := Ranks(e.N, Level)
	if d == 0 {
		return e
	}
	slices.Sort(lo)
	slices.Sort(hi)
	e.Low, e.High, e.Coverage = lo[d-1], hi[e.N-d], coverage
	return e
}
