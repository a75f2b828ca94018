package mencius

import (
	"errors"
	"strings"
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

// A promise is durable before it is said, and kept after a restart, slot by slot: the owner is refused in
// what was promised, and in nothing else (lemma 5).
func TestAPromiseIsKept(t *testing.T) {
	c := ordertest.New(t, mencius, 3, 1, nil)
	m := c.Members[3]
	m.O.Ready()
	step := func(from uint64, m2 message) order.Ready {
		t.Helper()
		if err := m.O.Step(from, m2.encode()); err != nil {
			t.Fatal(err)
		}
		return m.O.Ready()
	}
	ballot := uint64(9<<8 | 1)
	rd := step(2, message{kind: kindPrepare, ballot: ballot, commit: 1, end: 5, owners: bit(0)}) // slot 3
	if len(rd.Messages) > 0 || rd.Persist == nil || rd.Persist.Lazy {
		t.Fatalf("a promise leaves before it is durable: %+v", rd)
	}
	m.Writing = append(m.Writing, rd.Persist)
	c.Sync(m)
	if rd = m.O.Ready(); len(rd.Messages) != 1 || !strings.HasPrefix(Describe(rd.Messages[0].Data), "Promise") {
		t.Fatalf("%+v", rd)
	}
	for _, what := range []string{"before", "after a restart"} {
		d := ordertest.Decision()
		m.Slow = true
		step(1, message{kind: kindAccept, ballot: first, entries: []entry{in(3, first, d),
			in(6, first, d)}})
		p := m.O.(*Mencius)
		if p.Log.Accepted(3, first) || !p.Log.Accepted(6, first) {
			t.Fatalf("%s: slot 3 %+v, slot 6 %+v", what, p.Log.At(3), p.Log.At(6))
		}
		m.Slow = false
		c.Restart(m)
	}
}

// After a restart an owner uses no slot that it may have used before: what it sent may not be in its
// records (lemma 7).
func TestNoSlotIsUsedTwice(t *testing.T) {
	c := ordertest.Met(t, mencius, 3, nil)
	m := c.Members[1]
	m.Slow = true
	c.Holds(7, 1, 1, 2, 3)
	c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 || to == 1 }
	c.Propose(m, ordertest.At(7, 1)) // 2 accepts it; 1 forgets it
	c.Settle()
	used := m.O.(*Mencius).own.pending[0].slot
	m.Slow = false
	c.Restart(m)
	if p := m.O.(*Mencius); p.free() <= used || p.own.abandoned < used {
		t.Fatalf("slot %d again, after %d", p.free(), used)
	}
	c.Lost = nil
	c.Outwait()
	if got := c.Agreed[used]; !strings.Contains(got, ":01") {
		t.Fatalf("slot %d is %q: what 2 accepted is to be found", used, got)
	}
}

// An owner proposes only in slots that are durably reserved (lemma 7).
func TestReservationComesFirst(t *testing.T) {
	c := ordertest.New(t, mencius, 3, 1, nil)
	c.Members[1].Slow = true
	for range 6 {
		c.Tick()
	}
	m := c.Members[1]
	if s := m.O.Status(); s.Leading || !errors.Is(m.O.Propose(ordertest.Decision()), order.ErrNotLeader) {
		t.Fatalf("%+v", s)
	}
	c.Sync(m)
	c.Ready(m)
	if err := m.O.Propose(ordertest.Decision()); err != nil {
		t.Fatal(err)
	}
}

// A suspect's slots are revoked well ahead: its absence costs one timeout, not one a round.
func TestOneAbsenceCostsOneTimeout(t *testing.T) {
	c := ordertest.Met(t, mencius, 3, nil)
	c.Members[3].Up = false
	for range 24 {
		c.Tick()
	}
	for n := uint64(1); n <= 100; n++ {
		c.Holds(7, n, 2)
		c.Propose(c.Members[1], ordertest.At(7, n))
		c.Settle()
		if p := c.Members[1].O.(*Mencius); p.Commit < p.used {
			t.Fatalf("round %d waits: decided to %d, used to %d", n, p.Commit, p.used)
		}
		c.Tick() // the next revocation in time
	}
}

// A value that the revoking member does not hold is not proposed by it (R8); if whoever accepted it is
// gone, and a majority that did not remains, the slot comes to be nothing.
func TestAnUnheldValueIsGivenUp(t *testing.T) {
	c := ordertest.Met(t, mencius, 3, nil)
	c.Lost = func(from, to uint64) bool { return from == 3 }
	c.Propose(c.Members[3], ordertest.At(7, 1)) // 1 and 2 do not hold it
	c.Settle()
	slot := c.Members[3].O.(*Mencius).own.pending[0].slot
	c.Members[3].Up = false
	for range 80 {
		c.Tick()
	}
	if got := c.Agreed[slot]; !strings.HasSuffix(got, ":") || c.Members[1].O.Status().Position < slot {
		t.Fatalf("slot %d: %q", slot, got)
	}
}

