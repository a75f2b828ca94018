package lane

import (
	"fmt"

	"metronome/system/wire"
)

// PaceConfig bounds what a proxy multicasts on all its lanes together. Bytes are those of frames,
// without what UDP, IP and Ethernet add.
type PaceConfig struct {
	Bytes, BytesBurst   int64 // of new data a second; 0 = unlimited. The burst defaults to 64 KiB
	Frames, FramesBurst int64 // of new data a second; 0 = unlimited. The burst defaults to 64
	// Repairs have a budget of their own, so that a lossy path cannot eat up the rate of new data,
	// nor new data starve repairs: bytes a second, by default a fifth of Bytes, or 64 MiB.
	Repairs, RepairsBurst int64
}

func (c PaceConfig) check() error {
	for _, v := range [...]int64{c.Bytes, c.BytesBurst, c.Frames, c.FramesBurst, c.Repairs, c.RepairsBurst} {
		if v < 0 || v > maxRate {
			return fmt.Errorf("pace %+v: use rates and bursts of 0 to %d", c, int64(maxRate))
		}
	}
	return nil
}

// Pacer spreads new frames over time: a burst at the speed of memory overruns the buffers of
// switches and sockets, and is then sent twice. It belongs to one goroutine.
type Pacer struct {
	bytes, frames Bucket
	repairs       Bucket
}

// NewPacer makes a pacer that may begin with a burst.
func NewPacer(cfg PaceConfig) (*Pacer, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	orElse := func(v, otherwise int64) int64 {
		if v == 0 {
			return otherwise
		}
		return v
	}
	repairs := orElse(cfg.Repairs, orElse(cfg.Bytes/5, 64<<20))
	return &Pacer{
		bytes:   NewBucket(cfg.Bytes, max(wire.MaxFrame, orElse(cfg.BytesBurst, 64<<10))),
		frames:  NewBucket(cfg.Frames, orElse(cfg.FramesBurst, 64)),
		repairs: NewBucket(repairs, max(wire.MaxFrame, orElse(cfg.RepairsBurst, 64<<10))),
	}, nil
}

// Allow says how many new frames of full length may be sent now, at most want.
func (p *Pacer) Allow(now int64, want int) int {
	n := int64(want)
	if p.frames.rate > 0 {
		p.frames.fill(now)
		n = min(n, p.frames.tokens)
	}
	if p.bytes.rate > 0 {
		p.bytes.fill(now)
		n = min(n, p.bytes.tokens/wire.MaxFrame)
	}
	return int(max(n, 0))
}

// Sent accounts for frames that were sent.
func (p *Pacer) Sent(now int64, frames [][]byte) {
	bytes := 0
	for _, f := range frames {
		bytes += len(f)
	}
	p.frames.Spend(now, int64(len(frames)))
	p.bytes.Spend(now, int64(bytes))
}

// Next is when Allow will let a frame go: now or later.
func (p *Pacer) Next(now int64) int64 {
	return max(p.frames.Ready(now, 1), p.bytes.Ready(now, wire.MaxFrame))
}

// Repairs is the budget of all lanes' repairs, in bytes.
func (p *Pacer) Repairs() *Bucket { return &p.repairs }

// Heart says when a lane that has nothing to send sends a heartbeat: soon after its last frame,
// since only a heartbeat shows that this one was lost, then less and less often.
type Heart struct {
	shortest, longest int64
	every, due        int64
}

// NewHeart makes a heart that beats at the given time after the last frame, then twice as late each
// time, up to the longest; ns. Zero stands for 1 ms and 100 ms. It does not beat before Sent.
func NewHeart(shortest, longest int64) Heart {
	if shortest <= 0 {
		shortest = 1e6
	}
	if longest <= 0 {
		longest = 100e6
	}
	return Heart{shortest: shortest, longest: max(shortest, longest), every: shortest, due: Never}
}

// Sent says that new frames were sent.
func (h *Heart) Sent(now int64) { h.every, h.due = h.shortest, now+h.shortest }

// Due reports whether a heartbeat is to be sent now, and takes it as sent.
func (h *Heart) Due(now int64) bool {
	if now < h.due {
		return false
	}
	h.every = min(2*h.every, h.longest)
	h.due = now + h.every
	return true
}

// Next is when the next heartbeat falls due, or [Never].
func (h *Heart) Next() int64 { return h.due }
