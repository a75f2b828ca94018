package multipaxos

import (
	"fmt"
	"testing"

	"metronome/system/order/ordertest"
	"metronome/system/order/paxos"
)

// Interactions that explain the protocol: every message of a small scene, one golden file each. Only
// commit a changed file if you understand what changed it.
func TestInteractions(t *testing.T) {
	ordertest.Scenes(t, multi, map[string]func(*ordertest.Cluster){
		"election": sceneElection, "recovery": sceneRecovery, "gated": ordertest.Gated,
		"snapshot": ordertest.SendState,
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
	for n := 0; n < 40 && c.Members[3].O.(*Paxos).Role != paxos.Recovering; n++ {
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
