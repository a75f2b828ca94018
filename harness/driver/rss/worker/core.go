package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/replica"
	"metronome/system/wire"
)

// Core is what one core did within the window.
type Core struct {
	Polls   bool   `json:"polls"` // it only hands on
	Frames  uint64 `json:"frames"`
	Items   uint64 `json:"items"`
	Lanes   int    `json:"lanes"`   // that it had frames of
	Dropped uint64 `json:"dropped"` // that it found no room for in another core's ring
	Wall    int64  `json:"wall_ns"`
	CPU     int64  `json:"cpu_ns"` // of its thread
}

// runner is a core at work.
type runner struct {
	index  int
	poll   func() (int, error)
	read   func(*Core)  // counters so far
	cpu    func() int64 // ns of CPU time so far that count; nil: all of its thread's
	attach bool         // its thread polls a device of DPDK

}

// window is when cores count. Times are CLOCK_MONOTONIC ns.
type window struct {
	start, end int64
	clock      func() int64
	stop       *atomic.Bool // ends all cores if one fails
}

// run polls from now on and returns what was done between start and end. The thread ends with it.
func (r *runner) run(w window) (done Core, err error) {
	runtime.LockOSThread() // and never unlocked: its affinity is nobody else's
	defer func() {
		if err != nil {
			w.stop.Store(true)
		}
	}()
	if err := pin(r.index % runtime.NumCPU()); err != nil {
		return done, err
	}
	if r.attach {
		detach, err := dpdk.Attach()
		if err != nil {
			return done, err
		}
		defer detach()
	}
	if r.cpu == nil {
		r.cpu = threadCPU
	}
	var from Core
	started := int64(0)
	for i := 0; !w.stop.Load(); i++ {
		n, err := r.poll()
		if err != nil {
			return done, fmt.Errorf("core %d: %w", r.index, err)
		}
		if n == 0 {
			_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		} else if i%clockEvery != 0 {
			continue
		}
		now := w.clock()
		if started == 0 && now >= w.start {
			started = now
			r.read(&from)
			from.CPU = r.cpu()
		}
		if now >= w.end {
			r.read(&done)
			done.CPU, done.Wall = r.cpu()-from.CPU, now-started
			done.Frames, done.Items = done.Frames-from.Frames, done.Items-from.Items
			done.Dropped -= from.Dropped
			return done, nil
		}
	}
	return done, errors.New("another core failed")
}

// clockEvery is how many polls with frames pass between two looks at the clock.
const clockEvery = 16

func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return nil
}

// threadCPU is the CPU time of the calling thread in ns.
func threadCPU() int64 {
	var ts unix.Timespec
	// CLOCK_THREAD_CPUTIME_ID always exists.
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return ts.Nano()
}

// The lanes of a core: windows large enough for a burst of every lane to wait for a gap to be given up.
var laneConfig = lane.Config{Window: 1024, Arena: 1 << 17, GiveUp: 64}

// pipeline is an ingest core for lanes of an incarnation.
func (s *Setup) pipeline(port packet.Port, incarnation uint32) (*replica.IngestCore, error) {
	d, err := wire.NewDigester(s.Shape.Mode, s.Shape.ClusterKey)
	if err != nil {
		return nil, err
	}
	in, err := s.lanes(d, incarnation)
	if err != nil {
		return nil, err
	}
	return replica.NewIngestCore(port, in, s.Burst)
}

func (s *Setup) lanes(d *wire.Digester, incarnation uint32) (*lane.Ingest, error) {
	in, err := lane.NewIngest(s.Shape.Cluster, d, laneConfig)
	if err != nil {
		return nil, err
	}
	return in, in.Open(s.Shape.Proxy, incarnation, s.Shape.Lanes)
}

// ingesting is the runner of a pipeline.
func (s *Setup) ingesting(index int, port packet.Port, incarnation uint32) (*runner, error) {
	c, err := s.pipeline(port, incarnation)
	if err != nil {
		return nil, err
	}
	return &runner{index: index, poll: c.Poll, read: func(to *Core) {
		n := c.Lanes.Counters()
		to.Frames, to.Items, to.Lanes = n.Released, n.Released*uint64(s.Shape.Items), 0
		for l := range s.Shape.Lanes {
			if c.Lanes.Lane(s.Shape.Proxy, incarnation, uint16(l)).Mark().Frames > 0 {
				to.Lanes++
			}
		}
	}}, nil
}

// handing is the runner of a core that receives for others.
func (s *Setup) handing(port packet.Port, rings []*ring) *runner {
	burst := make([][]byte, s.Burst)
	var handed, dropped uint64
	poll := func() (int, error) {
		n, err := port.Recv(burst)
		for _, f := range burst[:n] {
			if rings[laneOf(f)%len(rings)].push(f) {
				handed++
			} else {
				dropped++
			}
		}
		for _, r := range rings {
			r.publish()
		}
		return n, err
	}
	return &runner{poll: poll, read: func(to *Core) { to.Polls, to.Frames, to.Dropped = true, handed, dropped }}
}

// laneOf is the lane that a frame says it is of. Whether it is true the pipeline finds out.
func laneOf(frame []byte) int {
	if len(frame) < wire.HeaderSize {
		return 0
	}
	return int(binary.LittleEndian.Uint16(frame[6:]))
}
