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

	Processes []ProcessCost      `json:"processes,omitempty"` // of the target, in the order given
	Counters  map[string]float64 `json:"counters,omitempty"`  // growth, of a target that is an [Observer]
	Gauges    map[string]float64 `json:"gauges,omitempty"`    // mean of both readings
	// CountersNS is the time between the two readings of the counters.
	CountersNS int64 `json:"counters_ns,omitempty"`
}

// ProcessCost is one process of the target.
type ProcessCost struct {
	Role      string `json:"role,omitempty"`
	CPUNS     uint64 `json:"cpu_ns"`
	PeakBytes uint64 `json:"peak_bytes"`
}

// Roles names the processes, in the order in which they were given.
func (c *Cost) Roles(roles []string) {
	for i := range min(len(roles), len(c.Processes)) {
		c.Processes[i].Role = roles[i]
	}
}

// Observation is what a target counts.
type Observation struct {
	Counters map[string]float64 // only ever grow
	Gauges   map[string]float64
}

// Observer is a target that counts what its inside does. It is read at both ends of the window.
type Observer interface {
	Observe(ctx context.Context) (Observation, error)
}

// Measure reads the processes, and what o counts unless it is nil, at both ends of a window, and sleeps in
// between. Times are those of now.
func Measure(ctx context.Context, now func() int64, from, to int64, pids []int, o Observer) (Cost, error) {
	self := os.Getpid()
	target := probe.Target{Processes: append(slices.Clone(pids), self)}
	if slices.Contains(pids, self) {
		target.Processes = pids
	}
	sleep(ctx, from-now())
	before, first, err := readings(ctx, now, target, o)
	if err != nil {
		return Cost{}, err
	}
	sleep(ctx, to-now())
	after, last, err := readings(ctx, now, target, o)
	if err != nil {
		return Cost{}, err
	}
	c := cost(before, after, pids, self)
	c.CountersNS = last.at - first.at
	c.Counters = combine(last.Counters, first.Counters, func(b, a float64) float64 { return b - a })
	c.Gauges = combine(last.Gauges, first.Gauges, func(b, a float64) float64 { return (a + b) / 2 })
	return c, nil
}

type reading struct {
	Observation
	at int64
}

// readings reads the processes first: reading the counters costs them something.
func readings(ctx context.Context, now func() int64, t probe.Target, o Observer) (s probe.Snapshot, r reading,
	err error) {
	if s, err = probe.Read(t); err != nil || o == nil {
		return s, r, err
	}
	r.at = now()
	r.Observation, err = o.Observe(ctx)
	return s, r, err
}

func combine(last, first map[string]float64, f func(last, first float64) float64) map[string]float64 {
	if last == nil {
		return nil
	}
	all := make(map[string]float64, len(last))
	for name, v := range last {
		all[name] = f(v, first[name])
	}
	return all
}

func cost(before, after probe.Snapshot, pids []int, self int) Cost {
	d := probe.Between(before, after)
	c := Cost{WallNS: d.WallNS, SharedProcess: slices.Contains(pids, self), StealRatio: d.Core().StealRatio()}
	for _, pid := range pids {
		if _, ok := after.Processes[pid]; !ok {
			c.Gone = append(c.Gone, pid)
		}
		c.TargetCPUNS += d.Clock[pid]
		c.Processes = append(c.Processes, ProcessCost{CPUNS: d.Clock[pid], PeakBytes: d.Memory[pid].Peak})
		c.TargetPeakBytes += d.Memory[pid].Peak
		c.TargetBytes += d.Memory[pid].Resident
	}
	if !c.SharedProcess {
		c.GeneratorCPUNS, c.GeneratorBytes = d.Clock[self], d.Memory[self].Resident
	}
	return c
}

// Per divides by the operations completed, a second by a second: on a busy machine the readings are
// not quite as far apart as the window is long.
func (c Cost) Per(opsPerSecond float64) Cost {
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
