package resp

import "metronome/system/wire"

// pending is a command whose reply has not been written yet.
type pending struct {
	reply replyKind
	flags pendingFlags
	size  int32  // bytes of the command
	bytes []byte // the reply, if answered; before that, a scan's pattern
}

type pendingFlags uint8

const (
	answered pendingFlags = 1 << iota // the reply is in bytes
	silent                            // CLIENT REPLY OFF: nothing is written
	proto3                            // RESP3
	barrier                           // a barrier read (R26)
	local                             // answered here, never submitted
)

func (p *pending) proto() uint8 {
	if p.flags&proto3 != 0 {
		return 3
	}
	return 2
}

// Sizes of what a queue keeps for the next command.
const (
	minRing   = 64
	keepReply = 512      // bytes of a reply that came out of turn
	keepOut   = 64 << 10 // bytes of replies
)

// queue turns answers that come in any order into replies in the order of the commands. It is a
// ring of pending commands and the replies that may be written.
type queue struct {
	ring []pending // a power of two
	head uint64    // tag of the oldest pending command
	tail uint64    // tag of the next

	size     int // bytes of the commands pending
	barriers int // barrier reads outstanding
	items    int // other operations outstanding
	held     int // bytes of replies out of turn

	out []byte // replies to be written, in order
}

func (q *queue) len() int { return int(q.tail - q.head) }

func (q *queue) at(tag uint64) *pending { return &q.ring[tag&uint64(len(q.ring)-1)] }

// push adds a command and returns its tag. A local one is given its reply in text.
func (q *queue) push(s *staged, text []byte) uint64 {
	if q.len() == len(q.ring) {
		q.grow()
	}
	tag := q.tail
	q.tail++
	p := q.at(tag)
	p.reply, p.flags, p.size = s.reply, s.flags, int32(s.size)
	p.bytes = append(p.bytes[:0], text...)
	q.size += s.size
	switch {
	case s.flags&local != 0:
		p.flags |= answered
		q.held += len(text)
		q.drain()
	case s.flags&barrier != 0:
		q.barriers++
	default:
		q.items++
	}
	return tag
}

func (q *queue) grow() {
	ring := make([]pending, max(2*len(q.ring), minRing))
	for tag := q.head; tag != q.tail; tag++ {
		ring[tag&uint64(len(ring)-1)] = *q.at(tag)
	}
	q.ring = ring
}

// answer takes an operation's result. It reports false for a tag that is not outstanding: a backend
// that answers twice.
func (q *queue) answer(tag uint64, r *wire.Result) bool {
	if tag-q.head >= q.tail-q.head {
		return false
	}
	p := q.at(tag)
	if p.flags&answered != 0 {
		return false
	}
	if p.flags&barrier != 0 {
		q.barriers--
	} else {
		q.items--
	}
	p.flags |= answered
	switch {
	case p.flags&silent != 0:
		p.bytes = p.bytes[:0]
	case tag == q.head:
		q.out = appendReply(q.out, p.reply, p.proto(), p.bytes, r)
		p.bytes = p.bytes[:0]
	case p.reply == replyScan: // bytes holds the pattern
		p.bytes = appendReply(nil, p.reply, p.proto(), p.bytes, r)
	default:
		p.bytes = appendReply(p.bytes[:0], p.reply, p.proto(), nil, r)
	}
	q.held += len(p.bytes)
	q.drain()
	return true
}

// drain writes the replies whose turn has come.
func (q *queue) drain() {
	for q.head != q.tail {
		p := q.at(q.head)
		if p.flags&answered == 0 {
			return
		}
		if p.flags&silent == 0 {
			q.out = append(q.out, p.bytes...)
		}
		q.held -= len(p.bytes)
		q.size -= int(p.size)
		if cap(p.bytes) > keepReply {
			p.bytes = nil
		}
		q.head++
	}
}

// abandon answers everything outstanding with one status.
func (q *queue) abandon(s wire.Status) {
	r := wire.Result{Status: s}
	for tag := q.head; tag != q.tail; tag++ {
		q.answer(tag, &r)
	}
}

// forget lets everything go: there is nobody to reply to.
func (q *queue) forget() { *q = queue{head: q.tail, tail: q.tail} }
