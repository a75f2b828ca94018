//go:build dpdk

package dpdk

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"metronome/system/packet"
	"metronome/system/packet/ethernet"
)

// Port is one queue pair of a [Device]: a packet.Port that polls. Recv returns at once whether or
// not anything came.
type Port struct {
	dev       *Device
	q         *C.struct_mtn_queue
	index     int
	group     [4]byte
	number    uint16  // UDP port to accept
	own       [4]byte // a second address to accept; zero: none
	ownNumber uint16
	verify    bool
	null      bool
	closed    atomic.Bool

	template *ethernet.Template // nil: cannot send
	out      [packet.MaxBurst]Out
	outSize  int // payload bytes that out is made for
	outReady int // elements of out that are made
	scratch  [ethernet.MaxIGMP]byte

	counters
}

var _ packet.Port = (*Port)(nil)

func newPort(d *Device, q *C.struct_mtn_queue) (*Port, error) {
	p := &Port{
		dev: d, q: q, index: int(q.queue), group: d.cfg.group(), number: d.cfg.Listen.Port(),
		verify: d.cfg.VerifyChecksum, null: d.cfg.Null,
		own: as4(d.cfg.Unicast.Addr()), ownNumber: d.cfg.Unicast.Port(),
	}
	if !d.cfg.Destination.IsValid() {
		return p, nil
	}
	var err error
	p.template, err = ethernet.NewTemplate(ethernet.Flow{
		SrcMAC: d.host.MAC, DstMAC: d.cfg.destinationMAC(), Src: d.cfg.Source, Dst: d.cfg.Destination,
		TTL: d.cfg.TTL, Checksum: d.cfg.SendChecksum,
	})
	return p, err
}

// Recv polls the device once for up to len(frames) packets and fills frames with the payloads of
// those that are meant for the port. With [Config].Null frames are whole packets, none refused.
func (p *Port) Recv(frames [][]byte) (int, error) {
	if p.closed.Load() {
		return 0, packet.ErrClosed
	}
	n := int(C.mtn_rx(p.q, C.uint16_t(min(len(frames), packet.MaxBurst))))
	if n == 0 {
		p.countEmpty()
		return 0, nil
	}
	if p.null {
		return p.recvNull(frames, n), nil
	}
	k, bytes := 0, 0
	for _, r := range p.q.rx_pkt[:n] {
		pkt := unsafe.Slice((*byte)(r.data), int(r.len))
		frame, verdict := ethernet.UDPPayload(pkt, p.group, p.number, p.verify)
		if verdict == ethernet.Foreign && p.own != [4]byte{} {
			frame, verdict = ethernet.UDPPayload(pkt, p.own, p.ownNumber, p.verify)
		}
		if verdict != ethernet.OK {
			p.refuse(pkt, verdict)
			continue
		}
		frames[k] = frame
		k++
		bytes += len(frame)
	}
	p.countRecv(k, bytes)
	return k, nil
}

// recvNull hands out the n packets of the burst as they are.
func (p *Port) recvNull(frames [][]byte, n int) int {
	bytes := 0
	for i, r := range p.q.rx_pkt[:n] {
		frames[i] = unsafe.Slice((*byte)(r.data), int(r.len))
		bytes += len(frames[i])
	}
	p.countRecv(n, bytes)
	return n
}

// refuse counts a packet that is no frame and answers it if it is a membership query.
func (p *Port) refuse(pkt []byte, verdict ethernet.Verdict) {
	p.countVerdict(verdict)
	if verdict == ethernet.IGMP {
		p.answer(pkt)
	}
}

// Send copies frames into buffers, stamps headers on them and hands them to the device.
func (p *Port) Send(frames [][]byte) (int, error) {
	if err := p.canSend(); err != nil {
		return 0, err
	}
	return p.sendWith(p.template, frames)
}

func (p *Port) sendWith(template *ethernet.Template, frames [][]byte) (int, error) {
	frames = frames[:min(len(frames), packet.MaxBurst)]
	n := p.hold(len(frames))
	p.outReady = 0 // buffers of another size, for the next Reserve
	for i, frame := range frames[:n] {
		if len(frame) > p.maxPayload() {
			return 0, fmt.Errorf("dpdk: a frame of %d bytes is longer than %d", len(frame), p.maxPayload())
		}
		pkt := p.stretch(i, len(frame))
		copy(pkt[ethernet.HeaderBytes:], frame)
		template.Put(pkt, 0)
	}
	sent := int(C.mtn_tx(p.q, C.uint16_t(n), 0))
	bytes := 0
	for _, frame := range frames[:sent] {
		bytes += len(frame)
	}
	p.countSend(sent, bytes, len(frames)-sent)
	return sent, nil
}

