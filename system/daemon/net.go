package daemon

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"metronome/system/cluster"
	"metronome/system/node"
	"metronome/system/packet"
	"metronome/system/packet/socket"
	"metronome/system/wire"
)

// unicaster is the way of a process's unicast datagrams. It belongs to the loop.
type unicaster interface {
	// receive hands over what has come, and returns how much that was.
	receive(take func(b []byte)) int
	send(list []node.Datagram)
	add(peers map[wire.Peer]string) error
	// unsent counts datagrams that did not leave.
	unsent() uint64
	close()
}

// caster is a proxy's way to all replicas at once. It belongs to the loop.
type caster interface {
	send(frames [][]byte) error
	add(c *cluster.Config) error
	sent() packet.Stats
	// refused counts frames that were not taken: lost, and repaired on request.
	refused() uint64
	close() error
}

// control is the unicast datagram socket of a process: NACKs and repairs. They are rare, so one
// datagram a system call will do.
type control struct {
	fd    int
	peers map[wire.Peer]*unix.SockaddrInet4
	buf   [2048]byte
	lost  uint64 // datagrams the kernel did not take
}

func openControl(addr string, peers map[wire.Peer]string) (*control, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("daemon: datagram address %q: %w", addr, err)
	}
	c := &control{fd: -1, peers: map[wire.Peer]*unix.SockaddrInet4{}}
	if err := c.add(peers); err != nil {
		return nil, err
	}
	const kind = unix.SOCK_DGRAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	if c.fd, err = unix.Socket(unix.AF_INET, kind, 0); err != nil {
		return nil, fmt.Errorf("daemon: open a UDP socket: %w", err)
	}
	if err := unix.Bind(c.fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		_ = unix.Close(c.fd)
		return nil, fmt.Errorf("daemon: bind to %s: %w: is another process of this cluster running here?",
			addr, err)
	}
	return c, nil
}

// maxControl bounds the datagrams of one round, so that a flood of them cannot starve frames.
const maxControl = 64

// receive hands over what has come, and returns how much that was.
func (c *control) receive(take func(b []byte)) int {
	for n := range maxControl {
		got, _, err := unix.Recvfrom(c.fd, c.buf[:], unix.MSG_DONTWAIT)
		if err != nil {
			return n
		}
		take(c.buf[:got])
	}
	return maxControl
}

func (c *control) send(list []node.Datagram) {
	for i := range list {
		to := c.peers[list[i].To]
		if to == nil || unix.Sendto(c.fd, list[i].Bytes, unix.MSG_DONTWAIT, to) != nil {
			c.lost++
		}
	}
}

// Descriptor is what to wait for.
func (c *control) Descriptor() int { return c.fd }

func (c *control) unsent() uint64 { return c.lost }

func (c *control) close() { _ = unix.Close(c.fd) }

// fan is how a proxy reaches all replicas: one multicast, or a copy to each where multicast is not
// routed.
type fan struct {
	ports []packet.Port // one a target, in their order
	full  uint64        // frames the kernel did not take: lost, and repaired on request

	// With multicast.ports the targets are the group's ports, and each lane goes to one.
	first int        // number of lane 0 among all lanes of the cluster
	lanes [][][]byte // by port; nil: all frames go to all targets
}

func openFan(c *cluster.Config, self wire.Peer) (*fan, error) {
	f := &fan{}
	if c.Multicast.Ports > 1 {
		f.lanes = make([][][]byte, c.Multicast.Ports)
		f.first, _ = c.LanesOf(self)
	}
	if err := f.add(c); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// add opens what is not open yet.
func (f *fan) add(c *cluster.Config) error {
	targets := []string{}
	for i := range c.Replicas {
		targets = append(targets, c.Replicas[i].Datagram)
	}
	if c.Multicast.Mode != "unicast" {
		targets = c.Multicast.Addresses()
	}
	for _, t := range targets[len(f.ports):] {
		to, err := netip.ParseAddrPort(t)
		if err != nil {
			return fmt.Errorf("daemon: send frames to %q: %w", t, err)
		}
		p, err := socket.Open(socket.Config{Destination: to, Interface: c.Multicast.Interface, GSO: c.Port.GSO,
			Loop: c.Multicast.Loop})
		if err != nil {
			return err
		}
		f.ports = append(f.ports, p)
	}
	return nil
}

// send transmits frames to everyone.
func (f *fan) send(frames [][]byte) error {
	if f.lanes == nil {
		for _, p := range f.ports {
			if err := f.offer(p, frames); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range f.lanes {
		f.lanes[i] = f.lanes[i][:0]
	}
	for _, frame := range frames {
		i := (f.first + laneOf(frame)) % len(f.lanes)
		f.lanes[i] = append(f.lanes[i], frame)
	}
	for i, p := range f.ports {
		if err := f.offer(p, f.lanes[i]); err != nil {
			return err
		}
	}
	return nil
}

// offer sends frames to one target. What the kernel does not take at once it is asked to take again a
// few times; the rest is lost, which receivers notice.
func (f *fan) offer(p packet.Port, rest [][]byte) error {
	for try := 0; len(rest) > 0; {
		n, err := p.Send(rest)
		if err != nil {
			return err
		}
		rest = rest[n:]
		if n == 0 {
			if try++; try > sendTries {
				f.full += uint64(len(rest))
				break
			}
		}
	}
	return nil
}

const sendTries = 64

// sent is what was handed to the kernel: a frame counts once a copy.
func (f *fan) sent() (sum packet.Stats) {
	for _, p := range f.ports {
		s := p.Stats()
		sum.TxFrames += s.TxFrames
		sum.TxBytes += s.TxBytes
		sum.TxFull += s.TxFull
		sum.TxErrors += s.TxErrors
	}
	return sum
}

func (f *fan) refused() uint64 { return f.full }

func (f *fan) close() error {
	var errs []error
	for _, p := range f.ports {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
