package testbed

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The link every run uses. Names repeat from run to run, since each end is alone in its namespace.
const (
	GenDevice = "mtn-tx" // the generator's end
	DutDevice = "mtn-rx" // the end of the device under test
)

// Addresses of the two ends, and the range of multicast groups routed to the link.
var (
	GenAddr    = netip.MustParseAddr("10.77.0.1")
	DutAddr    = netip.MustParseAddr("10.77.0.2")
	GroupRange = netip.MustParsePrefix("239.0.0.0/8")
)

const prefixBits = 24

// End is one end of a [Link].
type End struct {
	Netns  *Netns
	Device string
	Index  int // interface index inside Netns
	MAC    net.HardwareAddr
	Addr   netip.Addr
}

// Link is a veth pair with the generator at one end and the device under test at the other. It has
// one queue in each direction: frames arrive in the order they were sent, in one ring of 256 slots.
type Link struct {
	Gen, Dut End

	napi int // thread id found when the NAPI thread was made; 0 if that was ambiguous
	dir  string
}

// Link makes the two namespaces and the pair between them: addresses, static neighbours, a route for
// multicast at both ends, GRO and a NAPI kernel thread at the receiving end. Any failure leaves what
// was made to [Testbed.Close]. The error is a *packet.ErrUnavailable if this machine cannot do it.
func (t *Testbed) Link() (*Link, error) {
	gen, err := t.newNetns("mtn-gen-" + t.state.ID)
	if err != nil {
		return nil, err
	}
	dut, err := t.newNetns("mtn-dut-" + t.state.ID)
	if err != nil {
		return nil, err
	}
	l := &Link{dir: t.dir,
		Gen: End{Netns: gen, Device: GenDevice, Addr: GenAddr},
		Dut: End{Netns: dut, Device: DutDevice, Addr: DutAddr}}
	steps := []struct {
		name string
		do   func() error
	}{
		{"make veth pair", l.create},
		{"address generator's end", func() error { return l.Gen.address() }},
		{"address receiver's end", func() error { return l.Dut.address() }},
		{"switch GRO on", func() error { return dut.Do(func() error { return setGRO(DutDevice) }) }},
		{"bring generator's end up", func() error { return l.Gen.up(&l.Dut) }},
		{"bring receiver's end up", func() error { return l.Dut.up(&l.Gen) }},
		{"give NAPI a thread", l.thread},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return nil, fmt.Errorf("link of testbed %s: %s: %w", t.state.ID, s.name, err)
		}
	}
	return l, nil
}

// create makes the pair with each end in its namespace from the first moment, so that nothing of it
// ever shows on the host.
func (l *Link) create() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = GenDevice
	attrs.NumTxQueues, attrs.NumRxQueues = 1, 1
	return l.Gen.Netns.h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: DutDevice,
		PeerNumTxQueues: 1, PeerNumRxQueues: 1,
		PeerNamespace: netlink.NsFd(int(l.Dut.Netns.ns))})
}

// address reads what the kernel chose for the device and gives it its address.
func (e *End) address() error {
	link, err := e.Netns.h.LinkByName(e.Device)
	if err != nil {
		return err
	}
	e.Index, e.MAC = link.Attrs().Index, link.Attrs().HardwareAddr
	return e.Netns.h.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(e.Addr, prefixBits))})
}

// up brings the device up, knowing its peer without asking: no ARP on the wire.
func (e *End) up(peer *End) error {
	link, err := e.Netns.h.LinkByName(e.Device)
	if err != nil {
		return err
	}
	if err := e.Netns.h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", e.Device, err)
	}
	err = e.Netns.h.NeighSet(&netlink.Neigh{LinkIndex: e.Index, Family: unix.AF_INET,
		State: netlink.NUD_PERMANENT, IP: peer.Addr.AsSlice(), HardwareAddr: peer.MAC})
	if err != nil {
		return fmt.Errorf("static neighbour of %s: %w", e.Device, err)
	}
	err = e.Netns.h.RouteAdd(&netlink.Route{LinkIndex: e.Index, Dst: ipNet(GroupRange),
		Scope: netlink.SCOPE_LINK})
	if err != nil {
		return fmt.Errorf("multicast route of %s: %w", e.Device, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
