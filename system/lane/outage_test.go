package lane

import "testing"

// After a cut of seconds every frame missed in it is answered late. That says how long the cut was, not the
// path: a lane that believed it would wait as long again before it asks anybody else.
func TestOutageTeachesNoRoundTrip(t *testing.T) {
	cfg := NackConfig{}.withDefaults()
	for _, asks := range []uint8{1, 2, 9, 60} {
		n := &Nacker{cfg: cfg, guard: cfg.Floor, trips: [2]roundTrip{guessed(cfg.Guess), guessed(cfg.Guess)}}
		for range 100 {
			n.answered(3e9, &want{asks: asks})
		}
		if rtt := n.RoundTrip(); rtt > cfg.Cap {
			t.Errorf("%d asks: a round trip of %d ns", asks, rtt)
		}
		if wait := n.interval(5, &n.trips[toOrigin]); wait > 10*cfg.Cap {
			t.Errorf("%d asks: the next after %d ns", asks, wait)
		}
	}
}
