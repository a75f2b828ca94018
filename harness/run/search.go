package run

import "math"

// search finds the highest rate an arm takes without loss: it steps away from a first guess until
// it has a rate that passes and one that fails, then halves the gap between them, on a logarithmic
// scale, until it is as tight as asked. (RFC 2544 section 26.1 halves too; a geometric step spends
// the same effort on slow and fast arms.)
type search struct {
	lo, hi    float64 // highest rate that passed, lowest that failed; 0 and +Inf while unknown
	start     float64 // first guess, frames/s
	ceiling   float64 // what the generator can offer at most
	precision float64 // hi/lo - 1 at which to stop
	trials    int
}

const (
	searchStep   = 1.6
	searchLimit  = 14      // rates
	closeBy      = 1.5     // ratio of the rates that fail and pass, from which on three trials decide
	slowestFPS   = 1000    // an arm that loses frames at this rate is broken
	nearCeiling  = 0.98    // of the generator's ceiling: no faster rate can be asked for
	startOfGuess = 1. / 64 // of the ceiling: where to begin if overload leaves no goodput at all
)

// newSearch begins at what the arm took when offered everything.
func newSearch(goodput, ceiling, precision float64) *search {
	return &search{hi: math.Inf(1), start: math.Max(goodput, ceiling*startOfGuess), ceiling: ceiling,
		precision: precision}
}

// next is the rate to try, or false if the search is over.
func (s *search) next() (float64, bool) {
	if s.trials >= searchLimit || s.lo > 0 && s.hi/s.lo <= 1+s.precision {
		return 0, false
	}
	rate := s.start
	switch {
	case s.lo > 0 && !math.IsInf(s.hi, 1):
		rate = math.Sqrt(s.lo * s.hi)
	case s.lo > 0:
		rate = s.lo * searchStep
	case !math.IsInf(s.hi, 1):
		rate = s.hi / searchStep
	}
	if rate < slowestFPS {
		return 0, false
	}
	if rate >= s.ceiling*nearCeiling {
		rate = s.ceiling * nearCeiling
		if s.lo >= rate {
			return 0, false
		}
	}
	return rate, true
}

// votes is how many trials decide about the next rate: one while the search is far from its end,
// then the majority of three, for close to its limit an arm loses frames to any hiccup of the
// machine.
func (s *search) votes() int {
	if s.lo > 0 && s.hi/s.lo < closeBy {
		return 3
	}
	return 1
}

// observe takes the outcome of a trial.
func (s *search) observe(rate float64, lossFree bool) {
	s.trials++
	if lossFree {
		s.lo = math.Max(s.lo, rate)
	} else {
		s.hi = math.Min(s.hi, rate)
	}
	// One noisy trial may contradict another: a rate passed above one that failed. Believe the later.
	if s.lo >= s.hi {
		if lossFree {
			s.hi = math.Inf(1)
		} else {
			s.lo = 0
		}
	}
}

// found is the rate to build the bracket on: the highest that passed, or if none did the lowest
// asked.
func (s *search) found() float64 {
	if s.lo > 0 {
		return s.lo
	}
	return math.Max(slowestFPS, math.Min(s.hi, s.start)/searchStep)
}
