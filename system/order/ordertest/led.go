package ordertest

import (
	"fmt"
	"slices"
	"testing"

	"metronome/system/order"
)

// RunLed tests an algorithm in which members are led, each time in a higher ballot, and slots are accepted
// each by itself.
func RunLed(t *testing.T, by Algorithm) {
	for name, test := range map[string]func(*testing.T, Algorithm){
		"TheHighestBallotWins": highestBallotWins, "FlexibleQuorums": flexibleQuorums,
		"WaitingIsBounded": waitingIsBounded,
	} {
		t.Run(name, func(t *testing.T) { test(t, by) })
	}
}

// Rest keeps members from hearing and speaking.
func (c *Cluster) Rest(ids ...uint64) {
	c.Lost = func(from, to uint64) bool { return slices.Contains(ids, from) || slices.Contains(ids, to) }
}

// ElectAmong lets members' time pass until one leads, whoever led before.
func (c *Cluster) ElectAmong(ids ...uint64) *Member {
	c.T.Helper()
	for range 200 {
		c.Tick(ids...)
		for _, id := range ids {
			if m := c.Members[id]; m.O.Status().Leading {
				return m
			}
		}
	}
	c.T.Fatalf("none of %v is elected", ids)
	return nil
}

// Of the values that a slot was accepted with, the one of the highest ballot is proposed again: the
// other cannot have been decided, and this one may have been.
func highestBallotWins(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 1, nil)
	c.Holds(7, 9, 1, 2, 3)
	c.Elect(1)
	c.Rest(2, 3)
	c.Propose(c.Members[1], At(7, 1)) // accepted by 1 alone
	c.Rest(1)
	second := c.ElectAmong(2, 3)
	c.Lost = func(from, to uint64) bool { return from == 1 || to == 1 || to == second.ID && from != second.ID }
	c.Propose(second, At(7, 2)) // accepted by two, which the leader does not hear
	c.Settle()
	other := uint64(5) - second.ID
	if got := len(c.Agreed); got != 0 {
		t.Fatalf("%d decisions", got)
	}
	c.Rest(second.ID)
	for range 100 {
		c.Tick(1, other)
	}
	if got := c.Agreed[2]; got != fmt.Sprintf("2:%x", Decision(At(7, 2))) {
		t.Fatalf("slot 2 is %q", got)
	}
}

// Four of five accept, then two promises do: the quorums of the two phases meet.
func flexibleQuorums(t *testing.T, by Algorithm) {
	c := New(t, by, 5, 1, func(c *order.Config) { c.AcceptQuorum = 4 })
	c.Rest(4, 5)
	m := c.ElectAmong(1, 2, 3)
	c.Holds(7, 1, c.IDs()...)
	c.Propose(m, At(7, 1))
	c.Settle()
	if len(c.Agreed) > 0 {
		t.Fatal("decided by three of five")
	}
	c.Lost = nil
	for range 4 {
		c.Tick(m.ID)
	}
	if len(c.Agreed) != 1 {
		t.Fatalf("%d decisions by all", len(c.Agreed))
	}
	if c.Rest(1, 2, 3); !by.Drawn { // a coin is tossed by a majority
		c.ElectAmong(4, 5)
	}
}

// What waits at the gate is bounded; the leader sends again what found no room.
func waitingIsBounded(t *testing.T, by Algorithm) {
	c := New(t, by, 3, 1, func(c *order.Config) { c.MaxWaitingBytes = 300 })
	m := c.Elect(1)
	for n := uint64(1); n <= 20; n++ {
		c.Holds(7, n, 2)
		c.Propose(m, At(7, n))
		c.Settle()
	}
	s := c.Members[3].O.Status()
	if s.Waiting == 0 || s.Waiting > 4 || s.Dropped == 0 {
		t.Fatalf("%+v", s)
	}
	c.Holds(7, 20, 3)
	for range 40 {
		c.Tick(1)
	}
	if got := c.Members[3].Place.Position; got != m.Place.Position {
		t.Fatalf("3 is at %d, 1 at %d", got, m.Place.Position)
	}
}

// Gated is a scene of them ([Scenes]): a slot that waits for its items holds up no other.
func Gated(c *Cluster) {
	fmt.Fprintln(c.Trace, `Two cuts of two lanes. 3 lacks what is under the first and accepts the second all the
same: Accepted names a slot beyond the gap. Nothing is sent again while it waits.`)
	var m *Member
	c.Unseen(func() { m = c.Elect(1) })
	c.Holds(7, 1, 2)
	c.Holds(8, 1, 2, 3)
	c.Say("The proposals.")
	c.Propose(m, At(7, 1))
	c.Propose(m, At(8, 1))
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

// SendState is another: 3 is back, and what it missed is in no log any more.
func SendState(c *Cluster) {
	fmt.Fprintln(c.Trace, `3 was away while slots were decided that the log no longer holds. The leader asks its
replica for a snapshot, which brings 3 back.`)
	var m *Member
	c.Unseen(func() {
		m = c.Elect(1)
		c.Rest(3)
		for n := uint64(1); n <= 2; n++ {
			c.Holds(7, n, 2)
			c.Propose(m, At(7, n))
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
