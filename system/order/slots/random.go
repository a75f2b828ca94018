package slots

import "metronome/system/order"

// Random draws from a seed: splitmix64 (Steele et al., OOPSLA 2014), so that one seed twice is the same
// run (R18).
type Random uint64

// golden is the increment of splitmix64, the golden ratio's bits.
const golden = 0x9E3779B97F4A7C15

// NewRandom is the source of one member under a configuration's seed.
func NewRandom(c *order.Config) Random { return Random(c.Seed ^ c.ID*golden) }

// Below draws one below n.
func (r *Random) Below(n int) int {
	z := Mix(uint64(*r))
	*r += golden
	return int(z % uint64(n))
}

// Mix is one step of splitmix64: a number that has nothing to do with z, and is always the same.
func Mix(z uint64) uint64 {
	z += golden
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
