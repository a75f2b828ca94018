package racs

import (
	"fmt"
	"testing"

	"metronome/system/order/ordertest"
	"metronome/system/order/slots"
)

// Interactions that explain the protocol: every message of a small scene, one golden file each. Only
// commit a changed file if you understand what changed it.
func TestInteractions(t *testing.T) {
	ordertest.Scenes(t, racs, map[string]func(*ordertest.Cluster){
		"synchronous": sceneSynchronous, "fallback": sceneFallback, "late": sceneLate, "recovery": sceneRecovery,
		"gated": ordertest.Gated, "snapshot": ordertest.SendState,
	})
}

// of is a member's orderer.
func of(c *ordertest.Cluster, id uint64) *Racs { return c.Members[id].O.(*Racs) }

// ledBy lets a member lead, for long, in a view after which the coin draws a certain one.
func ledBy(c *ordertest.Cluster, id, next uint64) *ordertest.Member {
	for m := c.Elect(id); ; m = c.Elect(id) {
		if of(c, id).Members[slots.Owner(of(c, id).next())] == next {
			for range 12 {
				c.Tick()
			}
			return m
		}
		c.Elect(id%3 + 1)
	}
}

func sceneSynchronous(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `Three members begin at slot 1 with nothing decided. They miss a leader, and
enter the first view. Whom the coin drew leads when it has the promises of a majority. Nothing was
accepted before.`)
	for range 5 {
		c.Tick()
	}
	m := c.Leader()
	c.Say("One round: what %d proposes is held everywhere. Decided one round trip later.", m.ID)
	c.Holds(7, 1, 1, 2, 3)
	c.Propose(m, ordertest.At(7, 1))
	c.Settle()
	c.Glance(1, 2, 3)
}

func sceneFallback(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `1 leads, what it proposed reached 2 only, and it is gone. The coin draws 2 next:
2's own promise and that of 3 are a quorum, and it proposes what it had accepted again. There is no timeout
but that of two heartbeats.`)
	c.Unseen(func() {
		m := ledBy(c, 1, 2)
		c.Holds(7, 1, 1, 2, 3)
		c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 || to == 1 }
		c.Propose(m, ordertest.At(7, 1))
		c.Settle()
		c.Lost = func(from, to uint64) bool { return from == 1 || to == 1 }
	})
	for range 5 {
		c.Tick(2, 3)
	}
	c.Glance(2, 3)
}

func sceneLate(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `1 leads and is gone, and the coin draws 1 again. 2 and 3 propose, vote and complete
without having heard it: they enter the next view at once, and the coin is tossed again.`)
	c.Unseen(func() {
		ledBy(c, 1, 1)
		c.Rest(1)
	})
	for range 5 {
		c.Tick(2, 3)
	}
	fmt.Fprintf(c.Trace, "%d   leads\n", leads(c, 2, 3))
}

func sceneRecovery(c *ordertest.Cluster) {
	fmt.Fprintln(c.Trace, `1 proposes a cut that reaches 2 only, and is gone. The coin draws 3, which does not
hold the items: it must not bind its ballot to a value that it might never get. 2 is able, and completes; 3
was drawn, gives way, and the coin is tossed again until it draws 2.`)
	c.Unseen(func() {
		m := ledBy(c, 1, 3)
		c.Holds(7, 1, 2)
		c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 || to == 1 }
		c.Propose(m, ordertest.At(7, 1))
		c.Settle()
		c.Rest(1)
	})
	for range 5 {
		c.Tick(2, 3)
	}
	c.Say("The items come to 3.")
	c.Holds(7, 1, 3)
	c.Settle()
	fmt.Fprintf(c.Trace, "%d   leads\n", leads(c, 2, 3))
	c.Glance(2, 3)
	c.Say("1 is back, and learns of the higher ballot.")
	c.Lost = nil
	c.Tick(1)
	c.Tick(1)
	c.Tick(2)
	c.Tick(2)
	c.Glance(1)
}
