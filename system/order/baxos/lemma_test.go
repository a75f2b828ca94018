package baxos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

// heard is a cluster whose members hear each other.
func heard(t *testing.T, n int, adjust func(*order.Config)) *ordertest.Cluster {
	t.Helper()
	c := ordertest.New(t, backing, n, 1, adjust)
	for _, id := range c.IDs() {
		c.Elect(id)
	}
	return c
}

// cutOff keeps members from hearing and speaking.
func cutOff(c *ordertest.Cluster, ids ...uint64) {
	c.Lost = func(from, to uint64) bool { return slices.Contains(ids, from) || slices.Contains(ids, to) }
}

// until lets time pass until something holds.
func until(t *testing.T, c *ordertest.Cluster, what string, holds func() bool) {
	t.Helper()
	for range 200 {
		if holds() {
			return
		}
		c.Tick()
	}
	t.Fatalf("never: %s", what)
}

func in(slot, ballot uint64, decision []byte) entry {
	return entry{Slot: slot, Ballot: ballot, Decision: decision}
}

// one is the member under test, whose disk a test syncs by hand.
type one struct {
	*testing.T
	c *ordertest.Cluster
	m *ordertest.Member
}

func alone(t *testing.T, id uint64) one {
	c := ordertest.New(t, backing, 3, 1, nil)
	return one{t, c, c.Members[id]}
}

func (o one) step(from uint64, m message) order.Ready {
	o.Helper()
	if err := o.m.O.Step(from, m.encode()); err != nil {
		o.Fatal(err)
	}
	return o.m.O.Ready()
}

// sync makes durable what is to be, and says what leaves then.
func (o one) sync(rd order.Ready) (said []string) {
	o.Helper()
	if rd.Persist == nil || rd.Persist.Lazy {
		o.Fatalf("nothing is written that anything waits for: %+v", rd)
	}
	o.m.Writing = append(o.m.Writing, rd.Persist)
	o.c.Sync(o.m)
	for _, out := range o.m.O.Ready().Messages {
		said = append(said, Describe(out.Data))
	}
	return said
}

// Nothing is accepted that the gate does not hold, whoever offers it (lemma 1); what is learnt to be decided
// waits, too (lemma 4).
func TestNothingGetsInButThroughTheGate(t *testing.T) {
	o := alone(t, 3)
	ballot, d := uint64(1<<8), ordertest.Decision(ordertest.At(7, 1))
	b := o.m.O.(*Baxos)
	rd := o.step(1, message{kind: kindAccept, slot: 2, ballot: ballot, entries: []entry{in(2, ballot, d)}})
	if s := b.Log.At(2); s.Ballot != 0 || rd.Persist != nil || b.Wait.Get(2) == nil {
		t.Fatalf("accepted without its items: %+v, %+v", s, rd)
	}
	o.step(1, message{kind: kindBeat, commit: 2, with: ballot})
	o.step(2, message{kind: kindLearn, commit: 2, with: ballot, entries: []entry{in(2, ballot, d)}})
	if s := b.Status(); s.Position != 1 || !b.learnt(2) || s.Waiting != 1 {
		t.Fatalf("learnt without its items: %+v", s)
	}
	o.m.Shelf.Frames[7] = 1
	b.Recheck()
	rd = b.Ready()
	if len(rd.Committed) != 1 || rd.Committed[0].Position != 2 {
		t.Fatalf("held, and not handed out: %+v", rd)
	}
	for _, out := range rd.Messages {
		if Said(out.Data).Position != 0 {
			t.Fatalf("what was learnt is no acceptance: %s", Describe(out.Data))
		}
	}
}

