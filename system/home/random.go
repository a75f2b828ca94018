package home

import "math"

// random is a small generator of its own, so that the seed decides everything: splitmix64, by Steele,
// Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
type random struct{ state uint64 }

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// uniform is in [0, 1).
func (r *random) uniform() float64 { return float64(r.next()>>11) / (1 << 53) }

// between is an integer in [low, high].
func (r *random) between(low, high int) int { return low + int(r.next()%uint64(high-low+1)) }

// normal is about 0, with variance 1: a sum of four uniforms is near enough here.
func (r *random) normal() float64 {
	return (r.uniform() + r.uniform() + r.uniform() + r.uniform() - 2) * math.Sqrt(3)
}

// drift is a value that wanders around 0 with variance 1 and forgets with time: an Ornstein-Uhlenbeck
// process, exact in its steps of a second.
type drift struct{ value, keep, shake float64 }

// newDrift makes one that forgets within so many seconds.
func newDrift(forget float64, r *random) drift {
	keep := math.Exp(-1 / forget)
	return drift{value: r.normal(), keep: keep, shake: math.Sqrt(1 - keep*keep)}
}

func (d *drift) step(r *random) { d.value = d.value*d.keep + d.shake*r.normal() }
