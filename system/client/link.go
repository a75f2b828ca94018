package client

import (
	"bufio"
	"errors"
	"net"
	"sync"
)

// call is a command that has been sent, or is about to be. done is called exactly once, from the
// connection's reading goroutine or from whoever finds it broken; it does not block.
type call struct {
	done  func(*call)
	reply reply
	err   error // a broken connection
	sent  bool  // bytes of it may have left
	size  int
}

// link is one connection. Commands leave in the order of send and are answered in that order.
type link struct {
	conn net.Conn
	gate *gate // commands leave it once they are answered

	mu      sync.Mutex
	work    sync.Cond // out is not empty, or the link is broken
	out     []byte
	spare   []byte
	calls   []*call // not answered yet, in order; from head
	head    int
	handed  int // of calls, how many have been handed to the socket, counted from head
	broken  error
	leaving bool
	empty   chan struct{} // closed when nothing is outstanding on a leaving link
}

var errLeaving = errors.New("client: the connection is being given up")

func newLink(conn net.Conn, r *bufio.Reader, g *gate) *link {
	l := &link{conn: conn, gate: g, empty: make(chan struct{})}
	l.work.L = &l.mu
	go l.write()
	go l.read(r)
	return l
}

// send queues a command. If it fails, the call is not done and nothing was sent.
func (l *link) send(c *call, cmd *command) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.broken != nil:
		return l.broken
	case l.leaving:
		return errLeaving
	}
	l.out = cmd.appendTo(l.out)
	l.calls = append(l.calls, c)
	l.work.Signal()
	return nil
}

func (l *link) write() {
	l.mu.Lock()
	for {
		for len(l.out) == 0 && l.broken == nil {
			l.work.Wait()
		}
		if l.broken != nil {
			l.mu.Unlock()
			return
		}
		out := l.out
		l.out, l.spare = l.spare[:0], nil
		for _, c := range l.calls[l.head+l.handed:] {
			c.sent = true
		}
		l.handed = len(l.calls) - l.head
		l.mu.Unlock()
		_, err := l.conn.Write(out)
		l.mu.Lock()
		if cap(out) <= keepOut {
			l.spare = out[:0]
		}
		if err != nil {
			l.mu.Unlock()
			l.fail(err)
			return
		}
	}
}

const keepOut = 256 << 10 // bytes of buffer kept for the next write

func (l *link) read(r *bufio.Reader) {
	for calls, bytes := 0, 0; ; {
		if r.Buffered() == 0 && calls > 0 { // once for all that has come: somebody may wait
			l.gate.leave(calls, bytes)
			calls, bytes = 0, 0
		}
		answer, err := readReply(r, 0)
		var c *call
		if err == nil {
			if c = l.next(); c == nil {
				err = errors.New("client: the proxy answered what nobody asked: " + string(answer.bytes))
			}
		}
		if err != nil {
			l.gate.leave(calls, bytes)
			l.fail(err)
			return
		}
		calls++
		bytes += c.size
		c.reply = answer
		c.done(c)
	}
}

// next takes the oldest call off, or nil if there is none.
func (l *link) next() *call {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handed == 0 {
		return nil
	}
	c := l.calls[l.head]
	l.calls[l.head] = nil
	l.head++
	l.handed--
	switch {
	case l.head == len(l.calls):
		l.calls, l.head = l.calls[:0], 0
		l.checkEmpty()
	case l.head >= 1024 && l.head >= len(l.calls)/2:
		l.calls = append(l.calls[:0], l.calls[l.head:]...)
		l.head = 0
	}
	return c
}

// fail breaks the link: every call is done, with what is known about it.
func (l *link) fail(err error) {
	l.mu.Lock()
	if l.broken != nil {
		l.mu.Unlock()
		return
	}
	l.broken = err
	calls := l.calls[l.head:]
	l.calls, l.out, l.head, l.handed = nil, nil, 0, 0
	l.leaving = true
	l.checkEmpty()
	l.work.Signal()
	l.mu.Unlock()
	_ = l.conn.Close()
	for _, c := range calls {
		l.gate.leave(1, c.size)
		c.err = err
		c.done(c)
	}
}

// leave takes no more commands; empty is closed once all are answered, and the link with it. It reports
// false if it was leaving already.
func (l *link) leave() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leaving {
		return false
	}
	l.leaving = true
	l.checkEmpty()
	return true
}

// checkEmpty ends a leaving link that has nothing outstanding. The lock is held.
func (l *link) checkEmpty() {
	if !l.leaving || len(l.calls) > l.head {
		return
	}
	select {
	case <-l.empty:
	default:
		close(l.empty)
		_ = l.conn.Close()
	}
}

// usable reports whether the link takes commands.
func (l *link) usable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken == nil && !l.leaving
}
