package stream

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// maxWaiting bounds connections in the handshake. A peer needs a few milliseconds of a place; who
// is to keep all peers out must open this many connections in that time, again and again.
const maxWaiting = 128

// unsentBytes is what the kernel may hold that is not on the network yet (TCP_NOTSENT_LOWAT).
const unsentBytes = 128 << 10

// tune sets what an urgent message wants of a socket. Go has set TCP_NODELAY.
func tune(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // an old kernel is slower, not wrong
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
		})
	}
}

// stranger is a connection in its handshake.
type stranger struct {
	conn    net.Conn
	crowded bool // it lost its place
}

// accept takes connections until the transport ends.
func (t *Transport) accept() {
	for {
		conn, err := t.listener.Accept()
		switch {
		case t.ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return
		case err != nil: // out of descriptors, most likely
			t.count(func(s *Strangers) { s.Accept++ })
			t.logStranger("accept", nil, err)
			sleep(t.ctx, 50*time.Millisecond)
			continue
		}
		s := t.enter(conn)
		t.running.Go(func() { t.handshake(s) })
	}
}

// enter gives a connection a place, the oldest one's if there is no other.
func (t *Transport) enter(conn net.Conn) *stranger {
	s := &stranger{conn: conn}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) >= maxWaiting {
		t.waiting[0].crowded = true
		_ = t.waiting[0].conn.Close()
		t.waiting = slices.Delete(t.waiting, 0, 1)
	}
	t.waiting = append(t.waiting, s)
	return s
}

func (t *Transport) leave(s *stranger) (crowded bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, s); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	return s.crowded
}

func (t *Transport) handshake(s *stranger) {
	ctx, cancel := context.WithTimeout(t.ctx, t.handshakeTimeout())
	defer cancel()
	deadline, _ := ctx.Deadline()
	_ = s.conn.SetDeadline(deadline)
	tune(s.conn)
	p, l, err := t.welcome(ctx, s.conn)
	crowded := t.leave(s)
	if err == nil {
		err = s.conn.SetDeadline(time.Time{})
	}
	if err == nil && !crowded && t.ctx.Err() == nil {
		if err = p.offer(l); err == nil {
			return
		}
	}
	_ = s.conn.Close()
	if p != nil {
		p.failures.Add(1)
	}
	t.turnedAway(s, crowded, err)
}

// turnedAway counts and logs why a connection did not become a peer's.
func (t *Transport) turnedAway(s *stranger, crowded bool, err error) {
	var r *refusal
	switch {
	case t.ctx.Err() != nil:
	case crowded:
		t.count(func(s *Strangers) { s.Crowded++ })
		t.logStranger("crowded", s.conn.RemoteAddr(), errors.New("more connections than places"))
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		t.count(func(s *Strangers) { s.Slow++ })
		t.logStranger("slow", s.conn.RemoteAddr(), err)
	case errors.As(err, &r), errors.Is(err, errRefused), errors.Is(err, errProtocol):
		t.count(func(s *Strangers) { s.Hello++ })
		t.logStranger("hello", s.conn.RemoteAddr(), err)
	default:
		t.count(func(s *Strangers) { s.TLS++ })
		t.logStranger("tls", s.conn.RemoteAddr(), explain(err))
	}
}

func (t *Transport) count(add func(*Strangers)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	add(&t.strangers)
}
