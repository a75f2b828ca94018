package mencius

import (
	"bytes"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// onAccept takes values through the gate, each by itself: a slot that waits for its items holds up no
// other. A skip is decided as it comes: its owner has it durably, and nobody else can propose a value.
func (p *Mencius) onAccept(from int, m *message) {
	p.see(m.ballot)
	if last := m.entries; m.ballot == first && len(last) > 0 {
		p.used = max(p.used, min(last[len(last)-1].Slot, p.Commit+maxAhead))
	}
	var offered, skipped, known []entry
	refused := message{kind: kindRefusal}
	for _, e := range m.entries {
		s := p.Log.At(e.Slot)
		switch {
		case e.Slot > p.Commit+maxAhead || e.Slot <= p.Log.Base:
		case s != nil && s.Ballot == decided:
			if m.ballot != first || len(e.Decision) > 0 && len(s.Decision) == 0 { // it does not know
				known = append(known, entry{Slot: e.Slot, Ballot: decided, Decision: s.Decision})
			}
		case m.ballot == first && len(e.Decision) == 0:
			skipped = append(skipped, e)
		case s != nil && s.Promised > m.ballot && !mutate.On(mutate.MenciusAcceptBelowPromise):
			refused.ballot = max(refused.ballot, s.Promised)
		default:
			offered = append(offered, e)
		}
	}
	p.learn(skipped)
	p.skip(p.used)
	p.acknowledge(from, m.ballot, p.accept(offered))
	if from == p.Self {
		return
	}
	p.teach(from, known)
	if m.ballot == first && (refused.ballot > 0 || len(known) > 0) {
		refused.end = p.lastRefused(m.entries[len(m.entries)-1].Slot)
	}
	if refused.ballot > 0 || refused.end > 0 {
		p.send(from, refused)
	}
}

// lastRefused is the last slot, of the owner of n, that is taken from it in one go with n.
func (p *Mencius) lastRefused(n uint64) (last uint64) {
	for s := p.Log.At(n); s != nil && s.Promised > first; s = p.Log.At(n) {
		last = n
		n += uint64(len(p.Members))
	}
	return last
}

// accept accepts what is held of values that were offered, lets the rest wait, and names the slots that
// are accepted now.
func (p *Mencius) accept(offered []entry) (accepted []uint64) {
	var taken []entry
	for _, e := range offered {
		s := p.Log.At(e.Slot)
		switch {
		case s != nil && s.Ballot == decided || e.Slot <= p.Commit:
			p.Wait.Drop(e.Slot)
			continue
		case s != nil && s.Ballot == e.Ballot:
			accepted = append(accepted, e.Slot)
			continue
		case s != nil && s.Promised > e.Ballot && !mutate.On(mutate.MenciusAcceptBelowPromise):
			p.Wait.Drop(e.Slot)
			continue
		}
		switch cut := e.Cut(); p.Judge(cut) {
		case order.Held:
			taken, accepted = append(taken, e), append(accepted, e.Slot)
		case order.Missing:
			p.Wait.Put(e, p.WaitMax)
		default:
			p.Wait.Drop(e.Slot)
			p.out.Refuse(p.Members[p.owner(e.Slot)], cut)
		}
	}
	p.take(taken)
	return accepted
}

// take writes accepted values down. The lemma's first step: nothing gets into the log but through here,
// with the gate's word.
func (p *Mencius) take(entries []entry) {
	for _, e := range entries {
		p.Wait.Drop(e.Slot)
		p.Log.Put(e.Slot, slots.Slot{Promised: e.Ballot, Ballot: e.Ballot, Decision: e.Decision, Held: true})
		if e.Ballot == decided {
			p.own.settled(p, e.Slot, len(e.Decision) > 0)
		}
	}
	if len(entries) > 0 {
		p.record(entries)
	}
}

// acknowledge sends the evidence of holding, once it is durable.
func (p *Mencius) acknowledge(to int, ballot uint64, accepted []uint64) {
	if len(accepted) > 0 {
		p.hold(to, message{kind: kindAccepted, ballot: ballot, slots: accepted})
	}
}

// decide learns that slots are decided with the value that was accepted here.
func (p *Mencius) decide(n uint64) {
	s := p.Log.At(n)
	s.Promised, s.Ballot = decided, decided
	p.Wait.Drop(n)
	p.own.settled(p, n, len(s.Decision) > 0)
}

// learn takes decided values, through the gate like all others: what is in the log is held.
func (p *Mencius) learn(entries []entry) {
	var others []entry
	for _, e := range entries {
		s := p.Log.At(e.Slot)
		switch {
		case s != nil && s.Ballot == decided || e.Slot > p.Commit+maxAhead || e.Slot <= p.Log.Base:
		case s != nil && s.Ballot != 0 && bytes.Equal(s.Decision, e.Decision):
			p.decide(e.Slot)
		default:
			e.Ballot = decided
			others = append(others, e)
		}
	}
	p.accept(others)
}

// onDecided learns what a quorum accepted in a ballot. What was accepted here in it, or in a higher one, is
// the same value.
func (p *Mencius) onDecided(m *message) {
	for _, n := range m.slots {
		if s := p.Log.At(n); s != nil && s.Ballot >= m.ballot {
			if s.Ballot < decided {
				p.decide(n)
			}
		} else if e := p.Wait.Get(n); e != nil && e.Ballot >= m.ballot {
			e.Ballot = decided
		}
	}
}

// Recheck implements [order.Orderer].
func (p *Mencius) Recheck() {
	p.Fill()
	waited := append([]entry(nil), p.Wait.Wait...)
	for _, e := range waited {
		accepted := p.accept([]entry{e})
		if e.Ballot == decided {
			continue
		}
		p.acknowledge(p.proposer(&e), e.Ballot, accepted)
	}
	p.proposeFound()
	p.deliver()
}

// proposer is the index of who proposed a value.
func (p *Mencius) proposer(e *entry) int {
	if e.Ballot == first {
		return p.owner(e.Slot)
	}
	return slots.Owner(e.Ballot)
}
