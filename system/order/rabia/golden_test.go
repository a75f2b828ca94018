package rabia

import (
	"fmt"
	"testing"

	"metronome/system/order/ordertest"
)

// Interactions that explain the protocol: every message of a small scene, one golden file each. Only
// commit a changed file if you understand what changed it.
func TestInteractions(t *testing.T) {
	ordertest.Scenes(t, rabia, map[string]func(*ordertest.Cluster){
		"slot": sceneSlot, "contention": sceneContention, "gated": sceneGated, "restart": sceneRestart,
		"snapshot": sceneSnapshot,
	})
}

func heardOf(c *ordertest.Cluster) {
	c.Unseen(func() { c.Elect(1); c.Tick(); c.Tick() })
}

func sceneSlot(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `Three members hear each other. Position 1 is the founding. 1 proposes in slot 2; the
others hold the same, and propose it too. All have state 1, and vote for it.`)
	heardOf(c)
	c.Holds(7, 1, 2, 3)
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	c.Glance(1, 2, 3)
	c.Say("2 asks in which slot it must wait for a read.")
	c.Members[2].O.ReadIndex(5)
	c.Ready(c.Members[2])
	c.Settle()
}

func sceneContention(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `1 and 2 propose cuts of lanes that the other lacks, and 3 lacks both: there can be no
majority. When it has lasted for long enough, the slot is decided with nothing. Then 3 gets the items of 2.`)
	heardOf(c)
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Propose(c.Members[2], ordertest.At(8, 1))
	c.Settle()
	c.Say("Two beats later.")
	for range 4 {
		c.Tick()
	}
	c.Glance(1, 2, 3)
	c.Say("The items of 2 come to 3.")
	c.Holds(8, 1, 3)
	c.Settle()
	c.Glance(1, 2, 3)
}

func sceneGated(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `3 lacks what is under a cut, and does not propose it. A majority does: the slot is
decided without it, and at 3 it waits for the items.`)
	heardOf(c)
	c.Holds(7, 1, 2)
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	c.Glance(1, 3)
	c.Say("The items come.")
	c.Holds(7, 1, 3)
	c.Glance(3)
}

func sceneRestart(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `2 proposes in slot 2 and comes to state 1, nobody hears of either, and it
restarts. It says the same again, and nothing else.`)
	heardOf(c)
	c.Unseen(func() {
		c.Holds(7, 1, 2)
		c.Lost = func(from, _ uint64) bool { return from == 2 }
		c.Propose(c.Members[1], ordertest.At(7, 1))
		c.Settle()
		c.Restart(c.Members[2])
		c.Lost = nil
	})
	c.Glance(1, 2)
	c.Say("After the restart.")
	c.Members[2].O.Tick()
	c.Members[2].O.Tick()
	c.Ready(c.Members[2])
	c.Settle()
	c.Glance(1, 2)
}

func sceneSnapshot(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `3 was away while a slot was decided that the others' logs no longer hold. It asks one
of them, which asks its replica for a snapshot.`)
	ordertest.FetchState(c)
}
