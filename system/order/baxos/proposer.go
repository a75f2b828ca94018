package baxos

import (
	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// phase is where an attempt stands.
type phase uint8

const (
	resting    phase = iota
	preparing        // promises come in
	recovering       // it lacks items under what was accepted before
	accepting        // acceptances come in
)

// attempt is this member's try for the next slot, in one ballot.
type attempt struct {
	phase        phase
	slot, ballot uint64
	votes        uint32 // who promised; then who accepted
	granted      uint32 // who promised the next slot with that
	refused      bool
	age          int    // ticks in this phase
	found        entry  // what was accepted with the highest ballot
	decision     []byte // proposed
	mine         bool   // it was this member's to choose
	reads        int    // how many reads were asked when it was proposed
}

// ownership is a slot promised to this member before it has anything to propose: the last winner's.
type ownership struct {
	slot, ballot uint64
	votes        uint32
}

// roundsAtOnce is how many rounds are reserved with one write.
const roundsAtOnce = 1 << 10

// wants reports whether there is anything to be decided.
func (b *Baxos) wants() bool { return len(b.queue)+len(b.reads) > 0 || b.orphan }

// try goes for the next slot: at once if it is promised to this member or to nobody, after a back-off if
// somebody else was faster. With a hole in what it accepted, a replica does not propose (R4).
func (b *Baxos) try() {
	if b.attempt.phase != resting || !b.wants() || len(b.Holes) > 0 {
		return
	}
	n := b.Commit + 1
	s, w := b.Log.At(n), b.Wait.Get(n)
	switch {
	case b.learnt(n): // its items are on their way
	case b.owns(n):
		b.claim()
	case b.pause > 0:
	case !b.armed && (w != nil || s != nil && s.Promised != 0 && slots.Owner(s.Promised) != b.Self):
		b.armed, b.pause = true, b.draw()
	default:
		b.prepare(n)
	}
}

func (b *Baxos) owns(n uint64) bool {
	s := b.Log.At(n)
	return b.own.slot == n && s != nil && s.Promised == b.own.ballot && slots.Quorum(b.own.votes, b.Promises())
}

// prepare begins phase 1 in a round that no other life of this process has used: rounds are reserved, and
// nobody hears of one before that is durable.
func (b *Baxos) prepare(n uint64) {
	round := max(b.round, b.seen) + 1
	if round > b.reserved {
		if b.pledged == b.reserved {
			b.pledged = round + roundsAtOnce
			b.record()
			b.hold(b.Self, message{kind: kindReserved, slot: b.pledged})
		}
		return
	}
	b.armed, b.own = false, ownership{}
	b.attempt = attempt{phase: preparing, slot: n, ballot: slots.Ballot(round, b.Self)}
	b.again()
	b.onPrepare(b.Self, &message{kind: kindPrepare, slot: n, ballot: b.attempt.ballot})
}

// again sends to whoever has not answered.
func (b *Baxos) again() {
	a := &b.attempt
	m := message{kind: kindPrepare, slot: a.slot, ballot: a.ballot}
	if a.phase == accepting {
		m.kind, m.entries = kindAccept, []entry{{Slot: a.slot, Ballot: a.ballot, Decision: a.decision}}
	}
	b.Others(func(i int) {
		if a.votes>>i&1 == 0 {
			b.send(i, m)
		}
	})
}

// insist looks after an attempt as time passes: silence is no contention, what was lost is sent again in
// the same ballot; a refusal is, and so are items that do not come.
func (b *Baxos) insist() {
	a := &b.attempt
	if a.phase == resting {
		return
	}
	if a.age++; a.age%b.HeartbeatTicks != 0 {
		return
	}
	switch {
	case a.refused || a.phase == recovering && a.age >= b.ElectionTicks:
		b.backOff()
	case a.phase != recovering:
		b.again()
	}
}

// backOff gives up a ballot; the next attempt waits, the longer the more often that happened.
func (b *Baxos) backOff() {
	b.attempt, b.own = attempt{}, ownership{}
	b.retries++
	b.armed, b.pause = true, b.draw()
}

// onPromise gathers what was accepted. The value of the highest ballot counts: the lemma of Paxos.
func (b *Baxos) onPromise(from int, m *message) {
	a := &b.attempt
	if a.phase != preparing || m.slot != a.slot || m.ballot != a.ballot {
		return
	}
	a.votes |= 1 << from
	for _, e := range m.entries {
		better := e.Ballot > a.found.Ballot
		if mutate.On(mutate.BaxosLowestBallot) {
			better = a.found.Ballot == 0 || e.Ballot < a.found.Ballot
		}
		if better && !mutate.On(mutate.BaxosForgetAccepted) {
			a.found = e
		}
	}
	if !slots.Quorum(a.votes, b.Promises()) {
		return
	}
	if a.found.Ballot == 0 {
		b.own = ownership{a.slot, a.ballot, a.votes}
		*a = attempt{}
		b.claim()
		return
	}
	a.phase, a.age = recovering, 0
	b.recover()
}

// recover proposes again what may have been decided. Like every proposal it is one of what the proposer
// holds (R8): it gets the items from whoever accepted before it binds its ballot to the value. If that
// member is gone before, a later attempt need not find the value any more.
func (b *Baxos) recover() {
	a := &b.attempt
	if a.phase != recovering {
		return
	}
	if b.Judge(a.found.Cut()) == order.Held || mutate.On(mutate.BaxosRecoverUnheld) {
		a.decision = a.found.Decision
		b.propose()
	}
}

// claim proposes what this member wants in a slot that is its own: the oldest proposal, or nothing where
// only a read, or what nobody brings to an end, wants the slot.
func (b *Baxos) claim() {
	if !b.wants() || !b.owns(b.own.slot) {
		return
	}
	b.attempt = attempt{slot: b.own.slot, ballot: b.own.ballot, mine: true, reads: len(b.reads)}
	b.own = ownership{}
	if len(b.queue) > 0 {
		b.attempt.decision = b.queue[0].decision
	}
	b.propose()
}

// propose begins phase 2.
func (b *Baxos) propose() {
	a := &b.attempt
	if s := b.Log.At(a.slot); s != nil && s.Promised > a.ballot {
		b.backOff()
		return
	}
	a.phase, a.age, a.votes, a.refused = accepting, 0, 0, false
	b.again()
	e := entry{Slot: a.slot, Ballot: a.ballot, Decision: a.decision}
	if mutate.On(mutate.BaxosRecoverUnheld) {
		b.accept(e)
		b.acknowledge(e.Slot, e.Ballot)
		return
	}
	b.offer(e)
}

// onAccepted counts acceptances. A slot is decided when a quorum accepted it in one ballot.
func (b *Baxos) onAccepted(from int, m *message) {
	a := &b.attempt
	if b.own.slot == m.slot+1 && b.own.ballot == m.ballot && m.granted {
		b.own.votes |= 1 << from // after the slot was decided
	}
	if a.phase != accepting || m.slot != a.slot || m.ballot != a.ballot {
		return
	}
	a.votes |= 1 << from
	if m.granted {
		a.granted |= 1 << from
	}
	needed := b.Accepts
	if mutate.On(mutate.BaxosMinority) {
		needed--
	}
	if slots.Quorum(a.votes, needed) {
		b.win()
	}
}

// win: the slot is decided. The next one may be this member's already; what it proposes there tells the
// others.
func (b *Baxos) win() {
	a := b.attempt
	b.attempt = attempt{}
	b.retries, b.pause, b.armed = 0, 0, false
	e := entry{Slot: a.slot, Ballot: a.ballot, Decision: a.decision}
	switch s := b.Log.At(a.slot); {
	case s != nil && s.Ballot >= a.ballot: // that value (lemmas 6, 7), held, and in a record with its acceptance
		b.learn(e)
	case b.admits(e, true): // the others made the quorum: it is learnt like from anybody
		b.learn(e)
		b.record(e.Slot)
	}
	b.own = ownership{a.slot + 1, a.ballot, a.granted}
	if a.mine {
		for _, ctx := range b.reads[:a.reads] {
			b.out.Ready.Reads = append(b.out.Ready.Reads, order.Read{Ctx: ctx, Position: a.slot})
		}
		b.reads = b.reads[a.reads:]
	}
	b.advance()
	if b.try(); b.attempt.phase != accepting {
		b.Others(func(i int) { b.send(i, message{kind: kindDecided}) })
	}
}

// onRefusal learns that a ballot is too low. What was proposed may be decided all the same, by those that
// accept it: an attempt is given up when its answers are overdue.
func (b *Baxos) onRefusal(m *message) {
	b.seen = max(b.seen, slots.Round(m.ballot))
	if a := &b.attempt; a.slot == m.slot && m.ballot > a.ballot {
		if a.refused = true; a.phase == preparing {
			b.backOff()
		}
	}
}
