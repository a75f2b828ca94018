package probe

import "slices"

// Delta is what happened between two snapshots of one target.
type Delta struct {
	WallNS  int64               `json:"wall_ns"`
	Cores   map[int]CPUTimes    `json:"cores_sampled"` // growth, in ticks of [TickNS]
	Threads map[int]Thread      `json:"threads"`       // growth, by tid
	Clock   map[int]uint64      `json:"clock_ns"`      // CPU time by pid, ended threads included
	Gone    []int               `json:"gone,omitempty"`
	Net     Net                 `json:"net"`
	Softnet []Softnet           `json:"softnet,omitempty"`
	Links   map[string]Counters `json:"links,omitempty"`
	Devices map[string]Counters `json:"devices,omitempty"`
	Memory  map[int]Memory      `json:"memory"` // by pid, at the later snapshot
	Sockets []UDPSocket         `json:"sockets,omitempty"`
}

// Between subtracts the earlier snapshot a from the later one b. A thread that b has and a has not is
// counted from its beginning. One that a has and b has not is named in Gone: its time is missing
// from Threads, but not from its process's Clock.
func Between(a, b Snapshot) Delta {
	d := Delta{
		WallNS: b.AtNS - a.AtNS, Net: b.Net.Sub(a.Net).net(), Sockets: b.Sockets,
		Cores: make(map[int]CPUTimes), Threads: make(map[int]Thread),
		Clock: make(map[int]uint64), Memory: make(map[int]Memory),
		Links: make(map[string]Counters), Devices: make(map[string]Counters),
	}
	for core, t := range b.Cores {
		d.Cores[core] = t.sub(a.Cores[core])
	}
	for tid, t := range b.Threads {
		t.Sched = t.sub(a.Threads[tid].Sched)
		d.Threads[tid] = t
	}
	for tid := range a.Threads {
		if _, ok := b.Threads[tid]; !ok {
			d.Gone = append(d.Gone, tid)
		}
	}
	slices.Sort(d.Gone)
	for pid, p := range b.Processes {
		d.Clock[pid] = p.ClockNS - a.Processes[pid].ClockNS
		d.Memory[pid] = p.Memory
	}
	for name, c := range b.Links {
		d.Links[name] = c.Sub(a.Links[name])
	}
	for name, c := range b.Devices {
		d.Devices[name] = c.Sub(a.Devices[name])
	}
	d.Softnet = softnetBetween(a.Softnet, b.Softnet)
	return d
}

func softnetBetween(a, b []Softnet) []Softnet {
	before := make(map[int]Softnet, len(a))
	for _, s := range a {
		before[s.Core] = s
	}
	var all []Softnet
	for _, s := range b {
		all = append(all, s.sub(before[s.Core]))
	}
	return all
}

// RunNS is the CPU time of the target's threads: every thread of its processes and its kernel threads.
func (d Delta) RunNS() uint64 {
	var ns uint64
	for _, t := range d.Threads {
		ns += t.RunNS
	}
	return ns
}

// ThreadNS is the CPU time of one thread, 0 if it is not the target's.
func (d Delta) ThreadNS(tid int) uint64 { return d.Threads[tid].RunNS }

// Core sums the given cores' sampled times; without any, all cores'.
func (d Delta) Core(cores ...int) CPUTimes {
	var sum CPUTimes
	if len(cores) == 0 {
		for _, t := range d.Cores {
			sum = sum.add(t)
		}
	}
	for _, c := range cores {
		sum = sum.add(d.Cores[c])
	}
	return sum
}
