package racs

import (
	"slices"

	"metronome/internal/mutate"
	"metronome/system/order"
)

// refuse tells whoever uses a ballot that is too low which one was promised.
func (p *Racs) refuse(to int) {
	p.send(to, message{kind: kindRefusal, ballot: p.promised, commit: p.Commit})
}

// follow takes up a ballot, and its leader if it is known that there is one.
func (p *Racs) follow(ballot, leader uint64) {
	if ballot > p.promised {
		p.promised, p.told = ballot, 0
		p.Wait.Clear() // what a deposed leader sent
		p.role, p.leader = follower, 0
		p.lead.stop()
		p.watch.said, p.watch.mark, p.watch.slow = 0, 0, false
	}
	p.see(ballot)
	if p.role != leading {
		p.role = follower
	}
	if leader != 0 {
		p.leader = leader
	}
	p.watch.elapsed = 0
	if !p.watch.slow {
		p.asked = asking{}
	}
}

func (p *Racs) see(ballot uint64) { p.seen = max(p.seen, ballot) }

// onAccept takes values through the gate, each by itself: a slot that waits for its items holds up no
// other.
func (p *Racs) onAccept(from int, m *message) {
	if m.ballot < p.promised && !mutate.On(mutate.RacsAcceptBelowPromise) {
		p.refuse(from)
		return
	}
	if m.ballot >= p.promised {
		p.follow(m.ballot, p.Members[from])
		p.told = max(p.told, m.commit)
	}
	p.accept(m.entries)
	p.acknowledge(from, m.ballot)
}

// accept accepts what is held of values that were offered, and lets the rest wait.
func (p *Racs) accept(entries []entry) {
	var taken []entry
	for _, e := range entries {
		if e.Slot <= p.Commit || p.Log.Accepted(e.Slot, e.Ballot) {
			continue
		}
		if e.Slot > p.Commit+maxAhead {
			p.dropped++
			continue
		}
		cut, _ := order.CutOf(e.Decision) // checked when it was decoded
		switch p.Judge(cut) {
		case order.Held:
			taken = append(taken, e)
		case order.Missing:
			p.Wait.Put(e, p.WaitMax)
		default:
			p.Wait.Drop(e.Slot)
			p.out.Refuse(p.leader, cut)
		}
	}
	p.take(taken)
}

// take writes accepted values down. The lemma's first step: nothing gets into the log but through
// here, with the gate's word.
func (p *Racs) take(entries []entry) {
	for _, e := range entries {
		p.Wait.Drop(e.Slot)
		p.Log.Put(e.Slot, slot{Ballot: e.Ballot, Decision: e.Decision, Held: true})
	}
	if len(entries) > 0 {
		p.record(entries)
	}
}

// acknowledge sends the evidence of holding, once it is durable: what was accepted in a ballot.
func (p *Racs) acknowledge(to int, ballot uint64) {
	m := message{kind: kindAccepted, ballot: ballot, commit: p.Commit, match: p.match(ballot)}
	for n := m.match + 1; n <= p.Log.Last() && len(m.slots) < slotsAt; n++ {
		if p.Log.Accepted(n, ballot) {
			m.slots = append(m.slots, n)
		}
	}
	if p.recorded < p.promised {
		p.record(nil) // a heartbeat raised it
	}
	if mutate.On(mutate.ProposeVolatile) && to == p.Self {
		p.dispatch(to, &m)
		return
	}
	p.hold(to, m)
}

// match is the slot up to which everything is decided, or accepted in a ballot.
func (p *Racs) match(ballot uint64) uint64 {
	n := p.Commit
	for p.Log.Accepted(n+1, ballot) {
		n++
	}
	return n
}

// have is the slot up to which everything came: accepted, or waiting at the gate.
func (p *Racs) have() uint64 {
	n := p.match(p.promised)
	for {
		if p.Wait.Get(n+1) == nil && !p.Log.Accepted(n+1, p.promised) {
			return n
		}
		n++
	}
}

// onHeartbeat answers at once, whatever the disk does (R16): the answer says what came, and that no
// higher ballot was promised. If the leader knows of less than was accepted here, it is told again.
func (p *Racs) onHeartbeat(from int, m *message) {
	if m.ballot < p.promised {
		p.refuse(from)
		return
	}
	p.follow(m.ballot, p.Members[from])
	p.told = max(p.told, m.commit)
	p.advance()
	p.send(from, message{kind: kindAlive, ballot: m.ballot, commit: p.Commit, have: p.have(), end: m.end,
		read: m.read})
	if match := p.match(m.ballot); match != m.match || p.Log.Last() > match {
		p.acknowledge(from, m.ballot)
	}
}

// Recheck implements [order.Orderer].
func (p *Racs) Recheck() {
	p.Fill()
	if before := len(p.Wait.Wait); before > 0 {
		p.accept(slices.Clone(p.Wait.Wait))
		if to := slices.Index(p.Members, p.leader); len(p.Wait.Wait) < before && to >= 0 {
			p.acknowledge(to, p.promised)
		}
	}
	p.recover()
	p.advance()
}

// onDecided learns what is decided.
func (p *Racs) onDecided(from int, m *message) {
	if m.ballot >= p.promised {
		p.follow(m.ballot, p.Members[from])
		p.told = max(p.told, m.commit)
	}
}