// A proposer whose slot the others decide, while its own acceptance waits at the gate, learns it as they do:
// it hands it out when it is held, and remembers it after a restart (lemma 4).
func TestWhatOthersDecideIsWrittenDown(t *testing.T) {
	o := alone(t, 1)
	b, d := o.m.O.(*Baxos), ordertest.Decision(ordertest.At(7, 1))
	b.Hear(1)
	o.c.Holds(7, 1, 1, 2, 3)
	if err := b.Propose(d); err != nil {
		t.Fatal(err)
	}
	o.c.Ready(o.m) // rounds are reserved, and one is promised here
	at := b.attempt
	o.m.Shelf.Frames[7] = 0
	o.step(2, message{kind: kindPromise, slot: 2, ballot: at.ballot})
	for _, from := range []uint64{2, 3} {
		o.step(from, message{kind: kindAccepted, slot: 2, ballot: at.ballot})
	}
	if s := b.Status(); b.attempt.phase == accepting || !b.learnt(2) || s.Position != 1 || s.Waiting != 1 {
		t.Fatalf("decided without its items: %+v", s)
	}
	o.c.Holds(7, 1, 1)
	if len(o.m.State) != 1 {
		t.Fatalf("held, and not handed out: %+v", b.Status())
	}
	o.c.Restart(o.m)
	if s := o.m.O.(*Baxos).Log.At(2); s == nil || !slices.Equal(s.Decision, d) {
		t.Fatalf("after a restart: %+v", s)
	}
}

// An Accepted leaves after what it speaks of is durable (lemma 2).
func TestAnAcceptanceIsDurableBeforeItIsSaid(t *testing.T) {
	o := alone(t, 3)
	ballot := uint64(1 << 8)
	rd := o.step(1, message{kind: kindAccept, slot: 2, ballot: ballot, entries: []entry{in(2, ballot, nil)}})
	if len(rd.Messages) > 0 {
		t.Fatalf("it leaves at once: %s", Describe(rd.Messages[0].Data))
	}
	said := o.sync(rd)
	if len(said) != 1 || !strings.HasPrefix(said[0], "Accepted 2 in 1.0, and promised the next") {
		t.Fatal(said)
	}
	o.c.Restart(o.m)
	b := o.m.O.(*Baxos)
	if s, next := b.Log.At(2), b.Log.At(3); s.Ballot != ballot || next.Promised != ballot {
		t.Fatalf("after a restart: %+v, %+v", s, next)
	}
}

// A slot is decided by a quorum of acceptances in one ballot, and by no fewer (lemma 3). The proposer's own
// counts when it is durable.
func TestAQuorumDecides(t *testing.T) {
	c := heard(t, 5, func(c *order.Config) { c.AcceptQuorum = 4 })
	c.Holds(7, 1, c.IDs()...)
	c.Lost = func(from, _ uint64) bool { return from >= 4 }
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	b := c.Members[1].O.(*Baxos)
	if b.attempt.phase != accepting || b.Promises() != 2 || len(c.Agreed) > 0 {
		t.Fatalf("decided by three of five: %+v", b.Status())
	}
	c.Lost = nil
	until(t, c, "all decide it", func() bool { return b.Status().Pending == 0 })
	if len(c.Agreed) == 0 {
		t.Fatal("nothing is agreed")
	}

	c = heard(t, 3, nil)
	c.Members[1].Slow = true
	c.Holds(7, 1, c.IDs()...)
	c.Lost = func(from, _ uint64) bool { return from == 3 }
	c.Propose(c.Members[1], ordertest.At(7, 1))
	for range 20 {
		c.Tick()
	}
	if len(c.Agreed) > 0 {
		t.Fatal("decided by one that has it durably, and one that has not")
	}
}

// A promise is durable before it is said, and kept, after a restart, too: nothing lower is accepted in that
// slot, and in others it is (lemma 5).
func TestAPromiseIsKept(t *testing.T) {
	o := alone(t, 3)
	high, low := uint64(9<<8|1), uint64(3<<8) // of 2 and of 1
	rd := o.step(2, message{kind: kindPrepare, slot: 2, ballot: high})
	if len(rd.Messages) > 0 {
		t.Fatalf("a promise leaves before it is durable: %+v", rd)
	}
	if said := o.sync(rd); len(said) != 1 || !strings.HasPrefix(said[0], "Promise 2 in 9.1") {
		t.Fatal(said)
	}
	for _, what := range []string{"before", "after a restart"} {
		for _, m := range []message{
			{kind: kindAccept, slot: 2, ballot: low, entries: []entry{in(2, low, ordertest.Decision())}},
			{kind: kindPrepare, slot: 2, ballot: low},
		} {
			rd := o.step(1, m)
			if len(rd.Messages) != 1 || !strings.HasPrefix(Describe(rd.Messages[0].Data), "Refusal 2 in 9.1") {
				t.Fatalf("%s, %s: %+v", what, kindNames[m.kind], rd)
			}
		}
		if s := o.m.O.(*Baxos).Log.At(2); s.Ballot != 0 || s.Promised != high {
			t.Fatalf("%s: %+v", what, s)
		}
		o.c.Restart(o.m)
	}
	rd = o.step(1, message{kind: kindPrepare, slot: 3, ballot: low})
	if said := o.sync(rd); len(said) != 1 || !strings.HasPrefix(said[0], "Promise 3 in 3.0") {
		t.Fatalf("another slot is promised to nobody: %v", said)
	}
}

