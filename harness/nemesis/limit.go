package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"metronome/harness/testbed"
	"metronome/system/packet"
	"metronome/system/wire"
)

// SlowCPU lets a process have a share of one core and no more, by the CPU controller's quota: it runs
// for a moment and then not at all, every 100 ms.
func (c *Cluster) SlowCPU(p wire.Peer, share float64) Fault {
	const period = 100_000 // µs
	quota := strconv.Itoa(max(1000, int(share*period)))
	return c.limited(fmt.Sprintf("%v has %g of a core", p, share), p, "cpu", func() ([][2]string, error) {
		return [][2]string{{"cpu.cfs_period_us", strconv.Itoa(period)}, {"cpu.cfs_quota_us", quota}}, nil
	})
}

// SlowDisk lets a replica write so often a second to the device that its data lie on, by the block
// controller's throttle: every fsync then takes several times 1/ops.
func (c *Cluster) SlowDisk(p wire.Peer, ops int) Fault {
	return c.limited(fmt.Sprintf("the disk of %v takes %d writes a second", p, ops), p, "blkio",
		func() ([][2]string, error) {
			r := c.Config.Replica(p)
			if r == nil {
				return nil, fmt.Errorf("nemesis: %v has no disk", p)
			}
			var s unix.Stat_t
			if err := unix.Stat(c.Config.DataDir(r), &s); err != nil {
				return nil, fmt.Errorf("nemesis: device of %v: %w", p, err)
			}
			limit := fmt.Sprintf("%d:%d %d", unix.Major(s.Dev), unix.Minor(s.Dev), ops)
			return [][2]string{{"blkio.throttle.write_iops_device", limit}}, nil
		})
}

// limited puts a process into a control group of its own.
func (c *Cluster) limited(name string, p wire.Peer, controller string,
	set func() ([][2]string, error),
) Fault {
	var g *controlGroup
	return Fault{Name: name,
		Apply: func(context.Context) error {
			files, err := set()
			if err != nil {
				return err
			}
			g, err = newControlGroup(controller, c.PID(p))
			for _, f := range files {
				if err == nil {
					err = g.write(f[0], f[1])
				}
			}
			if err == nil {
				err = g.take(g.path)
			}
			if err != nil {
				return errors.Join(err, g.remove())
			}
			return nil
		},
		Heal: func(context.Context) error { return g.remove() }}
}

// controlGroup is a control group (version 1) for one process.
type controlGroup struct {
	path, parent string
	pid          int
}

// newControlGroup makes one below the process's own.
func newControlGroup(controller string, pid int) (*controlGroup, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, fmt.Errorf("nemesis: control group of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || f[1] != controller {
			continue
		}
		g := &controlGroup{parent: filepath.Join(testbed.CgroupRoot, controller, f[2]), pid: pid}
		g.path = filepath.Join(g.parent, testbed.CgroupName())
		if err := os.Mkdir(g.path, 0o755); err != nil {
			return nil, unavailable(controller, err)
		}
		return g, nil
	}
	return nil, unavailable(controller, errors.New("the kernel has no such controller, of version 1"))
}

func unavailable(controller string, err error) error {
	return &packet.ErrUnavailable{What: "control group " + controller, Why: err.Error(),
		Next: "run as root where " + filepath.Join(testbed.CgroupRoot, controller) + " is writable"}
}

func (g *controlGroup) write(file, text string) error {
	if err := os.WriteFile(filepath.Join(g.path, file), []byte(text), 0); err != nil {
		return fmt.Errorf("nemesis: control group: %w", err)
	}
	return nil
}

// take moves the process into a group.
func (g *controlGroup) take(path string) error {
	err := os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte(strconv.Itoa(g.pid)), 0)
	if errors.Is(err, unix.ESRCH) {
		return nil // it has ended
	}
	return err
}

// remove takes the process out and removes the group. It may be called on nil.
func (g *controlGroup) remove() error {
	if g == nil {
		return nil
	}
	return errors.Join(g.take(g.parent), os.Remove(g.path))
}
