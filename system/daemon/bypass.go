package daemon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"metronome/system/cluster"
	"metronome/system/node"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/ethernet"
	"metronome/system/wire"
)

// bypass is the one way of all datagrams of a process whose port bypasses the kernel: frames to and
// from the group, requests for repair and repairs. It is a packet.Port. The link may be down, at
// the start or later: the process runs on, loses what it sends, and looks for the link now and then.
//
// With ingest cores each of its queues is one core's, and only its first queue sends.
type bypass struct {
	dev    *dpdk.Device
	port   *dpdk.Port
	queues []*bypassQueue // nil: one goroutine does everything
	up     atomic.Bool
	look   time.Time // when to look at the link next
	warn   time.Time // when to say that there is none; zero: it was said, or there was one
	log    *slog.Logger
	group  [][]*dpdk.Route // by target, then by lane
	peers  map[wire.Peer]*dpdk.Route
	lost   uint64 // unicast datagrams that were not taken
	full   uint64 // frames that were not taken
	one    [1][]byte
}

const (
	lookEvery  = 50 * time.Millisecond
	noLink     = 3 * time.Second // until a missing link is remarked on
	memifMB    = 64
	memifMore  = 32 // MiB of each further queue, of a PCI device as well
	memifRing  = 12 // log2: 4096 frames, in memory that is touched as it is used
	bypassRing = 1024
)

// bypassMAC is a peer's Ethernet address: nobody has to ask for it.
func bypassMAC(p wire.Peer) (mac [6]byte) {
	mac[0], mac[1] = 0x02, 'M'
	binary.BigEndian.PutUint32(mac[2:], uint32(p))
	return mac
}

// openBypass opens the device of the process that self is, with so many queues; with one if the device has
// no more than one. Without ingest cores (cores 0) it has one, and is a port itself.
func openBypass(c *cluster.Config, self wire.Peer, cores int, log *slog.Logger) (*bypass, error) {
	cfg, eal, err := bypassConfig(c, self, max(cores, 1))
	if err != nil {
		return nil, err
	}
	if err := dpdk.Init(eal.Args()); err != nil {
		return nil, err
	}
	b := &bypass{peers: map[wire.Peer]*dpdk.Route{}, log: log, warn: time.Now().Add(noLink)}
	if b.dev, err = openQueues(cfg, log); err != nil {
		return nil, errors.Join(err, dpdk.Shutdown())
	}
	b.port = b.dev.Port(0)
	for i := range min(cores, b.dev.Ports()) {
		b.queues = append(b.queues, &bypassQueue{b: b, port: b.dev.Port(i), index: i})
	}
	if err := b.routes(c, self); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func bypassConfig(c *cluster.Config, self wire.Peer, queues int) (cfg dpdk.Config, eal dpdk.EAL, err error) {
	addresses := datagramAddresses(c)
	own, err := netip.ParseAddrPort(addresses[self])
	if err != nil {
		return cfg, eal, fmt.Errorf("daemon: datagram address %q: %w", addresses[self], err)
	}
	cfg = dpdk.Config{Listen: own, Source: own, MAC: bypassMAC(self), RxRing: bypassRing, TxRing: bypassRing,
		Queues: queues}
	if self.IsReplica() && c.Multicast.Mode != "unicast" {
		cfg.Unicast = own
		if cfg.Listen, err = netip.ParseAddrPort(c.Multicast.Group); err != nil {
			return cfg, eal, fmt.Errorf("daemon: listen for frames on %q: %w", c.Multicast.Group, err)
		}
	}
	if device := c.Device(self); c.Port.Mode == "memif" {
		m := dpdk.Memif{Socket: device, RingLog2: memifRing}
		cfg.Device = m.Name()
		eal = dpdk.EAL{Vdevs: []string{m.Vdev()}, MemoryMB: memifMB + (queues-1)*memifMore}
	} else {
		cfg.Device = device
		if queues > 1 {
			cfg.RSSKey = ethernet.MicrosoftKey[:]
			if cfg.Flows, err = flowsTo(c, cfg.Listen); err != nil {
				return cfg, eal, err
			}
		}
		eal = dpdk.EAL{PCI: []string{device}, MemoryMB: max(dpdkMemoryMB, memifMB+queues*memifMore),
			Hugepages: true}
	}
	return cfg, eal, nil
}

// flowsTo are the source ports of all lanes of the cluster, as their proxies choose them for a target.
func flowsTo(c *cluster.Config, target netip.AddrPort) (ports []uint16, err error) {
	hash := ethernet.NewToeplitz(ethernet.MicrosoftKey[:])
	addresses := datagramAddresses(c)
	for i := range c.Proxies {
		proxy := c.Proxies[i].Peer()
		own, err := netip.ParseAddrPort(addresses[proxy])
		if err != nil {
			return nil, fmt.Errorf("daemon: datagram address of %v: %w", proxy, err)
		}
		first, lanes := c.LanesOf(proxy)
		for lane := range lanes {
			ports = append(ports, hash.SpreadPort(own.Addr(), target, first+lane))
		}
	}
	return ports, nil
}

// routes prepares the headers for everybody.
func (b *bypass) routes(c *cluster.Config, self wire.Peer) error {
	if err := b.addPeers(datagramAddresses(c)); err != nil {
		return err
	}
	b.group = b.group[:0]
	if c.Multicast.Mode != "unicast" {
		return b.addTarget(c, self, c.Multicast.Group, [6]byte{})
	}
	for i := range c.Replicas {
		peer := c.Replicas[i].Peer()
		if err := b.addTarget(c, self, c.Replicas[i].Datagram, bypassMAC(peer)); err != nil {
			return err
		}
	}
	return nil
}

// addTarget prepares a target's headers, one a lane: each is a flow of its own, from a port that takes it
// to the place in the receivers' redirection table that is its number's among all lanes of the
// cluster. So lanes are spread evenly, however many queues a receiver has.
func (b *bypass) addTarget(c *cluster.Config, self wire.Peer, address string, mac [6]byte) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("daemon: send frames to %q: %w", address, err)
	}
	own, err := netip.ParseAddrPort(datagramAddresses(c)[self])
	if err != nil {
		return fmt.Errorf("daemon: datagram address of %v: %w", self, err)
	}
	first, lanes := c.LanesOf(self)
	hash := ethernet.NewToeplitz(ethernet.MicrosoftKey[:])
	var routes []*dpdk.Route
	for lane := range max(lanes, 1) {
		r, err := b.port.RouteFrom(hash.SpreadPort(own.Addr(), to, first+lane), to, mac)
		if err != nil {
			return err
		}
		routes = append(routes, r)
	}
	b.group = append(b.group, routes)
	return nil
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
		for _, q := range b.queues { // to connect restarts the device: nobody may be inside it
			q.mu.Lock()
		}
		b.up.Store(b.dev.Connect())
		for _, q := range b.queues {
			q.mu.Unlock()
		}
		b.complain(now)
	}
	return b.up.Load()
}

