package stream

// queue is what waits to be written to one peer: frames, ready to go, in two classes.
type queue struct {
	limit   int    // bytes of each class
	urgent  []byte // whole frames
	writing int    // bytes of urgent frames that are being written
	bulk    []byte // parts; those before off are written
	off     int
}

// put adds a message as frames; false if its class is full.
func (q *queue) put(msg []byte, bulk bool) bool {
	if bulk {
		return q.putBulk(msg)
	}
	if len(q.urgent)+q.writing+headerBytes+len(msg) > q.limit {
		return false
	}
	q.urgent = append(appendHeader(q.urgent, kindUrgent, len(msg)), msg...)
	return true
}

func (q *queue) putBulk(msg []byte) bool {
	parts := (len(msg) + partBytes - 1) / partBytes
	if len(q.bulk)-q.off+len(msg)+parts*headerBytes > q.limit {
		return false
	}
	if q.off > len(q.bulk)/2 {
		q.bulk = q.bulk[:copy(q.bulk, q.bulk[q.off:])]
		q.off = 0
	}
	for len(msg) > partBytes {
		q.bulk = append(appendHeader(q.bulk, kindPart, partBytes), msg[:partBytes]...)
		msg = msg[partBytes:]
	}
	q.bulk = append(appendHeader(q.bulk, kindLast, len(msg)), msg...)
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
	if q.off < len(q.bulk) {
		_, length := parseHeader(q.bulk[q.off:])
		end := q.off + headerBytes + length
		out = append(out, q.bulk[q.off:end]...)
		q.off = end
	}
	if q.off == len(q.bulk) {
		q.bulk, q.off = q.bulk[:0], 0
		if cap(q.bulk) > keepBytes {
			q.bulk = nil
		}
	}
	return out
}

func (q *queue) bytes() int { return len(q.urgent) + q.writing + len(q.bulk) - q.off }

func (q *queue) reset() { *q = queue{limit: q.limit} }
