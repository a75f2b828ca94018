package godpdk

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"unsafe"

	"github.com/yerden/go-dpdk/eal"
	"github.com/yerden/go-dpdk/ethdev"
	"github.com/yerden/go-dpdk/mbuf"
	"github.com/yerden/go-dpdk/mempool"
	"golang.org/x/sys/unix"

	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/ethernet"
)

// Config describes a port. EAL needs at least one device.
type Config struct {
	EAL    dpdk.EAL
	Device uint16 // EAL's number of the device: devices count from 0 in the order of EAL's arguments
	Ring   int    // descriptors of each ring; 0 means 1024
	Mbufs  int    // buffers of the pool; 0 means enough for both rings and three bursts

	// Listen is the group (or address) and UDP port to accept; the zero address accepts any destination,
	// port 0 any port.
	Listen netip.AddrPort
	// Source and Destination address what is sent; without Destination the port cannot send.
	Source, Destination netip.AddrPort
}

const (
	defaultRing = 1024
	maxRing     = 1 << 14
	maxMbufs    = 1 << 20
	roomBytes   = 128 + 2048 // headroom and a packet
	queue       = 0
)

// Port is queue 0 of a device. It belongs to one goroutine.
type Port struct {
	dev      ethdev.Port
	pool     *mempool.Mempool
	group    [4]byte
	number   uint16
	template *ethernet.Template // nil: cannot send

	held   [packet.MaxBurst]*mbuf.Mbuf // received, and lent to the caller
	lent   int
	out    [packet.MaxBurst]*mbuf.Mbuf
	buffer [ethernet.HeaderBytes + ethernet.MaxPayload]byte
	stats  packet.Stats
	device ethdev.Stats
	closed bool
}

var _ packet.Port = (*Port)(nil)

// withDefaults fills in zero fields and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if c.Ring == 0 {
		c.Ring = defaultRing
	}
	if c.Mbufs == 0 {
		c.Mbufs = 2*c.Ring + 3*packet.MaxBurst
	}
	switch {
	case len(c.EAL.Vdevs)+len(c.EAL.PCI) == 0:
		return c, errors.New("godpdk: EAL is given no device; next: set Config.EAL.Vdevs or PCI")
	case c.Ring < 1 || c.Ring > maxRing:
		return c, fmt.Errorf("godpdk: a ring of %d descriptors: use 1 to %d", c.Ring, maxRing)
	case c.Mbufs < packet.MaxBurst || c.Mbufs > maxMbufs:
		return c, fmt.Errorf("godpdk: %d buffers: use %d to %d", c.Mbufs, packet.MaxBurst, maxMbufs)
	case c.Listen.Addr().IsValid() && !c.Listen.Addr().Is4():
		return c, fmt.Errorf("godpdk: %s is not an IPv4 address", c.Listen)
	}
	return c, nil
}

// Open starts EAL, which it can once in a process, and the device.
func Open(c Config) (*Port, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Port{dev: ethdev.Port(c.Device), number: c.Listen.Port()}
	if c.Listen.Addr().IsValid() {
		p.group = c.Listen.Addr().As4()
	}
	if c.Destination.IsValid() {
		p.template, err = ethernet.NewTemplate(ethernet.Flow{Src: c.Source, Dst: c.Destination,
			DstMAC: ethernet.MulticastMAC(c.Destination.Addr().Unmap().As4())})
		if err != nil {
			return nil, err
		}
	}
	if _, err := eal.Init(arguments(c.EAL)); err != nil {
		return nil, &packet.ErrUnavailable{What: "go-dpdk", Why: "EAL did not start: " + err.Error(),
			Next: "read what EAL said on stderr, and system/packet/godpdk/README.md"}
	}
	if err := p.start(c); err != nil {
		return nil, errors.Join(err, eal.Cleanup())
	}
	return p, nil
}

// arguments are EAL's: a name in front, and files no other process has.
func arguments(e dpdk.EAL) []string {
	args := append([]string{"ingest-godpdk"}, e.Args()...)
	return append(args, fmt.Sprintf("--file-prefix=metronome-%d", os.Getpid()), "--no-telemetry",
		"--lcores=0@"+strconv.Itoa(allowedCPU()))
}

// allowedCPU is a CPU that this process may run on: EAL binds a thread, which then only sleeps, to it.
func allowedCPU() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0
	}
	for cpu := range 8 * int(unsafe.Sizeof(set)) {
		if set.IsSet(cpu) {
			return cpu
		}
	}
	return 0
}

