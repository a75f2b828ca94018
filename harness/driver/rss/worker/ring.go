package worker

import (
	"sync/atomic"

	"metronome/system/packet"
	"metronome/system/wire"
)

// ring hands frames from one core to another: one writes, one reads. It is the reader's packet.Port.
type ring struct {
	slots [][]byte // each with room for a frame

	written uint64 // the writer's own count
	seen    uint64 // the reader's progress as the writer last saw it
	_       [64]byte
	head    atomic.Uint64 // published by the writer
	_       [64]byte
	tail    atomic.Uint64 // given back by the reader
	_       [64]byte
	taken   uint64 // the reader's own count
	stats   packet.Stats
}

var _ packet.Port = (*ring)(nil)

// ringSlots bounds a ring, and how long a core may be away without loss.
const ringSlots = 1024

func newRing() *ring {
	r := &ring{slots: make([][]byte, ringSlots)}
	memory := make([]byte, ringSlots*wire.MaxFrame)
	for i := range r.slots {
		r.slots[i] = memory[i*wire.MaxFrame : i*wire.MaxFrame : (i+1)*wire.MaxFrame]
	}
	return r
}

// push copies a frame into the ring, unless it is full or the frame too long for any. The reader sees it
// after publish.
func (r *ring) push(frame []byte) bool {
	if r.written-r.seen == ringSlots {
		if r.seen = r.tail.Load(); r.written-r.seen == ringSlots {
			return false
		}
	}
	if len(frame) > wire.MaxFrame {
		return false
	}
	slot := &r.slots[r.written%ringSlots]
	*slot = append((*slot)[:0], frame...)
	r.written++
	return true
}

// publish shows the reader what was pushed.
func (r *ring) publish() {
	if r.head.Load() != r.written {
		r.head.Store(r.written)
	}
}

// Recv gives back what it lent and lends what came; it never waits.
func (r *ring) Recv(frames [][]byte) (int, error) {
	r.tail.Store(r.taken)
	n := int(min(uint64(len(frames)), r.head.Load()-r.taken))
	for i := range frames[:n] {
		frames[i] = r.slots[(r.taken+uint64(i))%ringSlots]
	}
	r.taken += uint64(n)
	r.stats.RxFrames += uint64(n)
	r.stats.RxCalls++
	return n, nil
}

// Send is not this end's to do.
func (r *ring) Send([][]byte) (int, error) { return 0, packet.ErrClosed }

// Stats counts what was received.
func (r *ring) Stats() packet.Stats { return r.stats }

// Close does nothing: a ring is memory.
func (r *ring) Close() error { return nil }
