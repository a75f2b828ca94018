package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// SwitchPorts are the switch's ports, as lab vswitch's --port wants them. The switch runs in the hub.
func (s *Star) SwitchPorts() (ports []string) {
	for _, n := range s.Nodes {
		ports = append(ports, n.Port+"=if:"+n.Port)
	}
	return ports
}

// controlPort is the bridge's end of a node's other link.
func controlPort(n StarNode) string { return "c-" + n.Port }

// joinSwitched joins the namespaces of a switched star. Nodes know each other's Ethernet addresses without
// asking: a request that the switch loses would cost a second.
func (s *Star) joinSwitched(ctx context.Context) error {
	var join strings.Builder
	quiet := ""
	if exists(ipv6Settings) {
		quiet = "addrgenmode none " // no address, and so nothing to say, of the hub's own on the switch's ports
	}
	fmt.Fprintf(&join, "link add %[1]s type bridge mcast_snooping 0\naddr add %[2]s/%[3]d dev %[1]s\n"+
		"link set %[1]s up\nlink set lo up\nroute add %[4]s dev %[1]s src %[2]s\n",
		bridge, ControlAddr, prefixBits, starNetwork)
	for _, n := range s.Nodes {
		if a, err := netip.ParseAddr(n.Address); err != nil || !a.Is4() {
			return fmt.Errorf("namespace %s: %q is no IPv4 address", n.Namespace, n.Address)
		}
		fmt.Fprintf(&join, "link add %[1]s type veth peer name %[2]s address %[3]s netns %[4]s\n"+
			"link set %[1]s %[8]sup\n"+
			"link add %[5]s type veth peer name %[6]s netns %[4]s\nlink set %[5]s master %[7]s up\n",
			n.Port, StarDevice, starMAC(n), n.Namespace, controlPort(n), control, bridge, quiet)
	}
	if err := ip(ctx, join.String(), s.hub("-batch", "-")...); err != nil {
		return err
	}
	for _, n := range s.Nodes {
		if err := wholePackets(n.Namespace); err != nil {
			return err
		}
		script := fmt.Sprintf("link set lo up\naddr add %[1]s/%[2]d dev %[3]s\nlink set %[3]s up\n"+
			"route add %[4]s dev %[3]s\naddr add %[5]s/%[2]d dev %[6]s\nlink set %[6]s up\n",
			n.Address, prefixBits, StarDevice, starGroups, controlAddr(n), control)
		for _, other := range s.Nodes {
			if other != n {
				script += fmt.Sprintf("neigh add %s lladdr %s dev %s nud permanent\n", other.Address, starMAC(other),
					StarDevice)
			}
		}
		if err := ip(ctx, script, "-netns", n.Namespace, "-batch", "-"); err != nil {
			return err
		}
	}
	return nil
}

// controlAddr is a node's address in the hub's network: its own, in [ControlAddr]'s.
func controlAddr(n StarNode) string {
	own, _ := netip.ParseAddr(n.Address)
	b := netip.MustParseAddr(ControlAddr).As4()
	b[3] = own.As4()[3]
	return netip.AddrFrom4(b).String()
}

// starMAC is the Ethernet address of a node's link, which its IP address decides.
func starMAC(n StarNode) string {
	own, _ := netip.ParseAddr(n.Address)
	b := own.As4()
	return fmt.Sprintf("02:4d:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3])
}

// wholePackets has a node's kernel hand over packets as they are on a wire: with checksums, and none that
// the device would have to cut up.
func wholePackets(namespace string) error {
	th, err := startThread(func() error {
		ns, err := netns.GetFromName(namespace)
		if err != nil {
			return err
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			return err
		}
		return setFeature(StarDevice, unix.ETHTOOL_STXCSUM, false)
	})
	if err != nil {
		return fmt.Errorf("switch checksum offload of namespace %s off: %w", namespace, err)
	}
	th.stop()
	return nil
}
