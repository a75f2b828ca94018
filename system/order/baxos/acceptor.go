package baxos

import (
	"slices"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// settled marks the ballot of what waits at the gate and is known to be decided: it displaces every other.
const settled = slots.MaxNumber

// note takes a ballot's round up: it is promised here.
func (b *Baxos) note(ballot uint64) {
	b.round = max(b.round, slots.Round(ballot))
	b.seen = max(b.seen, b.round)
}

// onPrepare promises a slot to a ballot: to accept nothing of lower ones there any more. The promise
// tells what was accepted.
func (b *Baxos) onPrepare(from int, m *message) {
	if b.teach(from, m.slot) || m.slot > b.Commit+maxAhead {
		return
	}
	s := b.Log.Grow(m.slot)
	if m.ballot < s.Promised {
		b.refuse(from, m.slot, s.Promised)
		return
	}
	s.Promised = m.ballot
	b.note(m.ballot)
	if w := b.Wait.Get(m.slot); w != nil && w.Ballot < m.ballot {
		b.Wait.Drop(m.slot)
	}
	b.record(m.slot)
	p := message{kind: kindPromise, slot: m.slot, ballot: m.ballot}
	if s.Ballot != 0 {
		p.entries = []entry{{Slot: m.slot, Ballot: s.Ballot, Decision: s.Decision}}
	}
	if mutate.On(mutate.VoteBeforePersist) && from != b.Self {
		b.send(from, p)
		return
	}
	b.hold(from, p)
}

// teach tells who tries for a slot that is decided what was.
func (b *Baxos) teach(to int, n uint64) bool {
	s := b.Log.At(n)
	if n > b.Commit && (s == nil || !s.Decided) {
		return false
	}
	if s == nil {
		b.send(to, message{kind: kindDecided})
	} else if to != b.Self {
		b.send(to, message{kind: kindLearn, entries: []entry{{Slot: n, Ballot: s.Ballot, Decision: s.Decision}}})
	}
	return true
}

func (b *Baxos) refuse(to int, n, promised uint64) {
	m := message{kind: kindRefusal, slot: n, ballot: promised}
	if to == b.Self {
		b.dispatch(to, &m)
		return
	}
	b.send(to, m)
}

// onAccept takes a value through the gate, and promises the next slot to the same ballot.
func (b *Baxos) onAccept(from int, m *message) {
	if b.teach(from, m.slot) {
		return
	}
	if m.slot > b.Commit+maxAhead {
		b.dropped++
		return
	}
	b.offer(m.entries[0])
}

// offer accepts a value if it is held, and lets it wait if it is not.
func (b *Baxos) offer(e entry) {
	to, s := slots.Owner(e.Ballot), b.Log.Grow(e.Slot)
	if e.Ballot < s.Promised && !mutate.On(mutate.BaxosAcceptBelowPromise) {
		b.Wait.Drop(e.Slot)
		b.refuse(to, e.Slot, s.Promised)
		return
	}
	if s.Ballot == e.Ballot && s.Held {
		b.acknowledge(e.Slot, e.Ballot)
		return
	}
	if b.admits(e, false) {
		b.accept(e)
		b.acknowledge(e.Slot, e.Ballot)
	}
}

// admits asks the gate for a value. What is not held yet waits.
func (b *Baxos) admits(e entry, decided bool) bool {
	cut := e.Cut()
	switch b.Judge(cut) {
	case order.Held:
		return true
	case order.Missing:
		if decided {
			e.Ballot |= settled
		}
		b.Wait.Put(e, b.WaitMax)
	default:
		b.Wait.Drop(e.Slot)
		b.out.Refuse(b.Members[slots.Owner(e.Ballot)%len(b.Members)], cut)
	}
	return false
}

// accept writes an accepted value down. The lemma's first step: what is not learnt to be decided gets
// into the log here alone, with the gate's word.
func (b *Baxos) accept(e entry) {
	b.Wait.Drop(e.Slot)
	next := b.Log.Grow(e.Slot + 1)
	s := b.Log.Grow(e.Slot)
	b.note(e.Ballot)
	s.Promised = max(s.Promised, e.Ballot)
	s.Ballot, s.Decision, s.Held = e.Ballot, e.Decision, true
	if next.Promised < e.Ballot && next.Ballot == 0 {
		next.Promised = e.Ballot
		b.record(e.Slot, e.Slot+1)
		return
	}
	b.record(e.Slot)
}

// acknowledge sends the evidence of holding, once it is durable.
func (b *Baxos) acknowledge(n, ballot uint64) {
	next := b.Log.Grow(n + 1)
	to, m := slots.Owner(ballot), message{kind: kindAccepted, slot: n, ballot: ballot,
		granted: next.Promised == ballot && next.Ballot == 0}
	if mutate.On(mutate.ProposeVolatile) && to == b.Self {
		b.dispatch(to, &m)
		return
	}
	b.hold(to, m)
}

// Recheck implements [order.Orderer].
func (b *Baxos) Recheck() {
	b.Fill()
	for _, e := range slices.Clone(b.Wait.Wait) {
		decided := e.Ballot >= settled
		e.Ballot &^= settled
		switch {
		case e.Slot <= b.Commit:
			b.Wait.Drop(e.Slot)
		case !decided:
			b.offer(e)
		case b.admits(e, true):
			b.learn(e)
			b.record(e.Slot)
		}
	}
	b.recover()
	b.advance()
	b.try()
}

// hear takes note of how far a member says that all is decided, and asks for what it lacks.
func (b *Baxos) hear(from int, m *message) {
	b.Hear(from)
	if m.commit <= b.Commit {
		return
	}
	if s := b.Log.At(m.commit); s != nil && s.Ballot != 0 && s.Ballot == m.with {
		s.Decided = true // one ballot has one value in a slot
	} else if w := b.Wait.Get(m.commit); w != nil && w.Ballot == m.with {
		w.Ballot |= settled
	}
	next := b.have() + 1
	if b.starves() {
		next = b.Commit + 1
	}
	if next <= m.commit && (b.asked < 0 && from != b.shunned || b.asked == from && m.kind == kindBeat) {
		b.asked = from
		b.send(from, message{kind: kindAsk, slot: next})
	}
}

// starves reports, for a beat in every election timeout, that the next slot is known to be decided and its
// items do not come: they may be in a snapshot only. Then it is asked for again: who has the log of that
// slot need not have its items, and who has not sends state instead.
func (b *Baxos) starves() bool {
	return b.idle >= b.ElectionTicks && b.idle%b.ElectionTicks < b.HeartbeatTicks && b.learnt(b.Commit+1)
}

// patience is for how many election timeouts one member is asked that does not help.
const patience = 4

// reconsider asks another member if nothing came of asking one for long. Not sooner: it may be sending its
// state, and two that send theirs hold each other up.
func (b *Baxos) reconsider() {
	if b.idle > 0 && b.idle%(patience*b.ElectionTicks) < b.HeartbeatTicks ||
		b.asked >= 0 && b.Overdue(b.asked) {
		b.shunned, b.asked = b.asked, -1
	}
}

// have is the slot up to which everything that is decided came: learnt, or waiting at the gate.
func (b *Baxos) have() uint64 {
	for n := b.Commit; ; n++ {
		s := b.Log.At(n + 1)
		if (s == nil || !s.Decided) && !b.learnt(n+1) {
			return n
		}
	}
}

// learnt reports whether a slot is known to be decided, and waits for its items.
func (b *Baxos) learnt(n uint64) bool {
	w := b.Wait.Get(n)
	return w != nil && w.Ballot >= settled
}

// onAsk sends decided slots, or state that covers them.
func (b *Baxos) onAsk(to int, m *message) {
	if m.slot <= b.Log.Base {
		b.SendState(to, &b.out.Ready)
		return
	}
	if known := b.Log.Batch(m.slot, b.Commit, 0, maxAhead); len(known) > 0 {
		b.send(to, message{kind: kindLearn, entries: known})
	}
}

// onLearn takes what is decided through the gate: nothing is applied that is not held.
func (b *Baxos) onLearn(from int, m *message) {
	had := b.have()
	var learnt []uint64
	for _, e := range m.entries {
		s := b.Log.At(e.Slot)
		if e.Slot <= b.Commit || s != nil && s.Decided {
			continue
		}
		if e.Slot > b.Commit+maxAhead {
			b.dropped++
			continue
		}
		if b.admits(e, true) {
			b.learn(e)
			learnt = append(learnt, e.Slot)
		}
		if b.attempt.phase != resting && b.attempt.slot == e.Slot {
			b.backOff() // it is decided: what is refused here (R14) must not be tried for again at once
		}
	}
	if len(learnt) > 0 {
		b.record(learnt...)
	}
	if b.have() > had && b.asked == from {
		b.asked = -1 // hear asks for more; what found no room here, or is refused, is asked for at the next beat
	}
}

// learn takes a value that is decided and held. Whatever was accepted in a higher ballot is the same.
func (b *Baxos) learn(e entry) {
	s := b.Log.Grow(e.Slot)
	s.Promised, s.Ballot = max(s.Promised, e.Ballot), max(s.Ballot, e.Ballot)
	s.Decision, s.Held, s.Decided = e.Decision, true, true
	b.note(e.Ballot)
	b.Wait.Drop(e.Slot)
}
