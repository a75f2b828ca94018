package dpdk

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strings"

	"metronome/system/packet"
	"metronome/system/packet/ethernet"
)

// Defaults of [Config]. A frame of a 1500-byte MTU fits the buffer and memif's default slot alike.
const (
	DefaultRing       = 1024 // descriptors a ring
	DefaultMbufBytes  = 2048 // payload bytes a buffer
	mbufOverheadBytes = 128 + 128 + 64
)

// Config describes how to use one device. The zero value of every field but Device is usable.
type Config struct {
	// Device is EAL's name of the device ("net_memif0", "0000:00:04.0") or a decimal port id.
	Device string

	Queues         int // receive/transmit queue pairs, each a packet.Port; 0 means 1
	RxRing, TxRing int // descriptors a queue; 0 means DefaultRing; adjusted to the device's limits

	// Mbufs is the number of buffers a queue pair has; 0 means enough for both rings and three
	// bursts. memif holds none of them and does with 1023; AF_XDP lends 2048 to the kernel.
	Mbufs     int
	MbufBytes int // bytes a buffer holds; 0 means DefaultMbufBytes

	// Listen is the group (or unicast address) and UDP port to accept; the zero address accepts any
	// destination, port 0 any port.
	Listen netip.AddrPort
	// Unicast is a second address and port to accept, besides a group in Listen; zero: none.
	Unicast netip.AddrPort
	// VerifyChecksum verifies UDP checksums that are present. The IPv4 header's is always verified.
	VerifyChecksum bool
	// Null makes Recv only count: frames are whole packets, nothing is parsed, nothing refused.
	Null bool
	// NoIGMP keeps the port from reporting membership and answering queries.
	NoIGMP bool

	// Source and Destination address what Send and Transmit send; without Destination the port cannot
	// send. Source also signs IGMP reports.
	Source, Destination netip.AddrPort
	// DestinationMAC is the peer's MAC address; zero means the group's for a multicast Destination
	// and broadcast for another.
	DestinationMAC [6]byte
	// MAC replaces the device's own address, if the device lets it, and in any case as the source of
	// what is sent; zero keeps the device's.
	MAC [6]byte
	// TTL of what is sent; 0 means 1 for multicast, 64 otherwise.
	TTL uint8
	// SendChecksum fills the UDP checksum of what is sent.
	SendChecksum bool

	// RSSKey is the Toeplitz key that spreads flows over the queues; nil keeps the driver's. Only used
	// with Queues > 1. UDP/IPv4 ports and addresses are hashed if the device can.
	RSSKey []byte
	// Flows are the UDP source ports of flows to spread: a device that cannot hash ports gets a rule
	// (rte_flow) for each, the i-th to queue i modulo Queues. What no rule names goes to the first.
	Flows []uint16
}

// withDefaults fills in zero fields and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	c.Queues = orDefault(c.Queues, 1)
	c.RxRing = orDefault(c.RxRing, DefaultRing)
	c.TxRing = orDefault(c.TxRing, DefaultRing)
	c.MbufBytes = orDefault(c.MbufBytes, DefaultMbufBytes)
	if c.Mbufs == 0 {
		c.Mbufs = 1<<bits.Len(uint(c.RxRing+c.TxRing+3*packet.MaxBurst)) - 1
	}
	for _, f := range []struct {
		name          string
		value, lo, hi int
	}{
		{"Queues", c.Queues, 1, 128},
		{"RxRing", c.RxRing, 1, 1 << 15},
		{"TxRing", c.TxRing, 1, 1 << 15},
		{"Mbufs", c.Mbufs, 64, 1 << 22},
		{"MbufBytes", c.MbufBytes, 128, 1<<16 - 256},
	} {
		if f.value < f.lo || f.value > f.hi {
			return c, fmt.Errorf("dpdk: %s %d is outside [%d, %d]", f.name, f.value, f.lo, f.hi)
		}
	}
	return c, c.checkAddresses()
}

// checkAddresses refuses addresses that are not IPv4.
func (c Config) checkAddresses() error {
	for name, a := range map[string]netip.AddrPort{
		"Listen": c.Listen, "Unicast": c.Unicast, "Source": c.Source, "Destination": c.Destination,
	} {
		if a.Addr().IsValid() && !a.Addr().Unmap().Is4() {
			return fmt.Errorf("dpdk: %s %s is not an IPv4 address", name, a)
		}
	}
	if c.Destination.IsValid() && !c.Source.IsValid() {
		return fmt.Errorf("dpdk: a Destination (%s) needs a Source", c.Destination)
	}
	return nil
}

