package plot

import (
	"math"
	"strconv"

	"gonum.org/v1/plot/vg"
)

// scale maps values to a stretch of paper. It never fails: a value outside, or one that a
// logarithmic scale does not have, lands on the nearer end.
type scale struct {
	min, max float64
	log      bool
}

// A logarithmic scale reaches no further than this: what lies beyond is no measurement.
const (
	smallest = 1e-12
	largest  = 1e15
)

// logScale returns a scale that holds all values above zero, from a 1, 2 or 5 times a power of ten
// to another.
func logScale(values ...float64) scale {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v >= smallest && v <= largest {
			lo, hi = math.Min(lo, v), math.Max(hi, v)
		}
	}
	if lo > hi {
		return scale{min: 1, max: 10, log: true}
	}
	s := scale{min: below125(lo / 1.15), max: above125(hi * 1.15), log: true}
	for s.max/s.min < 5 {
		s.max = above125(s.max * 1.01)
	}
	return s
}

// below125 returns the largest 1, 2 or 5 times a power of ten that is at most v; v is above zero.
func below125(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{5, 2} {
		if v >= m*decade*(1-1e-9) {
			return m * decade
		}
	}
	return decade
}

// above125 returns the smallest 1, 2 or 5 times a power of ten that is at least v; v is above zero.
func above125(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*decade*(1+1e-9) {
			return m * decade
		}
	}
	return 10 * decade
}

// linearScale returns a scale from zero past the largest value.
func linearScale(values ...float64) scale {
	hi := 0.0
	for _, v := range values {
		if v > hi && !math.IsInf(v, 1) {
			hi = v
		}
	}
	if hi == 0 {
		hi = 1
	}
	step := linearStep(hi * 1.05)
	return scale{max: step * math.Ceil(hi*1.05/step)}
}

func linearStep(hi float64) float64 { return above125(hi / 4) }

// at returns where v lies between a and b.
func (s scale) at(v float64, a, b vg.Length) vg.Length {
	f := (v - s.min) / (s.max - s.min)
	if s.log {
		f = math.Log(math.Max(v, s.min)/s.min) / math.Log(s.max/s.min)
	}
	if math.IsNaN(f) {
		f = 0
	}
	return a + vg.Length(math.Min(math.Max(f, 0), 1))*(b-a)
}

// tick is a place on an axis; without a label it is a minor one.
type tick struct {
	value float64
	label string
}

// ticks returns an axis's ticks for a length of paper on which a label takes the length room.
func (s scale) ticks(length, room vg.Length) []tick {
	if !s.log {
		var ticks []tick
		step := linearStep(s.max)
		for i := 0; float64(i)*step <= s.max*1.0001; i++ {
			ticks = append(ticks, tick{float64(i) * step, si(float64(i) * step)})
		}
		return ticks
	}
	for _, labelled := range [][]bool{
		{true, true, false, false, true, false, false, false, false},  // 1, 2, 5
		{true, false, true, false, false, false, false, false, false}, // 1, 3
	} {
		if t := s.logTicks(labelled); float64(labels(t)) <= float64(length/room) {
			return t
		}
	}
	return s.logTicks([]bool{true, false, false, false, false, false, false, false, false})
}

func labels(ticks []tick) int {
	n := 0
	for _, t := range ticks {
		if t.label != "" {
			n++
		}
	}
	return n
}

// logTicks returns a tick for each digit of each decade, labelled where labelled[digit-1] is set.
func (s scale) logTicks(labelled []bool) []tick {
	var ticks []tick
	for decade := math.Floor(math.Log10(s.min)); decade <= math.Log10(s.max)+1e-9; decade++ {
		for i, named := range labelled {
			v := float64(i+1) * math.Pow(10, decade)
			if v < s.min*0.9999 || v > s.max*1.0001 {
				continue
			}
			t := tick{value: v}
			if named {
				t.label = si(v)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// si writes a number with three digits at most and an SI prefix: 1500 as 1.5k.
func si(v float64) string {
	prefix := ""
	for _, p := range []struct {
		factor float64
		letter string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= p.factor*0.9999 {
			v, prefix = v/p.factor, p.letter
			break
		}
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + prefix
}
