package edge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"metronome/harness/factorial"
)

// Liveness is the driver of experiments/edge-liveness. Nothing in it takes real time: an edge's signs of life
// are drawn from a seed, and detectors are asked as a master asks its own.
type Liveness struct{}

// Open implements [factorial.Driver].
func (Liveness) Open(context.Context, factorial.Env) (factorial.Session, error) {
	return liveness{}, nil
}

type liveness struct{}

// Close implements [factorial.Session].
func (liveness) Close() error { return nil }

// Times of a trial, in virtual ns.
const (
	second  = int64(1e9)
	look    = second / 4 // between looks at the detector
	history = 20 * 60 * second
	patient = 20 * 60 * second // after a crash: what is not seen by then is a lower bound
)

// Trial implements [factorial.Session]: days without a crash, in which every suspicion is false, then
// crashes, each after a history of its own.
func (liveness) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	w, err := worldOf(c)
	if err != nil {
		return o, err
	}
	hours, err1 := c.Int("hours")
	crashes, err2 := c.Int("crashes")
	if err := errors.Join(err1, err2); err != nil {
		return o, err
	}
	begin, ok := detectors[c.Arm]
	if !ok {
		return o, fmt.Errorf("arm %s: no detector of that name; next: use phi, silence, heartbeat or "+
			"heartbeat-phi", c.Arm)
	}
	calm := w.watch(begin(w), c.Seed, int64(hours)*3600*second, 0)
	var waits []float64
	for n := range crashes {
		if err := ctx.Err(); err != nil {
			return o, err
		}
		// Crashes fall anywhere between two signs: history's end is spread over one interval.
		at := history + w.interval*int64(n)/int64(crashes)
		r := w.watch(begin(w), c.Seed+uint64(n)+1, at, patient)
		waits = append(waits, float64(r.wait)/1e9)
		if r.unseen {
			o.AtLeast = []string{"detection_s", "detection_max_s"}
		}
	}
	slices.Sort(waits)
	for _, s := range waits {
		o.Timeline = append(o.Timeline, factorial.Point{Series: "detection, s", Y: s})
	}
	days := float64(hours) / 24
	o.Values = map[string]float64{"detection_s": waits[(len(waits)-1)/2], "detection_max_s": waits[len(waits)-1],
		"false_alarms_per_day": float64(calm.alarms) / days, "wrongly_s_per_day": float64(calm.wrong) / 1e9 / days,
		"extra_messages_per_hour": float64(calm.asked) / float64(hours)}
	return o, nil
}

// watched is what came of watching an edge.
type watched struct {
	alarms int   // suspicions while it lived
	wrong  int64 // time in suspicion while it lived
	asked  int   // messages that only the detector needs
	wait   int64 // from the crash until suspected
	unseen bool  // it was not, in time
}

// watch lets an edge live until a time, then be silent for as long as the crash is waited for. At least half
// a history passes before alarms count: detectors learn.
func (w world) watch(d detector, seed uint64, until, after int64) (r watched) {
	signs := w.signs(seed, until)
	suspected := false
	for now := look; now <= until+after; now += look {
		for len(signs) > 0 && signs[0].at <= now {
			d.heard(signs[0]) // after a crash, what was under way
			signs = signs[1:]
		}
		suspect := d.suspects(now)
		switch {
		case now > until:
			if suspect {
				r.wait = now - until
				return r
			}
		case suspect && now > history/2:
			r.wrong += look
			if !suspected {
				r.alarms++
			}
		}
		suspected = suspect
	}
	r.wait, r.unseen, r.asked = after, after > 0, d.asked()
	return r
}
