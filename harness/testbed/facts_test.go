package testbed

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

// host makes a file system from path → text.
func host(files map[string]string) fs.FS {
	m := make(fstest.MapFS)
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

const (
	serverOS     = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian 12\"\n"
	serverStat   = "cpu0 10 0 10 70 0 0 0 10 0 0\ncpu1 0 0 0 100 0 0 0 0 0 0\n"
	serverMemory = "MemTotal:       25165824 kB\nSwapTotal:             0 kB\n"
)

// server is a two-socket machine that tells everything; virtual is one like a CI runner.
var server = map[string]string{
	"proc/cpuinfo": "processor\t: 0\nmodel name\t: Xeon Gold\nmicrocode\t: 0x2b\ncpu MHz\t\t: 2300.5\n" +
		"flags\t\t: fpu vme\n\nprocessor\t: 1\nmodel name\t: another\n",
	"sys/devices/system/cpu/online":                                   "0-1,4\n",
	"sys/devices/system/cpu/cpu0/topology/physical_package_id":        "0\n",
	"sys/devices/system/cpu/cpu1/topology/physical_package_id":        "0\n",
	"sys/devices/system/cpu/cpu4/topology/physical_package_id":        "1\n",
	"sys/devices/system/cpu/smt/control":                              "on\n",
	"sys/devices/system/cpu/cpu0/topology/thread_siblings_list":       "0,1\n",
	"sys/devices/system/cpu/isolated":                                 "\n",
	"sys/devices/system/node/online":                                  "0-1\n",
	"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor":            "performance\n",
	"sys/devices/system/cpu/intel_pstate/no_turbo":                    "1\n",
	"sys/devices/system/cpu/cpuidle/current_governor":                 "menu\n",
	"proc/sys/kernel/osrelease":                                       "6.1.0-30-amd64\n",
	"proc/sys/kernel/version":                                         "#1 SMP PREEMPT_DYNAMIC\n",
	"etc/os-release":                                                  serverOS,
	"proc/cmdline":                                                    "quiet isolcpus=\n",
	"sys/devices/system/cpu/vulnerabilities/mds":                      "Not affected\n",
	"sys/devices/system/cpu/vulnerabilities/retbleed":                 "Mitigation: Enhanced IBRS\n",
	"sys/devices/system/cpu/vulnerabilities/spectre_v1":               "Vulnerable\n",
	"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
	"proc/meminfo": serverMemory,
	"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages":            "1024\n",
	"sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages":          "1000\n",
	"sys/kernel/mm/transparent_hugepage/enabled":                       "always [madvise] never\n",
	"proc/sys/kernel/numa_balancing":                                   "0\n",
	"proc/sys/kernel/sched_rt_runtime_us":                              "950000\n",
	"proc/sys/net/core/bpf_jit_enable":                                 "1\n",
	"proc/sys/net/core/rmem_max":                                       "212992\n",
	"proc/sys/net/core/netdev_budget":                                  "300\n",
	"proc/loadavg":                                                     "0.25 0.10 0.05 1/100 4711\n",
	"proc/stat":                                                        serverStat,
	"proc/vmstat":                                                      "pgpgin 5\npswpin 3\n",
	"sys/fs/cgroup/cpu.stat":                                           "usage_usec 5\nnr_throttled 2\n",
	"sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "4\n",
	"sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "5\n",
}

var virtual = map[string]string{
	"proc/cpuinfo":                               "model name\t: Virtual\nflags\t\t: fpu hypervisor\n",
	"sys/class/dmi/id/product_name":              "KVM\n",
	"sys/devices/system/cpu/online":              "0-1\n",
	"sys/devices/system/cpu/cpufreq/boost":       "1\n",
	"sys/devices/system/cpu/isolated":            "1\n",
	"sys/devices/system/cpu/vulnerabilities/mds": "Not affected\n",
	"sys/fs/cgroup/cpu/cpu.stat":                 "nr_throttled 7\n",
}

func TestFactsGolden(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"server": server, "virtual": virtual, "nothing": nil,
	} {
		facts := factsIn(host(files))
		for _, f := range FactList() {
			if facts[f.Name] == "" || f.Doc == "" {
				t.Errorf("%s: %s is %q, documented as %q", name, f.Name, facts[f.Name], f.Doc)
			}
		}
		got, err := json.MarshalIndent(facts, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "facts_"+name+".golden.json")
		if *update {
			if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(want)) != string(got) {
			t.Errorf("%s: got %s\nwant %s", name, got, want)
		}
	}
}

// The host the tests run on has these facts, whatever it is.
func TestFactsOfThisHost(t *testing.T) {
	facts := Facts()
	for _, name := range []string{"cores_online", "kernel", "memory_kib", "load_1m"} {
		if facts[name] == Unknown {
			t.Errorf("%s is unknown", name)
		}
	}
}

func TestCountList(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-1,4,6-7": 5, "": -1, "3-1": -1, "a": -1,
		"0-": -1} {
		got, err := countList(list)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v; want %d", list, got, err, want)
		}
	}
}

func TestCounters(t *testing.T) {
	before := countersIn(host(server))
	later := map[string]string{}
	for k, v := range server {
		later[k] = v
	}
	later["proc/stat"] = "cpu0 20 0 20 130 0 0 0 30 0 0\ncpu1 0 0 0 180 0 0 0 20 0 0\n"
	later["sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count"] = "15\n"
	delete(later, "proc/vmstat")
	d := countersIn(host(later)).Since(before)
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"steal_ticks":40,"cpu_ticks":200,"core_throttles":10,"group_throttles":0,"swap_ins":null}`
	if string(b) != want {
		t.Errorf("growth %s\nwant   %s", b, want)
	}
	if r := d.StealRatio(); r != 0.2 {
		t.Errorf("steal %g, want 0.2", r)
	}
	v := countersIn(host(virtual))
	if v.GroupThrottles == nil || *v.GroupThrottles != 7 || v.StealTicks != nil || v.StealRatio() != 0 {
		t.Errorf("of the virtual host: %+v", v)
	}
}
