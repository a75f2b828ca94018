package multipaxos

import (
	"fmt"
	"testing"

	"metronome/system/order/ordertest"
)

// Interactions that explain the protocol: every message of a small scene, one golden file each. Only
// commit a changed file if you understand what changed it.
func TestInteractions(t *testing.T) {
	ordertest.Scenes(t, paxos, map[string]func(*ordertest.Cluster){
		"election": sceneElection, "gated": sceneGated, "recovery": sceneRecovery, "snapshot": sceneSnapshot,
	})
}

func sceneElection(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `Three members begin at slot 1 with nothing decided. 1 hears of no leader, asks
whether it would win (Probe), and gets promises for ballot 1.0. Nothing was accepted before, so that it leads
at once.`)
	m := c.Elect(1)
	c.Say("One round: what 1 proposes is held everywhere. Decided one round trip later.")
	c.Holds(7, 1, 2, 3)
	c.Propose(m, ordertest.At(7, 1))
	c.Settle()
	c.Glance(1, 2, 3)
}

func sceneGated(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `Two cuts of two lanes. 3 lacks what is under the first and accepts the second all the
same: Accepted names a slot beyond the gap. Nothing is sent again while it waits.`)
	var m *ordertest.Member
	c.Unseen(func() { m = c.Elect(1) })
	c.Holds(7, 1, 2)
	c.Holds(8, 1, 2, 3)
	c.Say("The proposals.")
	c.Propose(m, ordertest.At(7, 1))
	c.Propose(m, ordertest.At(8, 1))
	c.Settle()
	c.Glance(1, 2, 3)
	c.Say("A heartbeat passes the gate as ever; what was accepted is said again.")
	c.Tick(1)
	c.Tick(1)
	c.Say("3 comes to hold the rest.")
	c.Holds(7, 1, 3)
	c.Settle()
	c.Glance(3)
}

func sceneRecovery(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `1 proposes a cut that reaches 2 only, and falls silent. 3 campaigns: 2's promise tells
of it. 3 does not hold the items, and leads only when it does: it must not bind its ballot to a value that it
might never get.`)
	c.Unseen(func() {
		m := c.Elect(1)
		c.Holds(7, 1, 2)
		c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 || to == 1 }
		c.Propose(m, ordertest.At(7, 1))
		c.Settle()
		c.Lost = func(from, to uint64) bool { return from == 1 || to == 1 }
		for range 12 {
			c.Tick(2)
		}
		c.Settle()
	})
	c.Say("3 campaigns until it has a promise of 2.")
	for n := 0; n < 40 && c.Members[3].O.(*Paxos).role != recovering; n++ {
		c.Tick(3)
	}
	fmt.Fprintf(c.Trace, "3   leads: %v\n", c.Members[3].O.Status().Leading)
	c.Say("The items come: 3 proposes the value again, in its own ballot.")
	c.Holds(7, 1, 3)
	c.Settle()
	fmt.Fprintf(c.Trace, "3   leads: %v\n", c.Members[3].O.Status().Leading)
	c.Glance(2, 3)
	c.Say("1 is back, and learns of the higher ballot.")
	c.Lost = nil
	c.Tick(1)
	c.Tick(1)
	c.Tick(3)
	c.Tick(3)
	c.Glance(1)
}

func sceneSnapshot(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `3 was away while slots were decided that the log no longer holds. The leader asks its
replica for a snapshot, which brings 3 back.`)
	var m *ordertest.Member
	c.Unseen(func() {
		m = c.Elect(1)
		c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 }
		for n := uint64(1); n <= 2; n++ {
			c.Holds(7, n, 2)
			c.Propose(m, ordertest.At(7, n))
			c.Settle()
		}
		m.O.Compact(m.Place.Position)
		c.Ready(m)
	})
	c.Say("3 is back.")
	c.Lost = nil
	c.Tick(1)
	c.Tick(1)
	c.Say("The replica offers its state.")
	m.O.Snapshot(m.Place.Position)
	c.Tick(1)
	c.Tick(1)
	c.Glance(1, 3)
}
