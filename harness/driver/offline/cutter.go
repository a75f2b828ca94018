package offline

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

// Cutter passes connections on to an address and breaks each, sooner or later: half of them when an answer
// comes, which is thrown away, the others in the middle of what the client sends.
type Cutter struct {
	Least, Most int // bytes from the client before a connection is broken

	to       string
	listener net.Listener
	mu       sync.Mutex
	rng      *rand.Rand
	open     map[net.Conn]struct{} // nil once closed
	wg       sync.WaitGroup
	cuts     atomic.Int64
}

// NewCutter listens on a free port of the loopback. The seed decides where connections break.
func NewCutter(to string, seed uint64) (*Cutter, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Cutter{Least: 8 << 10, Most: 128 << 10, to: to, listener: l, rng: rand.New(rand.NewPCG(seed, 0)),
		open: map[net.Conn]struct{}{}}
	c.wg.Go(c.accept)
	return c, nil
}

// Addr is where it listens.
func (c *Cutter) Addr() string { return c.listener.Addr().String() }

// Cuts is how many connections it broke.
func (c *Cutter) Cuts() int { return int(c.cuts.Load()) }

// Close breaks everything.
func (c *Cutter) Close() {
	_ = c.listener.Close()
	c.mu.Lock()
	for conn := range c.open {
		_ = conn.Close()
	}
	c.open = nil
	c.mu.Unlock()
	c.wg.Wait()
}

func (c *Cutter) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		if !c.enter(conn) {
			return
		}
		c.wg.Go(func() { c.pass(conn) })
	}
}

// enter notes a connection; false: everything is being closed, and so is the connection.
func (c *Cutter) enter(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		_ = conn.Close()
		return false
	}
	c.open[conn] = struct{}{}
	return true
}

func (c *Cutter) leave(conn net.Conn) {
	_ = conn.Close()
	c.mu.Lock()
	delete(c.open, conn)
	c.mu.Unlock()
}

// draw decides a connection's fate.
func (c *Cutter) draw() (bytes int64, atAnswer bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.Least + c.rng.IntN(c.Most-c.Least+1)), c.rng.IntN(2) == 0
}

func (c *Cutter) pass(client net.Conn) {
	defer c.leave(client)
	server, err := net.Dial("tcp", c.to)
	if err != nil || !c.enter(server) {
		return
	}
	defer c.leave(server)
	budget, atAnswer := c.draw()
	var sent atomic.Int64
	back := make(chan struct{})
	go func() { // answers, until one comes after the budget was spent
		defer close(back)
		b := make([]byte, 32<<10)
		for {
			n, err := server.Read(b)
			if atAnswer && sent.Load() >= budget && n > 0 {
				c.cuts.Add(1)
				_ = client.Close()
				return
			}
			if _, bad := client.Write(b[:n]); err != nil || bad != nil {
				_ = client.Close()
				return
			}
		}
	}()
	if atAnswer {
		_, _ = io.Copy(&counting{server, &sent}, client)
	} else if n, _ := io.CopyN(server, client, budget); n == budget {
		c.cuts.Add(1)
	}
	_ = client.Close()
	_ = server.Close()
	<-back
}

// counting counts what is written.
type counting struct {
	net.Conn
	n *atomic.Int64
}

func (w *counting) Write(b []byte) (int, error) {
	w.n.Add(int64(len(b))) // first, so that no answer to it is passed on before it counts
	return w.Conn.Write(b)
}
