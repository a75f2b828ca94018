package main

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is how late the kernel may fire a server's timers, so that it can fire several together. None of
// ours needs more: the runtime's own are of whole milliseconds. What it is for is the Go runtime's monitor:
// whenever the process is awake, that thread sleeps 20 µs, again and again, and with the kernel's default of
// 50 µs this is half of all context switches of an idle cluster, and a quarter of the time of a lone put.
const (
	timerSlack   = 500 * time.Microsecond
	defaultSlack = 50 * time.Microsecond
)

// servesOnly reports whether a command line starts a server, to whom late timers do no harm: a replica, a proxy, or
// the proxy that loads itself, unless that one has to submit at given times.
func servesOnly(args []string) bool {
	switch {
	case len(args) > 0 && (args[0] == "replica" || args[0] == "proxy"):
		return true
	case len(args) < 2 || args[0] != "bench" || args[1] != "load":
		return false
	}
	for i, a := range args {
		rate, ok := strings.CutPrefix(a, "--rate=")
		if a == "--rate" && i+1 < len(args) {
			rate, ok = args[i+1], true
		}
		if ok && rate != "0" {
			return false
		}
	}
	return true
}

// relaxed marks a process that was started again by relaxTimers.
const relaxed = "METRONOME_TIMERS_RELAXED"

// relaxTimers starts this program again with timerSlack: a thread's slack is its creator's, and the monitor
// runs before main does. Nothing changes if somebody chose a slack (TimerSlackNSec of systemd), or if it cannot
// be done. It has to be main's first act: only the first thread keeps the parent-death signal over exec.
func relaxTimers() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Gettid() != os.Getpid() || os.Getenv(relaxed) != "" {
		return
	}
	now, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || time.Duration(now) != defaultSlack {
		return
	}
	exe, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0) != nil {
		return
	}
	_ = syscall.Exec(exe, os.Args, append(os.Environ(), relaxed+"=1")) // returns only if it failed
}
