// Package memory is packet.Port inside one process: a hub that copies every frame sent on one of
// its ports to all the others, as a multicast group does. It is for tests and examples; it loses
// frames only where a real port would, at a full ring, and never reorders.
package memory

import (
	"fmt"
	"sync"

	"metronome/system/packet"
)

// Hub is a multicast group in memory. Its ports may live in different goroutines.
type Hub struct {
	mu    sync.Mutex
	ports []*Port
	ring  int
	size  int
}

// NewHub makes a hub whose ports each buffer up to ring frames of up to size bytes.
func NewHub(ring, size int) *Hub { return &Hub{ring: ring, size: size} }

// Port is one member of a hub.
type Port struct {
	hub      *Hub
	ring     [][]byte // frames received and not yet returned, then free buffers
	head     uint64   // frames put into the ring
	tail     uint64   // frames taken out
	borrowed uint64   // the part of those that the caller still holds
	closed   bool
	stats    packet.Stats
}

var _ packet.Port = (*Port)(nil)

// Join adds a port to the hub.
func (h *Hub) Join() *Port {
	p := &Port{hub: h, ring: make([][]byte, h.ring)}
	for i := range p.ring {
		p.ring[i] = make([]byte, 0, h.size)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ports = append(h.ports, p)
	return p
}

// Recv implements packet.Port; it returns at once.
func (p *Port) Recv(frames [][]byte) (int, error) {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	if p.closed {
		return 0, packet.ErrClosed
	}
	p.borrowed = 0
	n := 0
	for ; n < len(frames) && p.tail < p.head; n++ {
		frames[n] = p.ring[p.tail%uint64(len(p.ring))]
		p.stats.RxBytes += uint64(len(frames[n]))
		p.tail++
		p.borrowed++
	}
	p.stats.RxCalls++
	p.stats.RxFrames += uint64(n)
	p.stats.RxSegs += uint64(n)
	if n == 0 {
		p.stats.RxEmpty++
	}
	return n, nil
}

// Send implements packet.Port. A ring that is full drops the frame for its own port only.
func (p *Port) Send(frames [][]byte) (int, error) {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	if p.closed {
		return 0, packet.ErrClosed
	}
	for i, f := range frames {
		if len(f) > p.hub.size {
			return i, fmt.Errorf("memory: frame of %d bytes, at most %d", len(f), p.hub.size)
		}
		for _, to := range p.hub.ports {
			if to != p && !to.closed {
				to.put(f)
			}
		}
		p.stats.TxFrames++
		p.stats.TxBytes += uint64(len(f))
	}
	return len(frames), nil
}

func (p *Port) put(f []byte) {
	if p.head-p.tail+p.borrowed >= uint64(len(p.ring)) {
		p.stats.RxDropped++
		return
	}
	slot := &p.ring[p.head%uint64(len(p.ring))]
	*slot = append((*slot)[:0], f...)
	p.head++
}

// Stats implements packet.Port.
func (p *Port) Stats() packet.Stats {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	return p.stats
}

// Close implements packet.Port.
func (p *Port) Close() error {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	p.closed = true
	return nil
}
