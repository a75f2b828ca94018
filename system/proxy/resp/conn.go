package resp

import (
	"net"
	"sync"
	"sync/atomic"

	"metronome/system/wire"
)

// Sizes of what connections hold.
const (
	minBuffer = 16 << 10 // bytes read into by a connection that is not idle
	maxBatch  = 128      // commands handed to the backend at once
	maxWrite  = 256 << 10
	maxArgs   = 2*wire.MaxMulti + 8
)

// conn is one client's connection. A goroutine reads, parses and submits; answers come from
// wherever the backend calls Complete; while there are replies to write, a second goroutine writes
// them.
type conn struct {
	id     uint64
	server *Server
	sock   net.Conn // TLS or not
	link   net.Conn // below TLS: closing it never blocks
	born   int64    // the server's clock
	stage  stage    // the reader's
	source source   // the reader's

	active       atomic.Int64 // when the client last sent something; the server's clock
	writingSince atomic.Int64 // since when a write has taken no byte; 0 = none

	mu        sync.Mutex
	changed   sync.Cond // something left the queue, or the connection ended
	waiting   bool      // the reader waits for that
	q         queue
	spare     []byte // the buffer of replies not in use
	box       *outbox
	flushing  int // bytes of replies being written
	charged   int // bytes of replies that the server counts
	writing   bool
	abandoned bool // the server stops: nothing more is submitted
	reason    closeReason
	ended     bool // no reply can be delivered any more
}

// outbox is what a connection needs only while commands are outstanding.
type outbox struct {
	ring       []pending
	out, spare []byte
}

func newConn(s *Server, id uint64, sock net.Conn) *conn {
	c := &conn{id: id, server: s, sock: sock, link: sock, born: s.clock.Load()}
	c.changed.L = &c.mu
	c.active.Store(c.born)
	c.stage = stage{index: s.index, conn: c}
	c.stage.state = c.defaults()
	return c
}

// serve reads until the client leaves, is thrown out, or the server stops. It returns when all is
// answered and written, or cannot be.
func (c *conn) serve() {
	reason := c.read()
	c.dropInbox()
	c.mu.Lock()
	for !c.ended && (c.q.len() > 0 || c.writing) {
		c.wait()
	}
	c.kill(reason, false)
	c.server.buffers.Add(-int64(c.charged))
	c.charged = 0
	c.mu.Unlock()
	if c.reason == closedProtocol {
		c.linger()
	}
	_ = c.sock.Close()
}

// read serves commands until the end, and says why it ended.
func (c *conn) read() closeReason {
	for {
		if err := c.receive(); err != nil {
			return c.server.whyEnded(err)
		}
		if reason := c.parse(); reason != closedNot {
			return reason
		}
		if c.stage.idle() {
			c.dropInbox()
		}
	}
}

// parse stages and submits every command that has come entirely.
func (c *conn) parse() closeReason {
	st := &c.stage
	for {
		switch st.next() {
		case more:
			return c.commit(closedNot)
		case ready:
			st.dispatch(st.args)
			c.limit()
		case refused:
			st.refuse(st.why)
		case broken:
			st.refuse(st.why)
			return c.commit(closedProtocol)
		}
		if st.closing {
			return c.commit(closedByQuit)
		}
		if len(st.entries) >= maxBatch {
			if reason := c.commit(closedNot); reason != closedNot {
				return reason
			}
		}
	}
}

// limit tells the parser what this client may send.
func (c *conn) limit() {
	if c.stage.authenticated {
		l := &c.server.options.Limits
		c.stage.bounds = bounds{args: l.Args, bulk: wire.MaxValue, command: l.Command}
	} else {
		c.stage.bounds = unauthenticated
	}
}

// commit queues what has been staged and submits its operations, waiting for room where there is
// none. It returns reason, or why the connection has ended meanwhile.
func (c *conn) commit(reason closeReason) closeReason {
	st := &c.stage
	if len(st.entries) == 0 {
		return reason
	}
	c.server.stats.commands.Add(uint64(len(st.entries)))
	c.server.stats.errors.Add(st.errors)
	st.errors = 0
	sent, next := 0, 0
	c.mu.Lock()
	for i := range st.entries {
		e := &st.entries[i]
		c.chooseRead(e)
		for c.full(e) && !c.ended && !c.abandoned {
			if sent < next { // what is waited for must be on its way
				sent = c.submit(sent, next)
				continue
			}
			c.wait()
		}
		if c.ended || c.abandoned {
			reason = closedStopping
			break
		}
		c.takeOutbox() // the writer may have given it back while we waited
		tag := c.q.push(e, st.text[e.text.from:e.text.to])
		if e.flags&local == 0 {
			st.ops[next].Tag, st.ops[next].Barrier = tag, e.flags&barrier != 0
			next++
		}
	}
	c.settle()
	if sent < next {
		c.submit(sent, next)
	}
	c.mu.Unlock()
	st.clear()
	return reason
}