// complain says once that there was no link for a while. A memif server that has fewer queues than this
// side asks for turns it away without a word.
func (b *bypass) complain(now time.Time) {
	if b.up.Load() {
		b.warn = time.Time{}
	}
	if b.warn.IsZero() || now.Before(b.warn) {
		return
	}
	b.warn = time.Time{}
	i := b.dev.Info()
	next := "start what it connects to"
	if i.Driver == "net_memif" && i.Queues > 1 {
		next = fmt.Sprintf("start the switch with as many queues for this node: "+
			"lab vswitch --port NAME=SOCKET,queues=%d", i.Queues)
	}
	b.log.Warn("no link", "device", i.Device, "queues", i.Queues, "next", next)
}

// Recv implements packet.Port.
func (b *bypass) Recv(frames [][]byte) (int, error) {
	if !b.up.Load() && !b.linked() {
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
	if !b.up.Load() && !b.linked() {
		return 0, nil
	}
	for i, lanes := range b.group {
		n, err := b.sendLanes(lanes, frames)
		if i == 0 && len(b.group) == 1 || err != nil {
			return n, err
		}
		b.full += uint64(len(frames) - n)
	}
	return len(frames), nil
}

// sendLanes sends runs of frames of one lane, each as its lane's flow.
func (b *bypass) sendLanes(lanes []*dpdk.Route, frames [][]byte) (sent int, err error) {
	if len(lanes) == 1 {
		return b.sendAll(lanes[0], frames)
	}
	for sent < len(frames) {
		lane, end := laneOf(frames[sent]), sent+1
		for end < len(frames) && laneOf(frames[end]) == lane {
			end++
		}
		n, err := b.sendAll(lanes[lane%len(lanes)], frames[sent:end])
		if sent += n; err != nil || sent < end {
			return sent, err
		}
	}
	return sent, nil
}

// laneOf is the lane of a frame of this process's own.
func laneOf(frame []byte) int {
	var h wire.Header
	h.Get(frame)
	return int(h.Lane)
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
	if len(b.queues) > 0 && len(list) > 0 {
		b.queues[0].mu.Lock()
		defer b.queues[0].mu.Unlock()
	}
	for i := range list {
		to := b.peers[list[i].To]
		if to == nil || !b.up.Load() {
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
type bypassFan struct {
	*bypass
	self wire.Peer
}

func (b bypassFan) send(frames [][]byte) error {
	if len(frames) == 0 {
		return nil
	}
	n, err := b.Send(frames)
	b.full += uint64(len(frames) - n)
	return err
}

func (b bypassFan) add(c *cluster.Config) error { return b.routes(c, b.self) }
func (b bypassFan) sent() packet.Stats          { return b.Stats() }
func (b bypassFan) refused() uint64             { return b.full }
func (b bypassFan) close() error                { return b.Close() }

// attach prepares the loop's thread for polling, if its port bypasses the kernel.
func attach(port any) (detach func(), err error) {
	switch port.(type) {
	case *bypass, bypassUnicast, *bypassQueue, deviceQueue:
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
