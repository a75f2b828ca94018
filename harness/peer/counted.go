package peer

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// countedLayer is a TCP stream layer on loopback that counts what it sends.
type countedLayer struct {
	net.Listener
	sent atomic.Uint64 // bytes
}

func newCountedLayer() (*countedLayer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	return &countedLayer{Listener: l}, err
}

// Accept implements [net.Listener].
func (c *countedLayer) Accept() (net.Conn, error) { return c.count(c.Listener.Accept()) }

// Dial implements [raft.StreamLayer].
func (c *countedLayer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return c.count(net.DialTimeout("tcp", string(to), timeout))
}

func (c *countedLayer) count(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return &countedConn{conn, &c.sent}, nil
}

type countedConn struct {
	net.Conn
	sent *atomic.Uint64
}

// Write implements [net.Conn].
func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(uint64(n))
	return n, err
}
