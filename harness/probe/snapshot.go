package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Target names what belongs to one trial. Empty fields are not read.
type Target struct {
	Processes []int     // pids: all their threads, and their memory
	Threads   []int     // tids of kernel threads, such as a device's NAPI thread
	ProcNet   string    // a namespace's /proc/net directory
	Devices   []*Device // their own counters
}

// Snapshot is the state of a target, and of the host's cores, at one moment. Counters are totals
// since whatever they count began.
type Snapshot struct {
	AtNS      int64               `json:"at_ns"` // CLOCK_MONOTONIC, when reading began
	Cores     map[int]CPUTimes    `json:"cores"`
	Processes map[int]Process     `json:"processes"` // by pid; those already gone are missing
	Threads   map[int]Thread      `json:"threads"`   // by tid: of processes, and kernel threads
	Net       Counters            `json:"net,omitempty"`
	Softnet   []Softnet           `json:"softnet,omitempty"`
	Sockets   []UDPSocket         `json:"sockets,omitempty"`
	UDPPages  uint64              `json:"udp_pages,omitempty"` // host-wide, see [ParseSockstat]
	Links     map[string]Counters `json:"links,omitempty"`     // [ParseNetDev], by device
	Devices   map[string]Counters `json:"devices,omitempty"`   // the drivers' own, by device
}

// Process is one process's totals.
type Process struct {
	ClockNS uint64 `json:"clock_ns"` // CPU time of all threads, ended ones included
	Memory  Memory `json:"memory"`
}

// Thread is one thread's totals.
type Thread struct {
	PID  int    `json:"pid"` // of its process; of a kernel thread, its own
	Name string `json:"name"`
	Sched
}

// Read takes a snapshot. A process or thread that has ended is left out, for the caller to notice;
// anything else that cannot be read is an error.
func Read(t Target) (Snapshot, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return Snapshot{}, fmt.Errorf("probe: read clock: %w", err)
	}
	s := Snapshot{AtNS: ts.Nano(), Processes: make(map[int]Process), Threads: make(map[int]Thread)}
	errs := []error{s.readCores()}
	for _, pid := range t.Processes {
		errs = append(errs, ignoreGone(s.readProcess(pid)))
	}
	for _, tid := range t.Threads {
		errs = append(errs, ignoreGone(s.readThread(tid, tid)))
	}
	if t.ProcNet != "" {
		errs = append(errs, s.readNet(t.ProcNet))
	}
	errs = append(errs, s.readDevices(t.Devices))
	if err := errors.Join(errs...); err != nil {
		return s, fmt.Errorf("probe: %w", err)
	}
	return s, nil
}

// ignoreGone drops the errors of a process that ended before or while it was read.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

func (s *Snapshot) readCores() error {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return err
	}
	s.Cores, err = ParseStat(b)
	return err
}

func (s *Snapshot) readProcess(pid int) error {
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return err
	}
	var p Process
	if p.Memory, err = ParseStatus(status); err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	if p.ClockNS, err = processClock(pid); err != nil {
		return fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	s.Processes[pid] = p
	tasks, err := os.ReadDir(dir + "/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			return fmt.Errorf("process %d: thread %q", pid, task.Name())
		}
		if err := ignoreGone(s.readThread(pid, tid)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) readThread(pid, tid int) error {
	dir := fmt.Sprintf("/proc/%d/task/%d", pid, tid)
	stat, err := os.ReadFile(dir + "/schedstat")
	if err != nil {
		return err
	}
	name, err := os.ReadFile(dir + "/comm")
	if err != nil {
		return err
	}
	th := Thread{PID: pid, Name: strings.TrimSuffix(string(name), "\n")}
	if th.Sched, err = ParseSchedstat(stat); err != nil {
		return fmt.Errorf("thread %d: %w", tid, err)
	}
	s.Threads[tid] = th
	return nil
}

// processClock reads a process's CPU-time clock. Its id is the pid, inverted, above three bits that
// say which clock (clock_getcpuclockid(3); include/linux/posix-timers.h).
func processClock(pid int) (uint64, error) {
	const schedClock = 2
	var ts unix.Timespec
	err := unix.ClockGettime(int32(^pid<<3|schedClock), &ts)
	if errors.Is(err, unix.EINVAL) {
		err = unix.ESRCH // what a pid that is gone gives
	}
	return uint64(ts.Nano()), err
}

func (s *Snapshot) readNet(dir string) error {
	s.Net = make(Counters)
	parse := map[string]func(b []byte) error{
		"dev":          func(b []byte) (err error) { s.Links, err = ParseNetDev(b); return },
		"snmp":         func(b []byte) error { return ParseSNMP(b, s.Net) },
		"netstat":      func(b []byte) error { return ParseSNMP(b, s.Net) },
		"udp":          func(b []byte) (err error) { s.Sockets, err = ParseUDP(b); return },
		"softnet_stat": func(b []byte) (err error) { s.Softnet, err = ParseSoftnet(b); return },
		"sockstat":     func(b []byte) (err error) { s.UDPPages, err = ParseSockstat(b); return },
	}
	for _, name := range slices.Sorted(maps.Keys(parse)) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = parse[name](b)
		}
		if err != nil {
			return fmt.Errorf("read network counters: %w", err)
		}
	}
	return nil
}

func (s *Snapshot) readDevices(devices []*Device) error {
	s.Devices = make(map[string]Counters, len(devices))
	for _, d := range devices {
		c, err := d.Read()
		if err != nil {
			return err
		}
		s.Devices[d.Name()] = c
	}
	return nil
}
