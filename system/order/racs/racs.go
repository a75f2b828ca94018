package racs

import (
	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/paxos"
	"metronome/system/order/slots"
)

// The messages by which a leader comes to be; those of phase 2 are paxos'.
const (
	kindProbe    = paxos.Own + iota // do you miss the leader, too?
	kindProbed                      // the answer
	kindPromise                     // the paper's timeout, to all: what was accepted, with the ballots
	kindPropose                     // the paper's propose-async: promises of a majority came
	kindVote                        // its vote-async
	kindComplete                    // its asynchronous-complete: a majority voted, and nothing is lacking
)

var dialect = paxos.Dialect{Name: "racs", Format: 0xE1, Own: []paxos.Form{
	{Name: "Probe"}, {Name: "Probed", Carries: paxos.Grant}, {Name: "Promise", Carries: paxos.FoundBeyond},
	{Name: "ProposeAsync"}, {Name: "VoteAsync"}, {Name: "Complete"}}}

// Describe says in a few words what a message is, for people.
func Describe(b []byte) string { return dialect.Describe(b) }

// Said is what a message tells others of its sender's stable storage ([order.Said]).
func Said(b []byte) order.Said { return dialect.Said(b) }

// Racs is an [order.Orderer]: a leader per view, drawn by a coin, behind the gate.
type Racs struct {
	paxos.Core
	common uint64 // the coin's seed, the same everywhere
	watch  watch
	asked  asking
	fall   fallback
}

var _ order.Orderer = (*Racs)(nil)

// New returns an orderer; an error says what is wrong with the configuration, or that the records
// of a Restart do not fit together. A joiner is refused: members are fixed.
func New(c order.Config) (*Racs, error) {
	p := &Racs{}
	if err := p.Start(&dialect, p, &c); err != nil {
		return nil, err
	}
	for _, id := range p.Members {
		p.common = slots.Mix(p.common ^ id)
	}
	return p, nil
}

// majority is for what has nothing to do with values: whom to follow.
func (p *Racs) majority(set uint32) bool { return slots.Quorum(set, len(p.Members)/2+1) }

// ballot is the one of a view: the coin draws whose it is, the same for all, for it is a hash of the
// members and the view. It draws without putting back: in any len(Members) views from a multiple of
// that, each member once.
func (p *Racs) ballot(view uint64) uint64 {
	var left [32]uint8 // slots allows no more members
	n := uint64(len(p.Members))
	for i := range n {
		left[i] = uint8(i)
	}
	at, turn := slots.Mix(p.common)^view/n, view%n
	for i := uint64(0); ; i++ {
		at = slots.Mix(at)
		drawn := i + at%(n-i)
		if left[i], left[drawn] = left[drawn], left[i]; i == turn {
			return slots.Ballot(view, int(left[i]))
		}
	}
}

// next is the ballot of the view after all those heard of.
func (p *Racs) next() uint64 { return p.ballot(slots.Round(max(p.Promised, p.Seen)) + 1) }

// drawn reports whether a ballot is this member's.
func (p *Racs) drawn(ballot uint64) bool {
	return slots.Owner(ballot) == p.Self || mutate.On(mutate.RacsEveryoneDrawn)
}

// Vouch implements [paxos.Protocol]: a ballot is whose the coin says, and what is said in a fallback is
// said by all in one ballot.
func (p *Racs) Vouch(m *paxos.Message, owner int) bool {
	switch {
	case m.Kind == paxos.Refusal && m.Ballot == 0:
		return true // its sender promised none
	case m.Kind == paxos.Refusal || m.Kind >= paxos.Own:
		owner = slots.Owner(m.Ballot)
	}
	view, own := slots.Round(m.Ballot), slots.Owner(m.Ballot) == owner || mutate.On(mutate.RacsEveryoneDrawn)
	return view > 0 && p.ballot(view) == m.Ballot && own
}

// Tick implements [order.Orderer].
func (p *Racs) Tick() {
	p.Elapsed++
	if p.watch.calm++; p.watch.calm >= p.ElectionTicks && p.Leader != 0 {
		p.watch.falls = 0
	}
	switch p.Role {
	case paxos.Leading:
		p.TickLeader()
	case paxos.Follower:
		p.tickFollower()
	default:
		p.tickFallback()
	}
}

// Handle implements [paxos.Protocol].
func (p *Racs) Handle(from int, m *paxos.Message) {
	switch m.Kind {
	case kindProbe:
		p.onProbe(from, m)
	case kindProbed:
		p.onProbed(from, m)
	case kindPromise:
		p.onPromise(from, m)
	case kindPropose:
		p.onPropose(from, m)
	case kindVote:
		p.onVote(from, m)
	case kindComplete:
		p.onComplete(from, m)
	case paxos.Refusal:
		p.onRefusal(m)
	case paxos.TakeOver:
		p.onTakeOver(from, m)
	}
}

// onRefusal learns of a higher ballot. Who misses a leader, or is one that somebody has left, goes there.
func (p *Racs) onRefusal(m *paxos.Message) {
	p.See(m.Ballot)
	if m.Ballot > p.Promised && (p.Role != paxos.Follower || p.misses()) {
		p.enter(m.Ballot)
	}
}

// onTakeOver enters the next view that the coin gives to this member: the leader asked for it.
func (p *Racs) onTakeOver(from int, m *paxos.Message) {
	if m.Ballot != p.Promised || p.Leader != p.Members[from] || len(p.Holes) > 0 {
		return
	}
	for view := slots.Round(m.Ballot) + 1; ; view++ {
		if b := p.ballot(view); p.drawn(b) && b > p.Seen {
			p.enter(b)
			return
		}
	}
}