// With an acceptance the next slot is promised only where nothing was accepted in it, for that promise tells
// of nothing (lemma 5).
func TestTheNextSlotIsPromisedOnlyIfItIsEmpty(t *testing.T) {
	o := alone(t, 3)
	early, late := uint64(1<<8), uint64(2<<8)
	o.sync(o.step(1, message{kind: kindAccept, slot: 3, ballot: early, entries: []entry{in(3, early, nil)}}))
	rd := o.step(1, message{kind: kindAccept, slot: 2, ballot: late, entries: []entry{in(2, late, nil)}})
	said := o.sync(rd)
	if len(said) != 1 || !strings.HasPrefix(said[0], "Accepted 2 in 2.0;") {
		t.Fatalf("%v", said)
	}
	if s := o.m.O.(*Baxos).Log.At(3); s.Promised != early || s.Ballot != early {
		t.Fatalf("%+v", s)
	}
}

// Nobody hears of a round before it is reserved durably, and no life of a process uses one of another's
// (lemma 6).
func TestARoundIsUsedByOneLife(t *testing.T) {
	c := heard(t, 3, nil)
	m := c.Members[1]
	m.Slow = true
	c.Propose(m)
	for range 10 {
		c.Tick()
	}
	for _, id := range []uint64{2, 3} {
		if b := c.Members[id].O.(*Baxos); b.seen > 0 {
			t.Fatalf("%d has heard of round %d, which is not durable", id, b.seen)
		}
	}
	m.Slow = false
	c.Sync(m)
	c.Ready(m)
	c.Settle()
	until(t, c, "it is decided", func() bool { return len(c.Agreed) == 1 })
	used, reserved := m.O.(*Baxos).round, m.O.(*Baxos).reserved
	c.Restart(m)
	until(t, c, "it leads again", func() bool { return m.O.Status().Leading })
	c.Propose(m)
	until(t, c, "another is decided", func() bool { return m.O.Status().Pending == 0 })
	if next := m.O.(*Baxos).round; next <= reserved || reserved < used {
		t.Fatalf("round %d after a restart; %d was used, and %d reserved, before", next, used, reserved)
	}
}

// Of the values that a slot was accepted with, the one of the highest ballot is proposed again: the other
// cannot have been decided, and this one may have been (lemma 7).
func TestTheHighestBallotWins(t *testing.T) {
	o := alone(t, 1)
	old, recent := ordertest.Decision(ordertest.At(7, 1)), ordertest.Decision(ordertest.At(7, 2))
	o.m.Shelf.Frames[7] = 2
	b := o.m.O.(*Baxos)
	b.round, b.reserved, b.pledged = 4, 100, 100
	for from := range uint64(3) {
		b.Hear(int(from))
	}
	if err := b.Propose(ordertest.Decision()); err != nil {
		t.Fatal(err)
	}
	at := b.attempt
	o.c.Ready(o.m)
	b.attempt.votes = 0 // two others promise
	o.step(2, message{kind: kindPromise, slot: 2, ballot: at.ballot, entries: []entry{in(2, 3<<8|1, recent)}})
	o.step(3, message{kind: kindPromise, slot: 2, ballot: at.ballot, entries: []entry{in(2, 2<<8|2, old)}})
	if got := b.attempt; got.phase != accepting || !slices.Equal(got.decision, recent) || got.mine {
		t.Fatalf("%+v", got)
	}
}

// Two proposers whose quorums meet in one member decide one value: end to end, through a proposer's death
// (lemma 7).
func TestWhatMayBeDecidedIsFound(t *testing.T) {
	c := heard(t, 3, nil)
	c.Holds(7, 2, 1, 2, 3)
	c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 }
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	first := c.Agreed[2]
	if first == "" {
		t.Fatal("two of three decide nothing")
	}
	cutOff(c, 1)
	c.Propose(c.Members[3], ordertest.At(7, 2))
	until(t, c, "3 decides its own", func() bool { return c.Members[3].O.Status().Pending == 0 })
	if c.Agreed[2] != first || c.Members[3].State[0] != first {
		t.Fatalf("slot 2 is %q, then %q", first, c.Members[3].State[0])
	}
}

