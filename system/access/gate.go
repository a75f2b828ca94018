package access

import (
	"sync/atomic"
	"time"
)

// gate lets few hashes be computed at a time, lets as many more wait for a moment, and turns the rest away
// before they cost anything.
type gate struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
	patient time.Duration
}

func newGate(width, queue int, patient time.Duration) *gate {
	return &gate{slots: make(chan struct{}, width), queue: int64(queue), patient: patient}
}

// enter takes a slot, which leave gives back, or reports that there is none. It does not end with the
// request that waits: others may wait for the same check.
func (g *gate) enter() bool {
	select {
	case g.slots <- struct{}{}:
		return true
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > g.queue {
		return false
	}
	timer := time.NewTimer(g.patient)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

func (g *gate) leave() { <-g.slots }
