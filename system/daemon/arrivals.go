package daemon

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"metronome/system/replica"
)

// Arrivals tell when a replica received sampled frames, as they were first sent: by lane
// ("proxy/incarnation/lane") and frame number, in ns of its machine's monotonic clock ([MachineClock]).
type Arrivals map[string]map[uint64]int64

// MachineClock is the monotonic clock that all processes of a machine share, in ns. Servers do not ask for
// the time of day; who compares machines adds what their clocks differ by.
func MachineClock() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail: the clock is there and so is t
	return t.Nano()
}

// arrivals asks the core, and puts its clock's times on the machine's.
func (r *Replica) arrivals(ctx context.Context, to *Arrivals) error {
	return r.do(ctx, func(core *replica.Replica) error {
		offset := MachineClock() - r.clock.now()
		*to = Arrivals{}
		for name, samples := range core.Arrivals() {
			times := map[uint64]int64{}
			for _, s := range samples {
				times[s.Frame] = s.At + offset
			}
			(*to)[fmt.Sprintf("%d/%d/%d", name.Proxy, name.Incarnation, name.Lane)] = times
		}
		return nil
	})
}

// Skew is how far apart replicas received the same frames: for each frame that all of them sampled, the time
// from the first to the last.
type Skew struct {
	Replicas int           `json:"replicas"`
	Frames   int           `json:"frames"`
	Median   time.Duration `json:"median_ns"`
	P99      time.Duration `json:"p99_ns"`
	Most     time.Duration `json:"most_ns"`
}

// SkewOf compares what replicas sampled. On several machines it is as good as their clocks agree.
func SkewOf(replicas []Arrivals) Skew {
	s := Skew{Replicas: len(replicas)}
	var apart []time.Duration
	for lane, frames := range first(replicas) {
		for frame := range frames {
			if d, ok := spread(replicas, lane, frame); ok {
				apart = append(apart, d)
			}
		}
	}
	if s.Frames = len(apart); s.Frames == 0 {
		return s
	}
	slices.Sort(apart)
	at := func(q float64) time.Duration { return apart[int(q*float64(len(apart)-1)+0.5)] }
	s.Median, s.P99, s.Most = at(0.5), at(0.99), at(1)
	return s
}

func first(replicas []Arrivals) Arrivals {
	if len(replicas) == 0 {
		return nil
	}
	return replicas[0]
}

// spread is the time from the first to the last arrival of a frame; ok is false if somebody has none.
func spread(replicas []Arrivals, lane string, frame uint64) (d time.Duration, ok bool) {
	var low, high int64
	for i, a := range replicas {
		at, ok := a[lane][frame]
		if !ok {
			return 0, false
		}
		if i == 0 {
			low, high = at, at
		}
		low, high = min(low, at), max(high, at)
	}
	return time.Duration(high - low), true
}
