package baxos

import (
	"fmt"
	"testing"

	"metronome/system/order/ordertest"
)

// Interactions that explain the protocol: every message of a small scene, one golden file each. Only
// commit a changed file if you understand what changed it.
func TestInteractions(t *testing.T) {
	ordertest.Scenes(t, backing, map[string]func(*ordertest.Cluster){
		"rounds": sceneRounds, "gated": sceneGated, "contention": sceneContention, "recovery": sceneRecovery,
		"snapshot": sceneSnapshot,
	})
}

func sceneRounds(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `Three members hear each other. Slot 2 is the next, and promised to nobody.`)
	c.Unseen(func() { c.Elect(1) })
	c.Say("1 proposes: two phases. With its acceptance everybody promises it slot 3, too.")
	c.Holds(7, 2, 1, 2, 3)
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	c.Glance(1, 2, 3)
	c.Say("1 proposes again: one phase.")
	c.Propose(c.Members[1], ordertest.At(7, 2))
	c.Settle()
	c.Glance(1, 2, 3)
	c.Say("A read of 1 waits for a slot of its own, which decides nothing.")
	c.Members[1].O.ReadIndex(9)
	c.Ready(c.Members[1])
	c.Settle()
}

func sceneGated(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `1 proposes a cut. 3 lacks what is under it: it promises, it does not accept, and it
hands nothing out; the others need only each other.`)
	c.Unseen(func() { c.Elect(1) })
	c.Holds(7, 1, 1, 2)
	c.Say("The proposal.")
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	c.Glance(1, 2, 3)
	c.Say("3 comes to hold the rest.")
	c.Holds(7, 1, 3)
	c.Settle()
	c.Glance(3)
}

func sceneContention(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `1 and 2 propose at once. Both prepare slot 2 in round 1, and 2's ballot is the
higher one: 1 is refused, and backs off. Before its pause is over the slot is decided, and with it all that
it wanted.`)
	c.Unseen(func() { c.Elect(1); c.Elect(2) })
	c.Holds(7, 1, 1, 2, 3)
	c.Holds(8, 1, 1, 2, 3)
	c.Say("The proposals: 2's covers 1's.")
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Propose(c.Members[2], ordertest.At(7, 1), ordertest.At(8, 1))
	c.Settle()
	c.Glance(1, 2, 3)
	fmt.Fprintf(c.Trace, "1   wanted still: %d\n", c.Members[1].O.Status().Pending)
	c.Say("1 proposes what 2 has not: slot 3 is promised to 2, so 1 backs off once before it challenges.")
	c.Holds(7, 2, 1, 2, 3)
	c.Propose(c.Members[1], ordertest.At(7, 2))
	c.Settle()
	for n := 0; n < 10 && c.Members[1].O.Status().Pending > 0; n++ {
		c.Say("Time passes.")
		c.Tick()
	}
	c.Glance(1, 2, 3)
}

func sceneRecovery(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `1 proposes, reaches 2 only and falls silent. 2 has accepted what nobody brings to
an end; 3 has something of its own to propose, finds what 2 accepted, and lacks its items.`)
	c.Unseen(func() {
		c.Elect(1)
		c.Holds(7, 1, 2)
		c.Propose(c.Members[1])
		c.Settle() // slot 3 is promised to 1
		c.Outwait()
	})
	c.Say("1 proposes in slot 3, which is promised to it. Nothing more of it reaches anybody.")
	c.Lost = func(from, to uint64) bool { return to == 1 || from == 1 && to == 3 }
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	c.Members[1].Up = false
	c.Lost = nil
	c.Say("3 proposes, after a back-off: the slot is promised to 1.")
	c.Propose(c.Members[3], ordertest.At(8, 1))
	for n := 0; n < 8 && c.Members[3].O.(*Baxos).attempt.phase != recovering; n++ {
		c.Tick()
	}
	c.Glance(2, 3)
	c.Say("The items come: 3 proposes the value again, in its own ballot, and then its own.")
	c.Holds(7, 1, 3)
	c.Holds(8, 1, 2)
	c.Settle()
	for n := 0; n < 8 && c.Members[3].O.Status().Pending > 0; n++ {
		c.Tick()
	}
	c.Glance(2, 3)
}

func sceneSnapshot(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `3 was away while slots were decided that the others' logs no longer hold. It asks
one of them, which asks its replica for a snapshot.`)
	c.Unseen(func() {
		m := c.Elect(1)
		c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 }
		for n := uint64(1); n <= 2; n++ {
			c.Holds(7, n, 2)
			c.Propose(m, ordertest.At(7, n))
			c.Settle()
		}
		c.Outwait()
		for _, id := range []uint64{1, 2} {
			c.Members[id].O.Compact(c.Members[id].Place.Position)
			c.Ready(c.Members[id])
		}
	})
	c.Say("3 is back.")
	c.Lost = nil
	c.Tick()
	c.Tick()
	c.Say("The replicas offer their state.")
	for _, id := range []uint64{1, 2} {
		c.Members[id].O.Snapshot(c.Members[id].Place.Position)
	}
	for n := 0; n < 8 && c.Members[3].Place.Position < c.Members[1].Place.Position; n++ {
		c.Tick()
	}
	c.Glance(1, 3)
}
