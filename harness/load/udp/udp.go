// Package udp lends the paced sender of load/memif a kernel socket: frames of one length leave as
// segmented datagrams (GSO). It exists for the loopback rung, where the kernel never splits what
// GSO joined; over a real device, load/xdp is ten times faster.
package udp

import (
	"fmt"
	"net/netip"

	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/socket"
	"metronome/system/wire"
)

// Port is a socket behind the sender's interface. Lanes are not told apart: all frames leave from
// one port.
type Port struct {
	packet.Port
	out    []dpdk.Out
	frames [][]byte
}

// Open opens a socket that sends from source to destination through the device, and a buffer for
// burst frames.
func Open(device string, source, destination netip.AddrPort, burst int) (*Port, error) {
	if burst < 1 || burst > packet.MaxBurst {
		return nil, fmt.Errorf("udp: a burst of %d frames: use 1 to %d", burst, packet.MaxBurst)
	}
	if device == "lo" {
		source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), source.Port())
	}
	s, err := socket.Open(socket.Config{Interface: device, Source: source, Destination: destination,
		GSO: true, Loop: true})
	if err != nil {
		return nil, err
	}
	p := &Port{Port: s, out: make([]dpdk.Out, burst), frames: make([][]byte, burst)}
	for i := range p.out {
		p.out[i].Payload = make([]byte, wire.MaxFrame)
	}
	return p, nil
}

// Reserve returns n buffers of size bytes.
func (p *Port) Reserve(n, size int) ([]dpdk.Out, error) {
	out := p.out[:min(n, len(p.out))]
	for i := range out {
		out[i].Payload = out[i].Payload[:size]
	}
	return out, nil
}

// Transmit sends the first n buffers and returns how many the socket took.
func (p *Port) Transmit(n int) (int, error) {
	for i := range p.out[:n] {
		p.frames[i] = p.out[i].Payload
	}
	return p.Send(p.frames[:n])
}
