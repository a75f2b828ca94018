package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Star is network namespaces round a bridge with IGMP snooping and a querier:
//
//	node: eth0 ── port of the bridge ── br0 (BridgeAddr) in the hub
//
// It records nothing: its owner has written down what it is about to make, or runs in a [Sandbox]. Its
// processes must have ended before it is removed.
//
// A switched star has two networks, as racks have: what nodes say to each other passes the software switch,
// and the bridge carries what the hub says to nodes and they answer, which nothing befalls:
//
//	node: eth0 ── port of the switch ([Star.SwitchPorts])      node: ctl0 ── bridge ── br0 (ControlAddr)
//
// Whoever makes it starts the switch in the hub: until then nodes do not hear each other. Nodes keep their
// addresses, and the hub reaches them there.
type Star struct {
	Hub      string // the bridge's namespace, which is made too; empty: the caller's own
	Nodes    []StarNode
	Switched bool
}

// StarNode is one of the namespaces.
type StarNode struct {
	Namespace string
	Port      string // the bridge's (or switch's) end of its link, at most 15 bytes; 13 of a switched star
	Address   string // in [BridgeAddr]'s network
}

// The parts of a star that are always called the same.
const (
	StarDevice  = "eth0"      // a node's end of its link
	BridgeAddr  = "10.78.0.1" // the querier's
	ControlAddr = "10.79.0.1" // the hub's of a switched star
	bridge      = "br0"
	control     = "ctl0"
	starGroups  = "224.0.0.0/4" // routed to the star's link
	starNetwork = "10.78.0.0/24"
)

// Make makes the namespaces and what joins them.
func (s *Star) Make(ctx context.Context) error {
	var add, join strings.Builder
	for _, name := range s.namespaces() {
		fmt.Fprintf(&add, "netns add %s\n", name)
	}
	if err := ip(ctx, add.String(), "-batch", "-"); err != nil {
		return err
	}
	for _, name := range s.namespaces() {
		if err := silence(ctx, name); err != nil {
			return err
		}
	}
	if s.Switched {
		return s.joinSwitched(ctx)
	}
	fmt.Fprintf(&join, "link add %[1]s type bridge mcast_snooping 1 mcast_querier 1 mcast_query_use_ifaddr 1\n"+
		"addr add %[2]s/%[3]d dev %[1]s\nlink set %[1]s up\nlink set lo up\n", bridge, BridgeAddr, prefixBits)
	for _, n := range s.Nodes {
		fmt.Fprintf(&join, "link add %[1]s type veth peer name %[2]s netns %[3]s\nlink set %[1]s master %[4]s up\n",
			n.Port, StarDevice, n.Namespace, bridge)
	}
	if err := ip(ctx, join.String(), s.hub("-batch", "-")...); err != nil {
		return err
	}
	for _, n := range s.Nodes {
		script := fmt.Sprintf("link set lo up\naddr add %[1]s/%[2]d dev %[3]s\nlink set %[3]s up\n"+
			"route add %[4]s dev %[3]s\n", n.Address, prefixBits, StarDevice, starGroups)
		if err := ip(ctx, script, "-netns", n.Namespace, "-batch", "-"); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes what of it exists. The bridge's links go first and by hand: those of a dying namespace
// linger until the kernel comes round.
func (s *Star) Remove(ctx context.Context) error {
	if s.Hub == "" || exists(filepath.Join(netnsDir, s.Hub)) {
		var script strings.Builder
		for _, n := range s.Nodes {
			fmt.Fprintf(&script, "link del %s\n", n.Port)
			if s.Switched {
				fmt.Fprintf(&script, "link del %s\n", controlPort(n))
			}
		}
		if s.Hub == "" {
			fmt.Fprintf(&script, "link del %s\n", bridge)
		}
		_ = ip(ctx, script.String(), s.hub("-force", "-batch", "-")...) // some may not exist yet
	}
	var errs []error
	for _, name := range s.namespaces() {
		if exists(filepath.Join(netnsDir, name)) {
			errs = append(errs, ip(ctx, "", "netns", "delete", name))
		}
	}
	return errors.Join(errs...)
}

// namespaces are those that are made, the hub first.
func (s *Star) namespaces() (all []string) {
	if s.Hub != "" {
		all = append(all, s.Hub)
	}
	for _, n := range s.Nodes {
		all = append(all, n.Namespace)
	}
	return all
}

func (s *Star) hub(args ...string) []string {
	if s.Hub == "" {
		return args
	}
	return append([]string{"-netns", s.Hub}, args...)
}

const ipv6Settings = "/proc/sys/net/ipv6/conf/"

// silence switches IPv6 off where the kernel has it: on the wire is what the run sends, and nothing else.
func silence(ctx context.Context, name string) error {
	if !exists(ipv6Settings) {
		return nil
	}
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", name, "sh", "-c",
		"echo 1 > "+ipv6Settings+"all/disable_ipv6; echo 1 > "+ipv6Settings+"default/disable_ipv6")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("switch IPv6 off in namespace %s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
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
