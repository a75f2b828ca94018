package edge

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"metronome/harness/factorial"
)

// world is a link between an edge and its master, and what the edge sends over it. Times are virtual ns.
type world struct {
	interval  int64   // between an edge's reports, and between a master's questions
	loss      float64 // of single messages
	delay     float64 // median, s; a tenth take four times as long and more
	stallGap  float64 // mean time between stalls of the link, s; nothing passes meanwhile, and then all of it
	stallMean float64 // their mean length, s
	bursts    float64 // of shipping, an hour
	threshold float64
}

func worldOf(c factorial.Cell) (w world, err error) {
	interval, err1 := c.Duration("interval")
	delay, err2 := c.Duration("delay")
	gap, err3 := c.Duration("stall_every")
	mean, err4 := c.Duration("stall")
	var err5, err6, err7 error
	w.loss, err5 = c.Float("loss")
	w.threshold, err6 = c.Float("threshold")
	w.bursts, err7 = c.Float("bursts")
	w.interval, w.delay = interval.Nanoseconds(), delay.Seconds()
	w.stallGap, w.stallMean = gap.Seconds(), mean.Seconds()
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return w, err
	}
	if w.interval <= 0 || w.stallGap <= 0 || w.loss < 0 || w.loss >= 1 || w.bursts < 0 {
		return w, errors.New("interval and stall_every must be above 0, loss 0 to below 1, bursts not negative")
	}
	return w, nil
}

// sign is a message of an edge as its master hears it.
type sign struct {
	at     int64
	answer bool // to the master's question
}

// What an edge's own traffic looks like: a report every interval, a tenth early or late, and bursts of
// shipping, which tell nothing of the time between them.
const (
	jitter     = 0.1
	burstLeast = 5
	burstMore  = 45
	burstSpan  = 1.0 // s
)

// stall is when nothing passes.
type stall struct{ from, to float64 }

// signs draws everything a master hears of an edge that lives until a time, in the order of arrival.
func (w world) signs(seed uint64, until int64) (all []sign) {
	rng := rand.New(rand.NewPCG(seed, 0x11fe))
	end, step := float64(until)/1e9, float64(w.interval)/1e9
	var stalls []stall
	for t := rng.ExpFloat64() * w.stallGap; t < end; {
		s := stall{t, t + rng.ExpFloat64()*w.stallMean}
		stalls = append(stalls, s)
		t = s.to + rng.ExpFloat64()*w.stallGap
	}
	send := func(sent, arrive float64, lost, answer bool) {
		if !lost && sent <= end {
			all = append(all, sign{ns(past(stalls, arrive)), answer})
		}
	}
	// Log-normal: a tenth takes more than four times the median.
	one := func() float64 { return w.delay * math.Exp(1.08*rng.NormFloat64()) }
	for t := rng.Float64() * step; t < end; t += step * (1 + jitter*(2*rng.Float64()-1)) {
		send(t, t+one(), rng.Float64() < w.loss, false)
	}
	between := 3600 / w.bursts // +Inf without any
	for t := rng.ExpFloat64() * between; t < end; t += rng.ExpFloat64() * between {
		for range burstLeast + rng.IntN(burstMore) {
			at := t + rng.Float64()*burstSpan
			send(at, at+one(), rng.Float64() < w.loss, false)
		}
	}
	for t := rng.Float64() * step; t < end; t += step * (1 + jitter*(2*rng.Float64()-1)) {
		reached := past(stalls, t+one()) // the question takes as long, and may be lost as well
		lost := rng.Float64() < 1-(1-w.loss)*(1-w.loss)
		send(reached, reached+one(), lost, true)
	}
	slices.SortStableFunc(all, func(a, b sign) int { return cmp.Compare(a.at, b.at) })
	return all
}

func ns(s float64) int64 { return int64(s * 1e9) }

// past is when what would arrive at a time does, if the link stalls.
func past(stalls []stall, t float64) float64 {
	i, _ := slices.BinarySearchFunc(stalls, t, func(s stall, t float64) int { return cmp.Compare(s.to, t) })
	if i < len(stalls) && stalls[i].from <= t {
		return stalls[i].to
	}
	return t
}
