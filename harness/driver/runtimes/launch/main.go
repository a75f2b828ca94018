// Command launch runs a program, waits for it by wait4, and writes what it used to descriptor 3.
//
//	launch CPU PROGRAM [ARGUMENT...]
//
// CPU is a core's number, or -1 for any. One line of JSON goes to descriptor 3; standard streams are the
// program's. Why it exists: on Linux a new process starts with the peak memory of whoever forked it, and
// keeps it through exec. A testbed of hundreds of megabytes would report those for /bin/true. This program
// is small, so that what it hands on is small, and says how much that is: a peak that is not above the
// floor is no measurement. For that reason it imports next to nothing.
package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// report is the descriptor that is written to; failed is the exit code if the program cannot be started.
const (
	report = 3
	failed = 127
)

func main() {
	if len(os.Args) < 3 {
		fail("launch: write launch CPU PROGRAM [ARGUMENT...]")
	}
	runtime.LockOSThread() // affinity and the death signal belong to a thread
	if cpu, err := strconv.Atoi(os.Args[1]); err != nil {
		fail("launch: CPU is " + os.Args[1] + ": write a number, -1 for any")
	} else if err := pin(cpu); err != nil {
		fail("launch: core " + os.Args[1] + ": " + err.Error())
	}
	syscall.CloseOnExec(report)
	floor := peak()
	start := time.Now()
	pid, err := syscall.ForkExec(os.Args[2], os.Args[2:], &syscall.ProcAttr{Env: os.Environ(),
		Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}})
	if err != nil {
		fail("launch: " + os.Args[2] + ": " + err.Error())
	}
	var status syscall.WaitStatus
	var used syscall.Rusage
	for {
		if _, err = syscall.Wait4(pid, &status, 0, &used); err != syscall.EINTR {
			break
		}
	}
	wall := time.Since(start)
	if err != nil {
		fail("launch: wait4: " + err.Error())
	}
	write(wall, &used, status, floor)
}

func fail(why string) {
	_, _ = os.Stderr.WriteString(why + "\n")
	os.Exit(failed)
}

// pin confines this thread, and so the program, to a core.
func pin(cpu int) error {
	if cpu < 0 {
		return nil
	}
	var mask [16]uint64
	if cpu >= 64*len(mask) {
		return syscall.EINVAL
	}
	mask[cpu/64] = 1 << (cpu % 64)
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask),
		uintptr(unsafe.Pointer(&mask)))
	if errno != 0 {
		return errno
	}
	return nil
}

// peak is this program's own peak memory in KiB: what the program it starts begins with. VmHWM belongs to
// the address space, so that nothing of our own starter is in it.
func peak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, " kB")
	kib, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return kib
}

func write(wall time.Duration, u *syscall.Rusage, status syscall.WaitStatus, floor int64) {
	signal := 0
	if status.Signaled() {
		signal = int(status.Signal())
	}
	line := []byte("{")
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"wall_ns", int64(wall)}, {"user_ns", u.Utime.Nano()}, {"system_ns", u.Stime.Nano()},
		{"max_rss_kib", u.Maxrss}, {"floor_kib", floor},
		{"minor_faults", u.Minflt}, {"major_faults", u.Majflt}, {"blocks_in", u.Inblock},
		{"blocks_out", u.Oublock}, {"voluntary_switches", u.Nvcsw}, {"involuntary_switches", u.Nivcsw},
		{"exit", int64(status.ExitStatus())}, {"signal", int64(signal)},
	} {
		if len(line) > 1 {
			line = append(line, ',')
		}
		line = append(line, `"`+f.name+`":`...)
		line = strconv.AppendInt(line, f.value, 10)
	}
	line = append(line, '}', '\n')
	if _, err := syscall.Write(report, line); err != nil {
		fail("launch: descriptor 3: " + err.Error())
	}
}
