package dpdk

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// DefaultMemoryMB is what EAL sets aside when [EAL] does not say.
const DefaultMemoryMB = 256

// EAL describes the environment abstraction layer of this process: memory and devices. The zero
// value needs neither root nor hugepages nor a NIC.
type EAL struct {
	Vdevs     []string // virtual devices: Memif{…}.Vdev(), …
	PCI       []string // addresses of PCI devices; none means that the bus is not even looked at
	MemoryMB  int      // bound on everything DPDK allocates; 0 means DefaultMemoryMB
	Hugepages bool     // memory from hugepages, unlinked at once so that no crash leaves them taken
	Extra     []string // further arguments, verbatim
}

// Args are the arguments for [Init].
func (e EAL) Args() []string {
	args := []string{"-m", strconv.Itoa(orDefault(e.MemoryMB, DefaultMemoryMB))}
	if e.Hugepages {
		args = append(args, "--in-memory")
	} else {
		args = append(args, "--no-huge", "--no-shconf")
	}
	if len(e.PCI) == 0 {
		args = append(args, "--no-pci")
	}
	for _, a := range e.PCI {
		args = append(args, "-a", a)
	}
	for _, v := range e.Vdevs {
		args = append(args, "--vdev="+v)
	}
	return append(args, e.Extra...)
}

// ErrInitialized is returned by Init when EAL already runs, or has run, in this process.
var ErrInitialized = errors.New("dpdk: EAL starts once per process and has been started already")

// InitError says why EAL did not start.
type InitError struct {
	Args  []string
	Errno error  // what rte_eal_init left in rte_errno
	Log   string // the last error EAL logged; may be empty
}

func (e *InitError) Error() string {
	s := fmt.Sprintf("dpdk: EAL did not start: %v", e.Errno)
	if e.Log != "" {
		s += " (" + e.Log + ")"
	}
	return s + "; next: check the arguments " + strings.Join(e.Args, " ")
}

func (e *InitError) Unwrap() error { return e.Errno }

// completeArgs puts the program's name in front and adds what a caller rarely thinks of: a file
// prefix no other process has, no telemetry socket, and one EAL core that may run wherever this
// process may (EAL would otherwise start a thread on every core and pin the calling one).
func completeArgs(args []string) []string {
	full := append([]string{"metronome"}, args...)
	if !hasOption(args, "--file-prefix") {
		full = append(full, fmt.Sprintf("--file-prefix=metronome-%d", os.Getpid()))
	}
	if !hasOption(args, "--telemetry", "--no-telemetry") {
		full = append(full, "--no-telemetry")
	}
	if cpus := allowedCPUs(); cpus != "" && !hasOption(args, "-l", "-c", "--lcores") {
		full = append(full, "--lcores=0@("+cpus+")")
	}
	return full
}

// hasOption reports whether args hold one of the options, as "--name", "--name=value" or "-lvalue".
func hasOption(args []string, names ...string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			if strings.HasPrefix(n, "--") {
				return a == n || strings.HasPrefix(a, n+"=")
			}
			return strings.HasPrefix(a, n) && !strings.HasPrefix(a, "--")
		})
	})
}

// allowedCPUs lists the CPUs this process may run on, "0,1"; empty if unknown.
func allowedCPUs() string {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return ""
	}
	var cpus []string
	for cpu, left := 0, set.Count(); left > 0; cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, strconv.Itoa(cpu))
			left--
		}
	}
	return strings.Join(cpus, ",")
}

// hugepagesMissing turns a failed start into a *packet.ErrUnavailable if it asked for hugepages and
// meminfo, the text of /proc/meminfo, shows too few free; otherwise nil.
func hugepagesMissing(args []string, meminfo string) error {
	if hasOption(args, "--no-huge") {
		return nil
	}
	total, free := meminfoField(meminfo, "HugePages_Total:"), meminfoField(meminfo, "HugePages_Free:")
	size := meminfoField(meminfo, "Hugepagesize:") // in kB
	need := DefaultMemoryMB
	if i := slices.Index(args, "-m"); i >= 0 && i+1 < len(args) {
		need, _ = strconv.Atoi(args[i+1])
	}
	if size == 0 || free*size/1024 >= need {
		return nil
	}
	why := fmt.Sprintf("%d MB wanted, %d of %d pages of %d kB are free", need, free, total, size)
	if total > free {
		why += "; other processes hold the rest"
	}
	pages := total - free + need*1024/size
	return &packet.ErrUnavailable{What: "hugepages", Why: why,
		Next: fmt.Sprintf("echo %d > /proc/sys/vm/nr_hugepages, or run without hugepages", pages)}
}

// meminfoField reads the number after name; 0 if there is none.
func meminfoField(meminfo, name string) int {
	_, rest, _ := strings.Cut(meminfo, name)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}
