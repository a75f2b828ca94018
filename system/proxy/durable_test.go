package proxy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"metronome/system/lane"
	"metronome/system/node"
	"metronome/system/order"
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
	if save := r.Save(); save != nil && save.Ready() == save.Size {
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
		Lane: lane.Config{Window: 1 << 10, Arena: 1 << 18}, Durable: true, JournalBytes: 40 << 10}
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
	if err := c.restartAt(seat, 0); err != nil {
		c.t.Fatalf("replica-%d: %v", seat, err)
	}
}

// restartAt restarts a replica as a version that knows feature levels up to one.
func (c *cluster) restartAt(seat int, feature uint32) error {
	cfg := durableConfig(c.t, seat, uint64(c.now)+uint64(seat)+1)
	cfg.Feature = feature
	r, err := replica.Recover(cfg, c.shelves[seat].recovered())
	if err == nil {
		c.replicas[seat] = r
	}
	return err
}

// ask asks for a change through a replica until it shows.
func (c *cluster) ask(seat int, cmd order.Command, what string, done func(replica.View) bool) {
	c.t.Helper()
	n := 0
	c.until(what, func() bool {
		if n++; n%50 == 1 {
			_ = c.replicas[seat].Request(cmd) // no leader yet: asked again
		}
		return done(c.replicas[seat].View())
	})
}

func voters(n int) func(replica.View) bool {
	return func(v replica.View) bool { return len(v.Members.Voters) == n }
}

// TestASeatIsRetiredAndAdmitted is membership at run time: a retired replica's state never votes
// again, whatever it was; its seat does, once it is admitted, with a new life (R1).
func TestASeatIsRetiredAndAdmitted(t *testing.T) {
	c := newDurableCluster(t)
	c.newProxy(1)
	c.until("lanes open", c.proxy.Open)
	for seat := range 3 {
		other := (seat + 1) % 3
		c.until("the features are there",
			func() bool { return c.replicas[other].View().Feature == replica.Feature })
		c.fails = replaced(seat)
		c.ask(other, order.Command{Kind: order.RetireSeat, Seat: uint8(seat)}, "two vote", voters(2))
		c.drop = func(p wire.Peer) bool { return p == wire.ReplicaPeer(seat) } // it has stopped, or is about to
		token := uint64(100 + seat)
		it := wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: []byte{byte(seat)}}
		c.proxy.Submit(c.now, 0, &it, token)
		c.until("two go on", func() bool { _, ok := c.results[token]; return ok })

		old := *c.shelves[seat]
		c.restart(seat)
		zombie := c.replicas[seat]
		c.drop = func(wire.Peer) bool { return false }
		c.until("its old state is told to stop", func() bool { return zombie.Err() != nil })
		c.fails = nil

		c.shelves[seat] = &shelf{first: 1}
		c.restart(seat)
		for range 100 {
			c.step()
		}
		if c.replicas[seat].ID() != 0 {
			t.Fatalf("replica-%d joined without being admitted", seat)
		}
		c.ask(other, order.Command{Kind: order.AdmitSeat, Seat: uint8(seat)}, "three vote", voters(3))
		if id := c.replicas[seat].ID(); id != replica.LifeID(seat, 2) {
			t.Errorf("replica-%d came back as %x, its old life was %d records long", seat, id, len(old.records))
		}
	}
}

// TestFeatureLevels is a rolling upgrade, back, and up again for good (R23).
func TestFeatureLevels(t *testing.T) {
	c := newDurableCluster(t)
	for seat := range 3 {
		c.shelves[seat] = &shelf{first: 1}
		if err := c.restartAt(seat, 1); err != nil {
			t.Fatal(err)
		}
		if err := c.replicas[seat].Found([]int{0, 1, 2}); err != nil {
			t.Fatal(err)
		}
	}
	c.newProxy(1)
	c.until("lanes open", c.proxy.Open)
	level := func(seat int) uint32 { return c.replicas[seat].View().Feature }
	c.until("level 1", func() bool { return level(0) == 1 && level(1) == 1 && level(2) == 1 })
	roll := func(feature uint32) {
		for seat := range 3 {
			if err := c.restartAt(seat, feature); err != nil {
				t.Fatalf("replica-%d to level %d: %v", seat, feature, err)
			}
			token := uint64(c.now)
			it := wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: make([]byte, 900)}
			c.proxy.Submit(c.now, 0, &it, token)
			c.until("mixed versions serve", func() bool { _, ok := c.results[token]; return ok })
		}
	}
	roll(2)
	if level(0) != 1 {
		t.Fatalf("level %d without anybody asking for it", level(0))
	}
	roll(1) // and back
	roll(2)
	retire := order.Command{Kind: order.RetireSeat, Seat: 2}
	if err := c.replicas[0].Request(retire); err == nil || !strings.Contains(err.Error(), "finalize") {
		t.Errorf("what needs level 2 is taken at level 1: %v", err)
	}
	raise := order.Command{Kind: order.SetFeature, Level: 2}
	c.ask(0, raise, "level 2",
		func(replica.View) bool { return level(0) == 2 && level(1) == 2 && level(2) == 2 })
	for range 3 { // what is agreed is known after a restart once something else was written down
		token := uint64(c.now)
		it := wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: make([]byte, 900)}
		c.proxy.Submit(c.now, 0, &it, token)
		c.until("a write at level 2", func() bool { _, ok := c.results[token]; return ok })
	}
	if err := c.restartAt(1, 1); !errors.Is(err, replica.ErrNewer) {
		t.Errorf("the old version goes on with new state: %v", err)
	}
	c.fails = replaced(2)
	c.ask(0, retire, "two vote", voters(2))
}

// replaced is how a replica ends that was retired.
func replaced(seat int) func(int, error) bool {
	return func(i int, err error) bool { return i == seat && errors.Is(err, replica.ErrReplaced) }
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
