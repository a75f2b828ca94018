package socket

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// Mode is a way of reading datagrams from the kernel; the package documentation lists them.
type Mode string

// The modes.
const (
	Recv     Mode = "recv"
	Net      Mode = "net"
	Recvmmsg Mode = "recvmmsg"
	GRO      Mode = "gro"
	AFPacket Mode = "af_packet"
)

// Modes lists every mode.
var Modes = []Mode{Recv, Net, Recvmmsg, GRO, AFPacket}

// Config describes a port. Listen or Destination, or both, must be set.
type Config struct {
	Mode      Mode           // how to receive; recv if empty
	Interface string         // device of the group's traffic; empty: the kernel's choice
	Listen    netip.AddrPort // group (joined) or local address, and port, to receive on

	Batch         int           // buffers a call in modes recvmmsg and gro, 1 to packet.MaxBurst; 0 = 32
	ReceiveBuffer int           // bytes of SO_RCVBUF, or of the af_packet ring; 0 = 4 MiB
	BusyPoll      time.Duration // how long to poll the device before sleeping; 0 = not at all
	Wait          time.Duration // how long Recv waits for a first datagram; 0 = 10 ms; below 0: modes recv,
	// recvmmsg and gro never wait, and the caller waits for the Descriptor

	Destination netip.AddrPort // where Send sends
	Source      netip.AddrPort // the address it sends from; zero: the kernel's choice
	GSO         bool           // send runs of equal lengths as one segmented datagram
	Loop        bool           // let this host's own sockets receive what is sent to a group
}

const (
	defaultBatch  = 32
	defaultBuffer = 4 << 20
	defaultWait   = 10 * time.Millisecond
	datagramBytes = 2048 // a received datagram is cut to this: more than a frame may have
)

func (c Config) withDefaults() (Config, error) {
	if c.Mode == "" {
		c.Mode = Recv
	}
	if c.Batch == 0 {
		c.Batch = defaultBatch
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = defaultBuffer
	}
	if c.Wait == 0 {
		c.Wait = defaultWait
	}
	switch {
	case !c.Listen.IsValid() && !c.Destination.IsValid():
		return c, errors.New("socket: neither an address to listen on nor a destination is given")
	case c.Listen.IsValid() && !c.Listen.Addr().Is4(), c.Destination.IsValid() && !c.Destination.Addr().Is4():
		return c, errors.New("socket: only IPv4 addresses are supported")
	case c.Batch < 1 || c.Batch > packet.MaxBurst:
		return c, fmt.Errorf("socket: batch of %d: use 1 to %d", c.Batch, packet.MaxBurst)
	case c.Mode == AFPacket && c.Interface == "":
		return c, errors.New("socket: mode af_packet needs the name of an interface")
	}
	return c, nil
}

// Open opens a port. Its errors name the call that failed; *packet.ErrUnavailable says that this
// kernel or this user cannot have the mode.
func Open(c Config) (packet.Port, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	p := port{}
	if c.Destination.IsValid() {
		if p.tx, err = openSender(c); err != nil {
			return nil, err
		}
	}
	if c.Listen.IsValid() {
		if p.rx, err = openReceiver(c); err != nil {
			_ = p.tx.close()
			return nil, err
		}
	}
	return &p, nil
}

// receiver is the receiving half of a port, one implementation a mode.
type receiver interface {
	recv(frames [][]byte) (int, error)
	stats(*packet.Stats)
	close() error
	descriptor() int // -1 = none
}

func openReceiver(c Config) (receiver, error) {
	switch c.Mode {
	case Recv:
		return openSingle(c)
	case Net:
		return openNet(c)
	case Recvmmsg, GRO:
		return openBatch(c)
	case AFPacket:
		return openRing(c)
	default:
		return nil, fmt.Errorf("socket: unknown mode %q: use one of %v", c.Mode, Modes)
	}
}

// port joins a sending and a receiving half.
type port struct {
	rx receiver
	tx *sender
	n  packet.Stats
}

// Recv implements packet.Port.
func (p *port) Recv(frames [][]byte) (int, error) {
	if p.rx == nil {
		return 0, packet.ErrClosed
	}
	n, err := p.rx.recv(frames)
	p.n.RxCalls++
	if n == 0 {
		p.n.RxEmpty++
	}
	p.n.RxFrames += uint64(n)
	for _, f := range frames[:n] {
		p.n.RxBytes += uint64(len(f))
	}
	return n, err
}

// Descriptor is the file descriptor that becomes readable when a datagram arrives, or -1 if the port has
// none: for a caller that waits for several things at once.
func (p *port) Descriptor() int {
	if p.rx == nil {
		return -1
	}
	return p.rx.descriptor()
}

// Send implements packet.Port.
func (p *port) Send(frames [][]byte) (int, error) {
	if p.tx == nil {
		return 0, packet.ErrClosed
	}
	return p.tx.send(frames, &p.n)
}

// Stats implements packet.Port.
func (p *port) Stats() packet.Stats {
	p.n.RxSegs = p.n.RxFrames
	if p.rx != nil {
		p.rx.stats(&p.n) // in place: through the interface, a copy would move to the heap
	}
	return p.n
}

// Close implements packet.Port.
func (p *port) Close() error {
	var rxErr error
	if p.rx != nil {
		rxErr = p.rx.close()
	}
	txErr := p.tx.close()
	p.rx, p.tx = nil, nil
	return errors.Join(rxErr, txErr)
}

// unavailable turns the errors that mean "not on this machine" into a *packet.ErrUnavailable.
func unavailable(what, call, next string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOPROTOOPT),
		errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EPROTONOSUPPORT):
		return &packet.ErrUnavailable{What: what, Why: fmt.Sprintf("%s: %v", call, err), Next: next}
	}
	return fmt.Errorf("socket: %s: %w", call, err)
}
