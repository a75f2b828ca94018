package daemon

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiter lets a poll loop sleep until a descriptor becomes readable, somebody wakes it, or time is up. An idle
// process must cost next to nothing, and a busy one no system call it does not need.
//
// A goroutine in ppoll is awake soonest, but to Go's scheduler it looks busy: a thread of the runtime (sysmon)
// then comes round every 20 µs to see whether it blocks others, which costs more than everything else that an
// idle process does. So after a first short ppoll the sleep is the runtime's own, in its network poller.
type waiter struct {
	fds      []unix.PollFd // the first is the event descriptor
	sleeping atomic.Bool
	long     *os.File // an epoll descriptor of fds, which the runtime's poller watches
	raw      syscall.RawConn
	quiet    bool // the last sleep was long
}

func newWaiter(descriptors ...int) (w *waiter, err error) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("daemon: eventfd: %w", err)
	}
	w = &waiter{fds: []unix.PollFd{{Fd: int32(event), Events: unix.POLLIN}}}
	for _, fd := range descriptors {
		if fd >= 0 {
			w.fds = append(w.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	if err := w.watch(); err != nil {
		return nil, errors.Join(fmt.Errorf("daemon: epoll: %w", err), unix.Close(event))
	}
	return w, nil
}

// watch makes the descriptor that long sleeps wait for.
func (w *waiter) watch() error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	for i := range w.fds {
		e := unix.EpollEvent{Events: unix.EPOLLIN}
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(w.fds[i].Fd), &e); err != nil {
			return errors.Join(err, unix.Close(epoll))
		}
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // or the runtime would not watch it
		return errors.Join(err, unix.Close(epoll))
	}
	w.long = os.NewFile(uintptr(epoll), "epoll")
	w.raw, err = w.long.SyscallConn()
	return err
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

// brief is how long a process that was busy a moment ago waits in ppoll.
const brief = time.Millisecond

// sleep waits for at most d.
func (w *waiter) sleep(d time.Duration) {
	switch {
	case d <= brief:
		w.poll(d)
	case w.quiet || !w.poll(brief):
		w.rest(d)
	}
	w.sleeping.Store(false)
	var b [8]byte
	_, _ = unix.Read(int(w.fds[0].Fd), b[:]) // a wake-up that was taken, if there was one
}

// poll waits in ppoll; it reports whether a descriptor is readable.
func (w *waiter) poll(d time.Duration) bool {
	ts := unix.NsecToTimespec(max(d, 0).Nanoseconds())
	n, _, errno := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&w.fds[0])), uintptr(len(w.fds)),
		uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	return errno == 0 && n > 0
}

// rest waits in the runtime's poller.
func (w *waiter) rest(d time.Duration) {
	from := time.Now()
	// Either of them can only fail once the waiter is closed; a passed deadline is no failure.
	_ = w.long.SetReadDeadline(from.Add(d))
	_ = w.raw.Read(func(fd uintptr) bool {
		var e [1]unix.EpollEvent
		n, err := unix.EpollWait(int(fd), e[:], 0)
		return n > 0 || err != nil && err != unix.EINTR //nolint:errorlint // an errno
	})
	w.quiet = time.Since(from) > brief
}

func (w *waiter) close() {
	_ = w.long.Close()
	_ = unix.Close(int(w.fds[0].Fd))
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
