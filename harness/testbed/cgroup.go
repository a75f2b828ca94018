package testbed

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// CgroupRoot is where the controllers of version 1 are mounted.
const CgroupRoot = "/sys/fs/cgroup"

const cgroupPrefix = "mtn-"

var cgroups atomic.Int64

// CgroupName is a name for a new control group. It names the process to which it belongs, in a [Sandbox]
// the one outside, so that [SweepCgroups] knows what is left of a dead one.
func CgroupName() string {
	owner := cmp.Or(os.Getenv(inSandbox), strconv.Itoa(os.Getpid()))
	return fmt.Sprintf("%s%s-%d", cgroupPrefix, owner, cgroups.Add(1))
}

// SweepCgroups removes the control groups of processes that are gone. It looks outside sandboxes only.
func SweepCgroups() {
	if Sandboxed() {
		return
	}
	for _, pattern := range []string{"/*/", "/*/*/"} {
		dirs, _ := filepath.Glob(CgroupRoot + pattern + cgroupPrefix + "*") // the pattern is well-formed
		for _, d := range dirs {
			pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(d), cgroupPrefix), "-")
			if n, err := strconv.Atoi(pid); err == nil && n != os.Getpid() && !exists("/proc/"+pid) {
				_ = os.Remove(d) // one with processes in it resists
			}
		}
	}
}
