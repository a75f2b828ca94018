package proxy_test

import (
	"fmt"
	"testing"

	"metronome/system/node"
	"metronome/system/proxy"
	"metronome/system/wire"
)

// foundAnew throws all replicas away and founds the cluster again, under the same tag and key; the proxy
// lives on.
func (c *cluster) foundAnew() {
	c.t.Helper()
	c.now += 20 * ms
	for i := range c.replicas {
		c.replicas[i] = c.replica(i, len(c.replicas))
	}
	for _, r := range c.replicas {
		if err := r.Found([]int{0, 1, 2}); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *cluster) put(key string, token uint64) {
	c.t.Helper()
	it := wire.Item{Op: wire.OpPut, Key: []byte(key), Value: []byte("v")}
	if s := c.proxy.Submit(c.now, 0, &it, token); s != wire.StatusOK {
		c.t.Fatalf("put %q: status %d", key, s)
	}
}

// Goal: nothing that a proxy sent to a cluster is in the one that is founded in its place, under the same
// name and key, while the proxy lives on: neither what was answered nor what was still under way, which
// ends unknown; and the proxy serves the new one by itself. Method: the proxy keeps all its frames for
// repair and is never restarted; were its lanes the new cluster's, the replicas would fetch them.
func TestAProxyOutlivesItsCluster(t *testing.T) {
	c := newCluster(t, 3)
	token, written := uint64(0), 0
	for life := range 4 {
		c.until("lanes are open", c.proxy.Open)
		opened := c.proxy.View().Incarnation
		for range 50 {
			token++
			written++
			c.put(fmt.Sprintf("of %d: %d", life, token), token)
		}
		last := token
		c.until("puts end", func() bool { return c.results[last].Existed })
		for _, r := range c.replicas {
			c.until("they are all applied", func() bool { return r.Index() >= 50 })
			if n := r.Index(); n != 50 {
				t.Fatalf("life %d: %d items are applied, 50 were written to this cluster", life, n)
			}
		}
		c.drop = func(p wire.Peer) bool { return p.IsReplica() }
		token++
		c.put("under way", token)
		c.step()
		c.drop = func(wire.Peer) bool { return false }
		c.foundAnew()
		c.until("the proxy has noticed", func() bool { return c.proxy.View().Incarnation != opened })
		if r, ok := c.results[token]; !ok || r.Status != wire.StatusUnknown {
			t.Errorf("life %d: what was under way ends as %+v", life, r)
		}
		if n := c.proxy.View().Counters.Refounded; n != uint64(life+1) {
			t.Errorf("%d new clusters noticed of %d", n, life+1)
		}
	}
}

// Goal: a proxy that slept while another cluster was founded, opened its lanes and closed them for its
// silence begins anew, whichever answer it hears first.
func TestAProxySleepsThroughARefounding(t *testing.T) {
	r := newReadsProxy(t) // incarnation 1
	m := wire.Opened{Nonce: 99, Incarnation: 5, Lanes: 1, Leader: 2, Seats: readSeats}
	r.Message(r.now, wire.ReplicaPeer(1), m.Append(nil))
	if r.Open() || r.Err() != nil {
		t.Fatalf("open %t, error %v", r.Open(), r.Err())
	}
	m = wire.Opened{Nonce: 100, Incarnation: 6, Lanes: 1, Leader: 2, Seats: readSeats}
	r.Message(r.now, wire.ReplicaPeer(1), m.Append(nil))
	f := wire.Fenced{Nonce: 100, Incarnation: 2, Silence: true, Items: []uint64{0}}
	r.Message(r.now, wire.ReplicaPeer(1), f.Append(nil))
	if r.Open() || r.Err() != nil || r.View().Counters.Refounded != 2 {
		t.Fatalf("open %t, error %v, %d noticed", r.Open(), r.Err(), r.View().Counters.Refounded)
	}
	r.Tick(r.now)
	var out node.Output
	r.Output(&out)
	for _, msg := range out.Messages {
		if o, ok := wire.ReadOpen(msg.Bytes[1:]); wire.Kind(msg.Bytes[0]) == wire.KindOpen && ok && o.Nonce == 101 {
			return
		}
	}
	t.Error("it does not ask for lanes")
}

var _ node.Core = (*proxy.Proxy)(nil)
