package access

import (
	"net/netip"
	"sync"
	"time"
)

// limitKey is whose failures are counted together: an address (name empty), a user (address invalid), or a
// user at an address that was theirs before. Names are stored as sums, so that their length is bounded and
// none lies about in memory.
type limitKey struct {
	name cacheKey
	addr netip.Addr
}

// limiter counts failures in token buckets, one a key. Only failures take: a success gives its token back.
// Memory is bounded: beyond the bound the key that failed longest ago begins anew.
type limiter struct {
	burst float64
	every time.Duration // until one token is back

	mu      sync.Mutex
	buckets *lru[limitKey, bucket]
}

type bucket struct {
	tokens float64
	at     time.Time // when tokens was right
}

func newLimiter(burst int, every time.Duration, most int) *limiter {
	return &limiter{burst: float64(burst), every: every, buckets: newLRU[limitKey, bucket](most)}
}

// wait is how long until an attempt of key is looked at; 0: now.
func (l *limiter) wait(key limitKey, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets.get(key)
	if b == nil {
		return 0
	}
	l.refill(b, now)
	return l.until(b)
}

// take takes a token for an attempt that is about to be made, or says how long to wait.
func (l *limiter) take(key limitKey, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets.get(key)
	if b == nil {
		b = l.buckets.put(key, bucket{l.burst, now})
	}
	l.refill(b, now)
	if wait := l.until(b); wait > 0 {
		return wait
	}
	b.tokens--
	return 0
}

// giveBack returns the token of an attempt that was none, or no failure.
func (l *limiter) giveBack(key limitKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets.get(key)
	if b == nil {
		return
	}
	if b.tokens++; b.tokens >= l.burst {
		l.buckets.remove(key) // as if it had never failed
	}
}

func (l *limiter) refill(b *bucket, now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(l.burst, b.tokens+float64(passed)/float64(l.every))
		b.at = now
	}
}

func (l *limiter) until(b *bucket) time.Duration {
	if b.tokens >= 1 {
		return 0
	}
	return max(1, time.Duration((1-b.tokens)*float64(l.every)))
}

func (l *limiter) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buckets.len()
}

// network is what one attacker can be taken for: an IPv4 address, or the /64 that an IPv6 host chooses its
// addresses from.
func network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	p, err := addr.Prefix(64)
	if err != nil {
		return addr // cannot happen: 64 bits are there
	}
	return p.Addr()
}
