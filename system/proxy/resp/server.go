package resp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves clients. Make it with [NewServer], let it [Server.Listen], then [Server.Serve].
type Server struct {
	options Options
	backend Backend
	index   *index
	log     *slog.Logger
	start   time.Time
	tick    time.Duration

	listener net.Listener
	clock    atomic.Int64 // nanoseconds since start, as of the last tick; at least 1
	buffers  atomic.Int64 // bytes that connections hold beyond their idle size
	stopping atomic.Bool
	stats    counters

	inboxes  freeList[inbox]
	outboxes freeList[outbox]

	mu    sync.Mutex
	last  uint64
	conns map[*conn]struct{}
	group sync.WaitGroup
}

// NewServer makes a server that has items executed by backend.
func NewServer(backend Backend, options Options) *Server {
	options.setDefaults()
	s := &Server{options: options, backend: backend, index: newIndex(), log: options.Logger,
		start: time.Now(), conns: make(map[*conn]struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.tick = options.tick()
	s.clock.Store(1)
	return s
}

// Listen opens the address that [Server.Serve] accepts from, "host:port"; port 0 is any.
func (s *Server) Listen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("resp: listen for clients on %s: %w; choose another address with --resp", address, err)
	}
	s.listener = l
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve accepts and serves until ctx ends, and returns nil then, after every connection has ended:
// what is outstanding is awaited for Limits.Drain, then answered as unknown (R28).
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.janitor(ctx)
	unhook := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	defer unhook()
	err := s.accept(ctx)
	s.stop()
	return err
}

func (s *Server) accept(ctx context.Context) error {
	for pause := time.Millisecond; ; {
		sock, err := s.listener.Accept()
		switch {
		case err == nil:
			pause = time.Millisecond
			s.take(sock)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("resp: accept: %w", err)
		default: // out of file descriptors, most likely: some client will leave
			s.log.Warn("accept failed; is the limit of open files (ulimit -n) too low?", "error", err)
			time.Sleep(pause)
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}

// take starts serving a connection, or refuses it at the bound.
func (s *Server) take(sock net.Conn) {
	s.mu.Lock()
	full := len(s.conns) >= s.options.Connections
	var c *conn
	if !full {
		s.last++
		c = newConn(s, s.last, sock)
		s.conns[c] = struct{}{}
		s.group.Add(1)
	}
	s.mu.Unlock()
	if full {
		s.stats.refused.Add(1)
		_ = sock.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(sock, "-ERR max number of clients reached\r\n")
		_ = sock.Close()
		return
	}
	s.stats.accepted.Add(1)
	go s.run(c)
}

func (s *Server) run(c *conn) {
	defer s.group.Done()
	if err := s.secure(c); err != nil {
		c.reason = closedBroken
		_ = c.link.Close()
		s.log.Info("TLS handshake failed", "client", c.link.RemoteAddr(), "error", err)
	} else {
		c.prepare()
		c.serve()
	}
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.stats.closed[c.reason].Add(1)
	if c.reason == closedSlowReader || c.reason == closedProtocol {
		s.log.Info("connection closed", "client", c.link.RemoteAddr(), "reason", c.reason.String())
	}
}

const handshakeTime = 10 * time.Second

// secure shakes hands if the server speaks TLS.
func (s *Server) secure(c *conn) error {
	if s.options.TLS == nil {
		return nil
	}
	t := tls.Server(c.link, s.options.TLS)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	c.sock = t
	return t.HandshakeContext(ctx)
}

// whyEnded tells reading errors apart.
func (s *Server) whyEnded(err error) closeReason {
	switch {
	case errors.Is(err, io.EOF):
		return closedByClient
	case errors.Is(err, os.ErrDeadlineExceeded) && s.stopping.Load():
		return closedStopping
	case errors.Is(err, os.ErrDeadlineExceeded):
		return closedIdle
	}
	return closedBroken
}

// stop lets every connection end by itself, then ends it.
func (s *Server) stop() {
	s.stopping.Store(true)
	_ = s.listener.Close()
	s.each(func(c *conn) { _ = c.link.SetReadDeadline(time.Unix(1, 0)) })
	ended := make(chan struct{})
	go func() {
		s.group.Wait()
		close(ended)
	}()
	for _, push := range []func(*conn){
		(*conn).abandon,
		func(c *conn) { c.throwOut(closedStopping) },
	} {
		select {
		case <-ended:
			return
		case <-time.After(s.options.Drain):
			s.each(push)
		}
	}
	<-ended
}

// each calls f for every connection.
func (s *Server) each(f func(*conn)) {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

// janitor keeps the clock and ends connections that are idle or take no replies. One look at all of
// them a tick is cheaper than two deadlines an exchange.
func (s *Server) janitor(ctx context.Context) {
	ticker := time.NewTicker(s.tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := int64(time.Since(s.start))
			s.clock.Store(now)
			s.each(func(c *conn) { s.check(c, now) })
		}
	}
}

func (s *Server) check(c *conn, now int64) {
	since := c.writingSince.Load()
	switch o := &s.options; {
	case since != 0 && now-since > int64(o.WriteTimeout):
		c.throwOut(closedSlowReader)
	case o.IdleTimeout > 0 && now-c.active.Load() > int64(o.IdleTimeout) && c.quiet():
		_ = c.link.SetReadDeadline(time.Unix(1, 0))
	}
}

// tick is how often the janitor comes: often enough for the shortest time-out, at most once a
// second.
func (l *Limits) tick() time.Duration {
	shortest := l.WriteTimeout
	if l.IdleTimeout > 0 {
		shortest = min(shortest, l.IdleTimeout)
	}
	return max(min(shortest/4, time.Second), time.Millisecond)
}

// quiet reports whether nothing is outstanding.
func (c *conn) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.q.len() == 0 && !c.writing
}

func (s *Server) takeInbox() *inbox {
	in := s.inboxes.get()
	if in == nil {
		in = &inbox{parser: parser{buf: make([]byte, 0, minBuffer)}}
	}
	return in
}

// putInbox takes an inbox back, without what a large command has made it grow to.
func (s *Server) putInbox(in *inbox) {
	if grown := cap(in.buf) - minBuffer; grown > 0 {
		s.buffers.Add(-int64(grown))
		return
	}
	if cap(in.args) > maxBatch || cap(in.scratch)+cap(in.text) > minBuffer {
		return
	}
	in.reset()
	s.inboxes.put(in)
}

func (s *Server) takeOutbox() *outbox {
	o := s.outboxes.get()
	if o == nil {
		o = &outbox{ring: make([]pending, minRing)}
	}
	return o
}
