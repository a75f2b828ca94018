package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// netnsDir is where named namespaces are mounted, as ip-netns(8) does, so that a reader may look
// inside with `ip netns exec <name> …`.
const netnsDir = "/run/netns"

// Netns is a network namespace of a testbed. It lives as long as the testbed.
type Netns struct {
	name string
	tb   *Testbed
	th   *thread
	h    *netlink.Handle
	ns   netns.NsHandle
}

// newNetns makes a namespace and a thread that lives in it. Only the loopback device is in it, up;
// IPv6 is off, so that nothing is on the wire but what the run sends.
func (t *Testbed) newNetns(name string) (*Netns, error) {
	if os.Geteuid() != 0 {
		return nil, &packet.ErrUnavailable{What: "network namespace",
			Why: "not root (euid " + strconv.Itoa(os.Geteuid()) + ")", Next: "run again under sudo"}
	}
	if err := t.record(func(s *state) { s.Netns = append(s.Netns, name) }); err != nil {
		return nil, fmt.Errorf("make namespace %s: %w", name, err)
	}
	n := &Netns{name: name, tb: t, ns: netns.None()}
	var err error
	if n.th, err = startThread(n.create); err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.ns = append(t.ns, n)
	t.mu.Unlock()
	if n.h, err = netlink.NewHandleAt(n.ns); err != nil {
		return nil, fmt.Errorf("open netlink in namespace %s: %w", name, err)
	}
	return n, n.quiet()
}

// create makes the namespace on the calling thread, which stays in it.
func (n *Netns) create() error {
	var err error
	if n.ns, err = netns.NewNamed(n.name); err == nil {
		return nil
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return &packet.ErrUnavailable{What: "network namespace", Why: err.Error(),
			Next: "run as root on a kernel with CONFIG_NET_NS, outside a restricted container"}
	}
	return fmt.Errorf("make namespace %s: %w", n.name, err)
}

// quiet switches IPv6 off, where the kernel has it, and loopback on.
func (n *Netns) quiet() error {
	const off = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
	err := n.Do(func() error {
		if err := os.WriteFile(off, []byte("1"), 0); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("switch IPv6 off in namespace %s: %w", n.name, err)
	}
	lo, err := n.h.LinkByName("lo")
	if err == nil {
		err = n.h.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("loopback of namespace %s: %w", n.name, err)
	}
	return nil
}

// Name is the namespace's name under /run/netns.
func (n *Netns) Name() string { return n.name }

// ProcNet is the namespace's /proc/net directory, readable from outside while the testbed is open.
func (n *Netns) ProcNet() string { return "/proc/" + strconv.Itoa(n.th.tid) + "/net" }

// Do runs f on a thread inside the namespace and returns its error. Sockets opened by f stay in the
// namespace for good. One f runs at a time; f must not start goroutines that need the namespace.
func (n *Netns) Do(f func() error) error { return n.th.do(f) }

// Start starts a command inside the namespace, on the given cores if any are named. The child leads
// a process group of its own and dies with the testbed: killed by [Testbed.Close], by the kernel when
// this process dies, and at the latest by [Sweep]. The caller calls cmd.Wait.
func (n *Netns) Start(cmd *exec.Cmd, cpus ...int) error { return n.tb.startOn(n.th, cmd, cpus) }

// release closes what this process holds of the namespace; its name goes in [Testbed.Close].
func (n *Netns) release() {
	n.th.stop()
	if n.h != nil {
		n.h.Close()
	}
	if n.ns.IsOpen() {
		_ = n.ns.Close()
	}
}
