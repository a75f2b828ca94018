package memif

import (
	"context"
	"fmt"
	"time"

	"metronome/system/packet"
	"metronome/system/packet/dpdk"
)

// Frames makes the frames of a trial.
type Frames interface {
	// Len is the length of every frame, in bytes.
	Len() int
	// Put writes the n-th frame of the trial, counted from 0 over all lanes, into dst, which has room
	// for Len bytes and holds anything.
	Put(dst []byte, n uint64)
}

// Port is where frames go: *dpdk.Port.
type Port interface {
	// Reserve returns up to n buffers of size bytes to fill.
	Reserve(n, size int) ([]dpdk.Out, error)
	// Transmit sends the first n reserved buffers and returns how many were taken.
	Transmit(n int) (int, error)
}

// Trial is one run of the sender.
type Trial struct {
	Rate     float64       // frames a second over all lanes; 0 is as many as can be
	Start    int64         // CLOCK_MONOTONIC ns
	Duration time.Duration // frames are sent in [Start, Start+Duration)
}

// Report is what a trial did. Times are CLOCK_MONOTONIC ns.
type Report struct {
	Emitted  uint64 // frames offered to the ring, whether or not it took them; numbered 0 to Emitted-1
	RingFull uint64 // of these: refused by the ring
	Missed   uint64 // slots in which nothing was sent: too far behind, or never reached

	First, Last int64 // when the first and the last burst were begun, 0 if none was
	Bursts      uint64
}

// Sender sends frames on a port at given times. It belongs to one goroutine, the one that
// dpdk.Attach was called in.
type Sender struct {
	port  Port
	clock Clock
	lanes uint64
	burst int
}

// NewSender prepares a sender of bursts of at most burst frames, spread over lanes 5-tuples.
func NewSender(port Port, clock Clock, lanes, burst int) (*Sender, error) {
	if burst < 1 || burst > packet.MaxBurst {
		return nil, fmt.Errorf("memif: a burst of %d frames: use 1 to %d", burst, packet.MaxBurst)
	}
	if lanes < 1 || lanes > 1<<16 {
		return nil, fmt.Errorf("memif: %d lanes: use 1 to %d", lanes, 1<<16)
	}
	return &Sender{port: port, clock: clock, lanes: uint64(lanes), burst: burst}, nil
}

// Run sends frames as the trial says and returns at its end, or sooner if ctx ends or the port
// fails. It spins until the trial's start.
func (s *Sender) Run(ctx context.Context, frames Frames, trial Trial) (Report, error) {
	p := newPacer(trial, uint64(s.burst))
	r := Report{}
	now := s.clock()
	for now < p.start && ctx.Err() == nil {
		now = s.clock()
	}
	for ; now < p.end && ctx.Err() == nil; now = s.clock() {
		n := p.due(now)
		if n == 0 {
			continue
		}
		if r.First == 0 {
			r.First = now
		}
		r.Last = now
		r.Bursts++
		if err := s.emit(frames, int(n), &r); err != nil {
			r.Missed = p.missed
			return r, err
		}
	}
	r.Missed = p.missed
	if ctx.Err() == nil {
		r.Missed += p.rest()
	}
	return r, ctx.Err()
}

// emit makes the next n frames and offers them to the ring once.
func (s *Sender) emit(frames Frames, n int, r *Report) error {
	out, err := s.port.Reserve(s.burst, frames.Len())
	if err != nil {
		return fmt.Errorf("memif: reserve buffers: %w", err)
	}
	if n > len(out) {
		return fmt.Errorf("memif: %d of %d buffers: the port's pool is too small", len(out), n)
	}
	for i := range out[:n] {
		g := r.Emitted + uint64(i)
		frames.Put(out[i].Payload, g)
		out[i].Lane = s.lane(g)
	}
	taken, err := s.port.Transmit(n)
	r.Emitted += uint64(n)
	r.RingFull += uint64(n - taken)
	if err != nil {
		return fmt.Errorf("memif: transmit: %w", err)
	}
	return nil
}

// lane is the lane of frame g.
func (s *Sender) lane(g uint64) uint16 {
	if s.lanes == 1 {
		return 0 // spares a division a frame in the commonest case
	}
	return uint16(g % s.lanes)
}
