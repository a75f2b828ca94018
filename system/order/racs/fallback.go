package racs

import (
	"metronome/system/order/paxos"
)

// fallback is what a member gathers in the fallback of a view, whosever the view is, beside what promises
// tell (Campaign).
type fallback struct {
	present  uint32   // who promised
	told     []uint64 // by index: beyond which slot this member's promise told it, plus 1
	proposed bool
	voted    uint32
	complete uint32
}

// enter begins the fallback of a view: to accept nothing of lower ballots any more, and to tell all what
// was accepted. Nobody hears of that before it is durable.
func (p *Racs) enter(ballot uint64) {
	if ballot <= p.Promised {
		return
	}
	p.Pledge(ballot)
	p.begin()
}

// rejoin is for a member that promised before it was restarted. What was drawn then is not used again.
func (p *Racs) rejoin() {
	if p.Role == paxos.Follower && p.Leader == 0 && !p.drawn(p.Promised) {
		p.begin()
	}
}

func (p *Racs) begin() {
	p.Gather()
	p.fall = fallback{told: make([]uint64, len(p.Members))}
	p.watch.fell()
	for i := range p.Members {
		p.promise(i)
	}
}

// promise tells a member what it does not know to be decided, as far as that is known here.
func (p *Racs) promise(to int) {
	beyond := p.Commit
	if behind := p.Commits[to]; to != p.Self && behind+paxos.MaxAhead > beyond {
		beyond = max(min(behind, beyond), p.Log.Base)
	}
	p.fall.told[to] = beyond + 1
	p.Promise(to, kindPromise, beyond)
}

// onPromise gathers what was accepted. A promise that leaves out what is not known to be decided here does
// not count.
func (p *Racs) onPromise(from int, m *paxos.Message) {
	if m.Ballot > p.Promised {
		p.enter(m.Ballot)
	} else if m.Ballot == p.Promised {
		p.rejoin()
	}
	f := &p.fall
	if !p.falling() || m.Ballot != p.Promised {
		return
	}
	if from != p.Self && m.Commit+1 < f.told[from] && f.told[from] > p.Log.Base+1 {
		p.promise(from)
	}
	f.present |= paxos.Bit(from)
	if m.Have <= p.Campaign.Commit {
		p.Count(from, m)
	}
	p.compete()
}

// falling reports whether this member is in the fallback of a view.
func (p *Racs) falling() bool { return p.Role == paxos.Gathering || p.Role == paxos.Recovering }

// compete goes on with promises.
func (p *Racs) compete() {
	f := &p.fall
	if p.Elected() {
		p.Recover()
	}
	if p.falling() && !f.proposed && !p.drawn(p.Promised) && p.majority(f.present) {
		f.proposed, f.voted = true, paxos.Bit(p.Self)
		p.propose()
		p.finish()
	}
}

// able reports whether this member could lead: it knows what may have been decided, and holds the items,
// and whatever it accepted before a restart (R4).
func (p *Racs) able() bool {
	return p.Role == paxos.Recovering && len(p.Holes) == 0 && p.HoldsFound()
}

// Recover implements [paxos.Protocol]: it ends the fallback of the member that was drawn, which leads. Like
// every proposal, what it proposes again is one of what the proposer holds (R8): it gets the items from
// whoever accepted before it binds its ballot to the value. If that member is gone before, the next view
// need not find the value any more.
func (p *Racs) Recover() {
	switch {
	case !p.falling():
	case !p.drawn(p.Promised):
		p.finish()
	case p.able():
		p.Lead()
	}
}

// say tells others something of the fallback that names the view, and nothing else.
func (p *Racs) say(to int, kind paxos.Kind) {
	p.Send(to, paxos.Message{Kind: kind, Ballot: p.Promised, Commit: p.Commit})
}

// propose sends what stands for a proposal of one that was not drawn to whoever has not voted. Values it
// would carry would be thrown away unread, so that it has none: what counts is that it takes as long.
func (p *Racs) propose() {
	p.Others(func(i int) {
		if p.fall.voted&paxos.Bit(i) == 0 {
			p.say(i, kindPropose)
		}
	})
}

// onPropose votes for everybody that is in time: as long as the one that was drawn is not heard.
func (p *Racs) onPropose(from int, m *paxos.Message) {
	p.enter(m.Ballot)
	if m.Ballot == p.Promised && p.Leader == 0 {
		p.say(from, kindVote)
	}
}

func (p *Racs) onVote(from int, m *paxos.Message) {
	if p.falling() && m.Ballot == p.Promised {
		p.fall.voted |= paxos.Bit(from)
		p.finish()
	}
}

// finish completes: what was proposed here would be decided, had it been drawn. Who is not able to lead does
// so once somebody else has, and so does who was drawn and is not able.
func (p *Racs) finish() {
	f := &p.fall
	if !p.falling() || f.complete&paxos.Bit(p.Self) != 0 {
		return
	}
	if able := p.able(); able && (!f.proposed || !p.majority(f.voted)) || !able && f.complete == 0 {
		return
	}
	f.complete |= paxos.Bit(p.Self)
	p.completed()
	p.decline()
}

func (p *Racs) completed() { p.Others(func(i int) { p.say(i, kindComplete) }) }

func (p *Racs) onComplete(from int, m *paxos.Message) {
	p.enter(m.Ballot)
	if p.falling() && m.Ballot == p.Promised {
		p.fall.complete |= paxos.Bit(from)
		p.finish()
		p.decline()
	}
}

// decline looks at the coin when a majority has completed. If the one that was drawn were heard, this member
// would follow it: it came too late, and the coin is tossed again.
func (p *Racs) decline() {
	if p.falling() && p.majority(p.fall.complete) {
		p.enter(p.next())
	}
}

// tickFallback sends again what may have been lost. What keeps all from completing, such as items that only
// a dead member has, ends when a majority misses a leader for long.
func (p *Racs) tickFallback() {
	f := &p.fall
	if p.Elapsed%p.HeartbeatTicks == 0 && f.present&paxos.Bit(p.Self) != 0 {
		p.Others(p.promise)
		if f.proposed {
			p.propose()
		}
		if f.complete&paxos.Bit(p.Self) != 0 {
			p.completed()
		}
	}
	p.suspect()
}