// start makes the pool and brings the device up.
func (p *Port) start(c Config) (err error) {
	p.pool, err = mempool.CreateMbufPool("ingest", uint32(c.Mbufs), roomBytes)
	if err != nil {
		return fmt.Errorf("godpdk: a pool of %d buffers: %w", c.Mbufs, err)
	}
	ring := uint16(c.Ring)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"configure", func() error { return p.dev.DevConfigure(1, 1) }},
		{"set up the receive queue of", func() error { return p.dev.RxqSetup(queue, ring, p.pool) }},
		{"set up the transmit queue of", func() error { return p.dev.TxqSetup(queue, ring) }},
		{"start", func() error { return p.dev.Start() }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("godpdk: %s device %d: %w", step.name, c.Device, err)
		}
	}
	// A device without a filter, as memif, has no such mode either: what it lets through is checked anyway.
	_ = p.dev.PromiscEnable()
	return nil
}

// Recv polls the device once. Frames are valid until the next Recv.
func (p *Port) Recv(frames [][]byte) (int, error) {
	if p.closed {
		return 0, packet.ErrClosed
	}
	p.giveBack()
	p.lent = int(p.dev.RxBurst(queue, p.held[:min(len(frames), len(p.held))]))
	p.stats.RxCalls++
	n := 0
	for _, m := range p.held[:p.lent] {
		frame, verdict := ethernet.UDPPayload(m.Data(), p.group, p.number, false)
		switch {
		case verdict == ethernet.OK:
			frames[n] = frame
			n++
			p.stats.RxBytes += uint64(len(frame))
		case verdict.Damaged():
			p.stats.RxBadUDP++
		default:
			p.stats.RxForeign++
		}
	}
	if n == 0 {
		p.stats.RxEmpty++
	}
	p.stats.RxFrames += uint64(n)
	p.stats.RxSegs += uint64(n)
	return n, nil
}

// giveBack frees what was lent.
func (p *Port) giveBack() {
	if p.lent > 0 {
		mbuf.PktMbufFreeBulk(p.held[:p.lent])
		p.lent = 0
	}
}

// Send copies frames into buffers and hands them to the device. What it does not take is counted, not sent.
func (p *Port) Send(frames [][]byte) (int, error) {
	switch {
	case p.closed:
		return 0, packet.ErrClosed
	case p.template == nil:
		return 0, errors.New("godpdk: the port has no destination to send to; next: set Config.Destination")
	}
	frames = frames[:min(len(frames), len(p.out))]
	if len(frames) == 0 {
		return 0, nil
	}
	out := p.out[:len(frames)]
	if err := mbuf.PktMbufAllocBulk(p.pool, out); err != nil {
		p.stats.TxFull += uint64(len(frames)) // the pool is empty for now
		return 0, nil
	}
	for i, f := range frames {
		if err := p.fill(out[i], f); err != nil {
			mbuf.PktMbufFreeBulk(out)
			return 0, err
		}
	}
	sent := int(p.dev.TxBurst(queue, out))
	if sent < len(out) {
		mbuf.PktMbufFreeBulk(out[sent:])
	}
	p.stats.TxFrames += uint64(sent)
	p.stats.TxFull += uint64(len(frames) - sent)
	for _, f := range frames[:sent] {
		p.stats.TxBytes += uint64(len(f))
	}
	return sent, nil
}

// fill writes a packet around a frame.
func (p *Port) fill(m *mbuf.Mbuf, frame []byte) error {
	if len(frame) > ethernet.MaxPayload {
		return fmt.Errorf("godpdk: a frame of %d bytes is longer than %d", len(frame), ethernet.MaxPayload)
	}
	pkt := p.buffer[:ethernet.HeaderBytes+len(frame)]
	copy(pkt[ethernet.HeaderBytes:], frame)
	p.template.Put(pkt, 0)
	if err := m.PktMbufAppend(pkt); err != nil {
		return fmt.Errorf("godpdk: append %d bytes to a buffer: %w", len(pkt), err)
	}
	return nil
}

// Stats reads the port's counters and the device's. After Close they stay.
func (p *Port) Stats() packet.Stats {
	s := p.stats
	if p.closed {
		return s
	}
	if err := p.dev.StatsGet(&p.device); err == nil {
		d := p.device.Cast()
		s.RxDropped = d.Imissed + d.RxNoMbuf
		s.RxErrors, s.TxErrors = d.Ierrors, d.Oerrors
	}
	return s
}

// Close gives back what is lent and ends device and EAL.
func (p *Port) Close() error {
	if p.closed {
		return nil
	}
	p.giveBack()
	p.stats = p.Stats()
	p.closed = true
	return errors.Join(p.dev.Stop(), p.dev.Close(), eal.Cleanup())
}
