package rabia

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

func of(m *ordertest.Member) *Rabia { return m.O.(*Rabia) }

// What is said in a slot is durable before (lemmas 2 and 6): a proposal, a state, a vote.
func TestNothingIsSaidBeforeItIsDurable(t *testing.T) {
	c := ordertest.Met(t, rabia, 3, nil)
	c.Holds(7, 1, 1, 2, 3)
	m := c.Members[1]
	said := func(rd order.Ready) (what []string) {
		for _, out := range rd.Messages {
			if d, _, _ := strings.Cut(Describe(out.Data), " "); out.To == 2 {
				what = append(what, d)
			}
		}
		return what
	}
	if err := m.O.Propose(ordertest.Decision(ordertest.At(7, 1))); err != nil {
		t.Fatal(err)
	}
	value := of(m).mine.proposal
	for n, want := range []string{"Proposal", "State", "Vote"} {
		rd := m.O.Ready()
		if len(said(rd)) > 0 || rd.Persist == nil || rd.Persist.Lazy {
			t.Fatalf("%s: %v before it is durable", want, said(rd))
		}
		m.O.Persisted(rd.Persist.Seq)
		steps := [][]step{nil, {{state: one}}, {{state: one, vote: one}}}[n]
		other := message{kind: kindSay, slot: 2, proposal: value, value: value, steps: steps}
		rd = order.Ready{Messages: m.O.Ready().Messages}
		if got := said(rd); !slices.Equal(got, []string{want}) {
			t.Fatalf("%v, want %s", got, want)
		}
		if err := m.O.Step(2, other.encode()); err != nil {
			t.Fatal(err)
		}
	}
	if of(m).Commit != 2 {
		t.Fatalf("%+v", m.O.Status())
	}
}

// Only what is held is proposed, whoever wanted it (lemma 1).
func TestOnlyWhatIsHeldIsProposed(t *testing.T) {
	c := ordertest.Met(t, rabia, 3, nil)
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	if p := of(c.Members[2]); len(p.pool.wanted) != 1 || p.mine.proposal != nil {
		t.Fatalf("%+v", p.mine)
	}
	c.Holds(7, 1, 2)
	if p := of(c.Members[2]); p.mine.proposal == nil {
		t.Fatal("not proposed although it is held")
	}
}

// After a restart a member says in a slot what it said, or nothing while it does not hold what it proposed
// (lemmas 2 and 6, R4).
func TestWhatWasSaidIsRemembered(t *testing.T) {
	c := ordertest.Met(t, rabia, 3, nil)
	c.Holds(7, 1, 1, 2)
	c.Lost = func(from, to uint64) bool { return to == 1 || from == 2 }
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	two := c.Members[2]
	before := of(two).mine
	if before.proposal == nil || len(before.steps) == 0 {
		t.Fatalf("%+v", before)
	}
	c.Restart(two)
	if after := of(two).mine; !reflect.DeepEqual(after, before) {
		t.Fatalf("%+v, then %+v", before, after)
	}
	two.Shelf.Frames[7] = 0
	c.Restart(two)
	c.Lost = nil
	two.O.Tick()
	two.O.Tick()
	for _, out := range two.O.Ready().Messages {
		if out.Data[0] == byte(kindSay) {
			t.Fatalf("with a hole: %s", Describe(out.Data))
		}
	}
	if s := two.O.Status(); s.Holes != 1 || s.Leading {
		t.Fatalf("%+v", s)
	}
	c.Holds(7, 1, 2)
	c.Outwait()
	if s := two.O.Status(); s.Holes != 0 || s.Position < 2 {
		t.Fatalf("%+v", s)
	}
}

// Votes for 0 and for 1 do not meet in a phase (lemma 7): without a majority of states a vote is unsure, and
// where all are, the coin is the next state, the same everywhere.
func TestWithoutAMajorityTheCoinDecides(t *testing.T) {
	c := ordertest.Met(t, rabia, 5, nil)
	value := ordertest.Decision()
	m := c.Members[1]
	say := func(from uint64, steps ...step) {
		t.Helper()
		b := (&message{kind: kindSay, slot: 2, proposal: value, value: value, steps: steps}).encode()
		if err := m.O.Step(from, b); err != nil {
			t.Fatal(err)
		}
		c.Ready(m)
	}
	say(2, step{state: one}) // 1 proposes the same, and has state 1 with it
	say(3, step{state: zero})
	p := of(m)
	if len(p.mine.steps) != 1 || p.mine.steps[0] != (step{one, unsure}) {
		t.Fatalf("two of 1, one of 0: %+v", p.mine.steps)
	}
	coin := p.coin(0)
	say(2, step{one, unsure})
	say(3, step{zero, unsure})
	if len(p.mine.steps) != 2 || p.mine.steps[1].state != coin {
		t.Fatalf("%+v, the coin %s", p.mine.steps, opinionNames[coin])
	}
	if p.Commit != 1 {
		t.Fatal("decided without a vote")
	}
}

func TestTheCoinIsCommonAndFair(t *testing.T) {
	c := ordertest.Met(t, rabia, 3, nil)
	ones := 0
	for phase := range 1000 {
		first := of(c.Members[1]).coin(phase)
		for _, id := range c.IDs() {
			if got := of(c.Members[id]).coin(phase); got != first {
				t.Fatalf("phase %d: %s and %s", phase, opinionNames[first], opinionNames[got])
			}
		}
		if first == one {
			ones++
		}
	}
	if ones < 400 || ones > 600 {
		t.Errorf("%d of 1000", ones)
	}
}

