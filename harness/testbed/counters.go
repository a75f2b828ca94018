package testbed

import (
	"io/fs"
	"os"
	"strconv"

	"metronome/harness/probe"
)

// Counters are what may have spoilt a measurement, as totals since boot. Take them before and after a
// run and subtract. A counter the host does not have is nil: unknown, which is not zero.
type Counters struct {
	StealTicks     *uint64 `json:"steal_ticks"`     // time the hypervisor took, ticks of 10 ms, all cores
	CPUTicks       *uint64 `json:"cpu_ticks"`       // all time of all cores, the same unit
	CoreThrottles  *uint64 `json:"core_throttles"`  // times a core slowed down for heat
	GroupThrottles *uint64 `json:"group_throttles"` // times our control group ran out of its CPU quota
	SwapIns        *uint64 `json:"swap_ins"`        // pages read back from swap
}

// ReadCounters reads this host's counters.
func ReadCounters() Counters { return countersIn(os.DirFS("/")) }

func countersIn(root fs.FS) Counters {
	c := Counters{
		CoreThrottles: sumFiles(root,
			"sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count"),
		GroupThrottles: number(valueOfCounter(root, "sys/fs/cgroup/cpu.stat", "nr_throttled")),
		SwapIns:        number(valueOfCounter(root, "proc/vmstat", "pswpin")),
	}
	if c.GroupThrottles == nil { // control groups, version 1
		c.GroupThrottles = number(valueOfCounter(root, "sys/fs/cgroup/cpu/cpu.stat", "nr_throttled"))
	}
	b, err := fs.ReadFile(root, "proc/stat")
	if err != nil {
		return c
	}
	cores, err := probe.ParseStat(b)
	if err != nil {
		return c
	}
	var steal, total uint64
	for _, t := range cores {
		steal, total = steal+t.Steal, total+t.Total()
	}
	c.StealTicks, c.CPUTicks = &steal, &total
	return c
}

func valueOfCounter(root fs.FS, name, key string) string { return valueOf(root, name, key, " ") }

func number(s string) *uint64 {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return nil
	}
	return &v
}

// sumFiles adds up the numbers in all files of a pattern; nil if there is none.
func sumFiles(root fs.FS, pattern string) *uint64 {
	files, _ := fs.Glob(root, pattern)
	var sum *uint64
	for _, f := range files {
		if v := number(readTrim(root, f)); v != nil {
			if sum == nil {
				sum = new(uint64)
			}
			*sum += *v
		}
	}
	return sum
}

// Since is the growth since an earlier reading.
func (c Counters) Since(before Counters) Counters {
	return Counters{
		StealTicks:     since(c.StealTicks, before.StealTicks),
		CPUTicks:       since(c.CPUTicks, before.CPUTicks),
		CoreThrottles:  since(c.CoreThrottles, before.CoreThrottles),
		GroupThrottles: since(c.GroupThrottles, before.GroupThrottles),
		SwapIns:        since(c.SwapIns, before.SwapIns),
	}
}

func since(now, then *uint64) *uint64 {
	if now == nil || then == nil {
		return nil
	}
	d := *now - min(*now, *then)
	return &d
}

// StealRatio is the share of CPU time the hypervisor took, 0 to 1; 0 if unknown.
func (c Counters) StealRatio() float64 {
	if c.StealTicks == nil || c.CPUTicks == nil || *c.CPUTicks == 0 {
		return 0
	}
	return float64(*c.StealTicks) / float64(*c.CPUTicks)
}
