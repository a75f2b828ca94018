package lane

import "math"

// Never is a time that does not come.
const Never = math.MaxInt64

// Bucket is a token bucket: it lets units through at a rate, and a burst after a pause. It counts
// in whole units and nanoseconds, without floating point, so that every machine agrees on it.
type Bucket struct {
	rate, burst int64 // units a second, units; rate 0 = unlimited
	tokens      int64 // may be negative: a debt
	rest        int64 // unit-nanoseconds earned that do not make a unit yet
	last        int64
}

// maxRate keeps the product of a rate or a burst with the nanoseconds of a second within an int64.
const maxRate = 1 << 32

// NewBucket makes a full bucket for rate units a second, 0 meaning unlimited, and bursts of at
// least one unit. Both are cut to 2^32.
func NewBucket(rate, burst int64) Bucket {
	rate, burst = min(max(rate, 0), maxRate), min(max(burst, 1), maxRate)
	return Bucket{rate: rate, burst: burst, tokens: burst, last: math.MinInt64}
}

// fill adds what was earned since it was last called.
func (b *Bucket) fill(now int64) {
	switch {
	case b.last == math.MinInt64:
		b.last = now
	case now > b.last:
		const second = 1e9
		missing := b.burst - b.tokens
		// Longer than this fills it, and the product below might overflow.
		if now-b.last > (missing*second)/b.rate {
			b.tokens, b.rest = b.burst, 0
		} else {
			earned := (now-b.last)*b.rate + b.rest
			b.tokens = min(b.burst, b.tokens+earned/second)
			b.rest = earned % second
		}
		b.last = now
	}
}

// Has reports whether n units are there now.
func (b *Bucket) Has(now, n int64) bool {
	if b.rate == 0 {
		return true
	}
	b.fill(now)
	return b.tokens >= n
}

// Take removes n units if they are there.
func (b *Bucket) Take(now, n int64) bool {
	if !b.Has(now, n) {
		return false
	}
	b.Spend(now, n)
	return true
}

// Spend removes n units, there or not: the bucket may owe up to a burst, which is paid back first.
func (b *Bucket) Spend(now, n int64) {
	if b.rate == 0 {
		return
	}
	b.fill(now)
	b.tokens = max(b.tokens-n, -b.burst)
}

// Ready is when n units will be there, if none are taken meanwhile: now or later. More than a burst
// never will.
func (b *Bucket) Ready(now, n int64) int64 {
	switch {
	case b.Has(now, n):
		return now
	case n > b.burst:
		return Never
	}
	wait := ((n-b.tokens)*1e9 - b.rest + b.rate - 1) / b.rate
	if wait > Never-now {
		return Never
	}
	return now + wait
}
