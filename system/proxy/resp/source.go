package resp

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// source reads a socket without holding a buffer while there is nothing to read: thousands of idle
// connections then cost little. A TLS connection waits with a small buffer instead.
type source struct {
	raw   syscall.RawConn
	try   func(fd uintptr) bool // conn.tryRead, made once
	n     int
	err   error
	small []byte
}

const idleBuffer = 512

// prepare chooses how to read.
func (c *conn) prepare() {
	if tcp, ok := c.sock.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			c.source.raw, c.source.try = raw, c.tryRead
			return
		}
	}
	c.source.small = make([]byte, idleBuffer)
}

// receive reads what the client has sent: at least a byte, or an error.
func (c *conn) receive() error {
	n, err := c.receiveInto()
	if n == 0 {
		return err
	}
	c.stage.received(n)
	c.active.Store(c.server.clock.Load())
	c.server.stats.bytesIn.Add(uint64(n))
	return nil
}

func (c *conn) receiveInto() (int, error) {
	s := &c.source
	switch {
	case c.stage.inbox != nil:
		return c.sock.Read(c.stage.makeRoom(c.grow, textOverloaded))
	case s.raw != nil:
		if err := s.raw.Read(s.try); err != nil {
			return 0, err
		}
		return s.n, s.err
	}
	n, err := c.sock.Read(s.small)
	if n > 0 {
		c.takeInbox()
		copy(c.stage.makeRoom(c.grow, textOverloaded), s.small[:n])
	}
	return n, err
}

// tryRead reads if there is something, else it gives the buffer back and asks to be called again
// when there is.
func (c *conn) tryRead(fd uintptr) bool {
	c.takeInbox()
	s := &c.source
	for {
		s.n, s.err = syscall.Read(int(fd), c.stage.makeRoom(c.grow, textOverloaded))
		switch {
		case errors.Is(s.err, syscall.EINTR):
			continue
		case errors.Is(s.err, syscall.EAGAIN):
			c.dropInbox()
			return false
		case s.n <= 0:
			s.n = 0
			if s.err == nil {
				s.err = io.EOF
			}
		}
		return true
	}
}

func (c *conn) takeInbox() {
	c.stage.inbox = c.server.takeInbox()
	c.limit()
}

// grow makes a larger buffer for a command that does not fit, within what the server may hold.
func (c *conn) grow(capacity int) []byte {
	more := int64(capacity - cap(c.stage.buf))
	if c.server.buffers.Add(more) > int64(c.server.options.Buffers) {
		c.server.buffers.Add(-more)
		return nil
	}
	return make([]byte, 0, capacity)
}

// Bounds of listening on to a client that has been told to go: what it still sends must be read, or
// the kernel would throw the last reply away.
const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// linger closes the sending half and reads what still comes, for a while.
func (c *conn) linger() {
	half, ok := c.sock.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.sock.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.sock, lingerBytes)
}
