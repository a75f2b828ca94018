package mencius

import (
	"fmt"
	"strings"
	"testing"

	"metronome/system/order/ordertest"
)

// Interactions that explain the protocol: every message of a small scene, one golden file each. Only
// commit a changed file if you understand what changed it.
func TestInteractions(t *testing.T) {
	ordertest.Scenes(t, mencius, map[string]func(*ordertest.Cluster){
		"rounds": sceneRounds, "gated": sceneGated, "revocation": sceneRevocation, "return": sceneReturn,
		"snapshot": sceneSnapshot,
	})
}

func sceneRounds(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `Three members begin at slot 1 with nothing decided, and hear each other. Slot s
belongs to the member at place s mod 3, counted from 0: slot 2 to member 3, slot 3 to 1, slot 4 to 2.`)
	m := c.Elect(1)
	c.Unseen(func() { c.Tick() })
	c.Say("1 proposes in slot 3, in ballot 0. 3 skips slot 2, which is reserved, and says so at once.")
	c.Holds(7, 1, 2, 3)
	c.Propose(m, ordertest.At(7, 1))
	c.Settle()
	c.Glance(1, 2, 3)
	c.Say("3 proposes in its next slot, 5: 2 skips 4.")
	c.Propose(c.Members[3], ordertest.At(7, 1))
	c.Settle()
	c.Glance(1, 2, 3)
}

func sceneGated(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `1 and 2 propose cuts of two lanes. 3 lacks what is under the first, accepts the
second all the same, and hands out neither; the others need only each other.`)
	c.Unseen(func() { c.Elect(1); c.Tick(); c.Tick() })
	c.Holds(7, 1, 2)
	c.Holds(8, 1, 1, 3)
	c.Say("The proposals.")
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Propose(c.Members[2], ordertest.At(8, 1))
	c.Settle()
	c.Glance(1, 2, 3)
	c.Say("3 comes to hold the rest.")
	c.Holds(7, 1, 3)
	c.Settle()
	c.Glance(3)
}

func sceneRevocation(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `3 proposes in slot 2 and reaches 2 only, and both fall silent. 1 alone revokes
nothing: it hears no majority. Then 2 is back: 1, the first that is alive, revokes slots of 3. 2's promise
tells of what it accepted; 1 lacks its items, and decides the other slots at once.`)
	c.Unseen(func() {
		c.Elect(1)
		c.Tick()
		c.Holds(7, 1, 2)
		c.Lost = func(from, to uint64) bool { return from == 1 || to == 1 || to == 3 }
		c.Propose(c.Members[3], ordertest.At(7, 1))
		c.Settle()
		for range 12 {
			c.Tick()
		}
		c.Members[3].Up = false
		c.Lost = nil
		for n := 0; n < 12 && c.Members[1].O.(*Mencius).revoke.ballot == 0; n++ {
			c.Trace = &strings.Builder{}
			c.Members[1].O.Tick()
			c.Members[2].O.Tick()
			c.Ready(c.Members[2])
			c.Settle()
		}
	})
	c.Say("1 revokes.")
	c.Ready(c.Members[1])
	c.Settle()
	c.Glance(1, 2)
	c.Say("The items come: 1 proposes the value again, in its own ballot.")
	c.Holds(7, 1, 1)
	c.Settle()
	c.Glance(1, 2)
}

func sceneReturn(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `3 was cut off, and its slots were revoked. It is back and does not know: its
proposal is refused, and it is taught that the slot is nothing. It skips the rest of what was taken
from it and proposes again, in a term of its own that is new.`)
	c.Unseen(func() {
		c.Elect(1)
		c.Tick()
		c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 }
		for range 16 {
			c.Tick()
		}
		c.Lost = nil
		c.Members[1].O.Tick()
		c.Members[1].O.Tick()
		c.Ready(c.Members[1])
		c.Settle()
	})
	three := c.Members[3]
	before := three.O.Status().Term
	c.Holds(7, 1, 1, 2)
	c.Say("3 proposes.")
	c.Propose(three, ordertest.At(7, 1))
	c.Settle()
	fmt.Fprintf(c.Trace, "3   a new term: %v\n", three.O.Status().Term > before)
	c.Say("And again.")
	c.Propose(three, ordertest.At(7, 1))
	c.Settle()
	c.Glance(1, 3)
}

func sceneSnapshot(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `3 was away while slots were decided that the others' logs no longer hold. It
asks one of them, which asks its replica for a snapshot.`)
	ordertest.FetchState(c)
}
