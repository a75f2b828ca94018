package kv

import (
	"math"
	"math/rand/v2"
)

// schedule computes the intended times of one connection's operations, in order. It stores none.
type schedule struct {
	first  float64 // ns
	gap    float64 // mean, ns; 0: closed loop
	count  float64
	random *rand.Rand // nil: constant
	next   int64
}

// newSchedule spreads the load's rate over its connections, out of phase, from start on.
func newSchedule(l Load, connection int, start int64) *schedule {
	if l.RateOPS == 0 {
		return &schedule{next: start}
	}
	s := &schedule{gap: 1e9 * float64(l.Connections) / l.RateOPS}
	s.first = float64(start) + s.gap*float64(connection)/float64(l.Connections)
	s.next = int64(s.first)
	if l.Arrivals == Poisson {
		s.random = rand.New(rand.NewPCG(l.Seed^0xa5a5, mix(uint64(connection)+1)))
		s.first = float64(start)
		s.advance()
	}
	return s
}

// due is when the next operation is to be sent; a closed loop sends at once, from its start on.
func (s *schedule) due(now int64) int64 {
	if s.gap == 0 {
		return max(now, s.next)
	}
	return s.next
}

// advance goes on to the operation after.
func (s *schedule) advance() {
	switch {
	case s.gap == 0:
	case s.random == nil:
		s.count++
		s.next = int64(s.first + s.count*s.gap) // no sum: rounding must not drift
	default:
		s.first += s.gap * s.random.ExpFloat64()
		s.next = int64(math.Min(s.first, math.MaxInt64/2))
	}
}
