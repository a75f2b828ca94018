package cluster

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// place is an address that a process listens on.
type place struct {
	path, host, port string
	node             int // processes in the file's order; -1: none of them
}

func (p place) wildcard() bool {
	a, err := netip.ParseAddr(p.host)
	return p.host == "" || err == nil && a.IsUnspecified()
}

// addresses checks every address alone, then that no two clash.
func (k *check) addresses() {
	var tcp, udp []place
	add := func(to *[]place, node int, path, addr string, dialled bool) {
		if p, ok := k.address(path, addr, dialled); ok {
			p.node = node
			*to = append(*to, p)
		}
	}
	optional := func(node int, path, addr string) {
		if addr != "" {
			add(&tcp, node, path, addr, false)
		}
	}
	node := 0
	for i, r := range k.c.Replicas {
		path := fmt.Sprintf("replicas[%d].", i)
		add(&tcp, node, path+"stream", r.Stream, true)
		add(&udp, node, path+"datagram", r.Datagram, true)
		optional(node, path+"ops", r.Ops)
		node++
	}
	for i, p := range k.c.Proxies {
		path := fmt.Sprintf("proxies[%d].", i)
		add(&tcp, node, path+"stream", p.Stream, true)
		add(&udp, node, path+"datagram", p.Datagram, true)
		optional(node, path+"resp", p.Resp)
		optional(node, path+"ops", p.Ops)
		node++
	}
	k.clashes(tcp)
	k.clashes(udp)
	k.datagrams(udp)
}

func (k *check) address(path, addr string, dialled bool) (place, bool) {
	if addr == "" {
		k.wrong(path, "missing: give host:port")
		return place{}, false
	}
	host, port, err := net.SplitHostPort(addr)
	if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n == 0 {
		k.wrong(path, "%q: use host:port with a port of 1 to 65535", addr)
		return place{}, false
	}
	p := place{path: path, host: host, port: port}
	if dialled && p.wildcard() {
		k.wrong(path, "%q: others connect to this address: name the host", addr)
		return place{}, false
	}
	return p, true
}

// clashes finds addresses that two listeners would fight for. The same wildcard on two processes
// may mean two machines.
func (k *check) clashes(places []place) {
	for i, p := range places {
		for _, q := range places[:i] {
			same := p.host == q.host && !p.wildcard()
			shadowed := p.node == q.node && (p.wildcard() || q.wildcard())
			if p.port == q.port && (same || shadowed) {
				k.wrong(p.path, "%s clashes with %s: give each a port of its own",
					net.JoinHostPort(p.host, p.port), q.path)
				break
			}
		}
	}
}

// datagrams holds what sockets of packet.Port want: IPv4, and a port that is not the group's.
func (k *check) datagrams(udp []place) {
	var groupPorts []string
	for _, a := range k.c.Multicast.Addresses() {
		_, port, _ := net.SplitHostPort(a)
		groupPorts = append(groupPorts, port)
	}
	for _, p := range udp {
		a, err := netip.ParseAddr(p.host)
		switch {
		case err != nil || !a.Is4():
			k.wrong(p.path, "host %q: use an IPv4 address, not a name", p.host)
		case a.IsMulticast():
			k.wrong(p.path, "%s is a multicast address: this is the process's own, the group is multicast.group", a)
		case slices.Contains(groupPorts, p.port):
			k.wrong(p.path, "port %s is the group's: the two would receive each other's datagrams", p.port)
		}
	}
}

func (k *check) multicast() {
	m := &k.c.Multicast
	k.between("multicast.ttl", int64(m.TTL), 0, 255)
	k.groupPorts()
	if !k.oneOf("multicast.mode", m.Mode, "multicast", "unicast") {
		return
	}
	if m.Mode == "unicast" {
		if len(k.c.Replicas) > 1 {
			k.warn("multicast.mode", "unicast: proxies send every frame %d times", len(k.c.Replicas))
		}
		return
	}
	group, err := netip.ParseAddrPort(m.Group)
	switch {
	case m.Group == "":
		k.wrong("multicast.group", "missing: give an IPv4 group and port, as in 239.77.0.1:7700")
	case err != nil || group.Port() == 0:
		k.wrong("multicast.group", "%q: use an IPv4 group and port, as in 239.77.0.1:7700", m.Group)
	case !group.Addr().Is4() || !group.Addr().IsMulticast():
		k.wrong("multicast.group", "%s is no IPv4 multicast group: use one of 239.0.0.0/8", group.Addr())
	case group.Addr().IsLinkLocalMulticast():
		k.wrong("multicast.group", "%s is reserved for the network itself: use one of 239.0.0.0/8", group.Addr())
	}
	if group.IsValid() && group.Addr().As4()[0] != 239 && len(k.problems) == 0 {
		k.warn("multicast.group", "%s may belong to somebody: 239.0.0.0/8 is for private use", group.Addr())
	}
}

// maxPorts bounds the sockets of a group, and a replica's ingest cores.
const maxPorts = 64

// groupPorts holds that only sockets that receive a group have several ports: devices spread lanes
// by their source ports.
func (k *check) groupPorts() {
	m := &k.c.Multicast
	k.between("multicast.ports", int64(m.Ports), 1, maxPorts)
	if m.Ports <= 1 {
		return
	}
	group, _ := netip.ParseAddrPort(m.Group) // multicast judges it
	switch {
	case k.c.Port.Kind == "dpdk":
		k.wrong("multicast.ports", "%d: port kind dpdk spreads lanes over a device's queues: leave it out", m.Ports)
	case m.Mode == "unicast":
		k.wrong("multicast.ports", "%d: mode unicast sends to each replica's one datagram address: leave it out",
			m.Ports)
	case int(group.Port())+m.Ports-1 > 1<<16-1:
		k.wrong("multicast.ports", "%d: from the group's port %d on there are %d: use a lower port", m.Ports,
			group.Port(), 1<<16-int(group.Port()))
	}
}

// ingest holds that each ingest core has something to poll, or that one polls for all.
func (k *check) ingest(path string, c *Cores) {
	n := len(c.Ingest)
	if n > maxPorts {
		k.wrong(path+".cores", "%d ingest cores: use at most %d", n, maxPorts)
		return
	}
	if k.c.Port.Kind != "socket" || n < 2 {
		return
	}
	switch ports := k.c.Multicast.Ports; {
	case ports <= 1:
		k.warn(path+".cores", "%d ingest cores and one port of the group: the first distributes frames in "+
			"software: set multicast.ports", n)
	case ports < n:
		k.wrong(path+".cores", "%d ingest cores, but multicast.ports is %d: a core would have nothing to receive: "+
			"use at most %d, or more ports", n, ports, ports)
	}
}
