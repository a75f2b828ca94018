package daemon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"metronome/system/cluster"
	"metronome/system/node"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/wire"
)

// bypass is the one way of all datagrams of a process whose port bypasses the kernel: frames to and
// from the group, requests for repair and repairs. It is a packet.Port. The link may be down, at
// the start or later: the process runs on, loses what it sends, and looks for the link now and then.
type bypass struct {
	dev   *dpdk.Device
	port  *dpdk.Port
	up    bool
	look  time.Time // when to look at the link next
	group []*dpdk.Route
	peers map[wire.Peer]*dpdk.Route
	lost  uint64 // unicast datagrams that were not taken
	full  uint64 // frames that were not taken
	one   [1][]byte
}

const (
	lookEvery  = 50 * time.Millisecond
	memifMB    = 64
	memifRing  = 12 // log2: 4096 frames, in memory that is touched as it is used
	bypassRing = 1024
)

// bypassMAC is a peer's Ethernet address: nobody has to ask for it.
func bypassMAC(p wire.Peer) (mac [6]byte) {
	mac[0], mac[1] = 0x02, 'M'
	binary.BigEndian.PutUint32(mac[2:], uint32(p))
	return mac
}

// openBypass opens the device of the process that self is.
func openBypass(c *cluster.Config, self wire.Peer) (*bypass, error) {
	addresses := datagramAddresses(c)
	own, err := netip.ParseAddrPort(addresses[self])
	if err != nil {
		return nil, fmt.Errorf("daemon: datagram address %q: %w", addresses[self], err)
	}
	cfg := dpdk.Config{Listen: own, Source: own, MAC: bypassMAC(self), RxRing: bypassRing, TxRing: bypassRing}
	if self.IsReplica() && c.Multicast.Mode != "unicast" {
		cfg.Unicast = own
		if cfg.Listen, err = netip.ParseAddrPort(c.Multicast.Group); err != nil {
			return nil, fmt.Errorf("daemon: listen for frames on %q: %w", c.Multicast.Group, err)
		}
	}
	var eal dpdk.EAL
	if device := c.Device(self); c.Port.Mode == "memif" {
		m := dpdk.Memif{Socket: device, RingLog2: memifRing}
		cfg.Device = m.Name()
		eal = dpdk.EAL{Vdevs: []string{m.Vdev()}, MemoryMB: memifMB}
	} else {
		cfg.Device = device
		eal = dpdk.EAL{PCI: []string{device}, MemoryMB: dpdkMemoryMB, Hugepages: true}
	}
	if err := dpdk.Init(eal.Args()); err != nil {
		return nil, err
	}
	b := &bypass{peers: map[wire.Peer]*dpdk.Route{}}
	if b.dev, err = dpdk.Open(cfg); err != nil {
		return nil, errors.Join(err, dpdk.Shutdown())
	}
	b.port = b.dev.Port(0)
	if err := b.routes(c); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// routes prepares the headers for everybody.
func (b *bypass) routes(c *cluster.Config) error {
	if err := b.addPeers(datagramAddresses(c)); err != nil {
		return err
	}
	b.group = b.group[:0]
	if c.Multicast.Mode == "unicast" {
		for i := range c.Replicas {
			b.group = append(b.group, b.peers[c.Replicas[i].Peer()])
		}
		return nil
	}
	to, err := netip.ParseAddrPort(c.Multicast.Group)
	if err != nil {
		return fmt.Errorf("daemon: send frames to %q: %w", c.Multicast.Group, err)
	}
	r, err := b.port.Route(to, [6]byte{})
	b.group = append(b.group, r)
	return err
}

func (b *bypass) addPeers(peers map[wire.Peer]string) error {
	for p, a := range peers {
		to, err := netip.ParseAddrPort(a)
		if err != nil {
			return fmt.Errorf("daemon: datagram address %q of %v: %w", a, p, err)
		}
		if b.peers[p], err = b.port.Route(to, bypassMAC(p)); err != nil {
			return err
		}
	}
	return nil
}

// linked reports whether there is a link; it looks only now and then, and never in a busy stream.
func (b *bypass) linked() bool {
	if now := time.Now(); now.After(b.look) {
		b.look = now.Add(lookEvery)
		b.up = b.dev.Connect()
	}
	return b.up
}

// Recv implements packet.Port.
func (b *bypass) Recv(frames [][]byte) (int, error) {
	if !b.up && !b.linked() {
		return 0, nil
	}
	n, err := b.port.Recv(frames)
	if n == 0 && err == nil {
		b.linked()
	}
	return n, err
}

// Send implements packet.Port: to the group.
func (b *bypass) Send(frames [][]byte) (int, error) {
	if !b.up && !b.linked() {
		return 0, nil
	}
	for i, r := range b.group {
		n, err := b.sendAll(r, frames)
		if i == 0 && len(b.group) == 1 || err != nil {
			return n, err
		}
		b.full += uint64(len(frames) - n)
	}
	return len(frames), nil
}

// sendAll offers frames until they are taken, or refused a few times.
func (b *bypass) sendAll(to *dpdk.Route, frames [][]byte) (sent int, err error) {
	for try := 0; sent < len(frames) && try < sendTries; try++ {
		n, err := b.port.SendTo(to, frames[sent:])
		if err != nil {
			return sent, err
		}
		if sent += n; n == 0 && try > 0 {
			runtime.Gosched()
		}
	}
	return sent, nil
}

// Stats implements packet.Port.
func (b *bypass) Stats() packet.Stats { return b.port.Stats() }

// Close implements packet.Port.
func (b *bypass) Close() error {
	if err := b.dev.Close(); err != nil {
		return err
	}
	return dpdk.Shutdown()
}

// bypassUnicast is a bypass as the way of unicast datagrams. A replica receives them with its
// frames; a proxy, which has no other port, by receive.
type bypassUnicast struct {
	*bypass
	receives bool
}

func (b bypassUnicast) receive(take func(b []byte)) (total int) {
	if !b.receives {
		return 0
	}
	var frames [maxControl][]byte
	n, err := b.Recv(frames[:])
	if err != nil {
		return 0 // it is closed
	}
	for _, f := range frames[:n] {
		take(f)
	}
	return n
}

func (b bypassUnicast) send(list []node.Datagram) {
	for i := range list {
		to := b.peers[list[i].To]
		if to == nil || !b.up {
			b.lost++
			continue
		}
		b.one[0] = list[i].Bytes
		if n, err := b.port.SendTo(to, b.one[:]); n != 1 || err != nil {
			b.lost++
		}
	}
}

func (b bypassUnicast) add(peers map[wire.Peer]string) error { return b.addPeers(peers) }
func (b bypassUnicast) unsent() uint64                       { return b.lost }
func (b bypassUnicast) close()                               {} // the port's owner does

// bypassFan is a bypass as a proxy's way to all replicas. It owns the bypass.
type bypassFan struct{ *bypass }

func (b bypassFan) send(frames [][]byte) error {
	if len(frames) == 0 {
		return nil
	}
	n, err := b.Send(frames)
	b.full += uint64(len(frames) - n)
	return err
}

func (b bypassFan) add(c *cluster.Config) error { return b.routes(c) }
func (b bypassFan) sent() packet.Stats          { return b.Stats() }
func (b bypassFan) refused() uint64             { return b.full }
func (b bypassFan) close() error                { return b.Close() }

// attach prepares the loop's thread for polling, if its port bypasses the kernel.
func attach(port any) (detach func(), err error) {
	switch port.(type) {
	case *bypass, bypassUnicast:
		return dpdk.Attach()
	}
	return func() {}, nil
}

// idler counts the empty polls of a loop.
type idler struct {
	empty, limit int
}

// spins reports whether the loop should poll again instead of sleeping; in the second half of its
// patience it lets others run first.
func (i *idler) spins() bool {
	if i.empty++; i.empty > i.limit {
		runtime.Gosched()
		yieldCore()
	}
	return i.empty <= 2*i.limit
}
