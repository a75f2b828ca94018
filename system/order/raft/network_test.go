package raft

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"metronome/system/order"
)

var (
	seedFlag = flag.Uint64("seed", 0, "run the random network once, with this seed")
	runsFlag = flag.Int("runs", 40, "how many random networks to run")
)

// chaos is a cluster whose network loses, repeats and reorders, whose members are cut off, pause,
// crash and restart, whose disks are slow, and to whose members items come at random times.
type chaos struct {
	*cluster
	rng   *rand.Rand
	cut   map[uint64]bool   // cut off from the others
	loss  int               // percent
	asked map[uint64]uint64 // a read → the last position applied anywhere when it was asked
	hash  []byte
}

const lanes = 3

func newChaos(t testing.TB, seed uint64, n int) *chaos {
	seedElections(t, seed)
	var ids []uint64
	for id := range uint64(n) {
		ids = append(ids, id+1)
	}
	return &chaos{cluster: newCluster(t, ids...), rng: rand.New(rand.NewPCG(seed, uint64(n))),
		cut: map[uint64]bool{}, asked: map[uint64]uint64{}}
}

// one moves a random message, loses it, or repeats it.
func (c *chaos) one() {
	if len(c.net) == 0 {
		return
	}
	i := c.rng.IntN(min(len(c.net), 8))
	e := c.net[i]
	if c.rng.IntN(100) >= 5 { // else it comes again
		c.net = slices.Delete(c.net, i, i+1)
	}
	sum := sha256.Sum256(fmt.Appendf(c.hash, "%d>%d %x", e.from, e.to, e.data))
	c.hash = append(c.hash[:0], sum[:]...)
	m := c.members[e.to]
	if m == nil || !m.up || c.lost(e) || c.rng.IntN(100) < c.loss {
		return
	}
	if err := m.r.Step(e.from, e.data); err != nil && c.trace != nil {
		fmt.Fprintf(c.trace, "%d ! %v\n", e.to, err)
	}
	c.ready(m)
}

func (c *chaos) pick() *member {
	ids := c.ids()
	return c.members[ids[c.rng.IntN(len(ids))]]
}

// arrive lets some items come to some member, as multicast does: to each at another time.
func (c *chaos) arrive(m *member) {
	lane := order.LaneID(c.rng.IntN(lanes) + 1)
	n := m.shelf.frames[lane] + uint64(c.rng.IntN(3))
	if c.rng.IntN(2) == 0 { // a repair brings it to where somebody else is
		n = max(n, c.pick().shelf.frames[lane])
	}
	if !m.up {
		m.shelf.hold(lane, n)
		return
	}
	c.holds(lane, n, m.id)
}

// round proposes what the leader holds.
func (c *chaos) round() {
	m := c.members[c.ids()[c.rng.IntN(len(c.members))]]
	if s := m.r.Status(); !m.up || !s.Leading {
		return
	}
	var cut order.Cut
	for lane := order.LaneID(1); lane <= lanes; lane++ {
		if held := m.shelf.frames[lane]; held > 0 {
			cut = append(cut, at(lane, held))
		}
	}
	_ = m.r.Propose(decision(cut...)) // refused while leadership is handed over
	c.ready(m)
}

func (c *chaos) fault() {
	m := c.pick()
	switch c.rng.IntN(12) {
	case 0:
		c.cut[m.id] = !c.cut[m.id]
	case 1:
		m.up = !m.up
	case 2:
		m.writing = nil
		c.restart(m)
	case 3:
		m.slow = !m.slow
	case 4:
		c.sync(m)
		c.ready(m)
	case 5:
		c.loss = c.rng.IntN(30)
	case 6:
		m.durable = m.place
	case 7:
		m.r.Compact(m.durable.Position)
		c.ready(m)
	case 8:
		m.r.Snapshot(m.place.Position)
	case 9:
		m.r.TransferLeader(c.pick().id)
		c.ready(m)
	case 10:
		ctx := c.rng.Uint64()
		c.asked[ctx] = uint64(len(c.agreed)) + 1 // positions begin at 2
		m.r.ReadIndex(ctx)
		c.ready(m)
	case 11:
		m.r.Unreachable(c.pick().id)
		c.ready(m)
	}
}

