package stream

import "slices"

// queue is what waits to be written to one peer, in two classes.
type queue struct {
	limit   int      // bytes of each class
	urgent  []byte   // whole frames
	writing int      // bytes of urgent frames that are being written
	bulk    [][]byte // messages, the first without what is written of it
	waiting int      // bytes of them, as frames
}

// put adds a message; false if its class is full. A bulk message that is given is kept, others are copied.
func (q *queue) put(msg []byte, bulk, given bool) bool {
	if bulk {
		return q.putBulk(msg, given)
	}
	if len(q.urgent)+q.writing+headerBytes+len(msg) > q.limit {
		return false
	}
	q.urgent = append(appendHeader(q.urgent, kindUrgent, len(msg)), msg...)
	return true
}

func (q *queue) putBulk(msg []byte, given bool) bool {
	size := len(msg) + (len(msg)+partBytes-1)/partBytes*headerBytes
	if q.waiting+size > q.limit {
		return false
	}
	if !given {
		msg = slices.Clone(msg)
	}
	q.bulk = append(q.bulk, msg)
	q.waiting += size
	return true
}

// take exchanges the empty buffer for what is to be written next: everything urgent, and one part
// of bulk, so that neither class waits for the other's end.
func (q *queue) take(empty []byte) []byte {
	out := q.urgent
	q.urgent = empty[:0]
	if cap(q.urgent) > keepBytes && len(out) < keepBytes/8 {
		q.urgent = nil // memory of a burst that is over
	}
	q.writing = len(out)
	if len(q.bulk) > 0 {
		out = q.takePart(out)
	}
	return out
}

// takePart appends the next part of bulk as a frame.
func (q *queue) takePart(out []byte) []byte {
	msg, k := q.bulk[0], kindLast
	n := min(len(msg), partBytes)
	if n < len(msg) {
		k = kindPart
	}
	q.waiting -= headerBytes + n
	if q.bulk[0] = msg[n:]; k == kindLast {
		q.bulk[0] = nil
		if q.bulk = q.bulk[1:]; len(q.bulk) == 0 {
			q.bulk = nil
		}
	}
	return append(appendHeader(out, k, n), msg[:n]...)
}

func (q *queue) bytes() int { return len(q.urgent) + q.writing + q.waiting }

func (q *queue) reset() { *q = queue{limit: q.limit} }
