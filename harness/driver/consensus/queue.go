package consensus

import "container/heap"

// kind is what happens.
type kind uint8

const (
	evTick    kind = iota // of a process' clock
	evMessage             // of an orderer, arrives
	evFrame               // of a lane, arrives
	evSync                // a process' disk has done what it was asked
	evWake                // a process has time again, or may begin a round
	evTurn                // the next of what waits for a process' time has its turn
	evCall                // anything that is nobody's
)

// event is something at a time. Of two at one time the first made is the first to happen.
type event struct {
	at   int64
	seq  uint64
	kind kind
	late bool // a slow process has been waited for
	to   int
	from int
	lane int
	n    uint64 // evFrame: which one of the lane
	b    []byte
	do   func()
}

// queue is what is to happen.
type queue struct {
	events []event
	made   uint64
}

func (q *queue) Len() int { return len(q.events) }
func (q *queue) Less(i, j int) bool {
	a, b := &q.events[i], &q.events[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}
func (q *queue) Swap(i, j int) { q.events[i], q.events[j] = q.events[j], q.events[i] }

// Push implements [heap.Interface].
func (q *queue) Push(x any) { q.events = append(q.events, x.(event)) }

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	last := len(q.events) - 1
	e := q.events[last]
	q.events[last] = event{}
	q.events = q.events[:last]
	return e
}

func (q *queue) push(e event) {
	q.made++
	e.seq = q.made
	heap.Push(q, e)
}

func (q *queue) next() event { return heap.Pop(q).(event) }