// heal ends every fault, and lets every member get every item.
func (c *chaos) heal() {
	c.loss = 0
	clear(c.cut)
	for _, id := range c.ids() {
		m := c.members[id]
		if !m.up {
			m.up = true
		}
		m.slow = false
		c.sync(m)
		c.ready(m)
	}
	for lane := order.LaneID(1); lane <= lanes; lane++ {
		all := uint64(0)
		for _, m := range c.members {
			all = max(all, m.shelf.frames[lane])
		}
		c.holds(lane, all, c.ids()...)
	}
}

// run is one random life of a cluster. It returns a digest of everything that was sent and decided.
func (c *chaos) run(steps int) string {
	c.lost = func(e envelope) bool { return c.cut[e.from] || c.cut[e.to] }
	for range steps {
		switch n := c.rng.IntN(1000); {
		case n < 800:
			c.one()
		case n < 860:
			if m := c.pick(); m.up {
				m.r.Tick()
				c.ready(m)
			}
		case n < 930:
			c.arrive(c.pick())
		case n < 990:
			c.round()
		case n < 998:
			c.fault()
		default:
			c.heal()
		}
		if len(c.net) > 300 {
			c.net = c.net[len(c.net)-300:]
		}
	}
	c.converge()
	sum := sha256.New()
	sum.Write(c.hash)
	for _, id := range c.ids() {
		fmt.Fprintln(sum, id, c.members[id].place.Position, c.members[id].state)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// converge: after every fault ended, a new decision is made and reaches every member.
func (c *chaos) converge() {
	c.heal()
	proposed := false
	for range 400 {
		c.tick()
		for _, id := range c.ids() {
			if m := c.members[id]; m.want {
				m.want = false
				m.r.Snapshot(m.place.Position)
			}
		}
		m := c.leader()
		if m == nil {
			continue
		}
		if !proposed && m.r.Propose(decision()) == nil { // no transfer is under way
			c.propose(m, at(1, m.shelf.frames[1]+1))
			c.holds(1, m.shelf.frames[1], c.ids()...)
			c.settle()
			proposed = true
		}
		same := true
		for _, id := range c.ids() {
			same = same && c.members[id].place.Position == m.place.Position
		}
		if same && proposed {
			return
		}
	}
	for _, id := range c.ids() {
		c.t.Logf("%d: %+v", id, c.members[id].r.Status())
	}
	c.t.Fatal("after the network healed, the members do not come to agree")
}

// check: every state is the same, and no read was answered from the past (R26).
func (c *chaos) check() {
	for _, id := range c.ids() {
		m := c.members[id]
		for _, read := range m.reads {
			if read.Position < c.asked[read.Ctx] {
				c.t.Fatalf("%d: a read asked at %d is answered with %d", id, c.asked[read.Ctx], read.Position)
			}
		}
		if !slices.Equal(m.state, c.members[1].state) {
			c.t.Fatalf("%d's state is not 1's", id)
		}
	}
}

// Whatever the network, the disks and the items do: one sequence (I2), what is committed is held by a
// majority (I1, checked as each decision is first applied), and progress when the faults end.
func TestRandomNetwork(t *testing.T) {
	if *seedFlag != 0 {
		randomNetwork(t, *seedFlag)
		return
	}
	decided := 0
	for seed := uint64(1); seed <= uint64(*runsFlag); seed++ {
		decided += randomNetwork(t, seed)
	}
	t.Logf("%d decisions in %d runs", decided, *runsFlag)
}

func randomNetwork(t *testing.T, seed uint64) int {
	decided := 0
	t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
		defer func() {
			if t.Failed() {
				t.Logf("replay: go test ./system/order/raft -run TestRandomNetwork -seed %d", seed)
			}
		}()
		c := newChaos(t, seed, 3+2*int(seed%2))
		c.run(6000)
		c.check()
		for _, line := range c.agreed {
			if !strings.HasSuffix(line, ":") && !strings.Contains(line, "[") {
				decided++
			}
		}
	})
	return decided
}

// One seed twice gives the same bytes on the wire and the same state (R18).
func TestR18OneSeedTwiceIsTheSame(t *testing.T) {
	a := newChaos(t, 77, 5).run(3000)
	b := newChaos(t, 77, 5).run(3000)
	if a != b {
		t.Fatal("the same seed gave two histories")
	}
	if c := newChaos(t, 78, 5).run(3000); c == a {
		t.Fatal("another seed gave the same history")
	}
}
