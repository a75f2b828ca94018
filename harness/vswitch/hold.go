package vswitch

// held is a packet that leaves later.
type held struct {
	due         int64
	order       uint64 // of packets due at once
	port, queue int
	pkt         []byte
}

// store is the memory of packets that are held back: a heap by time, and buffers that are used
// again.
type store struct {
	heap  []held
	spare [][]byte
	made  int // buffers there are
	most  int
	order uint64
}

// put holds a copy of pkt; nil if there is no room.
func (s *store) put(due int64, port, queue int, pkt []byte) []byte {
	buf := s.buffer()
	if buf == nil {
		return nil
	}
	buf = append(buf[:0], pkt...)
	s.order++
	s.push(held{due: due, order: s.order, port: port, queue: queue, pkt: buf})
	return buf
}

// buffer is a spare buffer, or a new one.
func (s *store) buffer() []byte {
	if n := len(s.spare); n > 0 {
		buf := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return buf
	}
	if s.made >= s.most {
		return nil
	}
	s.made++
	return make([]byte, 0, MaxPacket)
}

// next is when the first packet is due; never is the far future.
func (s *store) next() int64 {
	if len(s.heap) == 0 {
		return Never
	}
	return s.heap[0].due
}

// giveBack makes a buffer spare.
func (s *store) giveBack(buf []byte) { s.spare = append(s.spare, buf) }

func (a held) before(b held) bool { return a.due < b.due || a.due == b.due && a.order < b.order }

func (s *store) push(x held) {
	s.heap = append(s.heap, x)
	for i := len(s.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !s.heap[i].before(s.heap[up]) {
			break
		}
		s.heap[i], s.heap[up] = s.heap[up], s.heap[i]
		i = up
	}
}

// pop takes the first packet out; the heap must not be empty.
func (s *store) pop() held {
	first, n := s.heap[0], len(s.heap)-1
	s.heap[0] = s.heap[n]
	s.heap[n] = held{}
	s.heap = s.heap[:n]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < n; c++ {
			if s.heap[c].before(s.heap[least]) {
				least = c
			}
		}
		if least == i {
			return first
		}
		s.heap[i], s.heap[least] = s.heap[least], s.heap[i]
		i = least
	}
}
