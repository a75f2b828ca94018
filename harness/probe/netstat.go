package probe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Counters are kernel counters by name: "Udp.RcvbufErrors", "rx_queue_0_drops".
type Counters map[string]uint64

// Sub is the counters' growth. A counter that fell (a device made anew) counts from zero.
func (c Counters) Sub(from Counters) Counters {
	d := make(Counters, len(c))
	for k, v := range c {
		if old := from[k]; old <= v {
			v -= old
		}
		d[k] = v
	}
	return d
}

// ParseSNMP adds the counters of /proc/net/snmp or /proc/net/netstat to c, as "Group.Name". Both are
// pairs of lines: names, then values. Negative values, which are settings, are left out.
func ParseSNMP(b []byte, c Counters) error {
	var names []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		if len(f) != len(names) || f[0] != names[0] {
			return fmt.Errorf("snmp: %d values after %d names in group %s", len(f), len(names), names[0])
		}
		group := strings.TrimSuffix(f[0], ":")
		for i := 1; i < len(f); i++ {
			if strings.HasPrefix(f[i], "-") {
				continue
			}
			v, err := strconv.ParseUint(f[i], 10, 64)
			if err != nil {
				return fmt.Errorf("snmp: %s.%s: %w", group, names[i], err)
			}
			c[group+"."+names[i]] = v
		}
		names = nil
	}
	if names != nil {
		return fmt.Errorf("snmp: group %s has no values", names[0])
	}
	return nil
}

// Net is what a namespace's IP and UDP layers did with received packets.
type Net struct {
	IPReceived   uint64 // IP packets a device handed up
	IPHeader     uint64 // dropped: bad header, header checksum included
	IPAddress    uint64 // dropped: for an address that is not ours
	IPNoRoute    uint64 // dropped: no route back to the source or on to the destination
	IPTruncated  uint64 // dropped: shorter than the header says
	IPDiscarded  uint64 // dropped: no memory
	IPProtocol   uint64 // dropped: no such protocol
	IPDelivered  uint64 // handed to UDP, ICMP, …
	UDPDelivered uint64 // read by a socket's owner or queued for it
	UDPNoPort    uint64 // dropped: unicast, no socket on the port
	UDPIgnored   uint64 // dropped: multicast, no socket joined
	UDPErrors    uint64 // dropped by UDP; contains the three below
	UDPRcvbuf    uint64 // of UDPErrors: the socket's receive buffer was full
	UDPChecksum  uint64 // of UDPErrors: bad checksum
	UDPMemory    uint64 // of UDPErrors: UDP's memory limit
}

// net picks what a trial's ledger needs out of all counters. A counter an older kernel lacks is 0.
func (c Counters) net() Net {
	return Net{
		IPReceived: c["Ip.InReceives"], IPHeader: c["Ip.InHdrErrors"],
		IPAddress: c["Ip.InAddrErrors"], IPNoRoute: c["IpExt.InNoRoutes"],
		IPTruncated: c["IpExt.InTruncatedPkts"], IPDiscarded: c["Ip.InDiscards"],
		IPProtocol: c["Ip.InUnknownProtos"], IPDelivered: c["Ip.InDelivers"],
		UDPDelivered: c["Udp.InDatagrams"], UDPNoPort: c["Udp.NoPorts"],
		UDPIgnored: c["Udp.IgnoredMulti"], UDPErrors: c["Udp.InErrors"],
		UDPRcvbuf: c["Udp.RcvbufErrors"], UDPChecksum: c["Udp.InCsumErrors"],
		UDPMemory: c["Udp.MemErrors"],
	}
}

// Softnet is one core's line of /proc/net/softnet_stat; it counts for all namespaces.
type Softnet struct {
	Core      int    `json:"core"`
	Processed uint64 `json:"processed"` // packets handed to the stack on this core
	Dropped   uint64 `json:"dropped"`   // the per-core backlog was full (loopback, RPS; not NAPI)
	Squeezed  uint64 `json:"squeezed"`  // softirq left work behind: out of budget or time
}

