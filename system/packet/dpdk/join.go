//go:build dpdk

package dpdk

// #include "shim.h"
import "C"

import (
	"time"
	"unsafe"

	"metronome/system/packet/ethernet"
)

// reportVersions are those in which membership is announced unasked: a querier understands its own.
var reportVersions = [...]ethernet.Version{ethernet.IGMPv2, ethernet.IGMPv3}

// join reports membership once, when the link is up.
func (d *Device) join() {
	if !d.speaksIGMP() || !d.LinkUp() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.joined || d.closed {
		return
	}
	d.joined = true
	p := d.ports[0]
	for _, v := range reportVersions {
		p.sendRaw(d.host.MembershipReport(p.scratch[:], v, p.group, true))
	}
}

// farewell is how long a device gets to send what it took before it is stopped: most NICs forget what
// is in their ring then, and no call says for all drivers when it is empty.
const farewell = 50 * time.Millisecond

// leave takes back what join reported; the caller holds d.mu.
func (d *Device) leave() {
	if !d.joined || C.mtn_link_up(d.id) != 1 {
		return
	}
	p := d.ports[0]
	for _, v := range reportVersions {
		p.sendRaw(d.host.Leave(p.scratch[:], v, p.group))
	}
	if d.info.Driver != "net_memif" { // its ring is the peer's already
		time.Sleep(farewell)
	}
}

// group is the destination address to accept; zero accepts any.
func (c Config) group() [4]byte { return as4(c.Listen.Addr()) }

// joins reports whether the port belongs to a multicast group.
func (c Config) joins() bool { return c.Listen.Addr().IsValid() && c.Listen.Addr().IsMulticast() }

func (d *Device) speaksIGMP() bool { return d.cfg.joins() && !d.cfg.NoIGMP && !d.cfg.Null }

// answer replies to a membership query for the port's group, in the querier's version. A packet
// that is no query needs no answer.
func (p *Port) answer(pkt []byte) {
	if !p.dev.speaksIGMP() {
		return
	}
	q, err := ethernet.ParseIGMP(pkt)
	if err != nil || !q.Asks(p.group) {
		return
	}
	p.sendRaw(p.dev.host.MembershipReport(p.scratch[:], q.Version, p.group, false))
}

// sendRaw sends a whole packet. Nothing is done about a full ring: queries repeat.
func (p *Port) sendRaw(pkt []byte) {
	C.mtn_tx_one(p.q, unsafe.Pointer(&pkt[0]), C.uint16_t(len(pkt)))
}
