//go:build dpdk

package dpdk

// #include "shim.h"
import "C"

import (
	"fmt"
	"net/netip"
	"unsafe"

	"metronome/system/packet"
	"metronome/system/packet/ethernet"
)

// Relay sends packets of p's last burst on the port to, without copying them: refs are places in
// what Recv filled, each as often as the packet is to be sent. Both ports must belong to the calling
// goroutine, and p must have been opened with [Config].Null, so that places in the burst are places
// in Recv's slice. It returns how many were taken, in order; the rest counts as TxFull of to.
func (p *Port) Relay(to *Port, refs []uint16) (sent int, err error) {
	if p.closed.Load() || to.closed.Load() {
		return 0, packet.ErrClosed
	}
	total, bytes := len(refs), 0
	for len(refs) > 0 {
		n := min(len(refs), packet.MaxBurst)
		if err := p.heldAll(refs[:n]); err != nil {
			return sent, err
		}
		k := int(C.mtn_relay(p.q, to.q, (*C.uint16_t)(unsafe.Pointer(&refs[0])), C.uint16_t(n)))
		for _, r := range refs[:k] {
			bytes += int(p.q.rx_pkt[r].len)
		}
		if sent += k; k < n {
			break
		}
		refs = refs[n:]
	}
	to.countSend(sent, bytes, total-sent)
	return sent, nil
}

// heldAll refuses places that the last burst does not have: C would follow them anywhere.
func (p *Port) heldAll(refs []uint16) error {
	for _, r := range refs {
		if r >= uint16(p.q.held) {
			return fmt.Errorf("dpdk: relay of packet %d of a burst of %d", r, p.q.held)
		}
	}
	return nil
}

// SendPackets sends whole packets, Ethernet header included, as they are: copied, so that the
// slices may be reused at once. It returns how many were taken, in order.
func (p *Port) SendPackets(pkts [][]byte) (int, error) {
	if p.closed.Load() {
		return 0, packet.ErrClosed
	}
	pkts = pkts[:min(len(pkts), packet.MaxBurst)]
	n := p.hold(len(pkts))
	p.outReady = 0
	room := min(int(p.q.room), p.dev.slot)
	bytes := 0
	for i, pkt := range pkts[:n] {
		if len(pkt) > room {
			return 0, fmt.Errorf("dpdk: a packet of %d bytes is longer than %d", len(pkt), room)
		}
		p.q.tx_pkt[i].len = C.uint32_t(len(pkt))
		copy(unsafe.Slice((*byte)(p.q.tx_pkt[i].data), len(pkt)), pkt)
	}
	sent := int(C.mtn_tx(p.q, C.uint16_t(n), 0))
	for _, pkt := range pkts[:sent] {
		bytes += len(pkt)
	}
	p.countSend(sent, bytes, len(pkts)-sent)
	return sent, nil
}

// Route prepares sending to another address than [Config].Destination, by SendTo: dst at the
// Ethernet address mac, zero for the group's or broadcast. The port must have a Source.
func (p *Port) Route(dst netip.AddrPort, mac [6]byte) (*Route, error) {
	return p.RouteFrom(p.dev.cfg.Source.Port(), dst, mac)
}

// RouteFrom is Route from another UDP port of the Source: a flow of its own to those who spread flows.
func (p *Port) RouteFrom(port uint16, dst netip.AddrPort, mac [6]byte) (*Route, error) {
	c := p.dev.cfg
	c.Source = netip.AddrPortFrom(c.Source.Addr(), port)
	c.Destination, c.DestinationMAC = dst, mac
	if err := c.checkAddresses(); err != nil {
		return nil, err
	}
	t, err := ethernet.NewTemplate(ethernet.Flow{SrcMAC: p.dev.host.MAC, DstMAC: c.destinationMAC(),
		Src: c.Source, Dst: dst, TTL: c.TTL, Checksum: c.SendChecksum})
	if err != nil {
		return nil, err
	}
	return &Route{t}, nil
}

// SendTo is Send on a route.
func (p *Port) SendTo(to *Route, frames [][]byte) (int, error) {
	if p.closed.Load() {
		return 0, packet.ErrClosed
	}
	return p.sendWith(to.template, frames)
}
