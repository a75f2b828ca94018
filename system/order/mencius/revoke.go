package mencius

import (
	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// revocation is what a member gathers that decides the slots of others in their place.
type revocation struct {
	ballot uint64 // 0: there is none
	from   uint64 // the slots behind it,
	to     uint64 // up to this one,
	owners uint32 // of these owners
	votes  uint32
	found  map[uint64]entry // what was accepted with the highest ballot
	open   []uint64         // slots that are to be decided, ascending
	quorum bool             // phase 1 is over
	ticks  int
}

// targets visits the slots that are to be revoked, as far as they are not decided here.
func (p *Mencius) targets(from, to uint64, owners uint32, visit func(n uint64, s *slots.Slot)) {
	for n := from + 1; n <= to; n++ {
		if owners&bit(p.owner(n)) == 0 {
			continue
		}
		if s := p.Log.At(n); s == nil || s.Ballot != decided {
			visit(n, s)
		}
	}
}

// tickRevocation begins a revocation where slots wait for somebody who does not use them, and goes on with
// one that is under way. With a hole in what it accepted, a replica begins none (R4).
func (p *Mencius) tickRevocation() {
	r := &p.revoke
	if r.ballot != 0 {
		if r.ticks++; r.ticks > 2*p.ElectionTicks {
			p.revoke = revocation{}
		} else if r.ticks%(2*p.HeartbeatTicks) == 0 {
			p.insist()
		}
		return
	}
	if !p.leads() {
		return
	}
	n := p.Commit + 1
	to := min(p.used+advance*uint64(len(p.Members)), p.Commit+maxAhead)
	if p.own.abandoned > p.Commit {
		p.begins(bit(p.Self), p.own.abandoned)
		p.own.abandoned = 0
	} else if silent := p.silent(); silent != 0 && p.foremost() {
		p.begins(silent, to)
	} else if e := p.Wait.Get(n); p.stall >= p.timeout && (e == nil || e.Ballot != decided) && p.informed() < 0 {
		p.progressed()
		p.begins(bit(p.owner(n))|p.silent(), to)
	}
}

// silent are the owners that were not heard and whose slots are soon needed.
func (p *Mencius) silent() (owners uint32) {
	soon := p.used + advance/2*uint64(len(p.Members))
	p.Others(func(i int) {
		if p.Overdue(i) {
			p.targets(p.Commit, soon, bit(i), func(uint64, *slots.Slot) { owners |= bit(i) })
		}
	})
	return owners
}

// foremost reports whether this is the first of the members that are alive and not far behind: one begins,
// so that revocations do not outdo each other.
func (p *Mencius) foremost() bool {
	for i := range p.Self {
		if p.Alive(i) && p.peers[i].ahead+advance >= p.Commit {
			return false
		}
	}
	return p.informed() < 0
}

// begins asks for promises. Nobody hears of the ballot before it is durable here.
func (p *Mencius) begins(owners uint32, to uint64) {
	p.ballot = slots.Ballot(slots.Round(p.ballot)+1, p.Self)
	p.revoke = revocation{ballot: p.ballot, from: p.Commit, to: to, owners: owners, found: map[uint64]entry{}}
	p.targets(p.Commit, to, owners, func(n uint64, _ *slots.Slot) { p.revoke.open = append(p.revoke.open, n) })
	m := p.prepare()
	p.onPrepare(p.Self, &m)
	p.Others(func(i int) { p.hold(i, m) })
}

func (p *Mencius) prepare() message {
	r := &p.revoke
	return message{kind: kindPrepare, ballot: r.ballot, commit: r.from, end: r.to, owners: r.owners}
}

// onPrepare promises a ballot for slots: to accept nothing of lower ones in them any more. The promise tells
// what was accepted. A proposer that lacks what only a snapshot has is not answered.
func (p *Mencius) onPrepare(from int, m *message) {
	p.see(m.ballot)
	if m.commit < p.Log.Base || m.end > m.commit+maxAhead || m.end > p.Commit+maxAhead {
		return
	}
	a := message{kind: kindPromise, ballot: m.ballot}
	for _, e := range p.Log.Entries(m.commit+1, m.end) {
		if m.owners&bit(p.owner(e.Slot)) != 0 {
			a.entries = append(a.entries, e)
		}
	}
	highest := uint64(0)
	var promised []entry
	p.targets(m.commit, m.end, m.owners, func(n uint64, s *slots.Slot) {
		if s != nil {
			highest = max(highest, s.Promised)
		}
		promised = append(promised, entry{Slot: n, Ballot: m.ballot})
	})
	if highest > m.ballot {
		p.send(from, message{kind: kindRefusal, ballot: highest})
		return
	}
	for _, e := range promised {
		if s := p.Log.At(e.Slot); s != nil {
			s.Promised = m.ballot
		} else {
			p.Log.Put(e.Slot, slots.Slot{Promised: m.ballot})
		}
	}
	p.recordPromises(promised)
	if from != p.Self {
		p.revoke.yield(m)
		p.progressed()
	}
	p.hold(from, a)
}

// yield ends a revocation of what another one revokes in a higher ballot.
func (r *revocation) yield(m *message) {
	if r.ballot != 0 && r.ballot < m.ballot && r.owners&m.owners != 0 {
		*r = revocation{}
	}
}

// onPromise gathers what was accepted. Of each slot the value of the highest ballot counts: the lemma of
// Paxos.
func (p *Mencius) onPromise(from int, m *message) {
	r := &p.revoke
	if r.ballot == 0 || m.ballot != r.ballot || r.quorum {
		return
	}
	r.votes |= bit(from)
	for _, e := range m.entries {
		if mutate.On(mutate.MenciusForgetAccepted) && from != p.Self {
			break
		}
		if have, ok := r.found[e.Slot]; !ok || e.Ballot > have.Ballot {
			r.found[e.Slot] = e
		}
	}
	if r.quorum = slots.Quorum(r.votes, p.Promises()); r.quorum {
		p.proposeFound()
	}
}

// proposeFound proposes what may have been decided, and nothing where nothing was accepted. Like every
// proposal it is one of what the proposer holds (R8): a value whose items are missing waits for them. If
// whoever has them is gone before, the next revocation need not find the value any more.
func (p *Mencius) proposeFound() {
	r := &p.revoke
	if !r.quorum {
		return
	}
	var propose, known []entry
	var left []uint64
	size := 0
	for _, n := range r.open {
		e, ok := r.found[n]
		s := p.Log.At(n)
		if s == nil || s.Ballot == decided || s.Promised != r.ballot || s.Ballot == r.ballot {
			continue // decided meanwhile, taken by a higher ballot, or proposed
		}
		if ok && e.Ballot == decided {
			known = append(known, e)
			continue
		}
		e.Slot, e.Ballot = n, r.ballot
		held := p.Judge(e.Cut()) == order.Held || mutate.On(mutate.MenciusRevokeUnheld)
		if size += len(e.Decision); !held || size > maxMessageBytes && len(propose) > 0 {
			left = append(left, n)
			continue
		}
		propose = append(propose, e)
	}
	p.learn(known)
	r.open = left
	if len(propose) == 0 {
		return
	}
	ballot := r.ballot
	p.take(propose)
	accepted := make([]uint64, len(propose))
	for i := range propose {
		accepted[i] = propose[i].Slot
	}
	p.Others(func(i int) { p.send(i, message{kind: kindAccept, ballot: ballot, entries: propose}) })
	p.acknowledge(p.Self, ballot, accepted)
}

// insist repeats what may have got lost, and ends a revocation that is through.
func (p *Mencius) insist() {
	r := &p.revoke
	if !r.quorum {
		m := p.prepare()
		p.Others(func(i int) {
			if r.votes&bit(i) == 0 {
				p.hold(i, m)
			}
		})
		return
	}
	p.proposeFound()
	m := message{kind: kindAccept, ballot: r.ballot}
	p.targets(r.from, r.to, r.owners, func(n uint64, s *slots.Slot) {
		if s != nil && s.Ballot == r.ballot && len(m.entries) < maxMessageSlots {
			m.entries = append(m.entries, entry{Slot: n, Ballot: r.ballot, Decision: s.Decision})
		}
	})
	if len(m.entries) > 0 {
		p.Others(func(i int) { p.send(i, m) })
	} else if len(r.open) == 0 {
		p.revoke = revocation{}
	}
}

// onRefusal gives up a ballot that somebody promised not to accept in any more. Own slots that others took
// are skipped: the next proposal lies behind them.
func (p *Mencius) onRefusal(m *message) {
	p.see(m.ballot)
	if p.revoke.ballot != 0 && m.ballot > p.revoke.ballot {
		p.revoke = revocation{}
		p.progressed()
	}
	if m.end > 0 && m.end <= p.Commit+maxAhead {
		p.skip(m.end + 1)
	}
}
