package daemon

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiter lets a poll loop sleep until a descriptor becomes readable, somebody wakes it, or time is up. An idle
// process must cost next to nothing, and a busy one no system call it does not need.
type waiter struct {
	fds      []unix.PollFd // the first is the event descriptor
	sleeping atomic.Bool
}

func newWaiter(descriptors ...int) (*waiter, error) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("daemon: eventfd: %w", err)
	}
	w := &waiter{fds: []unix.PollFd{{Fd: int32(event), Events: unix.POLLIN}}}
	for _, fd := range descriptors {
		if fd >= 0 {
			w.fds = append(w.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	return w, nil
}

var one = [8]byte{1}

// wake ends a sleep, or the next one before it begins. It may be called from any goroutine.
func (w *waiter) wake() {
	if w.sleeping.Swap(false) {
		// An event descriptor takes 8 bytes or is full, and then readable already.
		_, _ = unix.Write(int(w.fds[0].Fd), one[:])
	}
}

// prepare announces a sleep. What the caller looks at between prepare and sleep cannot be missed.
func (w *waiter) prepare() { w.sleeping.Store(true) }

// sleep waits for at most d.
func (w *waiter) sleep(d time.Duration) {
	ts := unix.NsecToTimespec(max(d, 0).Nanoseconds())
	n, _, errno := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&w.fds[0])), uintptr(len(w.fds)),
		uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	w.sleeping.Store(false)
	if errno == 0 && n > 0 && w.fds[0].Revents != 0 {
		var b [8]byte
		_, _ = unix.Read(int(w.fds[0].Fd), b[:])
	}
}

func (w *waiter) close() { _ = unix.Close(int(w.fds[0].Fd)) }

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