// ParseSoftnet reads /proc/net/softnet_stat. The values are 32-bit hexadecimal and wrap. The core's
// number is column 13; kernels before 5.10 lack it, there the line's number stands for it.
func ParseSoftnet(b []byte) ([]Softnet, error) {
	var all []Softnet
	for line := range strings.Lines(string(b)) {
		var v []uint64
		for _, f := range strings.Fields(line) {
			x, err := strconv.ParseUint(f, 16, 32)
			if err != nil {
				return nil, fmt.Errorf("softnet_stat: %w", err)
			}
			v = append(v, x)
		}
		if len(v) < 3 {
			return nil, fmt.Errorf("softnet_stat: %d columns, want at least 3", len(v))
		}
		s := Softnet{Core: len(all), Processed: v[0], Dropped: v[1], Squeezed: v[2]}
		if len(v) > 12 {
			s.Core = int(v[12])
		}
		all = append(all, s)
	}
	return all, nil
}

// sub is the growth modulo 2^32.
func (s Softnet) sub(from Softnet) Softnet {
	wrap := func(now, then uint64) uint64 { return uint64(uint32(now) - uint32(then)) }
	s.Processed = wrap(s.Processed, from.Processed)
	s.Dropped = wrap(s.Dropped, from.Dropped)
	s.Squeezed = wrap(s.Squeezed, from.Squeezed)
	return s
}

// UDPSocket is one line of /proc/net/udp.
type UDPSocket struct {
	Port       uint16 `json:"port"`        // local
	QueueBytes uint64 `json:"queue_bytes"` // received, not read; kernel memory, overhead included
	Drops      uint64 `json:"drops"`       // datagrams this socket had no room for
	Inode      uint64 `json:"inode"`
}

// ParseUDP reads /proc/net/udp, the namespace's IPv4 UDP sockets.
func ParseUDP(b []byte) ([]UDPSocket, error) {
	var all []UDPSocket
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if i == 0 {
			continue // column titles
		}
		s, err := parseUDPLine(strings.Fields(line))
		if err != nil {
			return nil, fmt.Errorf("udp: line %d: %w", i+1, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func parseUDPLine(f []string) (s UDPSocket, err error) {
	if len(f) < 13 {
		return s, fmt.Errorf("%d columns, want 13", len(f))
	}
	_, port, ok1 := strings.Cut(f[1], ":")
	_, queue, ok2 := strings.Cut(f[4], ":")
	if !ok1 || !ok2 {
		return s, errors.New("no ':' in address or queue")
	}
	p, err1 := strconv.ParseUint(port, 16, 16)
	s.Port = uint16(p)
	var err2, err3, err4 error
	s.QueueBytes, err2 = strconv.ParseUint(queue, 16, 64)
	s.Inode, err3 = strconv.ParseUint(f[9], 10, 64)
	s.Drops, err4 = strconv.ParseUint(f[12], 10, 64)
	return s, errors.Join(err1, err2, err3, err4)
}

// ParseSockstat reads the pages all UDP sockets hold from /proc/net/sockstat. It counts for the
// whole host, whichever namespace the file is read in.
func ParseSockstat(b []byte) (udpPages uint64, err error) {
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "UDP:" {
			continue
		}
		for i := 1; i+1 < len(f); i += 2 {
			if f[i] == "mem" {
				return strconv.ParseUint(f[i+1], 10, 64)
			}
		}
	}
	return 0, errors.New("sockstat: no UDP memory in it")
}

// ParseNetDev reads /proc/net/dev: per device, "rx_bytes", "rx_packets", "rx_errors", "rx_dropped",
// "tx_bytes", "tx_packets", "tx_errors", "tx_dropped".
func ParseNetDev(b []byte) (map[string]Counters, error) {
	columns := []string{"rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "", "", "", "",
		"tx_bytes", "tx_packets", "tx_errors", "tx_dropped"}
	devices := make(map[string]Counters)
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if i < 2 {
			continue // column titles
		}
		colon := strings.LastIndexByte(line, ':')
		if colon < 0 {
			return nil, fmt.Errorf("net/dev: line %d: no device", i+1)
		}
		f := strings.Fields(line[colon+1:])
		if len(f) < len(columns) {
			return nil, fmt.Errorf("net/dev: line %d: %d columns", i+1, len(f))
		}
		c := make(Counters)
		for j, name := range columns {
			v, err := strconv.ParseUint(f[j], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("net/dev: line %d: %w", i+1, err)
			}
			if name != "" {
				c[name] = v
			}
		}
		devices[strings.TrimSpace(line[:colon])] = c
	}
	return devices, nil
}
