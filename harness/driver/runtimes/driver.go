package runtimes

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"metronome/harness/driver/edgeproc"
	"metronome/harness/driver/runtimes/wait4"
	"metronome/harness/factorial"
)

// Driver measures clients in several languages. Its zero value runs from the repository's root.
type Driver struct {
	Root string   // of the repository; "" = where we are
	Edge []string // the edge server's command; nil = bin/metronome edge
}

// Open builds the clients and starts an edge.
func (d Driver) Open(ctx context.Context, env factorial.Env) (factorial.Session, error) {
	s := &session{dir: env.Dir, seed: env.Seed, made: map[work]*state{}}
	var err error
	s.launcher.CPU = -1
	edgeCPU := -1
	if cores := usable(); len(cores) > 1 {
		edgeCPU, s.launcher.CPU = cores[0], cores[len(cores)-1]
	} else {
		s.flags = append(s.flags, "client and edge share a core")
	}
	command := d.Edge
	if command == nil {
		command = []string{filepath.Join(env.Bin, "metronome"), "edge"}
		if err := missing(command[0]); err != nil {
			return nil, err
		}
	}
	s.launcher.Path, s.languages, err = build(ctx, cmp.Or(d.Root, "."), filepath.Join(env.Bin, "clients"))
	if err != nil {
		return nil, err
	}
	s.edge, err = edgeproc.Start(ctx, edgeproc.Config{Command: command, Dir: filepath.Join(env.Dir, "edge"),
		Log: filepath.Join(env.Logs, fmt.Sprintf("edge-%d.log", env.Block)), CPU: edgeCPU})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// usable lists the cores that this process may run on.
func usable() (cores []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cores = append(cores, cpu)
		}
	}
	return cores
}

// session is one edge and the workloads made for it.
type session struct {
	dir       string
	seed      uint64
	flags     []string
	launcher  wait4.Launcher
	languages map[string]language
	edge      *edgeproc.Edge
	made      map[work]*state
	newest    *state // whose keys and values are in memory
}

// Close implements factorial.Session.
func (s *session) Close() error { return s.edge.Stop() }
