package stream

import (
	"sync/atomic"
	"time"

	"metronome/system/wire"
)

// Kinds is how many first bytes of messages are counted apart; the last place holds all greater
// ones.
const Kinds = 64

// Count is messages and their bytes, without the transport's own.
type Count struct{ Messages, Bytes uint64 }

// Drops counts messages that Send did not take, and bytes that it took and a break lost.
type Drops struct {
	Down      uint64 // messages: the peer was not connected
	Full      uint64 // messages: the queue was full
	Invalid   uint64 // messages: empty, or longer than MaxMessage
	LostBytes uint64 // bytes: queued when a connection broke; what was on its way is not known
}

// Stats is what happened between this process and one peer.
type Stats struct {
	Peer     wire.Peer
	Up       bool
	Connects uint64        // connections that stood
	Failures uint64        // dials that failed, and connections of this peer that were refused
	RTT      time.Duration // of the last ping, through both sides' queues; 0 if none returned yet
	Queued   int           // bytes
	Drops    Drops
	Sent     [Kinds]Count // taken by Send, by the message's first byte
	Received [Kinds]Count
}

// Strangers counts connections that never became a peer's, by what they failed at.
type Strangers struct {
	TLS     uint64 // no TLS, no certificate, a wrong one
	Hello   uint64 // refused for what they said, by either side
	Slow    uint64 // did not finish the handshake in time
	Crowded uint64 // lost their place to newer ones
	Accept  uint64 // accept(2) failed
}

type tally [Kinds]Count

func place(msg []byte) int { return min(int(msg[0]), Kinds-1) }

func (t *tally) add(msg []byte) {
	c := &t[place(msg)]
	c.Messages++
	c.Bytes += uint64(len(msg))
}

// atomicTally has one writer and any readers.
type atomicTally [Kinds]struct{ messages, bytes atomic.Uint64 }

func (t *atomicTally) add(msg []byte) {
	c := &t[place(msg)]
	c.messages.Add(1)
	c.bytes.Add(uint64(len(msg)))
}

func (t *atomicTally) load(into *[Kinds]Count) {
	for i := range t {
		into[i] = Count{t[i].messages.Load(), t[i].bytes.Load()}
	}
}

// Stats fills s with what happened between this process and one peer; false if there is no such
// peer.
func (t *Transport) Stats(id wire.Peer, s *Stats) bool {
	p := t.peer(id)
	if p == nil {
		return false
	}
	p.mu.Lock()
	*s = Stats{Peer: id, Up: p.current != nil, Queued: p.queue.bytes(), Drops: p.drops, Sent: p.sent}
	p.mu.Unlock()
	s.Connects, s.Failures = p.connects.Load(), p.failures.Load()
	s.RTT = time.Duration(p.rtt.Load())
	p.received.load(&s.Received)
	return true
}

// Strangers is what became of connections that never were a peer's.
func (t *Transport) Strangers() Strangers {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.strangers
}
