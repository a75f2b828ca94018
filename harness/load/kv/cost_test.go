package kv

import (
	"context"
	"os"
	"testing"

	"metronome/harness/probe"
)

func TestCostSeparatesTargetAndGenerator(t *testing.T) {
	self := os.Getpid()
	process := func(clock, peak uint64) probe.Process {
		return probe.Process{ClockNS: clock, Memory: probe.Memory{Peak: peak, Resident: peak / 2}}
	}
	before := probe.Snapshot{Processes: map[int]probe.Process{1: process(100, 0), 2: process(0, 0),
		self: process(5, 0)}}
	after := probe.Snapshot{AtNS: 1e9, Processes: map[int]probe.Process{1: process(4e9+100, 10),
		self: process(1e9+5, 80)}}
	c := cost(before, after, []int{1, 2}, self).Per(1e6)
	if c.TargetCPUPerOp != 4 || c.CPUPerOp != 5 {
		t.Errorf("%g and %g µs an operation", c.TargetCPUPerOp, c.CPUPerOp)
	}
	if c.TargetPeakBytes != 10 || c.GeneratorBytes != 40 || c.SharedProcess {
		t.Errorf("cost %+v", c)
	}
	if len(c.Gone) != 1 || c.Gone[0] != 2 {
		t.Errorf("gone: %v", c.Gone)
	}
	shared := cost(before, after, []int{self}, self)
	if !shared.SharedProcess || shared.TargetCPUNS != 1e9 || shared.GeneratorCPUNS != 0 {
		t.Errorf("cost of one process for both: %+v", shared)
	}
}

func TestTheTargetsProcessesAreMeasured(t *testing.T) {
	l := small(func(l *Load) { l.WindowNS = 300e6 })
	r, err := Run(t.Context(), straight{}, l, []int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Cost.SharedProcess || r.Cost.TargetPeakBytes == 0 || r.Cost.WallNS == 0 || r.Completed == 0 {
		t.Errorf("cost %+v", r.Cost)
	}
}

// straight is a target of connections that answer at once.
type straight struct{}

func (straight) Connect(context.Context, int, Load) (Conn, error) { return nowhere{}, nil }
