package kv

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// minKeyBytes is the room for a key's number in hexadecimal.
const minKeyBytes = 8

// opBytes is what an operation holds besides key and value, about.
const opBytes = 64

// PutKey writes key number i, 0 ≤ i < [MaxKeys], into dst, whose length is the key's: the number in
// hexadecimal after zeros. The characters are fit for every store (NATS allows few in a subject).
func PutKey(dst []byte, i uint64) {
	const digits = "0123456789abcdef"
	for at := len(dst) - 1; at >= 0; at-- {
		dst[at] = digits[i&15]
		i >>= 4
	}
}

// PutValue writes a value into dst: a pattern that begins with n, so that two writes differ.
func PutValue(dst []byte, n uint64) {
	for i := range dst {
		dst[i] = byte('a' + i%26)
	}
	stamp(dst, n)
}

// stamp makes a value another one.
func stamp(value []byte, n uint64) {
	if len(value) >= 8 {
		binary.LittleEndian.PutUint64(value, n)
		return
	}
	value[0] = byte(n)
}

// source draws the operations of one connection. The same seed and connection give the same ones.
type source struct {
	work   Workload
	random *rand.Rand
	zipf   *zipf // nil: uniform
	count  uint64
}

func newSource(w Workload, z *zipf, seed uint64, connection int) *source {
	return &source{work: w, zipf: z, random: rand.New(rand.NewPCG(seed, mix(uint64(connection)+1))),
		count: uint64(connection) << 40}
}

// draw fills the operation, whose key and value have their lengths already.
func (s *source) draw(op *Op) {
	s.count++
	op.Read = s.work.ReadRatio > 0 && s.random.Float64() < s.work.ReadRatio
	PutKey(op.Key, s.key())
	if op.Read {
		op.Value = op.Value[:0]
		return
	}
	op.Value = op.Value[:s.work.ValueBytes]
	stamp(op.Value, s.count)
}

func (s *source) key() uint64 {
	n := uint64(s.work.Keys)
	if s.zipf == nil {
		return s.random.Uint64N(n)
	}
	return mix(s.zipf.rank(s.random.Float64())) % n
}

// mix spreads neighbouring numbers (SplitMix64's finisher), so that hot keys lie anywhere.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// zipf draws ranks of which the r-th is drawn with a frequency of about 1/(r+1)^theta (J. Gray et al.,
// "Quickly generating billion-record synthetic databases", SIGMOD 1994, as in YCSB). It is read-only
// once made.
type zipf struct{ n, alpha, eta, zeta, second float64 }

func newZipf(n int, theta float64) *zipf {
	z := &zipf{n: float64(n), alpha: 1 / (1 - theta), second: 1 + math.Pow(0.5, theta)}
	for i := 1; i <= n; i++ {
		z.zeta += math.Pow(float64(i), -theta)
	}
	if n > 2 { // with two keys, the first branches of rank decide
		z.eta = (1 - math.Pow(2/z.n, 1-theta)) / (1 - z.second/z.zeta)
	}
	return z
}

// rank maps u, 0 ≤ u < 1, to a rank below n.
func (z *zipf) rank(u float64) uint64 {
	switch uz := u * z.zeta; {
	case uz < 1:
		return 0
	case uz < z.second:
		return 1
	}
	return uint64(min(z.n-1, z.n*math.Pow(z.eta*u-z.eta+1, z.alpha)))
}
