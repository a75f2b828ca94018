package run

import (
	"fmt"

	"golang.org/x/sys/unix"

	"metronome/harness/sim"
	"metronome/harness/spec"
	"metronome/internal/mutate"
)

// SimResult is what a piece of work of the simulator found.
type SimResult struct {
	Seeds      int               `json:"seeds"`
	Violations int               `json:"violations"`
	Caught     bool              `json:"caught"`
	Violation  string            `json:"violation,omitempty"` // the first
	Replay     string            `json:"replay,omitempty"`
	Operations uint64            `json:"operations"`
	Answered   uint64            `json:"answered"`
	Items      uint64            `json:"items"`
	Events     uint64            `json:"events"`
	VirtualNS  int64             `json:"virtual_ns"`
	CPUNS      int64             `json:"cpu_ns"`
	Coverage   map[string]uint64 `json:"coverage,omitempty"` // empty of a mutation
}

// SimFamilies and SimMutations are what the simulator has, by name, with what they mean.
func SimFamilies() (names []string, docs map[string]string) {
	docs = map[string]string{}
	for _, p := range sim.Profiles {
		names, docs[p.Name] = append(names, p.Name), p.Doc
	}
	return names, docs
}

// SimMutations are the ways to break the protocol on purpose.
func SimMutations() (names []string, docs map[string]string) {
	docs = map[string]string{}
	for _, m := range mutate.All() {
		names, docs[m.String()] = append(names, m.String()), m.Doc()
	}
	return names, docs
}

// Simulate does a piece of work in this process, which must do nothing else meanwhile. A mutation needs a
// build with the tag "mutation". It is caught by the first seed under which it shows a violation and the
// protocol as it is shows none.
func Simulate(task spec.SimTask) (r SimResult, err error) {
	m, ok := mutate.Parse(task.Mutation)
	if task.Mutation == "" {
		m, ok = mutate.None, true
	}
	switch {
	case !ok:
		return r, fmt.Errorf("there is no mutation %q", task.Mutation)
	case m != mutate.None && !mutate.Enabled:
		return r, fmt.Errorf("mutation %v: not in this build: use the tag mutation", m)
	}
	system, err := sim.StoreBy(m.Orderer()) // a rule of one algorithm is broken in that one
	if err != nil {
		return r, err
	}
	families := sim.FamiliesFor(m)
	before := cpuTime()
	r.Coverage = map[string]uint64{}
	for ; r.Seeds < task.Seeds && !r.Caught; r.Seeds++ {
		c := sim.Config{Seed: task.First + uint64(r.Seeds), Profile: task.Family, System: system, Mutation: m}
		if task.Family == "" {
			c.Profile = families[r.Seeds%len(families)]
		}
		if err := r.one(c); err != nil {
			return r, err
		}
	}
	r.CPUNS = cpuTime() - before
	return r, nil
}

// one adds one simulation.
func (r *SimResult) one(c sim.Config) error {
	report, err := sim.Run(c)
	if err != nil {
		return err
	}
	r.Operations, r.Answered = r.Operations+uint64(report.Operations), r.Answered+uint64(report.Answered)
	r.Items, r.Events = r.Items+uint64(report.Items), r.Events+report.Events
	r.VirtualNS += report.Virtual
	sim.Coverage(r.Coverage).Merge(report.Coverage)
	if len(report.Violations) == 0 {
		return nil
	}
	if c.Mutation != mutate.None {
		c.Mutation = mutate.None
		sound, err := sim.Run(c)
		if err != nil || len(sound.Violations) > 0 {
			return err // the protocol as it is breaks under this seed: not the mutation's doing
		}
		r.Caught = true
	} else {
		r.Violations++
	}
	if r.Violation == "" {
		r.Violation, r.Replay = report.Violations[0].String(), report.Replay()
	}
	return nil
}

// cpuTime is what this process has used.
func cpuTime() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
