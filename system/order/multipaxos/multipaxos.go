package multipaxos

import (
	"metronome/system/order"
	"metronome/system/order/paxos"
	"metronome/system/order/slots"
)

// The messages of phase 1; those of phase 2 are paxos'.
const (
	kindProbe   = paxos.Own + iota // would you promise this ballot?
	kindProbed                     // the answer
	kindPrepare                    // phase 1a
	kindPromise                    // phase 1b: what was accepted, with the ballots
)

var dialect = paxos.Dialect{Name: "multipaxos", Format: 0xA1, Own: []paxos.Form{
	{Name: "Probe"}, {Name: "Probed", Carries: paxos.Grant}, {Name: "Prepare"},
	{Name: "Promise", Carries: paxos.Found}}}

// Describe says in a few words what a message is, for people.
func Describe(b []byte) string { return dialect.Describe(b) }

// Said is what a message tells others of its sender's stable storage ([order.Said]).
func Said(b []byte) order.Said { return dialect.Said(b) }

// Paxos is an [order.Orderer]: Multi-Paxos behind the gate.
type Paxos struct {
	paxos.Core
	timeout int // ticks that a leader is waited for
	asked   asking
}

var _ order.Orderer = (*Paxos)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records
// of a Restart do not fit together. A joiner is refused: members are fixed.
func New(c order.Config) (*Paxos, error) {
	p := &Paxos{}
	if err := p.Start(&dialect, p, &c); err != nil {
		return nil, err
	}
	return p, nil
}

// Await implements [paxos.Protocol]: a timeout is random, so that not all campaign at once.
func (p *Paxos) Await(bool) {
	p.Elapsed, p.timeout = 0, p.ElectionTicks+p.Random.Below(p.ElectionTicks)
}

// Tick implements [order.Orderer]. With a hole in what it accepted, a replica does not campaign (R4).
func (p *Paxos) Tick() {
	p.Elapsed++
	if p.Role == paxos.Leading {
		p.TickLeader()
		return
	}
	if p.Elapsed < p.timeout {
		return
	}
	p.Leader = 0
	if p.Role = paxos.Follower; len(p.Holes) > 0 {
		p.Await(false)
		return
	}
	p.probe()
}

// Vouch implements [paxos.Protocol]: a ballot is whose index it has.
func (p *Paxos) Vouch(m *paxos.Message, owner int) bool {
	switch m.Kind {
	case paxos.Refusal:
		return true // it names the one that the asker should have known
	case kindProbed, kindPromise:
		owner = p.Self
	}
	return slots.Owner(m.Ballot) == owner && slots.Round(m.Ballot) > 0
}

// Handle implements [paxos.Protocol].
func (p *Paxos) Handle(from int, m *paxos.Message) {
	switch m.Kind {
	case kindProbe:
		p.onProbe(from, m)
	case kindProbed:
		p.onProbed(from, m)
	case kindPrepare:
		p.onPrepare(from, m)
	case kindPromise:
		p.onPromise(from, m)
	case paxos.Refusal:
		p.onRefusal(m)
	case paxos.TakeOver:
		p.onTakeOver(from, m)
	}
}
