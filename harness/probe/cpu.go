package probe

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Sched is what the scheduler knows of one thread since it began.
type Sched struct {
	RunNS  uint64 `json:"run_ns"`  // on a core
	WaitNS uint64 `json:"wait_ns"` // ready to run, but another thread had the core
	Slices uint64 `json:"slices"`  // times it was put on a core
}

// sub is the growth. A thread that ran less than before is another one that got its number.
func (s Sched) sub(from Sched) Sched {
	if s.RunNS < from.RunNS || s.WaitNS < from.WaitNS || s.Slices < from.Slices {
		return s
	}
	return Sched{s.RunNS - from.RunNS, s.WaitNS - from.WaitNS, s.Slices - from.Slices}
}

// ParseSchedstat reads /proc/<pid>/task/<tid>/schedstat.
func ParseSchedstat(b []byte) (Sched, error) {
	var s Sched
	f := strings.Fields(string(b))
	if len(f) != 3 {
		return s, fmt.Errorf("schedstat: %d fields, want 3", len(f))
	}
	for i, dst := range []*uint64{&s.RunNS, &s.WaitNS, &s.Slices} {
		v, err := strconv.ParseUint(f[i], 10, 64)
		if err != nil {
			return Sched{}, fmt.Errorf("schedstat: %w", err)
		}
		*dst = v
	}
	return s, nil
}

// TickNS is the unit of [CPUTimes]: USER_HZ is 100 on every Linux this runs on, whatever HZ is.
const TickNS = 10_000_000

// CPUTimes is how one core spent its time since boot, in ticks of [TickNS], sampled. Guest time is
// contained in User and GuestNice in Nice, as the kernel counts them.
type CPUTimes struct {
	User, Nice, System, Idle, IOWait, IRQ, SoftIRQ, Steal, Guest, GuestNice uint64
}

func (c *CPUTimes) fields() []*uint64 {
	return []*uint64{&c.User, &c.Nice, &c.System, &c.Idle, &c.IOWait, &c.IRQ, &c.SoftIRQ,
		&c.Steal, &c.Guest, &c.GuestNice}
}

// sub is clamped at 0: the kernel's idle and iowait figures may go back by a tick.
func (c CPUTimes) sub(from CPUTimes) CPUTimes {
	now, then := c.fields(), from.fields()
	for i := range now {
		*now[i] -= min(*now[i], *then[i])
	}
	return c
}

func (c CPUTimes) add(d CPUTimes) CPUTimes {
	to, more := c.fields(), d.fields()
	for i := range to {
		*to[i] += *more[i]
	}
	return c
}

// Total is all ticks, in which each is counted once.
func (c CPUTimes) Total() uint64 {
	return c.User + c.Nice + c.System + c.Idle + c.IOWait + c.IRQ + c.SoftIRQ + c.Steal
}

// StealRatio is the share of time the hypervisor gave to somebody else, 0 to 1.
func (c CPUTimes) StealRatio() float64 {
	if c.Total() == 0 {
		return 0
	}
	return float64(c.Steal) / float64(c.Total())
}

// ParseStat reads the cores' lines of /proc/stat, by core number. Cores that are offline have none.
func ParseStat(b []byte) (map[int]CPUTimes, error) {
	cores := make(map[int]CPUTimes)
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) == 0 || f[0] == "cpu" || !strings.HasPrefix(f[0], "cpu") {
			continue
		}
		core, err := strconv.Atoi(f[0][len("cpu"):])
		if err != nil {
			return nil, fmt.Errorf("stat: core %q: %w", f[0], err)
		}
		var t CPUTimes
		for i, dst := range t.fields() {
			if i+1 >= len(f) {
				break // an older kernel with fewer columns
			}
			if *dst, err = strconv.ParseUint(f[i+1], 10, 64); err != nil {
				return nil, fmt.Errorf("stat: %s: %w", f[0], err)
			}
		}
		cores[core] = t
	}
	if len(cores) == 0 {
		return nil, errors.New("stat: no core in it")
	}
	return cores, nil
}
