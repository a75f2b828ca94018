package racs

import (
	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// campaign is what a member gathers in the fallback of a view, whosever the view is.
type campaign struct {
	present uint32   // who promised
	votes   uint32   // whose promise tells enough
	told    []uint64 // by index: beyond which slot this member's promise told it, plus 1
	commit  uint64   // decided here when it began
	found   []entry  // found[i] is what was accepted with the highest ballot at commit+1+i; ballot 0: nothing

	proposed bool
	voted    uint32
	complete uint32
}

// enter begins the fallback of a view: to accept nothing of lower ballots any more, and to tell all what
// was accepted. Nobody hears of that before it is durable.
func (p *Racs) enter(ballot uint64) {
	if ballot <= p.promised {
		return
	}
	p.follow(ballot, 0)
	p.begun()
	p.record(nil)
	p.promise()
}

// rejoin is for a member that promised before it was restarted. What was drawn then is not used again.
func (p *Racs) rejoin() {
	if p.role == follower && p.leader == 0 && !p.drawn(p.promised) {
		p.begun()
		p.promise()
	}
}

func (p *Racs) begun() {
	p.role = gathering
	p.campaign = campaign{commit: p.Commit, told: make([]uint64, len(p.Members))}
	clear(p.peers) // what they accepted in an older ballot says nothing of this one
	p.ForgetTransfers()
	p.watch.fell()
}

// promise tells every member what it does not know to be decided, as far as that is known here.
func (p *Racs) promise() {
	for i := range p.Members {
		p.promiseTo(i)
	}
}

func (p *Racs) promiseTo(to int) {
	base := p.Commit
	if behind := p.commits[to]; to != p.Self && behind+maxAhead > base {
		base = max(min(behind, base), p.Log.Base)
	}
	p.campaign.told[to] = base + 1
	m := message{kind: kindPromise, ballot: p.promised, commit: p.Commit, have: base,
		entries: p.Log.Entries(base+1, p.Log.Last())}
	if mutate.On(mutate.VoteBeforePersist) && to != p.Self {
		p.send(to, m)
		return
	}
	p.hold(to, m)
}

// onPromise gathers what was accepted. Of each slot the value of the highest ballot counts: the lemma of
// Paxos. A promise that leaves out what is not known to be decided here does not count.
func (p *Racs) onPromise(from int, m *message) {
	if m.ballot > p.promised {
		p.enter(m.ballot)
	} else if m.ballot == p.promised {
		p.rejoin()
	}
	c := &p.campaign
	if !p.falling() || m.ballot != p.promised {
		return
	}
	if from != p.Self && m.commit+1 < c.told[from] && c.told[from] > p.Log.Base+1 {
		p.promiseTo(from)
	}
	c.present |= bit(from)
	if m.have <= c.commit {
		c.votes |= bit(from)
		p.peers[from].match = min(m.commit, c.commit)
		for _, e := range m.entries {
			if !mutate.On(mutate.RacsForgetAccepted) || from == p.Self {
				c.find(e)
			}
		}
	}
	p.compete()
}

// falling reports whether this member is in the fallback of a view.
func (p *Racs) falling() bool { return p.role == gathering || p.role == recovering }

// compete goes on with promises. Nobody leads before its own is durable: after a restart no ballot is used
// a second time.
func (p *Racs) compete() {
	c := &p.campaign
	if p.role == gathering && c.votes&bit(p.Self) != 0 && slots.Quorum(c.votes, p.Promises()) {
		p.role = recovering
		p.recover()
	}
	if p.falling() && !c.proposed && !p.drawn(p.promised) && p.majority(c.present) {
		c.proposed, c.voted = true, bit(p.Self)
		p.propose()
		p.finish()
	}
}

// maxFound bounds the slots beyond what is decided that promises tell of: no acceptor is that far
// ahead.
const maxFound = 1 << 16

// find takes note of a value that somebody accepted.
func (c *campaign) find(e entry) {
	if e.Slot <= c.commit || e.Slot > c.commit+maxFound {
		return
	}
	for c.commit+uint64(len(c.found)) < e.Slot {
		c.found = append(c.found, entry{Slot: c.commit + uint64(len(c.found)) + 1})
	}
	f := &c.found[e.Slot-c.commit-1]
	better := e.Ballot > f.Ballot
	if mutate.On(mutate.RacsLowestBallot) {
		better = f.Ballot == 0 || e.Ballot < f.Ballot
	}
	if better {
		*f = e
	}
}

// able reports whether this member could lead: it knows what may have been decided, and holds the items,
// and whatever it accepted before a restart (R4).
func (p *Racs) able() bool {
	if p.role != recovering || len(p.Holes) > 0 {
		return false
	}
	held := true
	for i := range p.campaign.found {
		// Every one is asked: the gate fetches what is missing.
		held = p.Judge(p.campaign.found[i].Cut()) == order.Held && held
	}
	return held || mutate.On(mutate.RacsRecoverUnheld)
}

// recover ends the fallback of the member that was drawn: it leads. Like every proposal, what it proposes
// again is one of what the proposer holds (R8): it gets the items from whoever accepted before it binds its
// ballot to the value. If that member is gone before, the next view need not find the value any more.
func (p *Racs) recover() {
	switch {
	case !p.falling():
	case !p.drawn(p.promised):
		p.finish()
	case p.able():
		p.begin()
	}
}

// propose sends what stands for a proposal of one that was not drawn to whoever has not voted. Values it
// would carry would be thrown away unread, so that it has none: what counts is that it takes as long.
func (p *Racs) propose() {
	p.Others(func(i int) {
		if p.campaign.voted&bit(i) == 0 {
			p.send(i, message{kind: kindPropose, ballot: p.promised, commit: p.Commit})
		}
	})
}

// onPropose votes for everybody that is in time: as long as the one that was drawn is not heard.
func (p *Racs) onPropose(from int, m *message) {
	p.enter(m.ballot)
	if m.ballot == p.promised && p.leader == 0 {
		p.send(from, message{kind: kindVote, ballot: m.ballot, commit: p.Commit})
	}
}

func (p *Racs) onVote(from int, m *message) {
	if p.falling() && m.ballot == p.promised {
		p.campaign.voted |= bit(from)
		p.finish()
	}
}

// finish completes: what was proposed here would be decided, had it been drawn. Who is not able to lead does
// so once somebody else has, and so does who was drawn and is not able.
func (p *Racs) finish() {
	c := &p.campaign
	if !p.falling() || c.complete&bit(p.Self) != 0 {
		return
	}
	if able := p.able(); able && (!c.proposed || !p.majority(c.voted)) || !able && c.complete == 0 {
		return
	}
	c.complete |= bit(p.Self)
	p.completed()
	p.decline()
}

func (p *Racs) completed() {
	p.Others(func(i int) { p.send(i, message{kind: kindComplete, ballot: p.promised, commit: p.Commit}) })
}

func (p *Racs) onComplete(from int, m *message) {
	p.enter(m.ballot)
	if p.falling() && m.ballot == p.promised {
		p.campaign.complete |= bit(from)
		p.finish()
		p.decline()
	}
}

// decline looks at the coin when a majority has completed. If the one that was drawn were heard, this member
// would follow it: it came too late, and the coin is tossed again.
func (p *Racs) decline() {
	if p.falling() && p.majority(p.campaign.complete) {
		p.enter(p.next())
	}
}

// tickFallback sends again what may have been lost. What keeps all from completing, such as items that only
// a dead member has, ends when a majority misses a leader for long.
func (p *Racs) tickFallback() {
	c := &p.campaign
	if p.watch.elapsed%p.HeartbeatTicks == 0 && c.present&bit(p.Self) != 0 {
		p.Others(p.promiseTo)
		if c.proposed {
			p.propose()
		}
		if c.complete&bit(p.Self) != 0 {
			p.completed()
		}
	}
	p.suspect()
}