func orDefault(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}

// destinationMAC is where sent frames go.
func (c Config) destinationMAC() [6]byte {
	switch {
	case c.DestinationMAC != [6]byte{}:
		return c.DestinationMAC
	case c.Destination.Addr().IsMulticast():
		return ethernet.MulticastMAC(as4(c.Destination.Addr()))
	}
	return [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
}

// as4 is the IPv4 address a as bytes; zero for the invalid address.
func as4(a netip.Addr) [4]byte {
	if !a.IsValid() {
		return [4]byte{}
	}
	return a.Unmap().As4()
}

// PoolBytes bounds the memory of the device's buffer pools, in bytes: Queues × Mbufs × (buffer,
// headroom and bookkeeping). It is what [EAL].MemoryMB must have room for, besides a few megabytes
// of device state.
func (c Config) PoolBytes() (uint64, error) {
	c, err := c.withDefaults()
	if err != nil {
		return 0, err
	}
	return uint64(c.Queues) * uint64(c.Mbufs) * uint64(c.MbufBytes+mbufOverheadBytes), nil
}

// Filter is how far a device's receive filter had to be opened to let the group in.
type Filter string

// The steps, tightest first.
const (
	FilterList         Filter = "mac_list"      // the group's MAC address alone
	FilterAllMulticast Filter = "all_multicast" // every multicast address
	FilterPromiscuous  Filter = "promiscuous"   // every packet
	FilterNone         Filter = "none"          // the device has no filter to set
)

// Info describes an open device, for a run's manifest.
type Info struct {
	Device         string
	Driver         string // the poll-mode driver, "net_memif"
	PortID         int
	MAC            [6]byte
	MTU            int
	Queues         int
	RxRing, TxRing int // after adjustment; drivers of virtual devices may ignore them
	Mbufs          int // a queue
	MbufBytes      int
	PoolBytes      uint64 // all queues
	Filter         Filter
	RSS            string // what spreads flows over queues: RSSNone, RSSAddresses, RSSPorts or RSSRules
	DPDK           string // library version
}

// What spreads flows over queues, least first. A memif's peer does it, whatever stands here.
const (
	RSSNone      = "none"
	RSSAddresses = "ipv4"     // a hash of addresses: all flows of a sender take one queue
	RSSPorts     = "ipv4_udp" // a hash of addresses and ports
	RSSRules     = "rules"    // a rule a flow: see Config.Flows
)

// Spreads reports whether flows that differ in a port only are spread over the queues.
func (i *Info) Spreads() bool { return strings.HasPrefix(i.RSS, RSSPorts) || i.RSS == RSSRules }

// DeviceStats are the device's own counters since it was opened, over all queues.
type DeviceStats struct {
	RxPackets, RxBytes uint64
	RxMissed           uint64 // lost because the receive ring was full
	RxNoMbuf           uint64 // lost because the pool was empty
	RxErrors           uint64
	TxPackets, TxBytes uint64
	TxErrors           uint64
	Faults             uint64 // bursts that ended because a memif peer went and took the ring along
}

// XStat is one of a driver's extended counters.
type XStat struct {
	Name  string
	Value uint64
}

// Heap is the use of EAL's memory, in bytes.
type Heap struct {
	Total     uint64 // set aside
	Allocated uint64 // given out to pools, rings and devices
}

// Out is a buffer to be filled and sent: see Port.Reserve.
type Out struct {
	Payload []byte // the UDP payload, exactly as long as asked for
	Lane    uint16 // added to the source port: a 5-tuple for each lane
}

// Route is another destination of a port: see Port.Route.
type Route struct{ template *ethernet.Template }

// ErrQueues says that a device has fewer queue pairs than were asked for. Nothing was changed: it may
// be opened with fewer.
type ErrQueues struct {
	Device    string
	Has, Want int
}

func (e *ErrQueues) Error() string {
	return fmt.Sprintf("dpdk: %s has %d queue pairs, not %d", e.Device, e.Has, e.Want)
}
