package lane

// random is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA
// 2014): eight bytes of state and any seed will do, which is what jitter needs.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9E3779B97F4A7C15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// upTo is a number in [0, n).
func (r *random) upTo(n int64) int64 {
	if n <= 0 {
		return 0
	}
	return int64(r.next()>>1) % n
}

// seed mixes a lane's name into a seed, so that lanes and replicas do not move in step.
func (n Name) seed(base uint64) random {
	r := random(base)
	for _, part := range [...]uint32{n.Proxy, n.Incarnation, uint32(n.Lane)} {
		r ^= random(part)
		r = random(r.next())
	}
	return r
}
