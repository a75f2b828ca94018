package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"golang.org/x/sys/unix"

	"metronome/system/bench"
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

// dpdkMemoryMB bounds what DPDK sets aside for one port.
const dpdkMemoryMB = 256

// receivePort opens the port on which a replica receives frames.
func receivePort(c *cluster.Config, r *cluster.Replica, log *slog.Logger) (packet.Port, error) {
	listen := c.Multicast.Group
	if c.Multicast.Mode == "unicast" {
		listen = r.Datagram
	}
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return nil, fmt.Errorf("daemon: listen for frames on %q: %w", listen, err)
	}
	if c.Port.Kind == "dpdk" {
		p, _, err := bench.PortConfig{Kind: "dpdk-" + c.Port.Mode, Interface: c.Multicast.Interface, Group: at,
			MemoryMB: dpdkMemoryMB}.Open()
		return p, err
	}
	cfg := socket.Config{Mode: socket.Mode(c.Port.Mode), Interface: c.Multicast.Interface, Listen: at,
		Batch: c.Port.Burst, ReceiveBuffer: int(c.Port.ReceiveBuffer), Wait: -1}
	for {
		p, err := socket.Open(cfg)
		var short *packet.ErrUnavailable
		if !errors.As(err, &short) || short.What != "receive buffer" || cfg.ReceiveBuffer <= leastBuffer {
			return p, err
		}
		// A smaller one costs repairs under bursts, and nothing else.
		log.Warn("the kernel grants less than port.receive_buffer", "asked", cfg.ReceiveBuffer, "next", short.Next)
		cfg.ReceiveBuffer /= 2
	}
}

// leastBuffer is what any Linux grants an ordinary user.
const leastBuffer = 128 << 10

// fan is how a proxy reaches all replicas: one multicast, or a copy to each where multicast is not
// routed.
type fan struct {
	ports []packet.Port // one a target, in their order
	full  uint64        // frames the kernel did not take: lost, and repaired on request
}

func openFan(c *cluster.Config) (*fan, error) {
	f := &fan{}
	if err := f.add(c); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// add opens what is not open yet.
func (f *fan) add(c *cluster.Config) error {
	targets := []string{c.Multicast.Group}
	if c.Multicast.Mode == "unicast" {
		targets = nil
		for i := range c.Replicas {
			targets = append(targets, c.Replicas[i].Datagram)
		}
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

// send transmits frames to everyone. What the kernel does not take at once it is asked to take
// again a few times; the rest is lost, which receivers notice.
func (f *fan) send(frames [][]byte) error {
	for _, p := range f.ports {
		rest := frames
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
