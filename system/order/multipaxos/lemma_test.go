package multipaxos

import (
	"slices"
	"strings"
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

// rest keeps a member from hearing and speaking.
func rest(c *ordertest.Cluster, ids ...uint64) {
	c.Lost = func(from, to uint64) bool { return slices.Contains(ids, from) || slices.Contains(ids, to) }
}

// elected lets members' time pass until one leads, whoever led before.
func elected(t *testing.T, c *ordertest.Cluster, ids ...uint64) *ordertest.Member {
	t.Helper()
	for range 200 {
		c.Tick(ids...)
		for _, id := range ids {
			if m := c.Members[id]; m.O.Status().Leading {
				return m
			}
		}
	}
	t.Fatalf("none of %v is elected", ids)
	return nil
}

// Of the values that a slot was accepted with, the one of the highest ballot is proposed again: the
// other cannot have been decided, and this one may have been (lemma 6).
func TestTheHighestBallotWins(t *testing.T) {
	c := ordertest.New(t, paxos, 3, 1, nil)
	c.Holds(7, 9, 1, 2, 3)
	c.Elect(1)
	rest(c, 2, 3)
	c.Propose(c.Members[1], ordertest.At(7, 1)) // accepted by 1 alone
	rest(c, 1)
	second := elected(t, c, 2, 3)
	c.Lost = func(from, to uint64) bool { return from == 1 || to == 1 || to == second.ID && from != second.ID }
	c.Propose(second, ordertest.At(7, 2)) // accepted by two, which the leader does not hear
	c.Settle()
	other := uint64(5) - second.ID
	if got := len(c.Agreed); got != 0 {
		t.Fatalf("%d decisions", got)
	}
	rest(c, second.ID)
	for range 40 {
		c.Tick(1, other)
	}
	elected(t, c, 1, other)
	if got := c.Agreed[2]; !strings.HasSuffix(got, string(hex(ordertest.Decision(ordertest.At(7, 2))))) {
		t.Fatalf("slot 2 is %q", got)
	}
}

func hex(b []byte) (s []byte) {
	const digits = "0123456789abcdef"
	for _, v := range b {
		s = append(s, digits[v>>4], digits[v&15])
	}
	return s
}

// What was promised holds, also after a restart: nothing is accepted in a lower ballot (lemma 5).
func TestAPromiseIsKept(t *testing.T) {
	c := ordertest.New(t, paxos, 3, 1, nil)
	m := c.Members[3]
	step := func(from uint64, m2 message) {
		t.Helper()
		if err := m.O.Step(from, m2.encode()); err != nil {
			t.Fatal(err)
		}
	}
	high, low := uint64(9<<8|1), uint64(3<<8) // of 2 and of 1
	step(2, message{kind: kindPrepare, ballot: high, commit: 1})
	rd := m.O.Ready()
	if len(rd.Messages) > 0 || rd.Persist == nil || rd.Persist.Lazy {
		t.Fatalf("a promise leaves before it is durable: %+v", rd)
	}
	m.Writing = append(m.Writing, rd.Persist)
	c.Sync(m)
	rd = m.O.Ready()
	if len(rd.Messages) != 1 || !strings.HasPrefix(Describe(rd.Messages[0].Data), "Promise ballot 9.1") {
		t.Fatalf("%+v", rd)
	}
	for _, what := range []string{"before", "after a restart"} {
		offer := []entry{in(2, low, ordertest.Decision())}
		step(1, message{kind: kindAccept, ballot: low, commit: 1, entries: offer})
		step(1, message{kind: kindPrepare, ballot: low, commit: 1})
		rd = m.O.Ready()
		if s := m.O.Status(); s.Last != 1 || s.Term != high || rd.Persist != nil || len(rd.Messages) != 2 {
			t.Fatalf("%s: %+v, %+v", what, s, rd)
		}
		for _, out := range rd.Messages {
			if got := Describe(out.Data); !strings.HasPrefix(got, "Refusal ballot 9.1") {
				t.Fatalf("%s: %s", what, got)
			}
		}
		c.Restart(m)
	}
}

// Nobody hears of a ballot before it is durable with its owner: it is never used twice (lemma 5).
func TestABallotIsDurableBeforeItIsUsed(t *testing.T) {
	c := ordertest.New(t, paxos, 3, 1, nil)
	m := c.Members[1]
	m.Slow = true
	for range 40 {
		c.Tick(1)
	}
	for _, id := range []uint64{2, 3} {
		if s := c.Members[id].O.Status(); s.Term != 0 {
			t.Fatalf("%d has heard of ballot %d", id, s.Term)
		}
	}
	used := m.O.Status().Term
	m.Slow = false
	c.Sync(m)
	c.Ready(m)
	c.Settle()
	c.Elect(1)
	c.Restart(m)
	if next := m.O.(*Paxos).nextBallot(); next <= used {
		t.Fatalf("ballot %d after a restart, %d before", next, used)
	}
}

// A leader whose ballot would need what only a dead member holds begins again, without it.
func TestAnUnheldValueIsGivenUp(t *testing.T) {
	c := ordertest.New(t, paxos, 3, 1, nil)
	m := c.Elect(1)
	c.Holds(7, 1, 2)
	c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 || to == 1 }
	c.Propose(m, ordertest.At(7, 1))
	c.Settle()
	rest(c, 1)
	for range 12 {
		c.Tick(2)
	}
	for n := 0; n < 60 && c.Members[3].O.(*Paxos).role != recovering; n++ {
		c.Tick(3)
	}
	if c.Members[3].O.(*Paxos).role != recovering {
		t.Fatal("3 does not come to lack what 2 accepted")
	}
	c.Members[2].Up = false
	c.Members[1].Shelf.Frames[7] = 0
	c.Restart(c.Members[1]) // 1 accepted it too: it has a hole
	delete(c.Members[1].Shelf.Frames, 7)
	c.Lost = nil
	for range 60 {
		c.Tick(1, 3)
	}
	if c.Leader() != nil {
		t.Fatal("somebody leads without what may have been decided")
	}
	c.Holds(7, 1, 1) // 1 repairs itself, and is found to have it
	for range 60 {
		c.Tick(1, 3)
	}
	c.Holds(7, 1, 3)
	for range 60 {
		c.Tick(1, 3)
	}
	if c.Leader() == nil || len(c.Agreed) == 0 {
		t.Fatalf("%d decisions", len(c.Agreed))
	}
}

