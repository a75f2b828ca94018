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
	given  [][]byte
	bytes  int // of given
	taken  [][]byte
	closed bool
}

// Before each message: its sender and its length. One that was given lies beside.
const (
	inboxHeader = 8
	besides     = 1 << 31
)

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
func (b *Inbox) Put(from wire.Peer, msg []byte) { b.add(from, msg, false) }

// Give is Put of a message that is the inbox's from then on, and so is not copied: a Config.Given.
func (b *Inbox) Give(from wire.Peer, msg []byte) { b.add(from, msg, true) }

func (b *Inbox) add(from wire.Peer, msg []byte, given bool) {
	b.mu.Lock()
	for len(b.in)+b.bytes >= b.limit && !b.closed {
		b.room.Wait()
	}
	first := len(b.in) == 0
	if !b.closed {
		b.in = binary.LittleEndian.AppendUint32(b.in, uint32(from))
		if given {
			b.in = binary.LittleEndian.AppendUint32(b.in, besides)
			b.given, b.bytes = append(b.given, msg), b.bytes+len(msg)
		} else {
			b.in = binary.LittleEndian.AppendUint32(b.in, uint32(len(msg)))
			b.in = append(b.in, msg...)
		}
	}
	b.mu.Unlock()
	if first {
		b.wake()
	}
}

// Drain hands over everything that is in the inbox, and returns how many messages that were. The
// slices are borrowed until take returns, but for those that were given, which are the callee's. Only one
// goroutine may drain.
func (b *Inbox) Drain(take func(from wire.Peer, msg []byte, given bool)) (n int) {
	b.mu.Lock()
	b.in, b.out = b.out[:0], b.in
	b.given, b.taken, b.bytes = b.taken[:0], b.given, 0
	if cap(b.in) > keepBytes && len(b.out) < keepBytes/8 {
		b.in = nil // memory of a burst that is over
	}
	b.mu.Unlock()
	b.room.Broadcast()
	beside := 0
	for m := b.out; len(m) > 0; n++ {
		from, length := wire.Peer(binary.LittleEndian.Uint32(m)), binary.LittleEndian.Uint32(m[4:])
		if length == besides {
			take(from, b.taken[beside], true)
			b.taken[beside] = nil
			beside++
			m = m[inboxHeader:]
			continue
		}
		end := inboxHeader + int(length)
		take(from, m[inboxHeader:end:end], false)
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
