package worker

import (
	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/wire"
)

// replay is a port whose frames were made beforehand: a core's own lanes, in turn.
type replay struct {
	frames [][]byte
	next   int
	stats  packet.Stats
}

// replayBytes is how much a core's frames take: more than its inner caches hold, as what a NIC wrote.
const replayBytes = 4 << 20

// newReplay makes frames of incarnation 1.
func (s *Setup) newReplay() (*replay, error) {
	f, err := s.Shape.New(1)
	if err != nil {
		return nil, err
	}
	count := max(replayBytes/f.Len()/s.Shape.Lanes, 1) * s.Shape.Lanes
	memory := make([]byte, count*f.Len())
	p := &replay{frames: make([][]byte, count)}
	for i := range p.frames {
		p.frames[i] = memory[i*f.Len() : (i+1)*f.Len()]
		f.Put(p.frames[i], uint64(i))
	}
	return p, nil
}

// Recv lends the next frames; at the end it returns none.
func (p *replay) Recv(frames [][]byte) (int, error) {
	n := copy(frames, p.frames[p.next:])
	p.next += n
	p.stats.RxFrames += uint64(n)
	return n, nil
}

// Send is not to be had.
func (p *replay) Send([][]byte) (int, error) { return 0, packet.ErrClosed }

// Stats counts frames.
func (p *replay) Stats() packet.Stats { return p.stats }

// Close does nothing.
func (p *replay) Close() error { return nil }

// replaying is the runner of a core that works through its frames again and again, each time in lanes
// newly opened. Only the work counts, not the opening: by the CPU time of the thread.
func (s *Setup) replaying(index int) (*runner, error) {
	port, err := s.newReplay()
	if err != nil {
		return nil, err
	}
	c, err := s.pipeline(port, 1)
	if err != nil {
		return nil, err
	}
	d, err := wire.NewDigester(s.Shape.Mode, s.Shape.ClusterKey)
	if err != nil {
		return nil, err
	}
	busy, frames := int64(0), uint64(0)
	pass := func() (int, error) {
		var in *lane.Ingest
		if in, err = s.lanes(d, 1); err != nil {
			return 0, err
		}
		c.Lanes, port.next = in, 0
		before := threadCPU()
		for n := 1; n > 0; {
			if n, err = c.Poll(); err != nil {
				return 0, err
			}
		}
		busy += threadCPU() - before
		frames += in.Counters().Released
		return 0, nil // a pass is long: look at the clock
	}
	cpu := func() int64 { return busy }
	return &runner{index: index, poll: pass, cpu: cpu, read: func(to *Core) {
		to.Frames, to.Items, to.Lanes = frames, frames*uint64(s.Shape.Items), s.Shape.Lanes
	}}, nil
}
