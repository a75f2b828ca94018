package stream

import (
	"encoding/binary"
	"sync"

	"metronome/system/wire"
)

// Inbox brings messages from the transport's goroutines to the one thread that owns a core. Put is
// a Config.Message: it copies, and waits while the inbox is full, so that the peers' queues fill
// and their Send says no. Close it before the transport.
type Inbox struct {
	wake  func()
	limit int

	mu     sync.Mutex
	room   sync.Cond
	in     []byte // header, then message, again and again
	out    []byte // being drained
	closed bool
}

// Before each message: its sender and its length.
const inboxHeader = 8

// NewInbox makes an inbox that takes limit bytes, and the rest of the message that passes the
// limit, beside what is being drained. wake is called when the first message enters an empty inbox,
// from whatever goroutine; it must not block, and may be nil.
func NewInbox(limit int, wake func()) *Inbox {
	if wake == nil {
		wake = func() {}
	}
	b := &Inbox{wake: wake, limit: limit}
	b.room.L = &b.mu
	return b
}

// Put copies a message into the inbox.
func (b *Inbox) Put(from wire.Peer, msg []byte) {
	b.mu.Lock()
	for len(b.in) >= b.limit && !b.closed {
		b.room.Wait()
	}
	first := len(b.in) == 0
	if !b.closed {
		b.in = binary.LittleEndian.AppendUint32(b.in, uint32(from))
		b.in = binary.LittleEndian.AppendUint32(b.in, uint32(len(msg)))
		b.in = append(b.in, msg...)
	}
	b.mu.Unlock()
	if first {
		b.wake()
	}
}

// Drain hands over everything that is in the inbox, and returns how many messages that were. The
// slices are borrowed until take returns. Only one goroutine may drain.
func (b *Inbox) Drain(take func(from wire.Peer, msg []byte)) (n int) {
	b.mu.Lock()
	b.in, b.out = b.out[:0], b.in
	if cap(b.in) > keepBytes && len(b.out) < keepBytes/8 {
		b.in = nil // memory of a burst that is over
	}
	b.mu.Unlock()
	b.room.Broadcast()
	for m := b.out; len(m) > 0; n++ {
		from := wire.Peer(binary.LittleEndian.Uint32(m))
		end := inboxHeader + int(binary.LittleEndian.Uint32(m[4:]))
		take(from, m[inboxHeader:end:end])
		m = m[end:]
	}
	return n
}

// Close lets everybody who waits in Put go; messages are dropped from now on.
func (b *Inbox) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.room.Broadcast()
}

// Empty reports whether nothing waits to be drained.
func (b *Inbox) Empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.in) == 0
}
