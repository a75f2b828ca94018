package replica

import "metronome/system/order"

// received is a snapshot on its way in. What has arrived is not touched again, so that it can be written
// to stable storage meanwhile, on another goroutine.
type received struct {
	from    int // seat
	meta    order.SnapshotMeta
	size    uint64
	headLen uint64 // bytes of the state beside the store, which come first
	head    []byte
	have    uint64 // bytes
	first   *piece
	last    *piece
	save    *Save    // on its way to stable storage; nil: not begun
	tries   attempts // that failed
	saved   bool     // it is durable
	gone    bool     // given up

	pulled, heard int64 // when it was last asked for more, and when some came
}

// piece is what one message brought.
type piece struct {
	at   int // in the state
	b    []byte
	next *piece
}

// add takes the bytes that follow, and keeps them.
func (in *received) add(b []byte) {
	if n := min(in.headLen-min(in.headLen, in.have), uint64(len(b))); n > 0 {
		in.head = append(in.head, b[:n]...)
	}
	p := &piece{at: int(in.have), b: b}
	if in.last == nil {
		in.first = p
	} else {
		in.last.next = p
	}
	in.last = p
	in.have += uint64(len(b))
}

func (in *received) whole() bool { return in.have == in.size }

// stream is the store's part of a snapshot that is whole.
func (in *received) stream() (parts [][]byte) {
	for p := in.first; p != nil; p = p.next {
		if skip := max(0, int(in.headLen)-p.at); skip < len(p.b) {
			parts = append(parts, p.b[skip:])
		}
	}
	return parts
}

// reader reads what has arrived, onwards: for the goroutine that saves it.
func (in *received) reader() func(offset, limit int) []byte {
	p := in.first
	return func(offset, limit int) []byte {
		for offset >= p.at+len(p.b) {
			p = p.next
		}
		b := p.b[offset-p.at:]
		n := min(limit, len(b))
		return b[:n:n]
	}
}

// ready is how much of it may be read, -1 if it was given up.
func (in *received) ready() int {
	if in.gone {
		return -1
	}
	return int(in.have)
}
