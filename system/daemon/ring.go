package daemon

import "sync/atomic"

// ring carries frames from an ingest core to the ordering thread through memory that is allocated
// once. A place passes three hands, each a goroutine of its own or one and the same:
//
//	put, fill: a frame was received --> verified: it was judged --> release: it was taken
//
// Each hand moves one mark and reads the one before it, so that nothing is locked (L. Lamport,
// "Specifying Concurrent Program Modules", 1983; three hands on one ring are the LMAX Disruptor's).
// When it is full nothing is dropped: the port is not polled, and frames wait, or are lost and counted,
// where they do without ingest cores.
type ring struct {
	buf  []byte
	size []uint16 // of the frame in each place; 0: it was refused
	mask uint64
	next uint64 // the receiving hand's own: where the next frame goes

	_        [64]byte
	filled   atomic.Uint64
	_        [64 - 8]byte
	verified atomic.Uint64
	_        [64 - 8]byte
	taken    atomic.Uint64
	_        [64 - 8]byte
}

const (
	// placeBytes hold the longest frame. A longer datagram is cut, and refused for its length as the
	// whole would be.
	placeBytes = 1536
	// ringFrames are about a millisecond of 10 GbE in full frames, and what a core's cache holds.
	ringFrames = 1024
)

func newRing(frames int) *ring {
	return &ring{buf: make([]byte, frames*placeBytes), size: make([]uint16, frames), mask: uint64(frames - 1)}
}

// room is how many frames may be put.
func (r *ring) room() int { return len(r.size) - int(r.next-r.taken.Load()) }

// put copies a frame to the next place; there must be room. It shows by fill.
func (r *ring) put(frame []byte) {
	at := int(r.next & r.mask)
	r.size[at] = uint16(copy(r.buf[at*placeBytes:(at+1)*placeBytes], frame))
	r.next++
}

// fill shows to the judging hand what was put.
func (r *ring) fill() { r.filled.Store(r.next) }

// unjudged are the places between the first two marks.
func (r *ring) unjudged() (from, to uint64) { return r.verified.Load(), r.filled.Load() }

// judged are the places between the last two marks.
func (r *ring) judged() (from, to uint64) { return r.taken.Load(), r.verified.Load() }

// frame is what lies at a place, nil if it was refused.
func (r *ring) frame(i uint64) []byte {
	at := int(i & r.mask)
	n := int(r.size[at])
	if n == 0 {
		return nil
	}
	return r.buf[at*placeBytes : at*placeBytes+n : at*placeBytes+n]
}

// refuse empties a place that is judged.
func (r *ring) refuse(i uint64) { r.size[i&r.mask] = 0 }
