package racs

import (
	"errors"
	"strings"
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
	"metronome/system/order/paxos"
	"metronome/system/order/slots"
)

// leads is which of members leads, 0 if none does.
func leads(c *ordertest.Cluster, ids ...uint64) uint64 {
	for _, id := range ids {
		if c.Members[id].O.Status().Leading {
			return id
		}
	}
	return 0
}

func step(t *testing.T, m *ordertest.Member, from uint64, k paxos.Message) {
	t.Helper()
	if err := m.O.Step(from, dialect.Encode(&k)); err != nil {
		t.Fatal(err)
	}
}

// view is a view, from some on, whose ballot the coin gives to a member.
func view(p *Racs, from, id uint64) uint64 {
	for v := from; ; v++ {
		if b := p.ballot(v); p.Members[slots.Owner(b)] == id {
			return b
		}
	}
}

// A view's ballot has one owner, the same for all, and nobody else's Accept is taken (its part A). Every
// member is drawn once in five views, and in another order each time.
func TestTheCoinIsCommon(t *testing.T) {
	c := ordertest.New(t, racs, 5, 1, nil)
	drawn, first := map[int]int{}, map[int]int{}
	for v := range uint64(5000) {
		b := of(c, 1).ballot(v)
		drawn[slots.Owner(b)]++
		if v%5 == 0 {
			first[slots.Owner(b)]++
		}
		for _, id := range c.IDs() {
			if of(c, id).ballot(v) != b {
				t.Fatalf("view %d is not the same one's for 1 and %d", v, id)
			}
		}
	}
	for i, n := range drawn {
		if n != 1000 || first[i] < 150 || first[i] > 250 {
			t.Errorf("member %d is drawn %d times of 5000, %d times as the first of five", i, n, first[i])
		}
	}
	two := view(of(c, 1), 1, 2)
	offer := []slots.Entry{in(2, two, nil)}
	for what, k := range map[string]paxos.Message{
		"another's ballot":     {Kind: paxos.Accept, Ballot: two, Commit: 1, Entries: offer},
		"another's heartbeat":  {Kind: paxos.Heartbeat, Ballot: two, Commit: 1},
		"a ballot not drawn":   {Kind: kindPromise, Ballot: two ^ 3, Commit: 1, Have: 1},
		"a ballot of no view":  {Kind: kindComplete, Ballot: of(c, 1).ballot(0)},
		"an answer to another": {Kind: paxos.Accepted, Ballot: two, Commit: 1, Match: 1},
	} {
		if err := c.Members[1].O.Step(3, dialect.Encode(&k)); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What was promised holds, also after a restart: nothing is accepted in a lower ballot (lemma 5 of paxos).
func TestAPromiseIsKept(t *testing.T) {
	c := ordertest.New(t, racs, 3, 1, nil)
	m := c.Members[3]
	high := view(of(c, 3), 9, 2)
	low := view(of(c, 3), 1, 1)
	step(t, m, 2, paxos.Message{Kind: kindPromise, Ballot: high, Commit: 1, Have: 1})
	rd := m.O.Ready()
	if len(rd.Messages) > 0 || rd.Persist == nil || rd.Persist.Lazy {
		t.Fatalf("a promise leaves before it is durable: %+v", rd)
	}
	m.Writing = append(m.Writing, rd.Persist)
	c.Sync(m)
	promised := 0
	for _, out := range m.O.Ready().Messages {
		if strings.HasPrefix(Describe(out.Data), "Promise ballot "+slots.Name(high)) {
			promised++
		}
	}
	if promised != 2 {
		t.Fatalf("%d promises", promised)
	}
	for _, what := range []string{"before", "after a restart"} {
		offer := []slots.Entry{in(2, low, ordertest.Decision())}
		step(t, m, 1, paxos.Message{Kind: paxos.Accept, Ballot: low, Commit: 1, Entries: offer})
		rd = m.O.Ready()
		if s := m.O.Status(); s.Last != 1 || s.Term != high || rd.Persist != nil || len(rd.Messages) != 1 ||
			!strings.HasPrefix(Describe(rd.Messages[0].Data), "Refusal ballot "+slots.Name(high)) {
			t.Fatalf("%s: %+v, %+v", what, s, rd)
		}
		c.Restart(m)
	}
}

// Nobody leads in a ballot before it is durable with its owner, nor again after a restart: none is used
// twice (its part A).
func TestABallotIsUsedOnce(t *testing.T) {
	c := ordertest.New(t, racs, 3, 1, nil)
	m := c.Members[1]
	b := view(of(c, 1), 1, 1)
	m.Slow = true
	for _, from := range []uint64{2, 3} {
		step(t, m, from, paxos.Message{Kind: kindPromise, Ballot: b, Commit: 1, Have: 1})
		c.Ready(m)
	}
	if p := of(c, 1); p.Role == paxos.Leading || p.Promised != b {
		t.Fatalf("leads before its ballot is durable: %+v", p.fall)
	}
	m.Slow = false
	c.Sync(m)
	c.Ready(m)
	if of(c, 1).Role != paxos.Leading {
		t.Fatal("does not lead with all promises")
	}
	c.Restart(m)
	for _, from := range []uint64{2, 3} {
		step(t, m, from, paxos.Message{Kind: kindPromise, Ballot: b, Commit: 1, Have: 1})
		c.Ready(m)
	}
	if p := of(c, 1); p.Role != paxos.Follower || p.Promised != b || p.next() <= b {
		t.Fatalf("role %d in ballot %s after a restart", p.Role, slots.Name(p.Promised))
	}
}

// A promise that leaves out what is not known to be decided elects nobody; one that tells more than is new
// does, and what is decided is proposed again with its value (its part B).
func TestAPromiseTellsWhatIsLacking(t *testing.T) {
	c := ordertest.New(t, racs, 3, 1, nil)
	m := c.Members[1]
	b := view(of(c, 1), 1, 1)
	step(t, m, 2, paxos.Message{Kind: kindPromise, Ballot: b, Commit: 3, Have: 3})
	c.Ready(m)
	if of(c, 1).Role != paxos.Gathering {
		t.Fatal("leads without slots 2 and 3, which are decided")
	}
	d := ordertest.Decision(ordertest.At(7, 1))
	c.Holds(7, 1, 1)
	found := []slots.Entry{in(2, 1<<8, d), in(3, 1<<8, nil)}
	step(t, m, 2, paxos.Message{Kind: kindPromise, Ballot: b, Commit: 3, Have: 1, Entries: found})
	c.Ready(m)
	if p := of(c, 1); p.Role != paxos.Leading || p.Log.Last() != 3 || string(p.Log.At(2).Decision) != string(d) {
		t.Fatalf("role %d, log to %d", p.Role, p.Log.Last())
	}
}

// Who knows of less that is decided than all others, and is the only one to be drawn, leads (its part B).
func TestWhoIsBehindMayLead(t *testing.T) {
	c := ordertest.New(t, racs, 3, 1, nil)
	ledBy(c, 1, 3)
	c.Holds(7, 9, 1, 2, 3)
	c.Rest(3)
	for n := uint64(1); n <= 4; n++ {
		c.Propose(c.Members[1], ordertest.At(7, n))
		c.Settle()
	}
	c.Rest(1)
	for range 6 {
		c.Tick(2, 3)
	}
	if s := c.Members[3].O.Status(); !s.Leading || s.Position != c.Members[1].Place.Position {
		t.Fatalf("%+v", s)
	}
}

// An outage is two heartbeats and the exchanges of a fallback, whoever is drawn, the dead one included; an
// election takes its timeout, ten ticks here.
func TestTheFallbackNeedsNoTimeout(t *testing.T) {
	for next := uint64(1); next <= 3; next++ {
		c := ordertest.New(t, racs, 3, 1, nil)
		ledBy(c, 1, next)
		most := of(c, 2).patience()
		c.Rest(1)
		ticks := 0
		for ; leads(c, 2, 3) == 0 && ticks < 50; ticks++ {
			c.Tick(2, 3)
		}
		if ticks > most || most >= of(c, 2).ElectionTicks {
			t.Errorf("%d ticks until somebody leads after 1, with %d drawn next", ticks, next)
		}
	}
}

// A leader whose decisions do not come is left, though its heartbeats do; one whose items do not come is not.
func TestALeaderThatDoesNotDecideIsLeft(t *testing.T) {
	c := ordertest.New(t, racs, 3, 1, nil)
	m := ledBy(c, 1, 2)
	c.Propose(m, ordertest.At(7, 1)) // held by 1 alone
	for range 60 {
		c.Tick()
	}
	if !m.O.Status().Leading {
		t.Fatal("1 is left because items are missing")
	}
	c.Lost = func(_, to uint64) bool { return to == 1 } // deaf
	c.Holds(7, 1, 2, 3)
	for range 12 {
		c.Tick(2, 3)
		m.O.Tick()
		c.Ready(m)
		c.Settle()
	}
	if leads(c, 2, 3) == 0 || len(c.Agreed) == 0 {
		t.Fatalf("%d decisions while the leader is deaf", len(c.Agreed))
	}
}

// Who alone hears badly deposes nobody, and so does who accepted something before a restart that it does not
// hold (R4).
func TestOneAloneDeposesNobody(t *testing.T) {
	c := ordertest.New(t, racs, 3, 1, nil)
	m := c.Elect(1)
	term := m.O.Status().Term
	c.Lost = func(_, to uint64) bool { return to == 3 }
	for range 100 {
		c.Tick()
	}
	if s := m.O.Status(); !s.Leading || s.Term != term {
		t.Fatalf("%+v", s)
	}
}

// A leader whose ballot would need what only a dead member holds is not one; the value is given up if nobody
// alive has it, and is found if somebody has.
func TestAnUnheldValueIsGivenUp(t *testing.T) {
	c := ordertest.New(t, racs, 3, 1, nil)
	m := ledBy(c, 1, 3)
	c.Holds(7, 1, 2)
	c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 || to == 1 }
	c.Propose(m, ordertest.At(7, 1))
	c.Settle()
	c.Rest(1)
	c.Members[2].Shelf.Frames[7] = 0
	c.Restart(c.Members[2]) // 2 accepted it too: it has a hole
	for range 40 {
		c.Tick(2, 3)
	}
	if id := leads(c, 2, 3); id != 0 {
		t.Fatalf("%d leads without what may have been decided", id)
	}
	c.Holds(7, 1, 3) // it gets the items
	c.Holds(7, 1, 2)
	c.ElectAmong(2, 3)
	c.Settle()
	if len(c.Agreed) == 0 {
		t.Fatal("what may have been decided is not")
	}
}