// submit hands operations to the backend; the lock is not held meanwhile.
func (c *conn) submit(from, to int) int {
	c.mu.Unlock()
	c.server.backend.Submit(c.id, c.stage.ops[from:to], c)
	c.mu.Lock()
	return to
}

// chooseRead lets a read be a barrier read only if no item is outstanding on this connection: else
// it could overtake the write before it (R20).
func (c *conn) chooseRead(e *staged) {
	if e.flags&barrier != 0 && c.q.items > 0 {
		e.flags &^= barrier
	}
}

// full reports whether a command must wait: the connection's bounds are reached, or it is an item
// and barrier reads before it have not been answered yet.
func (c *conn) full(e *staged) bool {
	l := &c.server.options.Limits
	switch {
	case e.flags&(local|barrier) == 0 && c.q.barriers > 0:
		return true
	case c.q.len() >= l.InflightOps, c.unsent() >= l.SoftOutput:
		return true
	}
	return c.q.len() > 0 && c.q.size+e.size > l.InflightBytes
}

// unsent is the bytes of replies held.
func (c *conn) unsent() int { return len(c.q.out) + c.q.held + c.flushing }

// wait lets others change the connection. The lock is held before and after.
func (c *conn) wait() {
	c.settle()
	c.waiting = true
	c.changed.Wait()
	c.waiting = false
}

// Complete takes answers from the backend.
func (c *conn) Complete(done []Done) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	for i := range done {
		if !c.q.answer(done[i].Tag, &done[i].Result) && !c.abandoned {
			c.server.stats.stray.Add(1)
		}
	}
	c.settle()
}

// settle follows every change of the queue: it counts, throws a slow reader out, starts the writer,
// wakes the reader. The lock is held.
func (c *conn) settle() {
	unsent := c.unsent()
	if unsent > c.server.options.HardOutput {
		c.kill(closedSlowReader, true)
	}
	if held := max(0, unsent-minBuffer); held != c.charged && !c.ended {
		c.server.buffers.Add(int64(held - c.charged))
		c.charged = held
	}
	if len(c.q.out) > 0 && !c.writing && !c.ended {
		c.writing = true
		go c.write()
	}
	c.wake()
}

func (c *conn) wake() {
	if c.waiting {
		c.changed.Broadcast()
	}
}

// write writes replies until there are none left, and gives the buffers back if none are expected.
func (c *conn) write() {
	c.mu.Lock()
	for len(c.q.out) > 0 && !c.ended {
		out := c.q.out
		c.q.out, c.spare, c.flushing = c.spare[:0], nil, len(out)
		c.mu.Unlock()
		err := c.flush(out)
		c.mu.Lock()
		c.flushing = 0
		if cap(out) <= keepOut {
			c.spare = out[:0]
		}
		if err != nil {
			c.kill(closedBroken, true)
		}
		c.settle()
	}
	c.writing = false
	c.dropOutbox()
	c.wake()
	c.mu.Unlock()
}

// flush writes in parts, so that the janitor can tell a slow client from one that takes nothing.
func (c *conn) flush(out []byte) error {
	defer c.writingSince.Store(0)
	c.server.stats.bytesOut.Add(uint64(len(out)))
	for len(out) > 0 {
		c.writingSince.Store(c.server.clock.Load())
		n, err := c.sock.Write(out[:min(len(out), maxWrite)])
		if err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

// kill ends the connection; the first reason stays. hard closes the socket at once. The lock is
// held.
func (c *conn) kill(reason closeReason, hard bool) {
	if c.ended {
		return
	}
	c.ended, c.reason = true, reason
	c.q.forget()
	if hard {
		_ = c.link.Close()
	}
	c.wake()
}

// abandon answers everything outstanding as unknown, because the server stops.
func (c *conn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandoned = true
	if !c.ended {
		c.q.abandon(wire.StatusUnknown)
		c.settle()
	}
	c.changed.Broadcast()
}

func (c *conn) throwOut(reason closeReason) {
	c.mu.Lock()
	c.kill(reason, true)
	c.mu.Unlock()
}

// dropInbox gives the reading half's memory back.
func (c *conn) dropInbox() {
	if c.stage.inbox != nil {
		c.server.putInbox(c.stage.inbox)
		c.stage.inbox = nil
	}
}

// takeOutbox gets memory for replies. The lock is held.
func (c *conn) takeOutbox() {
	if c.q.ring == nil && !c.ended {
		c.box = c.server.takeOutbox()
		c.q.ring, c.q.out, c.spare = c.box.ring, c.box.out, c.box.spare
	}
}

// dropOutbox gives the replying half's memory back if nothing is outstanding. The lock is held.
func (c *conn) dropOutbox() {
	if c.q.len() > 0 || c.q.ring == nil || c.ended {
		return
	}
	*c.box = outbox{ring: c.q.ring, out: c.q.out, spare: c.spare}
	c.server.outboxes.put(c.box)
	c.box, c.q.ring, c.q.out, c.spare = nil, nil, nil, nil
}
