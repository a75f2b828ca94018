package phi

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// arrivals is how somebody's signs come: a sign every interval, varied, delayed, lost.
type arrivals struct {
	jitter float64 // share of the interval, either way
	delay  float64 // median, s, log-normal: a tenth take four times as long and more
	loss   float64 // of each sign by itself
	burst  float64 // chance of 20 signs within a second, besides
}

const beatEvery = 10 * second

// signs are n intervals' worth of them, as they are heard.
func (a arrivals) signs(rng *rand.Rand, n int) (heard []int64) {
	at := 0.0
	for range n {
		at += beatEvery * (1 + a.jitter*(2*rng.Float64()-1))
		arrive := at + a.delay*second*math.Exp(1.08*rng.NormFloat64())
		if rng.Float64() >= a.loss {
			heard = append(heard, int64(arrive))
		}
		if rng.Float64() < a.burst {
			for range 20 {
				heard = append(heard, int64(at+second*rng.Float64()))
			}
		}
	}
	slices.Sort(heard)
	return heard
}

// accused counts the gaps at whose end, just before the next sign, a detector has come to suspect the peer,
// and those at whose end it finds it late. It learns for a while before anything counts.
func accused(d *Detector, heard []int64) (suspected, late int) {
	for i, at := range heard {
		if i > 100 {
			switch d.Judge(at - 1).State {
			case Suspect, Gone:
				suspected++
			case Late:
				late++
			}
		}
		d.Heard(at)
	}
	return suspected, late
}

// TestWhoIsAccusedAndHowSoon: living peers of many kinds for three days, then their deaths. A sign that is
// lost accuses nobody, however regular its peer was; two in a row may; silence is noticed before the ceiling
// if the peer was regular, and at the ceiling at the latest.
func TestWhoIsAccusedAndHowSoon(t *testing.T) {
	const days = 3
	for name, c := range map[string]struct {
		arrivals
		most  float64 // suspicions of the living a day
		by    int64   // when silence is suspect
		least int     // how often it is late, all in all: a lost sign is to be seen
	}{
		"clockwork":                  {arrivals{}, 0, 24100 * ms, 0},
		"a tenth early or late":      {arrivals{jitter: 0.1, delay: 0.05}, 0, 24500 * ms, 0},
		"one in a hundred lost":      {arrivals{loss: 0.01}, 1.5, 24500 * ms, 150},
		"both":                       {arrivals{jitter: 0.1, delay: 0.05, loss: 0.01}, 1.5, 24500 * ms, 150},
		"slow link":                  {arrivals{jitter: 0.1, delay: 0.5, loss: 0.01}, 4, 26 * second, 150},
		"one in a thousand, bursts":  {arrivals{0.1, 0.05, 0.001, 0.05}, 0.3, 30 * second, 5},
		"one in twenty lost":         {arrivals{jitter: 0.1, loss: 0.05}, 25, 30 * second, 800},
		"one in a hundred, bursts":   {arrivals{0.1, 0.05, 0.01, 0.2}, 1.5, 30 * second, 80},
		"a second's delays, no loss": {arrivals{jitter: 0.1, delay: 1}, 2, 30 * second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			heard := c.signs(rand.New(rand.NewPCG(7, 11)), days*24*360)
			d := New(Config{Promise: beatEvery})
			suspected, late := accused(d, heard)
			t.Logf("%d times suspect, %d times late in %d days", suspected, late, days)
			if float64(suspected) > days*c.most || late < c.least {
				t.Errorf("%d times suspect and %d times late in %d days; expected %g times a day at most, "+
					"and late %d times at least", suspected, late, days, c.most, c.least)
			}
			if v := d.Judge(heard[len(heard)-1] + c.by); v.State != Suspect {
				t.Errorf("dead for %d ms: %+v", c.by/ms, v)
			}
			if v := d.Judge(heard[len(heard)-1] + 2*beatEvery); v.State == Suspect {
				t.Errorf("suspect when one sign is missing: %+v", v)
			}
		})
	}
}

// TestASingleLostSignAccusesNobody: at any interval that an edge may promise, from a second to an hour.
func TestASingleLostSignAccusesNobody(t *testing.T) {
	for _, promise := range []int64{second, 2 * second, 10 * second, 60 * second, 300 * second, 3600 * second} {
		d := New(Config{Promise: promise, Gone: 1e15})
		at := beat(d, 0, promise, 300)
		if v := d.Judge(at + 2*promise + promise/5); v.State != Late {
			t.Errorf("promised every %d s, one lost: %+v", promise/second, v)
		}
		if v := d.Judge(at + 3*promise); v.State != Suspect {
			t.Errorf("promised every %d s, two lost: %+v", promise/second, v)
		}
	}
}
