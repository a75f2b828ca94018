package daemon

import (
	"sync"

	"metronome/system/proxy"
	"metronome/system/proxy/resp"
	"metronome/system/wire"
)

// desk takes operations from connections, whatever goroutine they run on, to the loop that owns the
// core, and answers back. It is a resp.Backend.
type desk struct {
	lanes int
	limit int // bytes that may wait
	wake  func()

	mu     sync.Mutex
	in     []request
	slab   []byte // keys and values of in
	closed bool

	// The loop's own.
	out     []request
	outSlab []byte
	pending []pendingOp // by token
	free    []uint32    // tokens
	done    []resp.Done // of last, to be told together
	last    resp.Completer
}

// request is an operation that waits for the loop; its key and value lie in the slab.
type request struct {
	item       wire.Item // without key and value
	key, value int       // lengths
	tag        uint64
	pin        uint64
	to         resp.Completer
	barrier    bool
}

type pendingOp struct {
	to  resp.Completer
	tag uint64
}

func newDesk(lanes, limit int) *desk { return &desk{lanes: lanes, limit: limit, wake: func() {}} }

// requestBytes is what a request costs beside its key and value.
const requestBytes = 160

// Submit implements resp.Backend. What does not fit is refused at once: the client may come back.
func (d *desk) Submit(pin uint64, ops []resp.Op, c resp.Completer) {
	d.mu.Lock()
	first := len(d.in) == 0
	taken := 0
	for i := range ops {
		op := &ops[i]
		if d.closed || len(d.slab)+len(d.in)*requestBytes > d.limit {
			break
		}
		d.slab = append(append(d.slab, op.Item.Key...), op.Item.Value...)
		q := request{item: op.Item, key: len(op.Item.Key), value: len(op.Item.Value), tag: op.Tag, pin: pin, to: c,
			barrier: op.Barrier}
		q.item.Key, q.item.Value = nil, nil
		d.in = append(d.in, q)
		taken++
	}
	closed := d.closed
	d.mu.Unlock()
	if taken > 0 && first {
		d.wake()
	}
	if taken < len(ops) {
		refuse(ops[taken:], c, closed)
	}
}

func refuse(ops []resp.Op, c resp.Completer, closed bool) {
	status := wire.StatusBusy
	if closed {
		status = wire.StatusUnavailable
	}
	done := make([]resp.Done, len(ops))
	for i := range ops {
		done[i] = resp.Done{Tag: ops[i].Tag, Result: wire.Result{Status: status}}
	}
	c.Complete(done)
}

func (d *desk) empty() bool { return d.waiting() == 0 }

func (d *desk) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.in)
}

// keepSlab bounds the memory kept after a burst.
const keepSlab = 16 << 20

// submit hands everything that waits to the core.
func (d *desk) submit(now int64, core *proxy.Proxy) int {
	d.mu.Lock()
	d.in, d.out = d.out[:0], d.in
	d.slab, d.outSlab = d.outSlab[:0], d.slab
	if cap(d.slab) > keepSlab {
		d.slab = nil
	}
	d.mu.Unlock()
	slab := d.outSlab
	for i := range d.out {
		q := &d.out[i]
		end := q.key + q.value
		q.item.Key, q.item.Value = slab[:q.key:q.key], slab[q.key:end:end]
		slab = slab[end:]
		token := d.token(q)
		var status wire.Status
		if q.barrier {
			status = core.SubmitRead(now, q.pin, &q.item, token)
		} else {
			status = core.Submit(now, int(q.pin%uint64(d.lanes)), &q.item, token)
		}
		if status != wire.StatusOK {
			d.complete(token, &wire.Result{Status: status})
		}
	}
	n := len(d.out)
	clear(d.out)
	d.settle()
	return n
}

func (d *desk) token(q *request) uint64 {
	if n := len(d.free); n > 0 {
		t := d.free[n-1]
		d.free = d.free[:n-1]
		d.pending[t] = pendingOp{q.to, q.tag}
		return uint64(t)
	}
	d.pending = append(d.pending, pendingOp{q.to, q.tag})
	return uint64(len(d.pending) - 1)
}

// complete notes how an operation ended; settle tells.
func (d *desk) complete(token uint64, r *wire.Result) {
	p := d.pending[token]
	d.pending[token] = pendingOp{}
	d.free = append(d.free, uint32(token))
	if p.to != d.last || len(d.done) == cap(d.done) && len(d.done) >= maxDone {
		d.settle()
		d.last = p.to
	}
	d.done = append(d.done, resp.Done{Tag: p.tag, Result: *r})
}

// maxDone bounds the answers told together.
const maxDone = 512

// settle tells whoever was answered last.
func (d *desk) settle() {
	if len(d.done) > 0 {
		d.last.Complete(d.done)
		clear(d.done)
		d.done = d.done[:0]
	}
	d.last = nil
}

// close ends everything that has not been answered: whether it is executed is not known here any
// more.
func (d *desk) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	for i := range d.in {
		d.in[i].to.Complete([]resp.Done{{Tag: d.in[i].tag, Result: wire.Result{Status: wire.StatusUnavailable}}})
	}
	for _, p := range d.pending {
		if p.to != nil {
			p.to.Complete([]resp.Done{{Tag: p.tag, Result: wire.Result{Status: wire.StatusUnknown}}})
		}
	}
	d.in, d.pending = nil, nil
}
