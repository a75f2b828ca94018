package testbed

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Unknown stands for whatever a host does not let us read. A manifest never leaves a fact out.
const Unknown = "unknown"

// Fact is one thing a reader must know of the host before believing a figure.
type Fact struct {
	Name string // key in a manifest, with its unit
	Doc  string
	read func(root fs.FS) string // "" if it cannot be read
}

// FactList is every fact, in the order a person would read them.
func FactList() []Fact { return slices.Clone(factTable) }

var factTable = []Fact{
	{"cpu_model", "model name of core 0", cpuinfo("model name")},
	{"cores_online", "cores the kernel schedules on", countCores},
	{"sockets", "physical packages", countSockets},
	{"smt", "simultaneous multithreading: on, off, notsupported, …",
		file("sys/devices/system/cpu/smt/control")},
	{"smt_siblings_core0", "cores that share core 0's execution units",
		file("sys/devices/system/cpu/cpu0/topology/thread_siblings_list")},
	{"isolated_cores", "cores kept from the scheduler by isolcpus",
		listed("sys/devices/system/cpu/isolated")},
	{"numa_nodes", "memory nodes with their range", file("sys/devices/system/node/online")},
	{"cpu_mhz", "present frequency of core 0", cpuinfo("cpu MHz")},
	{"microcode", "revision on core 0", cpuinfo("microcode")},
	{"governor", "frequency governor of core 0",
		file("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")},
	{"turbo", "on, off: frequencies above the nominal one", readTurbo},
	{"idle_governor", "what chooses C-states", file("sys/devices/system/cpu/cpuidle/current_governor")},
	{"hypervisor", "yes, no: the CPU says that it is a virtual one, and the product's name",
		readHypervisor},
	{"kernel", "release", file("proc/sys/kernel/osrelease")},
	{"kernel_build", "version and build configuration in short", file("proc/sys/kernel/version")},
	{"os", "distribution", osRelease},
	{"cmdline", "kernel arguments", file("proc/cmdline")},
	{"mitigations", "CPU vulnerabilities and what is done about each", readMitigations},
	{"clocksource", "what CLOCK_MONOTONIC reads",
		file("sys/devices/system/clocksource/clocksource0/current_clocksource")},
	{"memory_kib", "usable memory", meminfo("MemTotal")},
	{"swap_kib", "swap space", meminfo("SwapTotal")},
	{"hugepages_2mib", "pages in the pool",
		file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")},
	{"hugepages_2mib_free", "pages nobody holds",
		file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")},
	{"transparent_hugepages", "always, madvise, never",
		chosen("sys/kernel/mm/transparent_hugepage/enabled")},
	{"numa_balancing", "1: the kernel moves memory about", file("proc/sys/kernel/numa_balancing")},
	{"rt_runtime_us", "how long SCHED_FIFO may keep a core, of rt_period_us; -1: for ever",
		file("proc/sys/kernel/sched_rt_runtime_us")},
	{"bpf_jit", "1: BPF programs run as machine code", file("proc/sys/net/core/bpf_jit_enable")},
	{"rmem_max_bytes", "largest receive buffer an ordinary process may ask for",
		file("proc/sys/net/core/rmem_max")},
	{"netdev_budget", "packets one softirq may handle", file("proc/sys/net/core/netdev_budget")},
	{"load_1m", "mean of runnable processes over the last minute", firstField("proc/loadavg")},
}

// Facts reads every fact of this host, by name. What cannot be read is [Unknown].
func Facts() map[string]string { return factsIn(os.DirFS("/")) }

func factsIn(root fs.FS) map[string]string {
	facts := make(map[string]string, len(factTable))
	for _, f := range factTable {
		v := f.read(root)
		if v == "" {
			v = Unknown
		}
		facts[f.Name] = v
	}
	return facts
}

// readTrim is a file's text without surrounding blanks, "" if it cannot be read.
func readTrim(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

func file(name string) func(fs.FS) string {
	return func(root fs.FS) string { return readTrim(root, name) }
}

// listed is for files that are empty when there is nothing to list.
func listed(name string) func(fs.FS) string {
	return func(root fs.FS) string {
		v := readTrim(root, name)
		if _, err := fs.Stat(root, name); err == nil && v == "" {
			return "none"
		}
		return v
	}
}

// chosen takes the bracketed word out of "always [madvise] never".
func chosen(name string) func(fs.FS) string {
	return func(root fs.FS) string {
		_, rest, _ := strings.Cut(readTrim(root, name), "[")
		v, _, _ := strings.Cut(rest, "]")
		return v
	}
}

func firstField(name string) func(fs.FS) string {
	return func(root fs.FS) string {
		v, _, _ := strings.Cut(readTrim(root, name), " ")
		return v
	}
}

// valueOf finds "key : value" or "key=value" in a file of such lines; the first one counts.
func valueOf(root fs.FS, name, key, sep string) string {
	sc := bufio.NewScanner(strings.NewReader(readTrim(root, name)))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		k, v, ok := strings.Cut(sc.Text(), sep)
		if ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func cpuinfo(key string) func(fs.FS) string {
	return func(root fs.FS) string { return valueOf(root, "proc/cpuinfo", key, ":") }
}

func meminfo(key string) func(fs.FS) string {
	return func(root fs.FS) string {
		return strings.TrimSuffix(valueOf(root, "proc/meminfo", key, ":"), " kB")
	}
}

func osRelease(root fs.FS) string {
	return strings.Trim(valueOf(root, "etc/os-release", "PRETTY_NAME", "="), `"`)
}

// countCores counts what /sys/devices/system/cpu/online lists, as in "0-3,6".
func countCores(root fs.FS) string {
	n, err := countList(readTrim(root, "sys/devices/system/cpu/online"))
	if err != nil {
		return ""
	}
	return strconv.Itoa(n)
}

// countList counts the numbers in a kernel list of ranges.
func countList(list string) (int, error) {
	n := 0
	for r := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(r, "-")
		if !isRange {
			last = first
		}
		a, err := strconv.Atoi(first)
		if err != nil {
			return 0, fmt.Errorf("list %q: %w", list, err)
		}
		b, err := strconv.Atoi(last)
		if err != nil || b < a {
			return 0, fmt.Errorf("list %q: bad range %q", list, r)
		}
		n += b - a + 1
	}
	return n, nil
}

func countSockets(root fs.FS) string {
	files, _ := fs.Glob(root, "sys/devices/system/cpu/cpu[0-9]*/topology/physical_package_id")
	var ids []string
	for _, f := range files {
		if id := readTrim(root, f); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if ids == nil {
		return ""
	}
	return strconv.Itoa(len(ids))
}

// readTurbo asks the two drivers that know; they word it the other way round.
func readTurbo(root fs.FS) string {
	switch readTrim(root, "sys/devices/system/cpu/intel_pstate/no_turbo") {
	case "0":
		return "on"
	case "1":
		return "off"
	}
	switch readTrim(root, "sys/devices/system/cpu/cpufreq/boost") {
	case "0":
		return "off"
	case "1":
		return "on"
	}
	return ""
}

func readHypervisor(root fs.FS) string {
	flags := valueOf(root, "proc/cpuinfo", "flags", ":")
	if flags == "" {
		return ""
	}
	if !slices.Contains(strings.Fields(flags), "hypervisor") {
		return "no"
	}
	for _, name := range []string{"sys/hypervisor/type", "sys/class/dmi/id/product_name"} {
		if v := readTrim(root, name); v != "" {
			return "yes: " + v
		}
	}
	return "yes"
}

// readMitigations lists every vulnerability that affects this CPU, in one line.
func readMitigations(root fs.FS) string {
	files, _ := fs.Glob(root, "sys/devices/system/cpu/vulnerabilities/*")
	var list []string
	for _, f := range files {
		if v := readTrim(root, f); v != "" && v != "Not affected" {
			list = append(list, path.Base(f)+": "+v)
		}
	}
	if list == nil && files != nil {
		return "not affected"
	}
	return strings.Join(list, "; ")
}
