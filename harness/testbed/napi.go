package testbed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// thread moves the receiving device's NAPI from softirq into a kernel thread of its own. Threads of
// like-named devices in other namespaces look alike, so under the lock that every harness takes here,
// the one that is new is ours.
func (l *Link) thread() error {
	return withLock(l.dir, func() error {
		before := napiThreads(l.Dut.Device)
		if err := l.Dut.Netns.setThreaded(l.Dut.Device); err != nil {
			return err
		}
		fresh := slices.DeleteFunc(napiThreads(l.Dut.Device),
			func(tid int) bool { return slices.Contains(before, tid) })
		if len(fresh) == 1 {
			l.napi = fresh[0]
		}
		return nil
	})
}

// setThreaded writes the device's `threaded` attribute. A namespace's devices show only in a sysfs
// mounted from inside it, so a thread of its own mounts one where nobody else sees it, and ends.
func (n *Netns) setThreaded(device string) error {
	th, err := startThread(func() error {
		if err := unix.Setns(int(n.ns), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.name, err)
		}
		if err := mountPrivateSysfs(); err != nil {
			return err
		}
		path := filepath.Join("/sys/class/net", device, "threaded")
		if err := os.WriteFile(path, []byte("1"), 0); err != nil {
			return &packet.ErrUnavailable{What: "threaded NAPI", Why: err.Error(),
				Next: "use a kernel of 5.12 or newer"}
		}
		return nil
	})
	if err != nil {
		return err
	}
	th.stop()
	return nil
}

// mountPrivateSysfs shows the calling thread, and it alone, the sysfs of its network namespace.
func mountPrivateSysfs() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	return nil
}

// napiThreads lists the NAPI kernel threads of all devices of that name, in any namespace.
func napiThreads(device string) []int {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var tids []int
	for _, d := range dirs {
		if tid, err := strconv.Atoi(filepath.Base(d)); err == nil && isNAPI(tid, device) {
			tids = append(tids, tid)
		}
	}
	return tids
}

// isNAPI tells whether a kernel thread is called napi/<device>-<id>.
func isNAPI(tid int, device string) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/comm")
	return err == nil && isNAPIName(strings.TrimSuffix(string(b), "\n"), device)
}

// isNAPIName matches napi/<device>-<id>; kernels before 5.17 cut the name at 15 characters.
func isNAPIName(comm, device string) bool {
	id, ok := strings.CutPrefix(comm, "napi/"+device+"-")
	return ok && strings.Trim(id, "0123456789") == ""
}

// napiTID finds the kernel thread that serves the receiving device now. The kernel's own answer comes
// first: a driver may end the thread and start another when an XDP program is attached.
func (l *Link) napiTID() (int, error) {
	tid, err := askNAPI(l.Dut.Netns, l.Dut.Index)
	if err == nil && isNAPI(tid, l.Dut.Device) {
		return tid, nil
	}
	if l.napi != 0 && isNAPI(l.napi, l.Dut.Device) {
		return l.napi, nil
	}
	if err == nil {
		err = fmt.Errorf("thread %d is not called napi/%s-*", tid, l.Dut.Device)
	}
	return 0, &packet.ErrUnavailable{What: "NAPI thread of " + l.Dut.Device, Why: err.Error(),
		Next: "use a kernel of 6.8 or newer, or run one harness at a time"}
}

// The generic netlink family "netdev", linux/netdev.h.
const (
	netdevCmdNAPIGet  = 11
	netdevNAPIIfindex = 1
	netdevNAPIPID     = 4
)

// askNAPI asks the kernel for the thread of a device's only NAPI instance (Linux 6.8 and newer).
func askNAPI(n *Netns, index int) (int, error) {
	var replies [][]byte
	err := n.Do(func() error {
		family, err := netlink.GenlFamilyGet("netdev")
		if err != nil {
			return fmt.Errorf("netlink family netdev: %w", err)
		}
		req := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_DUMP)
		req.AddData(&nl.Genlmsg{Command: netdevCmdNAPIGet, Version: 1})
		req.AddData(nl.NewRtAttr(netdevNAPIIfindex, nl.Uint32Attr(uint32(index))))
		replies, err = req.Execute(unix.NETLINK_GENERIC, 0)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ask for NAPI thread: %w", err)
	}
	if len(replies) != 1 {
		return 0, fmt.Errorf("ask for NAPI thread: %d NAPI instances, want 1", len(replies))
	}
	return parseNAPI(replies[0])
}

// parseNAPI takes the thread id out of one NETDEV_CMD_NAPI_GET reply.
func parseNAPI(msg []byte) (int, error) {
	if len(msg) < nl.SizeofGenlmsg {
		return 0, errors.New("NAPI reply is cut short")
	}
	attrs, err := nl.ParseRouteAttr(msg[nl.SizeofGenlmsg:])
	if err != nil {
		return 0, fmt.Errorf("NAPI reply: %w", err)
	}
	for _, a := range attrs {
		if a.Attr.Type == netdevNAPIPID && len(a.Value) == 4 {
			return int(binary.NativeEndian.Uint32(a.Value)), nil
		}
	}
	return 0, errors.New("NAPI reply: it has no thread")
}
