package vswitch

import "math/bits"

// mac is an Ethernet address, its six bytes in the low bits.
type mac uint64

// macAt reads the address at the start of b, which has at least 8 bytes.
func macAt(b []byte) mac {
	_ = b[7]
	return mac(b[0])<<40 | mac(b[1])<<32 | mac(b[2])<<24 | mac(b[3])<<16 | mac(b[4])<<8 | mac(b[5])
}

func (m mac) multicast() bool { return m>>40&1 == 1 }

// groupMAC is the address a group maps to (RFC 1112 §6.4). Thirty-two groups share it, as they do
// in every switch that snoops by address.
func groupMAC(g [4]byte) mac {
	return 0x01005e<<24 | mac(g[1]&0x7f)<<16 | mac(g[2])<<8 | mac(g[3])
}

// linkLocal reports whether the address may be of a group in 224.0.0.0/24, whose packets go
// everywhere (RFC 4541 §2.1.2).
func (m mac) linkLocal() bool { return m>>8 == 0x01005e0000 }

// host is where an address was last seen.
type host struct {
	port int
	seen int64
}

// table knows where addresses live and who listens to groups.
type table struct {
	hosts  map[mac]*host
	groups map[mac]*group
	full   uint64 // addresses and groups that there was no room for
}

// group is who listens to a group.
type group struct {
	ports uint64
	until [MaxPorts]int64
}

func newTable() *table { return &table{hosts: map[mac]*host{}, groups: map[mac]*group{}} }

// learn notes that src was heard on port.
func (t *table) learn(src mac, port int, now int64) *host {
	h := t.hosts[src]
	switch {
	case h != nil:
	case len(t.hosts) >= MaxHosts:
		t.full++
		return nil
	default:
		h = &host{}
		t.hosts[src] = h
	}
	h.port, h.seen = port, now
	return h
}

// listen notes whether port listens to group.
func (t *table) listen(at mac, port int, listens bool, until int64) {
	g := t.groups[at]
	if g == nil {
		if !listens {
			return
		}
		if len(t.groups) >= MaxGroups {
			t.full++
			return
		}
		g = &group{}
		t.groups[at] = g
	}
	if !listens {
		t.drop(at, g, port)
		return
	}
	g.ports |= 1 << port
	g.until[port] = until
}

func (t *table) drop(at mac, g *group, port int) {
	if g.ports &^= 1 << port; g.ports == 0 {
		delete(t.groups, at)
	}
}

// age forgets what was not heard of for too long.
func (t *table) age(now, maxAge int64) {
	for at, h := range t.hosts {
		if now-h.seen > maxAge {
			delete(t.hosts, at)
		}
	}
	for at, g := range t.groups {
		for m := g.ports; m != 0; m &= m - 1 {
			if p := bits.TrailingZeros64(m); now > g.until[p] {
				t.drop(at, g, p)
			}
		}
	}
}

// forget forgets everything about a port.
func (t *table) forget(port int) {
	for at, h := range t.hosts {
		if h.port == port {
			delete(t.hosts, at)
		}
	}
	for at, g := range t.groups {
		t.drop(at, g, port)
	}
}
