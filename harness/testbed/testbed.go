package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sync"
)

// Testbed owns what one run changes on this host. Its methods may be called from any goroutine.
type Testbed struct {
	dir string

	mu     sync.Mutex
	state  state
	host   *thread  // starts children in the host's own namespace; made on demand
	ns     []*Netns // in the order they were made
	closed bool
}

// idPattern keeps ids fit for file and namespace names.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Open registers a testbed under a run id: 1 to 64 letters, digits, dots, dashes, underscores. It
// fails if a living process already uses the id; remains of a dead one are removed first.
func Open(id string) (*Testbed, error) { return openIn(runDir(), id) }

func openIn(dir, id string) (*Testbed, error) {
	if !idPattern.MatchString(id) {
		return nil, fmt.Errorf("open testbed: id %q is not 1 to 64 letters, digits, '.', '-', '_'", id)
	}
	owner, err := identify(os.Getpid())
	if err != nil {
		return nil, fmt.Errorf("open testbed: %w", err)
	}
	t := &Testbed{dir: dir, state: state{ID: id, Boot: bootID(), Owner: owner}}
	err = withLock(dir, func() error {
		if err := evict(dir, id); err != nil {
			return err
		}
		return t.state.save(dir)
	})
	if err != nil {
		return nil, fmt.Errorf("open testbed: %w", err)
	}
	return t, nil
}

// ID returns the run id the testbed was opened under.
func (t *Testbed) ID() string { return t.state.ID }

// record changes the state and saves it. The caller makes the change itself only if that worked.
func (t *Testbed) record(change func(*state)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.recordLocked(change)
}

func (t *Testbed) recordLocked(change func(*state)) error {
	if t.closed {
		return errors.New("testbed is closed")
	}
	change(&t.state)
	return t.state.save(t.dir)
}

// Track records a file, socket or empty directory that Close removes, such as a memif socket that a
// killed child would leave.
func (t *Testbed) Track(path string) error {
	return t.record(func(s *state) {
		if !slices.Contains(s.Paths, path) {
			s.Paths = append(s.Paths, path)
		}
	})
}

// Start starts a command in the host's own network namespace; see [Netns.Start] for what happens to
// the child.
func (t *Testbed) Start(cmd *exec.Cmd, cpus ...int) error {
	th, err := t.hostThread()
	if err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return t.startOn(th, cmd, cpus)
}

func (t *Testbed) hostThread() (*thread, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errors.New("testbed is closed")
	}
	if t.host == nil {
		th, err := startThread(nil)
		if err != nil {
			return nil, err
		}
		t.host = th
	}
	return t.host, nil
}

// startOn starts a command from a long-lived thread and records the child.
func (t *Testbed) startOn(th *thread, cmd *exec.Cmd, cpus []int) error {
	if err := th.start(cmd, cpus); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	child, err := identify(cmd.Process.Pid)
	if err != nil {
		_ = cmd.Process.Kill()
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	err = t.record(func(s *state) {
		s.Children = slices.DeleteFunc(s.Children, func(p process) bool { return !p.alive() })
		s.Children = append(s.Children, child)
	})
	if err != nil {
		child.kill()
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return nil
}

// Close kills the testbed's children, removes its namespaces, veths and files, and restores what it
// reserved. It may be called again. After an error the state file stays for [Sweep] to try again.
func (t *Testbed) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	t.state.killChildren()
	for _, n := range t.ns {
		n.release()
	}
	if t.host != nil {
		t.host.stop()
	}
	return withLock(t.dir, func() error { return remove(t.dir, &t.state) })
}
