package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
)

const (
	netnsDir  = "/run/netns"
	device    = "eth0"        // a node's end
	bridge    = "br0"         // in the namespace of the bridge
	bridgeIP  = "10.78.0.1"   // the querier's address
	groups    = "224.0.0.0/4" // routed to the bridge
	prefixLen = 24
)

// namespace is the name of a node's namespace under /run/netns.
func namespace(fleet, node string) string { return "mtn-" + fleet + "-" + node }

// makeNetwork makes the namespaces and what joins them. All of it is in the state already.
func makeNetwork(ctx context.Context, s *state) error {
	var add, join strings.Builder
	for _, name := range s.Namespaces {
		fmt.Fprintf(&add, "netns add %s\n", name)
	}
	if err := ip(ctx, add.String(), "-batch", "-"); err != nil {
		return err
	}
	for _, name := range s.Namespaces {
		if err := quiet(name); err != nil {
			return err
		}
	}
	fmt.Fprintf(&join, "link add %[1]s type bridge mcast_snooping 1 mcast_querier 1 mcast_query_use_ifaddr 1\n"+
		"addr add %[2]s/%[3]d dev %[1]s\nlink set %[1]s up\nlink set lo up\n", bridge, bridgeIP, prefixLen)
	for _, n := range s.Nodes {
		fmt.Fprintf(&join, "link add %[1]s type veth peer name %[2]s netns %[3]s\nlink set %[1]s master %[4]s up\n",
			n.Name, device, n.Namespace, bridge)
	}
	if err := ip(ctx, join.String(), "-netns", namespace(s.Name, "net"), "-batch", "-"); err != nil {
		return err
	}
	for _, n := range s.Nodes {
		script := fmt.Sprintf("link set lo up\naddr add %[1]s/%[2]d dev %[3]s\nlink set %[3]s up\n"+
			"route add %[4]s dev %[3]s\n", n.Address, prefixLen, device, groups)
		if err := ip(ctx, script, "-netns", n.Namespace, "-batch", "-"); err != nil {
			return err
		}
	}
	return nil
}

// quiet switches IPv6 off where the kernel has it: on the wire is what the run sends, and nothing
// else.
func quiet(name string) error {
	return within(name, func() error {
		for _, which := range []string{"all", "default"} {
			err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("switch IPv6 off in namespace %s: %w", name, err)
			}
		}
		return nil
	})
}

// removeNetwork removes what of the namespaces exists. Processes in them must have ended. The
// bridge's links go first and by hand: those of a dying namespace linger until the kernel comes
// round.
func removeNetwork(ctx context.Context, s *state) error {
	var errs []error
	for _, name := range s.Namespaces {
		if !exists(filepath.Join(netnsDir, name)) {
			continue
		}
		if name == namespace(s.Name, "net") {
			var script strings.Builder
			for _, n := range s.Nodes {
				fmt.Fprintf(&script, "link del %s\n", n.Name)
			}
			_ = ip(ctx, script.String(), "-netns", name, "-force", "-batch", "-") // some may not exist yet
		}
		errs = append(errs, ip(ctx, "", "netns", "delete", name))
	}
	return errors.Join(errs...)
}

// ip runs ip(8) on a script.
func ip(ctx context.Context, script string, args ...string) error {
	cmd := exec.CommandContext(ctx, "ip", args...)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// within runs f on a thread inside a namespace. Sockets that f opens stay in it; f starts no
// goroutine that needs it.
func within(name string, f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("this thread's namespace: %w", err)
	}
	defer home.Close()
	there, err := netns.GetFromName(name)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	err = f()
	if back := netns.Set(home); back != nil {
		return errors.Join(err, back) // still locked: the thread ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// Dial connects from a node of this machine to an IPv4 address.
func (f *Fleet) Dial(ctx context.Context, node, network, address string) (conn net.Conn, err error) {
	n, err := f.Node(node)
	if err != nil {
		return nil, err
	}
	if n.Namespace == "" {
		return nil, fmt.Errorf("dial from %s: it is another machine. Next: run what dials there", node)
	}
	err = within(n.Namespace, func() error {
		var e error
		conn, e = (&net.Dialer{}).DialContext(ctx, network, address)
		return e
	})
	return conn, err
}
