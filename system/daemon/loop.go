package daemon

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// waiter lets a poll loop sleep until a descriptor becomes readable, somebody wakes it, or time is
// up. An idle process must cost next to nothing, and a busy one no system call it does not need.
//
// It waits the Go way, through the runtime's poller, because what wakes a loop is mostly a
// goroutine that has just read a stream: handing over to the loop is then a switch of goroutines on
// the same thread, where a system call of the loop's own would have to be ended from another
// thread.
type waiter struct {
	woken    chan struct{}
	watches  []*watch
	timer    *time.Timer
	sleeping atomic.Bool
}

// watch is a goroutine that waits for one descriptor, once each time it is armed.
type watch struct {
	file  *os.File // a duplicate: closing it ends the goroutine and leaves the original open
	arm   chan struct{}
	armed bool // the loop's own
	done  atomic.Bool
}

func newWaiter(descriptors ...int) (*waiter, error) {
	w := &waiter{woken: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	for _, fd := range descriptors {
		if fd < 0 {
			continue
		}
		if err := w.watch(fd); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

func (w *waiter) watch(fd int) error {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(dup, true)
	}
	if err != nil {
		return fmt.Errorf("daemon: watch a descriptor: %w", err)
	}
	x := &watch{file: os.NewFile(uintptr(dup), "port"), arm: make(chan struct{}, 1)}
	raw, err := x.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("daemon: watch a descriptor: %w", err)
	}
	w.watches = append(w.watches, x)
	go func() {
		for range x.arm {
			if raw.Read(readable) != nil {
				return // closed
			}
			x.done.Store(true)
			w.wake()
		}
	}()
	return nil
}

// readable reports whether a descriptor has something to read now; the poller waits until it has.
func readable(fd uintptr) bool {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p[:], 0)
	return err == nil && n > 0
}

// wake ends a sleep, or the next one before it begins. It may be called from any goroutine.
func (w *waiter) wake() {
	if w.sleeping.Load() {
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
}

// prepare announces a sleep. What the caller looks at between prepare and sleep cannot be missed.
func (w *waiter) prepare() {
	w.announce()
	for _, x := range w.watches {
		if x.done.Swap(false) {
			x.armed = false
		}
		if !x.armed {
			x.armed = true
			x.arm <- struct{}{}
		}
	}
}

// announce is prepare for a sleep that no descriptor is to end.
func (w *waiter) announce() { w.sleeping.Store(true) }

// sleep waits for at most d.
func (w *waiter) sleep(d time.Duration) {
	w.timer.Reset(d)
	select {
	case <-w.woken:
	case <-w.timer.C:
	}
	w.sleeping.Store(false)
}

func (w *waiter) close() {
	for _, x := range w.watches {
		_ = x.file.Close()
		close(x.arm)
	}
	w.watches = nil
}

// pin locks the goroutine to its thread, and the thread to a CPU if one is given.
func pin(cpu *int) error {
	if cpu == nil {
		return nil
	}
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(*cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("daemon: pin to CPU %d: %w", *cpu, err)
	}
	return nil
}

// clock is the monotonic clock of a process, in nanoseconds.
type clock struct{ start time.Time }

func newClock() clock { return clock{time.Now().Add(-time.Second)} }

func (c clock) now() int64 { return int64(time.Since(c.start)) }

// yieldCore lets other processes have the core, if any wants it.
func yieldCore() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
