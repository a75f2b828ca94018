package kv

import (
	"context"
	"os"
	"slices"
	"time"

	"metronome/harness/probe"
)

// Cost is what the window cost. CPU times are those of the processes' CPU clocks, which hold all
// threads, ended ones included.
type Cost struct {
	WallNS int64 `json:"wall_ns"` // between the two readings; the window, unless the machine is too busy
	// SharedProcess says that target and generator are one process, charged to the target.
	SharedProcess   bool    `json:"shared_process"`
	TargetCPUNS     uint64  `json:"target_cpu_ns"`
	GeneratorCPUNS  uint64  `json:"generator_cpu_ns"`
	TargetCPUPerOp  float64 `json:"target_cpu_us_per_op"` // µs, over operations completed in the window
	CPUPerOp        float64 `json:"cpu_us_per_op"`        // µs, target and generator together
	TargetPeakBytes uint64  `json:"target_peak_bytes"`    // sum of the processes' peaks
	TargetBytes     uint64  `json:"target_resident_bytes"`
	GeneratorBytes  uint64  `json:"generator_resident_bytes"`
	StealRatio      float64 `json:"steal_ratio"` // of all cores' time
	Gone            []int   `json:"gone,omitempty"`
}

// measure reads the processes at both ends of the window, and sleeps in between.
func measure(ctx context.Context, now func() int64, from, to int64, pids []int) (Cost, error) {
	self := os.Getpid()
	target := probe.Target{Processes: append(slices.Clone(pids), self)}
	if slices.Contains(pids, self) {
		target.Processes = pids
	}
	sleep(ctx, from-now())
	before, err := probe.Read(target)
	if err != nil {
		return Cost{}, err
	}
	sleep(ctx, to-now())
	after, err := probe.Read(target)
	if err != nil {
		return Cost{}, err
	}
	return cost(before, after, pids, self), nil
}

func cost(before, after probe.Snapshot, pids []int, self int) Cost {
	d := probe.Between(before, after)
	c := Cost{WallNS: d.WallNS, SharedProcess: slices.Contains(pids, self), StealRatio: d.Core().StealRatio()}
	for _, pid := range pids {
		if _, ok := after.Processes[pid]; !ok {
			c.Gone = append(c.Gone, pid)
		}
		c.TargetCPUNS += d.Clock[pid]
		c.TargetPeakBytes += d.Memory[pid].Peak
		c.TargetBytes += d.Memory[pid].Resident
	}
	if !c.SharedProcess {
		c.GeneratorCPUNS, c.GeneratorBytes = d.Clock[self], d.Memory[self].Resident
	}
	return c
}

// per divides by the operations completed, a second by a second: on a busy machine the readings are
// not quite as far apart as the window is long.
func (c Cost) per(opsPerSecond float64) Cost {
	if ops := opsPerSecond * float64(c.WallNS) / 1e9; ops > 0 {
		c.TargetCPUPerOp = float64(c.TargetCPUNS) / ops / 1e3
		c.CPUPerOp = float64(c.TargetCPUNS+c.GeneratorCPUNS) / ops / 1e3
	}
	return c
}

func sleep(ctx context.Context, ns int64) {
	t := time.NewTimer(time.Duration(ns))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