// A proposal that was revoked begins a new term: its commands are to be proposed again.
func TestALostProposalEndsTheTerm(t *testing.T) {
	c := ordertest.Met(t, mencius, 3, nil)
	three := c.Members[3]
	c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 }
	c.Propose(three)
	three.O.ReadIndex(9)
	c.Ready(three)
	before := three.O.Status()
	if before.Pending != 1 {
		t.Fatalf("%+v", before)
	}
	for range 30 {
		c.Tick()
	}
	c.Lost = nil
	c.Outwait()
	after := three.O.Status()
	if after.Term <= before.Term || after.Term&0xff != 2 || after.Pending != 0 || !after.Leading {
		t.Fatalf("%+v, then %+v", before, after)
	}
	if len(three.Reads) != 1 || three.Reads[0].Ctx != 9 {
		t.Fatalf("the read is asked again: %+v", three.Reads)
	}
}

func TestFlexibleQuorums(t *testing.T) {
	c := ordertest.Met(t, mencius, 5, func(c *order.Config) { c.AcceptQuorum = 4 })
	c.Holds(7, 1, c.IDs()...)
	c.Lost = func(from, to uint64) bool { return from >= 4 }
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	if p := c.Members[1].O.(*Mencius); p.Commit >= p.own.pending[0].slot || p.Promises() != 2 {
		t.Fatalf("decided by three of five: %+v", p.Status())
	}
	c.Lost = nil
	c.Outwait()
	if s := c.Members[1].O.Status(); s.Pending != 0 {
		t.Fatalf("%+v", s)
	}
}

func in(slot, ballot uint64, decision []byte) entry {
	return entry{Slot: slot, Ballot: ballot, Decision: decision}
}

func samples() []message {
	d := ordertest.Decision(ordertest.At(1, 2))
	return []message{
		{kind: kindAccept, ballot: first, entries: []entry{in(3, first, d),
			in(6, first, nil)}},
		{kind: kindAccepted, ballot: 512, slots: []uint64{3, 7}},
		{kind: kindDecided, ballot: 512, slots: []uint64{3}},
		{kind: kindHeartbeat, ballot: 5, commit: 4, end: 9}, {kind: kindAsk, commit: 4, end: 9},
		{kind: kindLearn, ballot: decided, commit: 4, entries: []entry{in(2, decided, nil)}},
		{kind: kindPrepare, ballot: 512, commit: 4, end: 90, owners: 5},
		{kind: kindPromise, ballot: 512, entries: []entry{in(9, first, d)}},
		{kind: kindRefusal, ballot: 512, end: 9},
	}
}

// said is what of samples a restart must not forget.
var said = map[kind]order.Said{kindAccepted: {Term: resting, Position: 7}, kindHeartbeat: {Alive: true}}

// hostile is what nobody sends.
func hostile() map[string]message {
	return map[string]message{
		"an unknown kind":        {kind: kindEnd},
		"what is to oneself":     {kind: kindDurable},
		"a slot twice":           {kind: kindPromise, ballot: 9, entries: []entry{in(2, 1, nil), in(2, 1, nil)}},
		"another ballot":         {kind: kindAccept, ballot: 9, entries: []entry{in(2, 1, nil)}},
		"no decision":            {kind: kindAccept, ballot: 1, entries: []entry{in(2, 1, []byte{77})}},
		"slots that descend":     {kind: kindAccepted, ballot: 9, slots: []uint64{5, 4}},
		"a ballot out of bounds": {kind: kindPrepare, ballot: 1 << 63},
	}
}

func codec() ordertest.Codec[message] {
	return ordertest.Codec[message]{Samples: samples(), Bad: hostile(),
		Encode: (*message).encode, Decode: decode, Describe: Describe, Said: Said,
		Says: func(m message) order.Said { return said[m.kind] }}
}

func TestMessages(t *testing.T) { codec().Run(t) }

func FuzzDecode(f *testing.F) { codec().Fuzz(f) }

// Nobody proposes in another's slots or ballots.
func TestForeignBallotsAreRefused(t *testing.T) {
	c := ordertest.New(t, mencius, 3, 1, nil)
	d := ordertest.Decision()
	for name, m := range map[string]message{
		"a slot of 1":             {kind: kindAccept, ballot: first, entries: []entry{in(3, first, d)}},
		"a ballot of 3":           {kind: kindAccept, ballot: 258, entries: []entry{in(3, 258, d)}},
		"decided without a vote":  {kind: kindAccept, ballot: decided, entries: []entry{in(3, decided, nil)}},
		"a promise to another":    {kind: kindPromise, ballot: 258},
		"ballot 0 of no owner":    {kind: kindPrepare, ballot: first, end: 9, owners: 1},
		"decided in another slot": {kind: kindDecided, ballot: first, slots: []uint64{3}},
	} {
		if err := c.Members[1].O.Step(2, m.encode()); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
