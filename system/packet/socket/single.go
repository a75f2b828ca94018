package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// single reads one datagram a call by recvfrom: the "equivalent socket implementation" of the
// claim.
type single struct {
	fd   int
	poll bool // never wait
	buf  []byte
	mem  memInfo
}

func openSingle(c Config) (receiver, error) {
	fd, err := listenUDP(c)
	if err != nil {
		return nil, err
	}
	return &single{fd: fd, poll: c.Wait < 0, buf: make([]byte, datagramBytes), mem: newMemInfo(fd)}, nil
}

// recv first tries without blocking and without telling the Go scheduler, which would cost tens of
// nanoseconds a datagram; only an idle socket pays for a call that may sleep.
func (s *single) recv(frames [][]byte) (int, error) {
	p, size := uintptr(unsafe.Pointer(&s.buf[0])), uintptr(len(s.buf))
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), p, size, unix.MSG_DONTWAIT, 0, 0)
	if errno == unix.EAGAIN && !s.poll {
		n, _, errno = unix.Syscall6(unix.SYS_RECVFROM, uintptr(s.fd), p, size, 0, 0, 0)
	}
	if errno != 0 {
		if temporary(errno) {
			return 0, nil
		}
		return 0, fmt.Errorf("socket: recvfrom: %w", errno)
	}
	frames[0] = s.buf[:n]
	return 1, nil
}

func (s *single) stats(n *packet.Stats) { s.mem.into(n) }
func (s *single) close() error          { return unix.Close(s.fd) }
func (s *single) descriptor() int       { return s.fd }

// netConn reads one datagram a call by net.UDPConn, through Go's network poller.
type netConn struct {
	conn *net.UDPConn
	mem  memInfo // valid while conn is open
	wait time.Duration
	buf  []byte
	hits uint // reads since the deadline was last set
}

// deadlineEvery is after how many datagrams the read deadline is moved on: setting it costs as much
// as reading a datagram, and it only has to end the wait some time after traffic stops.
const deadlineEvery = 1024

func openNet(c Config) (receiver, error) {
	fd, err := listenUDP(c)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("socket: make it non-blocking: %w", err)
	}
	file := os.NewFile(uintptr(fd), "udp")
	defer file.Close()
	pc, err := net.FilePacketConn(file)
	if err != nil {
		return nil, fmt.Errorf("socket: hand it to package net: %w", err)
	}
	conn := pc.(*net.UDPConn)
	n := &netConn{conn: conn, wait: c.Wait, buf: make([]byte, datagramBytes)}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { n.mem = newMemInfo(int(fd)) })
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("socket: reach the descriptor: %w", err)
	}
	return n, nil
}

func (c *netConn) recv(frames [][]byte) (int, error) {
	if c.hits%deadlineEvery == 0 {
		if err := c.conn.SetReadDeadline(time.Now().Add(c.wait)); err != nil {
			return 0, fmt.Errorf("socket: set the read deadline: %w", err)
		}
	}
	c.hits++
	n, _, err := c.conn.ReadFromUDPAddrPort(c.buf)
	if err != nil {
		c.hits = 0
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, nil
		}
		return 0, fmt.Errorf("socket: read: %w", err)
	}
	frames[0] = c.buf[:n]
	return 1, nil
}

func (c *netConn) stats(n *packet.Stats) { c.mem.into(n) }
func (c *netConn) close() error          { return c.conn.Close() }
func (c *netConn) descriptor() int       { return -1 }