// A value that its finder does not hold is not proposed by it (R8); if whoever accepted it is gone, and a
// majority that did not remains, the slot comes to be another's.
func TestAnUnheldValueIsGivenUp(t *testing.T) {
	c := heard(t, 3, nil)
	c.Propose(c.Members[1])
	c.Settle()               // slot 3 is promised to 1
	c.Members[1].Slow = true // what it accepts itself will never be durable
	c.Lost = func(from, to uint64) bool { return to == 1 || from == 1 && to == 3 }
	c.Holds(7, 1, 2)
	c.Propose(c.Members[1], ordertest.At(7, 1)) // 2 accepts it
	c.Settle()
	c.Members[1].Up = false
	c.Lost = nil
	c.Propose(c.Members[3], ordertest.At(8, 1))
	three := c.Members[3].O.(*Baxos)
	until(t, c, "3 finds it", func() bool { return three.attempt.phase == recovering })
	c.Members[2].Up = false
	delete(c.Members[1].Shelf.Frames, 7)
	c.Members[1].Slow = false
	c.Restart(c.Members[1])
	c.Holds(8, 1, 1)
	until(t, c, "3 decides its own", func() bool { return three.Status().Pending == 0 })
}

// Slots are decided in order: nobody prepares a slot before it knows that all before are decided (lemma 8).
func TestSlotsAreDecidedInOrder(t *testing.T) {
	c := heard(t, 3, nil)
	c.Holds(7, 20, 1, 2, 3)
	for n := uint64(1); n <= 20; n++ {
		m := c.Members[1+n%3]
		c.Propose(m, ordertest.At(7, n))
		for range 3 {
			for _, id := range c.IDs() {
				b := c.Members[id].O.(*Baxos)
				if a := b.attempt; a.phase != resting && a.slot != b.Commit+1 {
					t.Fatalf("%d goes for slot %d and knows of %d to be decided", id, a.slot, b.Commit)
				}
			}
			c.Tick()
		}
	}
	until(t, c, "all is decided", func() bool {
		return c.Members[1].O.Status().Pending+c.Members[2].O.Status().Pending+
			c.Members[3].O.Status().Pending == 0
	})
}

// Everybody proposes without end: back-off lets somebody win again and again, whatever the seed.
func TestContentionEnds(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			c := heard(t, 5, func(c *order.Config) { c.Seed += seed << 8 })
			for round := range uint64(10) {
				for _, id := range c.IDs() {
					lane := order.LaneID(id)
					c.Holds(lane, round+1, c.IDs()...)
					c.Propose(c.Members[id], ordertest.At(lane, round+1))
				}
				until(t, c, "all five get a slot", func() bool {
					for _, m := range c.Members {
						if m.O.Status().Pending > 0 {
							return false
						}
					}
					return true
				})
			}
		})
	}
}

// A proposal that others' decisions cover needs no slot any more (R6); one with commands does.
func TestWhatIsCoveredIsDropped(t *testing.T) {
	c := heard(t, 3, nil)
	c.Holds(7, 2, 1, 2, 3)
	cutOff(c, 2)
	c.Propose(c.Members[2], ordertest.At(7, 1))
	d := order.Decision{Cut: order.Cut{ordertest.At(7, 1)},
		Commands: []order.Command{{Kind: order.ExpireSessions, Before: 1}}}
	if err := c.Members[2].O.Propose(order.AppendDecision(nil, &d)); err != nil {
		t.Fatal(err)
	}
	c.Propose(c.Members[1], ordertest.At(7, 2))
	c.Settle()
	c.Lost = nil
	until(t, c, "2 learns it", func() bool { return c.Members[2].Place.Position >= 2 })
	if s := c.Members[2].O.Status(); s.Pending > 1 {
		t.Fatalf("%+v", s)
	}
	until(t, c, "the command is decided", func() bool { return c.Members[2].O.Status().Pending == 0 })
	if n := len(c.Agreed); n != 2 {
		t.Fatalf("%d decisions: %v", n, c.Agreed)
	}
}