// Reserve returns up to n buffers of size payload bytes to be filled by the caller and sent by
// Transmit; fewer if the pool is empty. Calling it again before Transmit returns the same buffers.
// A buffer may hold what an earlier frame left in it: write every byte.
func (p *Port) Reserve(n, size int) ([]Out, error) {
	if err := p.canSend(); err != nil {
		return nil, err
	}
	if size < 0 || size > p.maxPayload() {
		return nil, fmt.Errorf("dpdk: frames of %d bytes do not fit: at most %d", size, p.maxPayload())
	}
	n = p.hold(min(n, packet.MaxBurst))
	p.shape(n, size)
	return p.out[:n], nil
}

// hold sees to it that the port holds n buffers to write to, and returns how many of the n it does.
// In a steady stream of bursts Transmit has seen to it already.
func (p *Port) hold(n int) int {
	if ready := int(p.q.ready); ready >= n {
		return n
	}
	return min(n, int(C.mtn_reserve(p.q, C.uint16_t(n))))
}

// shape makes the first n elements of out payload buffers of size bytes.
func (p *Port) shape(n, size int) {
	if size != p.outSize {
		p.outSize, p.outReady = size, 0
	}
	for i := p.outReady; i < n; i++ {
		p.out[i] = Out{Payload: p.stretch(i, size)[ethernet.HeaderBytes:]}
	}
	p.outReady = max(p.outReady, n)
}

// stretch sets the length of the i-th reserved buffer to a payload of size bytes and returns all of
// it.
func (p *Port) stretch(i, size int) []byte {
	pkt := &p.q.tx_pkt[i]
	pkt.len = C.uint32_t(ethernet.HeaderBytes + size)
	return unsafe.Slice((*byte)(pkt.data), ethernet.HeaderBytes+size)
}

// Transmit stamps headers on the first n buffers of the last Reserve, sends them in order, and
// returns how many the device took. The rest counts as TxFull and is not sent: its buffers are
// handed out again.
func (p *Port) Transmit(n int) (int, error) {
	if err := p.canSend(); err != nil {
		return 0, err
	}
	n = min(n, p.outReady)
	for i := range n {
		pkt := unsafe.Slice((*byte)(p.q.tx_pkt[i].data), ethernet.HeaderBytes+p.outSize)
		p.template.Put(pkt, p.out[i].Lane)
	}
	sent := int(C.mtn_tx(p.q, C.uint16_t(n), C.uint16_t(p.outReady)))
	p.outReady = 0
	p.countSend(sent, sent*p.outSize, n-sent)
	return sent, nil
}

// maxPayload is the longest frame that a buffer, an untagged Ethernet packet and the device hold,
// in bytes. memif would chain slots, but its driver leaves stale chain marks behind (DPDK commit
// f7a52200d4).
func (p *Port) maxPayload() int {
	return min(min(int(p.q.room), p.dev.slot)-ethernet.HeaderBytes, ethernet.MaxPayload)
}

// errNoDestination is returned by Send, Reserve and Transmit of a port that was opened only to
// receive.
var errNoDestination = errors.New("dpdk: the port has no destination to send to; " +
	"next: set Config.Destination")

// canSend refuses to send from a closed port, or one without a destination.
func (p *Port) canSend() error {
	switch {
	case p.closed.Load():
		return packet.ErrClosed
	case p.template == nil:
		return errNoDestination
	}
	return nil
}

// Close gives back the buffers the port holds; the last port of a device to close closes the
// device.
func (p *Port) Close() error {
	p.dev.mu.Lock()
	p.release()
	for _, other := range p.dev.ports {
		if !other.closed.Load() {
			p.dev.mu.Unlock()
			return nil
		}
	}
	p.dev.mu.Unlock()
	return p.dev.Close()
}

// release gives the buffers back to their pool, once.
func (p *Port) release() {
	if p.closed.CompareAndSwap(false, true) {
		C.mtn_queue_release(p.q)
	}
}
