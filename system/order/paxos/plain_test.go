package paxos

import (
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
	"metronome/system/order/slots"
)

// plain is the smallest protocol: who hears of no leader for long campaigns, in the order of members.
type plain struct{ Core }

const (
	kindPrepare = Own + iota
	kindPromise
)

var tongue = Dialect{Name: "plain", Format: 0x77,
	Own: []Form{{"Prepare", Nothing}, {"Promise", Found}}}

func start(c order.Config) (order.Orderer, error) {
	p := &plain{}
	if err := p.Start(&tongue, p, &c); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *plain) Await(bool) { p.Elapsed = 0 }

func (p *plain) Tick() {
	p.Elapsed++
	if p.Role == Leading {
		p.TickLeader()
	} else if p.Elapsed >= p.ElectionTicks*(1+p.Self) {
		p.campaign()
	}
}

func (p *plain) campaign() {
	p.StepDown()
	if len(p.Holes) > 0 {
		return
	}
	p.Pledge(slots.Ballot(slots.Round(max(p.Promised, p.Seen))+1, p.Self))
	p.Gather()
	p.Others(func(i int) { p.Hold(i, Message{Kind: kindPrepare, Ballot: p.Promised, Commit: p.Commit}) })
	p.Promise(p.Self, kindPromise, p.Commit)
}

func (p *plain) Vouch(m *Message, owner int) bool {
	if m.Kind == kindPromise {
		owner = p.Self
	}
	return m.Kind == Refusal || slots.Owner(m.Ballot) == owner && slots.Round(m.Ballot) > 0
}

func (p *plain) Handle(from int, m *Message) {
	switch m.Kind {
	case kindPrepare:
		if m.Ballot <= p.Promised || m.Commit < p.Commit {
			p.Refuse(from)
			return
		}
		p.Pledge(m.Ballot)
		p.Promise(from, kindPromise, m.Commit)
	case kindPromise:
		if p.Role == Gathering && m.Ballot == p.Promised {
			p.Count(from, m)
			p.Elected()
			p.Recover()
		}
	case Refusal:
		if p.See(m.Ballot); m.Ballot > p.Promised && p.Role != Follower {
			p.StepDown()
		}
	case TakeOver:
		p.campaign()
	}
}

func (p *plain) Recover() {
	if p.Role == Recovering && p.HoldsFound() {
		p.Lead()
	}
}

// What is shared keeps the rules under the smallest of protocols: elections are nothing that it needs.
var smallest = ordertest.Algorithm{Name: "plain", Start: start, Describe: tongue.Describe, Fixed: true,
	Networks: 10}

func TestConformance(t *testing.T) { ordertest.Run(t, smallest) }

func TestLed(t *testing.T) { ordertest.RunLed(t, smallest) }

// A leader whose proposals are not decided ends proposing at a bound (I6), and catches up.
func TestALeaderRunsAheadWithinBounds(t *testing.T) {
	c := ordertest.New(t, smallest, 3, 1, nil)
	m := c.Elect(1)
	c.Rest(2, 3)
	n := 0
	for ; m.O.Propose(ordertest.Decision()) == nil; n++ {
		c.Ready(m)
	}
	c.Settle()
	if s := m.O.Status(); n != MaxAhead || s.Last != s.Position+MaxAhead {
		t.Fatalf("%d proposals: %+v", n, s)
	}
	c.Lost = nil
	for range 20 {
		c.Tick(1)
	}
	if s := m.O.Status(); s.Position != s.Last || c.Members[3].O.Status().Last != s.Last {
		t.Fatalf("%+v", s)
	}
}

// A read is refused silently beyond a bound, and none is answered before a quorum said that it follows.
func TestReadsAreBounded(t *testing.T) {
	c := ordertest.New(t, smallest, 3, 1, nil)
	m := c.Elect(1)
	for ctx := range uint64(maxReads + 10) {
		m.O.ReadIndex(ctx)
	}
	p := m.O.(*plain)
	if rd := m.O.Ready(); len(rd.Reads) > 0 || len(p.reads.asked) != maxReads {
		t.Fatalf("%d answers, %d wait", len(rd.Reads), len(p.reads.asked))
	}
	alive := Message{Kind: Alive, Ballot: p.Promised, Commit: 1, Have: 1, End: 1, Read: 7}
	if err := m.O.Step(2, tongue.Encode(&alive)); err != nil {
		t.Fatal(err)
	}
	if rd := m.O.Ready(); len(rd.Reads) != 7 || rd.Reads[6] != (order.Read{Ctx: 6, Position: 1}) {
		t.Fatalf("%d answers: %+v", len(rd.Reads), rd.Reads)
	}
}
