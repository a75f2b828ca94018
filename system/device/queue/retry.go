package queue

import "math/bits"

// retry is when to try again after failures: full jitter, doubling bound.
type retry struct {
	least, most int64 // ns
	failures    int
	state       uint64
}

// fail returns how many nanoseconds to wait after one more failure, at least `after`.
func (r *retry) fail(after int64) int64 {
	bound := r.most
	if r.failures < 32 && r.least<<r.failures < r.most {
		bound = r.least << r.failures
	}
	r.failures++
	return after + 1 + int64(r.below(uint64(bound)))
}

func (r *retry) reset() { r.failures = 0 }

// below returns a number under n: splitmix64 (Steele, Lea, Flood, 2014), by Lemire's reduction.
func (r *retry) below(n uint64) uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	hi, _ := bits.Mul64(z^z>>31, n)
	return hi
}
