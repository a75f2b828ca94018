package memif

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestPacerSlots(t *testing.T) {
	const us = 1000
	type step struct {
		now    int64
		due    uint64
		missed uint64 // so far
	}
	for _, c := range []struct {
		name  string
		trial Trial
		steps []step
		rest  uint64
	}{
		// 1 M frames/s: a slot each microsecond, the first at the start itself.
		{"on time", Trial{1e6, 0, 10 * time.Microsecond},
			[]step{{0, 1, 0}, {500, 0, 0}, {us, 1, 0}, {3 * us, 2, 0}, {4*us - 1, 0, 0}}, 6},
		{"late by a burst", Trial{1e6, 0, 10 * time.Microsecond},
			[]step{{0, 1, 0}, {4 * us, 4, 0}, {4 * us, 0, 0}}, 5},
		{"late by more", Trial{1e6, 0, 10 * time.Microsecond},
			[]step{{0, 1, 0}, {7 * us, 4, 3}, {8 * us, 1, 3}}, 1},
		{"never past the last slot", Trial{1e6, 0, 3 * time.Microsecond},
			[]step{{10 * us, 3, 0}, {20 * us, 0, 0}}, 0},
		{"an offset start", Trial{1e6, 5 * us, 3 * time.Microsecond},
			[]step{{5 * us, 1, 0}, {6*us + 1, 1, 0}}, 1},
		{"maximum", Trial{0, 0, time.Second},
			[]step{{0, 4, 0}, {0, 4, 0}, {1, 4, 0}}, 0},
		{"a slot and a half", Trial{1.5e6, 0, time.Microsecond},
			[]step{{0, 1, 0}, {666, 0, 0}, {667, 1, 0}, {999, 0, 0}}, 0},
	} {
		p := newPacer(c.trial, 4)
		for i, s := range c.steps {
			if due := p.due(s.now); due != s.due || p.missed != s.missed {
				t.Errorf("%s, step %d: %d due, %d missed; want %d, %d",
					c.name, i, due, p.missed, s.due, s.missed)
			}
		}
		if rest := p.rest(); rest != c.rest {
			t.Errorf("%s: %d slots left, want %d", c.name, rest, c.rest)
		}
	}
}

// Whenever the sender looks at the clock, every slot is sent, missed or left, once.
func TestPacerLosesNoSlot(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		trial := Trial{Rate: 1 + r.Float64()*2e7, Start: r.Int64N(1 << 50), Duration: time.Millisecond}
		p := newPacer(trial, 32)
		sent := uint64(0)
		for now := p.start; now < p.end; now += 1 + r.Int64N(10000) {
			n := p.due(now)
			if n > 32 {
				t.Fatalf("seed %d: %d frames at once", seed, n)
			}
			sent += n
		}
		if sent+p.missed+p.rest() != p.slots {
			t.Fatalf("seed %d: %d sent, %d missed, %d left of %d", seed, sent, p.missed, p.rest(), p.slots)
		}
		if want := trial.Rate / 1000; float64(p.slots) < want || float64(p.slots) > want+1 {
			t.Fatalf("seed %d: %d slots at %g frames/ms", seed, p.slots, want)
		}
	}
}
