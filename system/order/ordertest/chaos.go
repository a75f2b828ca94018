package ordertest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"metronome/system/order"
)

// chaos is a cluster whose network loses, repeats and reorders, whose members are cut off, pause,
// crash and restart, whose disks are slow, and to whose members items come at random times.
type chaos struct {
	*Cluster
	rng   dice
	cut   map[uint64]bool   // cut off from the others
	loss  int               // percent
	asked map[uint64]uint64 // a read → the last position applied anywhere when it was asked
	hash  []byte
}

const lanes = 3

// dice are splitmix64 (Steele et al., OOPSLA 2014).
type dice struct{ at uint64 }

// Uint64 draws a number.
func (d *dice) Uint64() uint64 {
	d.at += 0x9E3779B97F4A7C15
	z := d.at
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// IntN draws one below n.
func (d *dice) IntN(n int) int { return int(d.Uint64() % uint64(n)) }

func newChaos(t testing.TB, by Algorithm, seed uint64, n int, adjust func(*order.Config)) *chaos {
	c := &chaos{Cluster: New(t, by, n, seed, adjust), rng: dice{seed<<8 | uint64(n)},
		cut: map[uint64]bool{}, asked: map[uint64]uint64{}}
	c.Lost = func(from, to uint64) bool { return c.cut[from] || c.cut[to] }
	return c
}

// one moves a random message, loses it, or repeats it.
func (c *chaos) one() {
	if len(c.net) == 0 {
		return
	}
	i := c.rng.IntN(min(len(c.net), 8))
	e := c.net[i]
	sum := sha256.Sum256(fmt.Appendf(c.hash, "%d>%d %x", e.from, e.to, e.data))
	c.hash = append(c.hash[:0], sum[:]...)
	if c.rng.IntN(100) < c.loss {
		c.net = slices.Delete(c.net, i, i+1)
		return
	}
	c.deliver(i, c.rng.IntN(100) < 5)
}

func (c *chaos) pick() *Member {
	ids := c.IDs()
	return c.Members[ids[c.rng.IntN(len(ids))]]
}

// arrive lets some items come to some member, as multicast does: to each at another time.
func (c *chaos) arrive(m *Member) {
	lane := order.LaneID(c.rng.IntN(lanes) + 1)
	n := m.Shelf.Frames[lane] + uint64(c.rng.IntN(3))
	if c.rng.IntN(2) == 0 { // a repair brings it to where somebody else is
		n = max(n, c.pick().Shelf.Frames[lane])
	}
	c.Holds(lane, n, m.ID)
}

// round proposes what some leader holds.
func (c *chaos) round() {
	m := c.pick()
	if !m.Up || !m.O.Status().Leading {
		return
	}
	var cut order.Cut
	for lane := order.LaneID(1); lane <= lanes; lane++ {
		if held := m.Shelf.Frames[lane]; held > 0 {
			cut = append(cut, At(lane, held))
		}
	}
	_ = m.O.Propose(Decision(cut...)) // refused while leadership is handed over
	c.Ready(m)
}

func (c *chaos) fault() {
	m := c.pick()
	switch c.rng.IntN(12) {
	case 0:
		c.cut[m.ID] = !c.cut[m.ID]
	case 1:
		m.Up = !m.Up
	case 2:
		c.Restart(m)
	case 3:
		m.Slow = !m.Slow
	case 4:
		c.Sync(m)
	case 5:
		c.loss = c.rng.IntN(30)
	case 6:
		m.Durable = m.Place
	case 7:
		m.O.Compact(m.Durable.Position)
	case 8:
		m.O.Snapshot(m.Place.Position)
	case 9:
		m.O.TransferLeader(c.pick().ID)
	case 10:
		ctx := c.rng.Uint64()
		c.asked[ctx] = uint64(len(c.Agreed)) + 1 // positions begin at 2
		m.O.ReadIndex(ctx)
	case 11:
		m.O.Unreachable(c.pick().ID)
	}
	c.Ready(m)
}

// heal ends every fault, and lets every member get every item.
func (c *chaos) heal() {
	c.loss = 0
	clear(c.cut)
	for _, id := range c.IDs() {
		m := c.Members[id]
		m.Up, m.Slow = true, false
		c.Sync(m)
		c.Ready(m)
	}
	for lane := order.LaneID(1); lane <= lanes; lane++ {
		all := uint64(0)
		for _, m := range c.Members {
			all = max(all, m.Shelf.Frames[lane])
		}
		c.Holds(lane, all, c.IDs()...)
	}
}

// run is one random life of a cluster. It returns a digest of everything that was sent and decided.
func (c *chaos) run(steps int) string {
	for range steps {
		switch n := c.rng.IntN(1000); {
		case n < 800:
			c.one()
		case n < 860:
			if m := c.pick(); m.Up {
				m.O.Tick()
				c.Ready(m)
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
	c.check()
	sum := sha256.New()
	sum.Write(c.hash)
	for _, id := range c.IDs() {
		fmt.Fprintln(sum, id, c.Members[id].State)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// converge: after every fault ended, a new decision is made and reaches every member.
func (c *chaos) converge() {
	c.heal()
	proposed := uint64(0)
	for range 400 {
		c.Tick()
		for _, id := range c.IDs() {
			if m := c.Members[id]; m.want {
				m.want = false
				m.O.Snapshot(m.Place.Position)
			}
		}
		m := c.Leader()
		if m == nil {
			continue
		}
		if proposed == 0 && m.O.Propose(Decision()) == nil { // no transfer is under way
			c.Ready(m)
			c.Settle()
			proposed = m.Place.Position
		}
		same := proposed > 0
		for _, id := range c.IDs() {
			same = same && c.Members[id].Place.Position == m.Place.Position
		}
		if same {
			return
		}
	}
	for _, id := range c.IDs() {
		c.T.Logf("%d: %+v", id, c.Members[id].O.Status())
	}
	c.T.Fatal("after the network healed, the members do not come to agree")
}

// check: every state is the same, and no read was answered from the past (R26).
func (c *chaos) check() {
	for _, id := range c.IDs() {
		m := c.Members[id]
		for _, read := range m.Reads {
			if read.Position < c.asked[read.Ctx] {
				c.T.Fatalf("%d: a read asked at %d is answered with %d", id, c.asked[read.Ctx], read.Position)
			}
		}
		if !slices.Equal(m.State, c.Members[1].State) {
			c.T.Fatalf("%d's state is not 1's", id)
		}
	}
}
