package stream

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"metronome/system/cluster"
	"metronome/system/wire"
)

// patience is how long a test waits for what must happen; it decides nothing.
const patience = 3 * time.Minute

// wait polls until ok.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// dev makes a cluster on this machine.
func dev(t testing.TB, replicas int) *cluster.Config {
	t.Helper()
	c, err := cluster.Dev(filepath.Join(t.TempDir(), "c"), cluster.DevOptions{Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// logs is what a transport logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// node is a transport under test.
type node struct {
	*Transport
	logs   logs
	mu     sync.Mutex
	got    map[wire.Peer][]string
	states map[wire.Peer][]string
}

func (n *node) received(from wire.Peer) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.got[from])
}

func (n *node) history(of wire.Peer) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.states[of])
}

func (n *node) stats(of wire.Peer) (s Stats) {
	n.Stats(of, &s)
	return s
}

// config is a transport's configuration that records what happens in n.
func config(t testing.TB, c *cluster.Config, self wire.Peer, n *node) Config {
	t.Helper()
	id, err := c.Identity(self)
	if err != nil {
		t.Fatal(err)
	}
	n.got, n.states = map[wire.Peer][]string{}, map[wire.Peer][]string{}
	addresses := c.StreamAddresses()
	return Config{
		Self: self, Listen: addresses[self], Addresses: addresses, Identity: id, Cluster: id.Tag(),
		Timeout: patience, // a busy machine is no dead peer
		Hello:   []byte("hello of " + self.String()), Log: slog.New(slog.NewTextHandler(&n.logs, nil)),
		Message: func(from wire.Peer, msg []byte) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.got[from] = append(n.got[from], string(msg))
		},
		State: func(peer wire.Peer, up bool, err error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			s := "up"
			if !up {
				s = fmt.Sprint("down: ", err)
			}
			n.states[peer] = append(n.states[peer], s)
		},
	}
}

