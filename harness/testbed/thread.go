package testbed

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// thread is an operating-system thread that stays: it may live in another namespace, and it is the
// parent of the children it starts. A child's parent-death signal fires when the *thread* that
// forked it ends, not the process (prctl(2), PR_SET_PDEATHSIG), and Go ends threads as it likes.
type thread struct {
	jobs chan func()
	quit chan struct{}
	tid  int
}

// startThread makes a thread and runs setup on it, which may be nil. The thread never returns to
// Go's pool, so setup may change its namespaces.
func startThread(setup func() error) (*thread, error) {
	t := &thread{jobs: make(chan func()), quit: make(chan struct{})}
	ready := make(chan error)
	go t.run(setup, ready)
	if err := <-ready; err != nil {
		return nil, err
	}
	return t, nil
}

// run locks its goroutine to a thread for good; returning from it then ends the thread.
func (t *thread) run(setup func() error, ready chan<- error) {
	runtime.LockOSThread()
	t.tid = unix.Gettid()
	if t.tid == unix.Getpid() {
		// The process's first thread: /proc/self would show our namespace as the process's. As
		// long as this goroutine holds it, another goroutine gets another thread.
		started := make(chan error)
		go t.run(setup, started)
		err := <-started
		runtime.UnlockOSThread()
		ready <- err
		return
	}
	if setup != nil {
		if err := setup(); err != nil {
			ready <- err
			return
		}
	}
	ready <- nil
	for {
		select {
		case f := <-t.jobs:
			f()
		case <-t.quit:
			return
		}
	}
}

// do runs f on the thread and returns its error.
func (t *thread) do(f func() error) error {
	res := make(chan error, 1)
	select {
	case t.jobs <- func() { res <- f() }:
		return <-res
	case <-t.quit:
		return errors.New("testbed is closed")
	}
}

// stop ends the thread, and with it the children it started. It waits for a running job.
func (t *thread) stop() { close(t.quit) }

// start starts cmd from the thread: the child inherits the thread's namespaces, leads a process group
// of its own, is killed when the thread ends, and begins on the given cores if there are any.
func (t *thread) start(cmd *exec.Cmd, cpus []int) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return t.do(func() error {
		if len(cpus) == 0 {
			return cmd.Start()
		}
		return withAffinity(cpus, cmd.Start)
	})
}

// withAffinity runs f with the calling thread on the given cores, which a child forked by f inherits.
func withAffinity(cpus []int, f func() error) error {
	var old, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return fmt.Errorf("read affinity: %w", err)
	}
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to cores %v: %w", cpus, err)
	}
	return errors.Join(f(), unix.SchedSetaffinity(0, &old))
}
