// Package node holds what a replica and a proxy have in common seen from outside: what they ask
// their surroundings to send. It is the seam between the pure cores and whatever drives them, the
// simulator or a real process with sockets and threads.
package node

import "metronome/system/wire"

// Core is a process without its surroundings: no clock, no goroutine, no socket (I7). Time is handed
// in, in nanoseconds of a clock that never runs backwards. Byte slices handed in are borrowed.
type Core interface {
	// Datagram takes a frame or a NACK that a network delivered.
	Datagram(now int64, b []byte)
	// Message takes a message from a peer's stream, whose identity the transport has checked.
	Message(now int64, from wire.Peer, b []byte)
	// Tick lets time pass: at least once a millisecond while there is work, once in 10 ms if not.
	Tick(now int64)
	// Output appends what is to be sent. The slices stay valid until any method is called again.
	Output(out *Output)
}

// Output is what a core wants sent, in order within each list.
type Output struct {
	Multicast [][]byte   // frames to every replica at once
	Unicast   []Datagram // repairs and NACKs
	Messages  []Message  // on the stream to a peer; lost if it is not connected

	// Records are to be appended to the journal, in order, each under the next number. None without
	// durability. Sync asks that everything appended so far be made durable soon: something waits.
	Records [][]byte
	Sync    bool
}

// Datagram is bytes for one peer by the unreliable path.
type Datagram struct {
	To    wire.Peer
	Bytes []byte
}

// Message is bytes for one peer by its stream.
type Message struct {
	To    wire.Peer
	Bytes []byte
}

// Reset empties out and keeps its memory.
func (o *Output) Reset() {
	clear(o.Multicast)
	clear(o.Unicast)
	clear(o.Messages)
	clear(o.Records)
	o.Multicast, o.Unicast, o.Messages = o.Multicast[:0], o.Unicast[:0], o.Messages[:0]
	o.Records, o.Sync = o.Records[:0], false
}