// start runs a transport; change may alter its configuration.
func start(t testing.TB, c *cluster.Config, self wire.Peer, change ...func(*Config)) *node {
	t.Helper()
	n := &node{}
	cfg := config(t, c, self, n)
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if n.Transport, err = Listen(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

var r0, r1, r2, p1 = wire.ReplicaPeer(0), wire.ReplicaPeer(1), wire.ReplicaPeer(2), wire.ProxyPeer(1)

func TestEverybodyTalksToEverybody(t *testing.T) {
	c := dev(t, 3)
	nodes := map[wire.Peer]*node{}
	for _, p := range c.Peers() {
		nodes[p] = start(t, c, p)
	}
	for from, a := range nodes {
		for to := range nodes {
			if from != to {
				wait(t, fmt.Sprint(from, " to ", to), func() bool { return a.Up(to) && nodes[to].Up(from) })
				if !a.Send(to, []byte("x from "+from.String()), false) {
					t.Errorf("%v does not send to %v", from, to)
				}
			}
		}
	}
	for to, b := range nodes {
		for from := range nodes {
			if from == to {
				continue
			}
			wait(t, "message", func() bool { return len(b.received(from)) == 1 })
			if got := b.received(from)[0]; got != "x from "+from.String() {
				t.Errorf("%v got %q from %v", to, got, from)
			}
			wait(t, "round trip", func() bool { return b.stats(from).RTT > 0 })
		}
	}
}

func pair(t testing.TB, change ...func(*Config)) (a, b *node) {
	t.Helper()
	c := dev(t, 2)
	a, b = start(t, c, r0, change...), start(t, c, r1, change...)
	wait(t, "connection", func() bool { return a.Up(r1) && b.Up(r0) })
	return a, b
}

// TestOrderAndCounts sends messages of many lengths, in both classes and directions, and finds each
// class whole and in order, and counted by kind.
func TestOrderAndCounts(t *testing.T) {
	a, b := pair(t)
	lengths := []int{1, 2, 3, 4, 100, partBytes - 1, partBytes, partBytes + 1, 3*partBytes - 1, 3 * partBytes,
		100_000, 1 << 20}
	message := func(class byte, n int) []byte {
		m := bytes.Repeat([]byte{byte(n)}, n)
		m[0] = class
		return m
	}
	var want [2][]string
	for range 3 {
		for _, n := range lengths {
			for class := range want {
				m := message(byte(class), n)
				want[class] = append(want[class], string(m))
				for _, send := range []func() bool{
					func() bool { return a.Send(r1, m, class == 1) }, func() bool { return b.Send(r0, m, class == 1) },
				} {
					if !send() {
						t.Fatalf("%d bytes are not taken", n)
					}
				}
			}
		}
	}
	total := len(want[0]) + len(want[1])
	for _, got := range []func() []string{
		func() []string { return a.received(r1) }, func() []string { return b.received(r0) },
	} {
		wait(t, "all messages", func() bool { return len(got()) == total })
		var classes [2][]string
		for _, m := range got() {
			classes[m[0]] = append(classes[m[0]], m)
		}
		for class := range want {
			if !slices.Equal(classes[class], want[class]) {
				t.Errorf("class %d: messages changed or out of order", class)
			}
		}
	}
	bytesSent := uint64(0)
	for _, n := range lengths {
		bytesSent += 3 * uint64(n)
	}
	for kind := range 2 {
		if c := (Count{uint64(3 * len(lengths)), bytesSent}); a.stats(r1).Sent[kind] != c ||
			b.stats(r0).Received[kind] != c {
			t.Errorf("kind %d: sent %v, received %v, want %v", kind, a.stats(r1).Sent[kind],
				b.stats(r0).Received[kind], c)
		}
	}
	if got := (b.stats(r0).Received[2]); got != (Count{}) {
		t.Errorf("kind 2 was never sent: %v", got)
	}
}

func TestSendSaysNo(t *testing.T) {
	c := dev(t, 2)
	a := start(t, c, r0, func(c *Config) { c.MaxMessage = 1000 })
	if a.Send(p1+7, []byte("x"), false) || a.Send(r0, []byte("x"), false) {
		t.Error("an unknown peer, or this process itself, was sent to")
	}
	if a.Send(r1, []byte("x"), false) || a.Send(r1, nil, false) || a.Send(r1, make([]byte, 1001), true) {
		t.Error("taken")
	}
	if d := a.stats(r1).Drops; d != (Drops{Down: 1, Invalid: 2}) {
		t.Errorf("drops %+v", d)
	}
	if a.Stats(p1+7, &Stats{}) {
		t.Error("stats of an unknown peer")
	}
}

// TestFullQueue has a receiver that does not read: the sender's queue fills to its bound and no
// further, both classes apart, and everything taken arrives when the receiver goes on.
func TestFullQueue(t *testing.T) {
	const limit = 1 << 20
	release := make(chan struct{})
	var count sync.WaitGroup
	c := dev(t, 2)
	b := start(t, c, r1, func(c *Config) {
		c.Message = func(wire.Peer, []byte) { <-release; count.Done() }
	})
	a := start(t, c, r0, func(c *Config) { c.QueueBytes, c.MaxMessage = limit, limit/4 })
	wait(t, "connection", func() bool { return a.Up(r1) && b.Up(r0) })
	m := make([]byte, 10_000)
	for _, bulk := range []bool{true, false} {
		refused := 0
		for refused < 100 { // the kernel's buffers take some more each time
			count.Add(1)
			if !a.Send(r1, m, bulk) {
				count.Done()
				refused++
				time.Sleep(time.Millisecond)
			}
			if q := a.stats(r1).Queued; q > 2*limit {
				t.Fatalf("%d bytes are queued, twice %d is the bound", q, limit)
			}
		}
	}
	if d := a.stats(r1).Drops; d.Full != 200 || d.Down != 0 {
		t.Errorf("drops %+v", d)
	}
	close(release)
	count.Wait()
	if h := a.history(r1); len(h) != 1 {
		t.Errorf("a slow receiver was taken for a dead one: %v", h)
	}
}

// TestSilenceIsNoticedOnBothSides freezes one side's writer, as SIGSTOP would, by a proxy in
// between that passes nothing on: both sides must notice, and connect again when it passes.
func TestSilenceIsNoticedOnBothSides(t *testing.T) {
	c := dev(t, 2)
	short := func(c *Config) { c.Timeout = 100 * time.Millisecond }
	a := start(t, c, r0, short)
	relay := newRelay(t, a.Addr().String())
	b := start(t, c, r1, short, func(c *Config) {
		c.Addresses = map[wire.Peer]string{r0: relay.addr()}
	})
	noticed := func(n *node, other wire.Peer) bool {
		return slices.ContainsFunc(n.history(other), func(s string) bool {
			return strings.Contains(s, "nothing heard from "+other.String()+" for 100ms")
		})
	}
	wait(t, "silence is noticed", func() bool {
		wait(t, "connection", func() bool { return a.Up(r1) && b.Up(r0) })
		relay.freeze(true) // a busy machine may have broken the connection just before, for another reason
		defer relay.freeze(false)
		wait(t, "its end", func() bool { return !a.Up(r1) && !b.Up(r0) })
		return noticed(a, r1) && noticed(b, r0)
	})
	wait(t, "connection", func() bool { return a.Up(r1) && b.Up(r0) })
}

// TestRestart ends one side and starts it again: the other reconnects by itself, whoever dials.
func TestRestart(t *testing.T) {
	for _, who := range []wire.Peer{r0, r1} {
		t.Run(who.String(), func(t *testing.T) {
			c := dev(t, 2)
			other := r0 + r1 - who
			stays, goes := start(t, c, other), start(t, c, who)
			wait(t, "connection", func() bool { return stays.Up(who) && goes.Up(other) })
			if err := goes.Close(); err != nil {
				t.Fatal(err)
			}
			wait(t, "down", func() bool { return !stays.Up(who) })
			again := start(t, c, who)
			wait(t, "connection", func() bool { return stays.Up(who) && again.Up(other) })
			if !stays.Send(who, []byte("again"), false) {
				t.Fatal("not taken")
			}
			wait(t, "message", func() bool { return slices.Equal(again.received(other), []string{"again"}) })
			want := []string{"up", "down: " + who.String() + " closed the connection", "up"}
			if h := stays.history(who); !slices.Equal(h, want) {
				t.Errorf("states %q, want %q", h, want)
			}
		})
	}
}

// TestCloseLeavesNothing closes transports in the middle of traffic, dials and handshakes: no
// goroutine stays, and Send says no.
func TestCloseLeavesNothing(t *testing.T) {
	c := dev(t, 3)
	for range 5 {
		var nodes []*node
		for _, p := range c.Peers()[1:] { // replica-0 is not there: it is dialled in vain
			n := &node{}
			var err error
			if n.Transport, err = Listen(config(t, c, p, n)); err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, n)
		}
		conn, err := net.Dial("tcp", nodes[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		wait(t, "connection", func() bool { return nodes[0].Up(r2) })
		for range 1000 {
			nodes[0].Send(r2, make([]byte, 10_000), false)
		}
		for _, n := range nodes {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			if n.Send(r1, []byte("x"), false) || n.Send(r2, []byte("x"), false) {
				t.Error("taken after Close")
			}
		}
		_ = conn.Close()
	}
	stacks := make([]byte, 1<<20)
	wait(t, "the end of every goroutine", func() bool {
		all := stacks[:runtime.Stack(stacks, true)]
		return !bytes.Contains(all, []byte("stream.(*peer)")) &&
			!bytes.Contains(all, []byte("stream.(*Transport)"))
	})
}

// TestSendDoesNotAllocate is about the steady state.
func TestSendDoesNotAllocate(t *testing.T) {
	a, _ := pair(t, func(c *Config) { c.Message = func(wire.Peer, []byte) {} })
	m := make([]byte, 100)
	if n := testing.AllocsPerRun(10_000, func() { a.Send(r1, m, false) }); n > 0.1 {
		t.Errorf("%v allocations a message, both sides together", n)
	}
}

// relay passes TCP connections on, and can stop passing bytes while keeping them open.
type relay struct {
	l  net.Listener
	mu sync.RWMutex // held for writing: frozen
	to string
}

func newRelay(t testing.TB, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{l: l, to: to}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", r.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go r.pass(in, out)
			go r.pass(out, in)
		}
	}()
	return r
}

func (r *relay) addr() string { return r.l.Addr().String() }

func (r *relay) freeze(on bool) {
	if on {
		r.mu.Lock()
	} else {
		r.mu.Unlock()
	}
}

func (r *relay) pass(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		r.mu.RLock()
		_, werr := to.Write(b[:n])
		r.mu.RUnlock()
		if err != nil || werr != nil {
			return
		}
	}
}

func TestConfigErrors(t *testing.T) {
	c := dev(t, 2)
	for want, change := range map[string]func(*Config){
		"Identity and Message": func(c *Config) { c.Message = nil },
		"hello of 4097 bytes":  func(c *Config) { c.Hello = make([]byte, MaxHello+1) },
		"MaxMessage -1":        func(c *Config) { c.MaxMessage = -1 },
		"QueueBytes 5":         func(c *Config) { c.QueueBytes = 5 },
		"Timeout 1ns":          func(c *Config) { c.Timeout = 1 },
		"listen for peers":     func(c *Config) { c.Listen = "256.0.0.1:5" },
	} {
		cfg := config(t, c, r0, &node{})
		change(&cfg)
		if _, err := Listen(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

var _ Identity = (*cluster.Identity)(nil)
