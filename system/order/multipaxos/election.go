package multipaxos

import (
	"metronome/system/order/paxos"
	"metronome/system/order/slots"
)

// nextBallot is higher than every ballot heard of, and this member's.
func (p *Paxos) nextBallot() uint64 {
	return slots.Ballot(slots.Round(max(p.Promised, p.Seen))+1, p.Self)
}

// asking is who would promise a ballot.
type asking struct {
	ballot uint64
	votes  uint32
}

// probe asks whether a majority would promise, so that a member that others do not miss raises no
// ballot (as Raft's PreVote: Ongaro 2014, 9.6).
func (p *Paxos) probe() {
	p.Await(false)
	p.Role = paxos.Asking
	p.asked = asking{p.nextBallot(), paxos.Bit(p.Self)}
	p.Others(func(i int) {
		p.Send(i, paxos.Message{Kind: kindProbe, Ballot: p.asked.ballot, Commit: p.Commit})
	})
	p.probed()
}

// onProbe answers whether this member would promise a ballot: not while it hears of a leader, and
// not to one who knows of less that is decided.
func (p *Paxos) onProbe(from int, m *paxos.Message) {
	quiet := p.Role != paxos.Leading && (p.Leader == 0 || p.Elapsed >= p.ElectionTicks)
	if m.Ballot <= p.Promised {
		p.Refuse(from)
		return
	}
	p.Send(from, paxos.Message{Kind: kindProbed, Ballot: m.Ballot, Commit: p.Commit,
		Granted: quiet && m.Commit >= p.Commit})
}

func (p *Paxos) onProbed(from int, m *paxos.Message) {
	if p.Role == paxos.Asking && m.Ballot == p.asked.ballot && m.Granted {
		p.asked.votes |= paxos.Bit(from)
		p.probed()
	}
}

func (p *Paxos) probed() {
	if slots.Quorum(p.asked.votes, p.Promises()) {
		p.prepare()
	}
}

// prepare begins phase 1. Nobody hears of the ballot before it is durable here: after a restart it
// must not be used a second time.
func (p *Paxos) prepare() {
	p.Pledge(p.nextBallot())
	p.Gather()
	ask := paxos.Message{Kind: kindPrepare, Ballot: p.Promised, Commit: p.Commit}
	p.Others(func(i int) { p.Hold(i, ask) })
	p.Promise(p.Self, kindPromise, p.Commit)
}

// onPrepare promises a ballot. The promise tells what was accepted beyond what the proposer knows to
// be decided. A proposer that knows of less than this acceptor is refused: what it lacks may be in a
// snapshot only.
func (p *Paxos) onPrepare(from int, m *paxos.Message) {
	if m.Ballot < p.Promised || m.Commit < p.Commit || m.Ballot == p.Promised && p.Role != paxos.Follower {
		p.Refuse(from)
		return
	}
	p.Pledge(m.Ballot)
	p.Promise(from, kindPromise, m.Commit)
}

func (p *Paxos) onPromise(from int, m *paxos.Message) {
	if p.Role != paxos.Gathering || m.Ballot != p.Promised {
		return
	}
	p.Count(from, m)
	if p.Elected() {
		p.Recover()
	}
}

// Recover implements [paxos.Protocol]. Like every proposal, what is proposed again is one of what the
// proposer holds (R8): it gets the items from whoever accepted before it binds its ballot to the value. If
// that member is gone before, the next campaign need not find the value any more.
func (p *Paxos) Recover() {
	if p.Role == paxos.Recovering && p.HoldsFound() {
		p.Lead()
	}
}

// onRefusal gives up a ballot that somebody will not accept in any more.
func (p *Paxos) onRefusal(m *paxos.Message) {
	p.See(m.Ballot)
	if m.Ballot > p.Promised && p.Role >= paxos.Gathering {
		p.StepDown()
	}
}

// onTakeOver campaigns at once: the leader asked for it.
func (p *Paxos) onTakeOver(from int, m *paxos.Message) {
	if m.Ballot == p.Promised && p.Leader == p.Members[from] && len(p.Holes) == 0 {
		p.prepare()
	}
}
