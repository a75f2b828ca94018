package sim

import "metronome/harness/history"

// kind is what an event does when its time comes.
type kind uint8

const (
	evTick     kind = iota + 1 // a process' clock
	evDatagram                 // arrives at a process
	evMessage                  // arrives on a stream
	evRequest                  // a client's operation arrives at a proxy
	evClient                   // a client looks what to do next
	evCall                     // anything else: do() is called
)

var kindNames = [...]string{"none", "tick", "datagram", "message", "request", "client", "call"}

// event is something that happens at a time. Events of one time happen in the order they were made.
type event struct {
	at   int64
	seq  uint64
	kind kind
	late bool   // a slow process has been waited for
	to   int32  // slot
	from int32  // slot
	gen  uint32 // of the process it is for: a later life does not get it
	conn uint32 // stream: the connection's epoch
	b    []byte
	req  *request
	do   func()
}

// request is a client's operation on its way to a proxy.
type request struct {
	connection, ticket uint64
	call               history.Call
	barrier            bool
}

// queue is a binary heap of events by time, then by making.
type queue struct {
	heap []event
	made uint64
}

func (q *queue) less(i, j int) bool {
	a, b := &q.heap[i], &q.heap[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (q *queue) push(e event) {
	q.made++
	e.seq = q.made
	q.heap = append(q.heap, e)
	for i := len(q.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.less(i, parent) {
			break
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

func (q *queue) pop() event {
	top := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = event{}
	q.heap = q.heap[:last]
	q.sink(0)
	return top
}

func (q *queue) sink(i int) {
	for {
		child := 2*i + 1
		if child >= len(q.heap) {
			return
		}
		if child+1 < len(q.heap) && q.less(child+1, child) {
			child++
		}
		if !q.less(child, i) {
			return
		}
		q.heap[i], q.heap[child] = q.heap[child], q.heap[i]
		i = child
	}
}
