package memif

import "math"

// pacer decides how many frames are due. Slot k is at start + k/rate, for every k whose time lies
// before the end.
type pacer struct {
	start, end int64
	burst      uint64
	perNS      float64 // slots a nanosecond; 0 is no limit
	slots      uint64  // of the whole trial
	next       uint64  // first slot not yet used or missed
	missed     uint64
}

func newPacer(t Trial, burst uint64) *pacer {
	p := &pacer{start: t.Start, end: t.Start + int64(t.Duration), burst: burst}
	if t.Rate > 0 {
		p.perNS = t.Rate / 1e9
		p.slots = uint64(math.Ceil(float64(t.Duration) * p.perNS))
	}
	return p
}

// due takes the slots that have come by now and returns for how many of them a frame is to be sent:
// at most a burst. Older ones are missed.
func (p *pacer) due(now int64) uint64 {
	if p.perNS == 0 {
		return p.burst
	}
	come := min(p.slots, uint64(float64(now-p.start)*p.perNS)+1)
	n := come - p.next
	if n > p.burst {
		p.missed += n - p.burst
		n = p.burst
	}
	p.next = come
	return n
}

// rest is how many slots the trial had left when it ended: missed, too.
func (p *pacer) rest() uint64 { return p.slots - p.next }
