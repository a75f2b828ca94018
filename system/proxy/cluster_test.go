package proxy_test

import (
	"fmt"
	"testing"

	"metronome/system/lane"
	"metronome/system/node"
	"metronome/system/proxy"
	"metronome/system/replica"
	"metronome/system/wire"
)

const ms = 1_000_000

// cluster is three replicas and a proxy joined by a network that delivers everything at once.
type cluster struct {
	t        *testing.T
	now      int64
	replicas []*replica.Replica
	proxy    *proxy.Proxy
	results  map[uint64]wire.Result
	drop     func(to wire.Peer) bool
	lose     func(from wire.Peer, b []byte) bool // a stream message; nil: none
	fails    func(seat int, err error) bool      // a replica may end so
	shelves  []*shelf                            // of durable replicas, by seat
}

func digester(t *testing.T) *wire.Digester {
	t.Helper()
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("a cluster's key"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, now: ms, results: map[uint64]wire.Result{}, drop: func(wire.Peer) bool { return false }}
	seats := make([]int, n)
	for i := range n {
		seats[i] = i
		c.replicas = append(c.replicas, c.replica(i, n))
	}
	for _, r := range c.replicas {
		if err := r.Found(seats); err != nil {
			t.Fatal(err)
		}
	}
	p, err := proxy.New(proxy.Config{Cluster: 7, Number: 1, Nonce: 99, Seats: n, Digest: digester(t),
		Complete: func(token uint64, r *wire.Result) {
			if _, twice := c.results[token]; twice {
				t.Errorf("token %d completed twice", token)
			}
			v := *r
			v.Value = append([]byte(nil), r.Value...)
			c.results[token] = v
		}})
	if err != nil {
		t.Fatal(err)
	}
	c.proxy = p
	return c
}

func (c *cluster) replica(seat, seats int) *replica.Replica {
	r, err := replica.New(replica.Config{Cluster: 7, Seat: seat, Seats: seats,
		Nonce:  uint64(c.now) + uint64(seat) + 1,
		Digest: digester(c.t), Lane: lane.Config{Window: 1 << 13, Arena: 1 << 24}})
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// step delivers everything that anyone wants sent, until nobody does, and lets time pass.
func (c *cluster) step() {
	c.now += ms / 4
	for range 50 {
		busy := false
		var out node.Output
		c.proxy.Tick(c.now)
		c.proxy.Output(&out)
		busy = c.route(wire.ProxyPeer(1), &out) || busy
		for i, r := range c.replicas {
			if c.drop(wire.ReplicaPeer(i)) {
				continue
			}
			var out node.Output
			r.Tick(c.now)
			r.Settle()
			r.Output(&out)
			if c.shelves != nil {
				c.shelves[i].take(&out)
				busy = c.shelves[i].serve(c.now, r) || busy
			}
			busy = c.route(wire.ReplicaPeer(i), &out) || busy
			if err := r.Err(); err != nil && (c.fails == nil || !c.fails(i, err)) {
				c.t.Fatal(err)
			}
		}
		if !busy {
			return
		}
	}
}

func (c *cluster) route(from wire.Peer, out *node.Output) bool {
	for _, f := range out.Multicast {
		for i, r := range c.replicas {
			if !c.drop(wire.ReplicaPeer(i)) {
				r.Datagram(c.now, f)
			}
		}
	}
	for _, d := range out.Unicast {
		c.deliver(from, d.To, d.Bytes, true)
	}
	for _, m := range out.Messages {
		c.deliver(from, m.To, m.Bytes, false)
	}
	return len(out.Multicast)+len(out.Unicast)+len(out.Messages) > 0
}

func (c *cluster) deliver(from, to wire.Peer, b []byte, datagram bool) {
	if c.drop(to) || c.drop(from) || !datagram && c.lose != nil && c.lose(from, b) {
		return
	}
	var n node.Core = c.proxy
	if to.IsReplica() {
		n = c.replicas[to.Seat()]
	}
	b = append([]byte(nil), b...)
	if datagram {
		n.Datagram(c.now, b)
	} else {
		n.Message(c.now, from, b)
	}
}

func (c *cluster) until(what string, done func() bool) {
	c.t.Helper()
	for range 20000 {
		if done() {
			return
		}
		c.step()
	}
	for i, r := range c.replicas {
		c.t.Logf("replica %d: %+v", i, r.Status())
	}
	c.t.Fatalf("not within 5 s: %s", what)
}

func TestPutsAreAcknowledgedAndRead(t *testing.T) {
	c := newCluster(t, 3)
	c.until("lanes open", c.proxy.Open)
	const n = 1000
	for i := range uint64(n) {
		it := wire.Item{Op: wire.OpPut, Key: fmt.Appendf(nil, "key-%d", i%100),
			Value: fmt.Appendf(nil, "value-%d", i)}
		if s := c.proxy.Submit(c.now, 0, &it, i); s != wire.StatusOK {
			t.Fatalf("put %d: status %d", i, s)
		}
	}
	c.until("puts end", func() bool { return len(c.results) == n })
	for i := range uint64(100) {
		it := wire.Item{Op: wire.OpGet, Key: fmt.Appendf(nil, "key-%d", i)}
		c.proxy.Submit(c.now, 0, &it, n+i)
		c.proxy.SubmitRead(c.now, i, &it, 2*n+i)
	}
	c.until("gets end", func() bool { return len(c.results) == n+200 })
	for i := range uint64(100) {
		want := fmt.Sprintf("value-%d", 900+i)
		if a, b := c.results[n+i], c.results[2*n+i]; string(a.Value) != want || string(b.Value) != want {
			t.Fatalf("key %d: %+v and %+v, want %q", i, a, b, want)
		}
	}
}

func TestARestartedReplicaComesBackAsANewLife(t *testing.T) {
	c := newCluster(t, 3)
	c.until("lanes open", c.proxy.Open)
	put := func(token uint64) {
		it := wire.Item{Op: wire.OpPut, Key: fmt.Appendf(nil, "key-%d", token), Value: make([]byte, 3000)}
		if s := c.proxy.Submit(c.now, 0, &it, token); s != wire.StatusOK {
			t.Fatalf("put %d: status %d", token, s)
		}
		c.until("the put ends", func() bool { _, ok := c.results[token]; return ok })
	}
	for i := range uint64(100) {
		put(i)
	}
	for seat := range 3 {
		c.replicas[seat] = c.replica(seat, 3)
		put(uint64(100 + 2*seat))
		c.until("it is a voter again", func() bool {
			s := c.replicas[seat].Status()
			return len(s.Members.Voters) == 3 && contains(s.Members.Voters, s.ID)
		})
		put(uint64(101 + 2*seat))
	}
	c.until("all have the same state", func() bool {
		h := c.replicas[0].StateHash()
		return h == c.replicas[1].StateHash() && h == c.replicas[2].StateHash() && h != 0
	})
}

func contains(ids []uint64, id uint64) bool {
	for _, other := range ids {
		if other == id && id != 0 {
			return true
		}
	}
	return false
}