// Who knows what is decided, and can get its items from nobody any more, asks until somebody sends state.
func TestWhatIsInASnapshotOnlyIsAskedFor(t *testing.T) {
	c := heard(t, 3, nil)
	m := c.Members[1]
	c.Holds(7, 2, 2)
	for n := uint64(1); n <= 2; n++ {
		c.Propose(m, ordertest.At(7, n))
		c.Settle()
	}
	three := c.Members[3].O.(*Baxos)
	if !three.learnt(2) || !three.learnt(3) || three.Status().Position != 1 {
		t.Fatalf("3 knows what is decided, and lacks its items: %+v", three.Status())
	}
	c.Members[2].O.Compact(3) // 1 has the log still
	c.Ready(c.Members[2])
	c.Members[2].O.Snapshot(3)
	until(t, c, "2 sends its state", func() bool { return c.Members[3].Place.Position == 3 })
	if len(c.Sent) == 0 || three.Status().Waiting != 0 {
		t.Fatalf("%d transfers, %+v", len(c.Sent), three.Status())
	}
}

// One member at a time is asked what was decided, and another when that does not help: two that send their
// state hold each other up.
func TestOneIsAskedAtATime(t *testing.T) {
	o := alone(t, 3)
	var asked []string
	for range 2 * patience * 10 {
		o.m.O.Tick()
		for _, from := range []uint64{1, 2} {
			rd := o.step(from, message{kind: kindBeat, commit: 9, with: 256, match: 9})
			for _, out := range rd.Messages {
				if to := fmt.Sprint(out.To); strings.HasPrefix(Describe(out.Data), "Ask") &&
					(len(asked) == 0 || asked[len(asked)-1] != to) {
					asked = append(asked, to)
				}
			}
		}
	}
	if !slices.Equal(asked, []string{"1", "2", "1"}) {
		t.Fatalf("asked, one after another: %v", asked)
	}
}

// What waits at the gate is bounded, and comes all the same.
func TestWaitingIsBounded(t *testing.T) {
	c := heard(t, 3, func(c *order.Config) { c.MaxWaitingBytes = 300 })
	m := c.Members[1]
	for n := uint64(1); n <= 20; n++ {
		c.Holds(7, n, 2)
		c.Propose(m, ordertest.At(7, n))
		c.Settle()
	}
	for range 10 {
		c.Tick()
	}
	if s := c.Members[3].O.Status(); s.Waiting == 0 || s.Waiting > 4 || s.Dropped == 0 {
		t.Fatalf("%+v", s)
	}
	c.Holds(7, 20, 3)
	until(t, c, "3 catches up", func() bool { return c.Members[3].Place.Position == m.Place.Position })
}

// Proposals that are not decided are bounded: the next is refused, and may be offered again (I6).
func TestProposalsAreBounded(t *testing.T) {
	c := heard(t, 3, nil)
	c.Lost = func(uint64, uint64) bool { return true }
	m := c.Members[1]
	for range maxQueue {
		c.Propose(m)
	}
	if err := m.O.Propose(ordertest.Decision()); !errors.Is(err, order.ErrBusy) {
		t.Fatal(err)
	}
	c.Lost = nil
	until(t, c, "they are decided", func() bool { return m.O.Status().Pending == 0 })
	if err := m.O.Propose(ordertest.Decision()); err != nil {
		t.Fatal(err)
	}
}

// Without a majority nobody proposes, and nobody is taken for the one who speaks for all.
func TestAMinorityDoesNotPropose(t *testing.T) {
	c := heard(t, 3, nil)
	cutOff(c, 3)
	for range 12 {
		c.Tick()
	}
	if s := c.Members[3].O.Status(); s.Leading || s.Leader != 0 {
		t.Fatalf("%+v", s)
	}
	if err := c.Members[3].O.Propose(ordertest.Decision()); !errors.Is(err, order.ErrNotLeader) {
		t.Fatal(err)
	}
	if a, b := c.Members[1].O.Status(), c.Members[2].O.Status(); !a.Leading || !b.Leading || a.Term == b.Term ||
		a.Leader != 1 || b.Leader != 1 {
		t.Fatalf("%+v, %+v", a, b)
	}
}
