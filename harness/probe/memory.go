package probe

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// Memory is what a process holds, in bytes. Hugepages are in no other figure.
type Memory struct {
	Peak      uint64 `json:"vm_hwm_bytes"` // the most that was ever resident, hugepages excluded
	Resident  uint64 `json:"vm_rss_bytes"`
	Anonymous uint64 `json:"rss_anon_bytes"`
	File      uint64 `json:"rss_file_bytes"`
	Shared    uint64 `json:"rss_shmem_bytes"` // memif regions, DPDK memory without hugepages
	Hugepages uint64 `json:"hugetlb_bytes"`
	Locked    uint64 `json:"vm_lck_bytes"`
}

// ParseStatus reads the memory lines of /proc/<pid>/status. A kernel thread has none and holds none.
func ParseStatus(b []byte) (Memory, error) {
	var m Memory
	lines := map[string]*uint64{"VmHWM": &m.Peak, "VmRSS": &m.Resident, "RssAnon": &m.Anonymous,
		"RssFile": &m.File, "RssShmem": &m.Shared, "HugetlbPages": &m.Hugepages, "VmLck": &m.Locked}
	for line := range strings.Lines(string(b)) {
		key, rest, _ := strings.Cut(line, ":")
		dst := lines[key]
		if dst == nil {
			continue
		}
		kib, ok := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		v, err := strconv.ParseUint(kib, 10, 64)
		if err != nil || !ok {
			return Memory{}, fmt.Errorf("status: %s is %q, want kB", key, strings.TrimSpace(rest))
		}
		*dst = v * 1024
	}
	return m, nil
}

// Rusage is what wait4 tells of a child that has ended, all its threads and its waited-for children.
type Rusage struct {
	UserNS, SysNS       int64 // split by sampled ticks, the sum exact
	MaxRSSBytes         int64 // an upper bound: see the package documentation
	VoluntarySwitches   int64
	InvoluntarySwitches int64
	MajorFaults         int64
	MinorFaults         int64
}

// FromRusage converts what (*os.ProcessState).SysUsage returns; nil gives zeros.
func FromRusage(r *syscall.Rusage) Rusage {
	if r == nil {
		return Rusage{}
	}
	return Rusage{UserNS: r.Utime.Nano(), SysNS: r.Stime.Nano(), MaxRSSBytes: r.Maxrss * 1024,
		VoluntarySwitches: r.Nvcsw, InvoluntarySwitches: r.Nivcsw,
		MajorFaults: r.Majflt, MinorFaults: r.Minflt}
}
