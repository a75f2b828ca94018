package replica

// resultQueue keeps the encoded answers of a lane until its proxy has them, so that any replica can
// stand in for the one that was asked (R25). Bounded in bytes: at the bound the oldest go, and a
// proxy that still wants them learns that its outcome is unknown.
type resultQueue struct {
	buf   []byte
	kept  []keptResult
	head  int // in kept
	drops uint64
}

type keptResult struct {
	number, frame uint64
	off, n        int
}

func (q *resultQueue) reset() { *q = resultQueue{drops: q.drops} }

// add keeps an answer; numbers ascend.
func (q *resultQueue) add(number, frame uint64, answer []byte, limit int) {
	if len(answer) > limit/4 {
		q.drops++
		return
	}
	for q.head < len(q.kept) && q.bytes()+len(answer) > limit {
		q.head++
		q.drops++
	}
	q.tidy()
	q.kept = append(q.kept, keptResult{number, frame, len(q.buf), len(answer)})
	q.buf = append(q.buf, answer...)
}

func (q *resultQueue) bytes() int {
	if q.head == len(q.kept) {
		return 0
	}
	return len(q.buf) - q.kept[q.head].off
}

// release forgets the answers to frames that the proxy no longer keeps: it has them.
func (q *resultQueue) release(tail uint64) {
	for q.head < len(q.kept) && q.kept[q.head].frame < tail {
		q.head++
	}
	q.tidy()
}

// tidy moves what is kept to the front once more than half is not.
func (q *resultQueue) tidy() {
	if q.head == len(q.kept) {
		q.buf, q.kept, q.head = q.buf[:0], q.kept[:0], 0
		return
	}
	if q.head < 1024 || q.head < len(q.kept)/2 {
		return
	}
	base := q.kept[q.head].off
	q.buf = append(q.buf[:0], q.buf[base:]...)
	q.kept = append(q.kept[:0], q.kept[q.head:]...)
	q.head = 0
	for i := range q.kept {
		q.kept[i].off -= base
	}
}

// find calls visit with the answers of the items from ≤ number < to.
func (q *resultQueue) find(from, to uint64, visit func(answer []byte)) {
	for _, k := range q.kept[q.head:] {
		if k.number >= to {
			return
		}
		if k.number >= from {
			visit(q.buf[k.off : k.off+k.n])
		}
	}
}