// One vote for a value makes it the state of who goes on (lemma 8).
func TestAVoteSeenIsTheNextState(t *testing.T) {
	c := ordertest.Met(t, rabia, 5, nil)
	value := ordertest.Decision()
	m := c.Members[1]
	for from, steps := range map[uint64][]step{2: {{zero, zero}}, 3: {{one, unsure}}, 4: {{zero, unsure}}} {
		b := (&message{kind: kindSay, slot: 2, proposal: value, value: value, steps: steps}).encode()
		if err := m.O.Step(from, b); err != nil {
			t.Fatal(err)
		}
	}
	c.Ready(m)
	if p := of(m); len(p.mine.steps) < 2 || p.mine.steps[1].state != zero {
		t.Fatalf("%+v", p.mine.steps)
	}
}

// Who is told of 1 is told of which value (lemma 5), and may take that for the majority's.
func TestAStateCarriesItsValue(t *testing.T) {
	c := ordertest.Met(t, rabia, 3, nil)
	c.Holds(7, 1, 1, 2)
	c.Lost = func(from, to uint64) bool { return to == 3 }
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	c.Members[1].Up = false
	c.Lost = nil
	c.Outwait()
	if s := c.Members[3].O.Status(); s.Position < 2 || c.Agreed[2] == "" {
		t.Fatalf("%+v: 2 knows, 1 is gone, and 3 holds nothing", s)
	}
}

// Cuts that two members made at nearly the same time are one value: log time is rounded down.
func TestCutsOfTheSameMomentAreTheSame(t *testing.T) {
	c := ordertest.Met(t, rabia, 3, nil)
	c.Holds(7, 1, 1, 2, 3)
	for id, at := range map[uint64]uint64{1: 16, 2: 23} {
		d := order.AppendDecision(nil, &order.Decision{Time: at, Cut: order.Cut{ordertest.At(7, 1)}})
		if err := c.Members[id].O.Propose(d); err != nil {
			t.Fatal(err)
		}
		c.Ready(c.Members[id])
	}
	c.Settle()
	if n := len(c.Agreed); n != 1 {
		t.Fatalf("%d positions: %v", n, c.Agreed)
	}
	if s := c.Members[1].O.Status(); s.Same != 1 || s.Pending != 0 || s.Nothings != 0 || s.Quantum < 2 {
		t.Fatalf("%+v", s)
	}
}

func TestMoreThanAMajorityMayBeAskedFor(t *testing.T) {
	c := ordertest.Met(t, rabia, 3, func(c *order.Config) { c.AcceptQuorum = 3 })
	c.Holds(7, 1, 2)
	c.Propose(c.Members[1], ordertest.At(7, 1))
	c.Settle()
	for range 10 {
		c.Tick()
	}
	for n, line := range c.Agreed {
		if !strings.HasSuffix(line, ":") {
			t.Fatalf("%d is %s, and two of three hold it", n, line)
		}
	}
	if s := c.Members[1].O.Status(); s.Nothings == 0 {
		t.Fatalf("%+v", s)
	}
	c.Holds(7, 1, 3)
	c.Outwait()
	if s := c.Members[1].O.Status(); s.Pending != 0 {
		t.Fatalf("%+v", s)
	}
}

func samples() []message {
	d, e := ordertest.Decision(ordertest.At(1, 2)), ordertest.Decision()
	return []message{
		{kind: kindSay, slot: 3, proposal: d},
		{kind: kindSay, slot: 3, again: true, proposal: d, value: d, steps: []step{{one, unsure}, {zero, none}}},
		{kind: kindSay, slot: 3, proposal: d, value: e, steps: []step{{zero, one}}},
		{kind: kindRequest, slot: 4, proposal: d}, {kind: kindBeat, slot: 5, number: 4}, {kind: kindAsk, slot: 4},
		{kind: kindLearn, entries: []entry{{Slot: 2, Ballot: term}, {Slot: 3, Ballot: term, Decision: d}}},
		{kind: kindRead, number: 7}, {kind: kindVoted, number: 7, slot: 3},
	}
}

// said is what of samples a restart must not forget.
var said = map[kind]order.Said{kindSay: {Term: resting, Position: 3}, kindBeat: {Alive: true}}

// hostile is what nobody sends.
func hostile() map[string]message {
	d := ordertest.Decision()
	return map[string]message{
		"an unknown kind":      {kind: kindEnd},
		"what is to oneself":   {kind: kindDurable},
		"1 of what value":      {kind: kindSay, slot: 3, proposal: d, steps: []step{{one, none}}},
		"a vote left out":      {kind: kindSay, slot: 3, steps: []step{{zero, none}, {zero, none}}},
		"an unsure state":      {kind: kindSay, slot: 3, steps: []step{{unsure, none}}},
		"no decision":          {kind: kindSay, slot: 3, proposal: []byte{77}},
		"a request of nothing": {kind: kindRequest, slot: 3},
		"no slot":              {kind: kindLearn, entries: []entry{{Ballot: term}}},
		"a slot out of bounds": {kind: kindAsk, slot: 1 << 63},
	}
}

func codec() ordertest.Codec[message] {
	return ordertest.Codec[message]{Samples: samples(), Bad: hostile(),
		Encode: (*message).encode, Decode: decode, Describe: Describe, Said: Said,
		Says: func(m message) order.Said { return said[m.kind] }}
}

func TestMessages(t *testing.T) { codec().Run(t) }

func FuzzDecode(f *testing.F) { codec().Fuzz(f) }
