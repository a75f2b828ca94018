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

// shelf is what stable storage keeps of a replica: here memory that outlives it.
type shelf struct {
	first    uint64 // number of records[0]
	records  [][]byte
	asked    int // of records: what was asked to be durable
	synced   int // of records: what is
	snapshot []byte
	saved    uint64
}

func (s *shelf) take(out *node.Output) {
	for _, b := range out.Records {
		s.records = append(s.records, append([]byte(nil), b...))
	}
	if out.Sync {
		s.asked = len(s.records)
	}
}

// serve makes durable what was asked for, a call later, and tells the replica.
func (s *shelf) serve(now int64, r *replica.Replica) (busy bool) {
	if s.synced < s.asked {
		s.synced, busy = s.asked, true
		r.Synced(now, s.first+uint64(s.synced)-1)
	}
	if save := r.Save(); save != nil {
		s.snapshot = append([]byte(nil), save.Header...)
		for at := 0; at < save.Size; {
			b := save.Read(at, 1000)
			s.snapshot = append(s.snapshot, b...)
			at += len(b)
		}
		s.saved, busy = save.Position, true
		r.Saved(now, save.Position)
	}
	if t := r.Trimmable(); t > s.first {
		n := int(t - s.first)
		s.records, s.first, s.synced, s.asked = s.records[n:], t, s.synced-n, s.asked-n
	}
	return busy
}

func (s *shelf) recovered() replica.Recovered {
	s.records, s.asked = s.records[:s.synced], s.synced
	return replica.Recovered{Snapshot: s.snapshot, Next: s.first + uint64(len(s.records)),
		Records: func(yield func(uint64, []byte) bool) {
			for i, b := range s.records {
				if !yield(s.first+uint64(i), b) {
					return
				}
			}
		}}
}

func durableConfig(t *testing.T, seat int, nonce uint64) replica.Config {
	return replica.Config{Cluster: 7, Seat: seat, Seats: 3, Nonce: nonce, Digest: digester(t), MaxItem: 1000,
		Lane: lane.Config{Window: 1 << 10, Arena: 1 << 18}, Durable: true, JournalBytes: 20 << 10}
}

func newDurableCluster(t *testing.T) *cluster {
	t.Helper()
	c := newCluster(t, 3)
	for i := range c.replicas {
		c.shelves = append(c.shelves, &shelf{first: 1})
		c.restart(i)
		if err := c.replicas[i].Found([]int{0, 1, 2}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// restart ends a replica, with what was not durable, and continues from its shelf.
func (c *cluster) restart(seat int) {
	c.t.Helper()
	r, err := replica.Recover(durableConfig(c.t, seat, uint64(c.now)+uint64(seat)+1), c.shelves[seat].recovered())
	if err != nil {
		c.t.Fatalf("replica-%d: %v", seat, err)
	}
	c.replicas[seat] = r
}

func (c *cluster) newProxy(nonce uint64) {
	p, err := proxy.New(proxy.Config{Cluster: 7, Number: 1, Nonce: nonce, Seats: 3, Digest: digester(c.t),
		Complete: func(token uint64, r *wire.Result) {
			v := *r
			v.Value = append([]byte(nil), r.Value...)
			c.results[token] = v
		}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.proxy = p
}

// TestPowerLossOfAllReplicasLosesNothingAcknowledged is the promise of durability fsync (R4, I5): every
// replica at once forgets what it was not told to be durable, again and again, and goes on.
func TestPowerLossOfAllReplicasLosesNothingAcknowledged(t *testing.T) {
	c := newDurableCluster(t)
	written := map[string]string{}
	token := uint64(1)
	for round := range 12 {
		c.newProxy(uint64(1000 + round))
		c.until("the lanes open", c.proxy.Open)
		for i := range 150 {
			key, value := fmt.Sprintf("k%d", i%40), fmt.Sprintf("%d-%d-%s", round, i, string(make([]byte, 100)))
			token++
			it := wire.Item{Op: wire.OpPut, Key: []byte(key), Value: []byte(value)}
			if s := c.proxy.Submit(c.now, 0, &it, token); s != wire.StatusOK {
				t.Fatalf("put: status %d", s)
			}
			if i%10 == 0 {
				c.until("the write is answered", func() bool { _, ok := c.results[token]; return ok })
			}
			written[key] = value
		}
		c.until("all writes are answered", func() bool { _, ok := c.results[token]; return ok })
		for i := range c.replicas {
			c.restart(i)
		}
	}
	c.newProxy(5000)
	c.until("the lanes open", c.proxy.Open)
	for key, value := range written {
		token++
		it := wire.Item{Op: wire.OpGet, Key: []byte(key)}
		if s := c.proxy.Submit(c.now, 0, &it, token); s != wire.StatusOK {
			t.Fatalf("get: status %d", s)
		}
		c.until("the read is answered", func() bool { _, ok := c.results[token]; return ok })
		if got := c.results[token]; string(got.Value) != value {
			t.Errorf("%s is %.12q, written was %.12q", key, got.Value, value)
		}
	}
	saved := false
	for i, r := range c.replicas {
		saved = saved || c.shelves[i].saved > 0 && c.shelves[i].first > 1
		if n := r.ID() >> 8; n != 1 {
			t.Errorf("replica-%d is in its %d. life: its state was not continued (R1)", i, n)
		}
	}
	if !saved {
		t.Error("no snapshot was saved, or no journal trimmed: this shows too little")
	}
}