// Four of five accept, then two elect: the quorums of the two phases meet (lemma 6).
func TestFlexibleQuorums(t *testing.T) {
	c := ordertest.New(t, paxos, 5, 1, func(c *order.Config) { c.AcceptQuorum = 4 })
	rest(c, 4, 5)
	m := elected(t, c, 1, 2, 3)
	c.Holds(7, 1, c.IDs()...)
	c.Propose(m, ordertest.At(7, 1))
	c.Settle()
	if len(c.Agreed) > 0 {
		t.Fatal("decided by three of five")
	}
	c.Lost = nil
	for range 10 {
		c.Tick(m.ID)
	}
	if len(c.Agreed) != 1 {
		t.Fatalf("%d decisions by all", len(c.Agreed))
	}
	rest(c, 1, 2, 3)
	if p := c.Members[4].O.(*Paxos); p.Promises() != 2 {
		t.Fatalf("%d promises elect", p.Promises())
	}
	elected(t, c, 4, 5)
}

// What waits at the gate is bounded; the leader sends again what found no room.
func TestWaitingIsBounded(t *testing.T) {
	c := ordertest.New(t, paxos, 3, 1, func(c *order.Config) { c.MaxWaitingBytes = 300 })
	m := c.Elect(1)
	for n := uint64(1); n <= 20; n++ {
		c.Holds(7, n, 2)
		c.Propose(m, ordertest.At(7, n))
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
