package multipaxos

import (
	"strings"
	"testing"

	"metronome/system/order/ordertest"
	"metronome/system/order/paxos"
	"metronome/system/order/slots"
)

// What was promised holds, also after a restart: nothing is accepted in a lower ballot (lemma 5 of paxos).
func TestAPromiseIsKept(t *testing.T) {
	c := ordertest.New(t, multi, 3, 1, nil)
	m := c.Members[3]
	step := func(from uint64, k paxos.Message) {
		t.Helper()
		if err := m.O.Step(from, dialect.Encode(&k)); err != nil {
			t.Fatal(err)
		}
	}
	high, low := uint64(9<<8|1), uint64(3<<8) // of 2 and of 1
	step(2, paxos.Message{Kind: kindPrepare, Ballot: high, Commit: 1})
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
		offer := []slots.Entry{in(2, low, ordertest.Decision())}
		step(1, paxos.Message{Kind: paxos.Accept, Ballot: low, Commit: 1, Entries: offer})
		step(1, paxos.Message{Kind: kindPrepare, Ballot: low, Commit: 1})
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

// Nobody hears of a ballot before it is durable with its owner: it is never used twice (its part A).
func TestABallotIsDurableBeforeItIsUsed(t *testing.T) {
	c := ordertest.New(t, multi, 3, 1, nil)
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
	c := ordertest.New(t, multi, 3, 1, nil)
	m := c.Elect(1)
	c.Holds(7, 1, 2)
	c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 || to == 1 }
	c.Propose(m, ordertest.At(7, 1))
	c.Settle()
	c.Rest(1)
	for range 12 {
		c.Tick(2)
	}
	for n := 0; n < 60 && c.Members[3].O.(*Paxos).Role != paxos.Recovering; n++ {
		c.Tick(3)
	}
	if c.Members[3].O.(*Paxos).Role != paxos.Recovering {
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
