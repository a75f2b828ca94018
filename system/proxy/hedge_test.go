package proxy_test

import (
	"testing"

	"metronome/system/wire"
)

// The replica that is to answer has fallen silent, and so has the one that is asked next: a read is
// answered all the same, by whoever still can.
func TestHedgesGoRound(t *testing.T) {
	for answering := range 5 {
		c := newCluster(t, 5)
		c.until("lanes open", c.proxy.Open)
		put := wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: []byte("v")}
		if s := c.proxy.Submit(c.now, 0, &put, 1); s != wire.StatusOK {
			t.Fatalf("put: status %d", s)
		}
		c.until("the put ends", func() bool { return len(c.results) == 1 })
		c.lose = func(from wire.Peer, b []byte) bool {
			return wire.Kind(b[0]) == wire.KindReply && from != wire.ReplicaPeer(answering)
		}
		for token := uint64(2); token < 5; token++ {
			get := wire.Item{Op: wire.OpGet, Key: []byte("k")}
			if s := c.proxy.Submit(c.now, 0, &get, token); s != wire.StatusOK {
				t.Fatalf("get: status %d", s)
			}
			c.until("the get ends", func() bool { _, ok := c.results[token]; return ok })
			if r := c.results[token]; r.Status != wire.StatusOK || string(r.Value) != "v" {
				t.Errorf("only replica %d answers: get %d: %+v", answering, token, r)
			}
		}
	}
}

// Without a majority in reach the first operations end unknown; those that come once that is clear are
// refused, definitely, and everything goes on when the majority is back.
func TestStalledLaneRefuses(t *testing.T) {
	c := newCluster(t, 3)
	c.until("lanes open", c.proxy.Open)
	put := wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: []byte("v")}
	c.drop = func(p wire.Peer) bool { return p.IsReplica() && p.Seat() > 0 }
	token := uint64(0)
	submit := func() wire.Status {
		token++
		return c.proxy.Submit(c.now, 0, &put, token)
	}
	c.until("it is clear", func() bool { return submit() == wire.StatusUnavailable })
	if token == 1 {
		t.Error("refused without need")
	}
	c.drop = func(wire.Peer) bool { return false }
	c.until("writes are taken again", func() bool { return submit() == wire.StatusOK })
	c.until("the write ends", func() bool { _, ok := c.results[token]; return ok })
	if r := c.results[token]; r.Status != wire.StatusOK {
		t.Errorf("%+v", r)
	}
}
