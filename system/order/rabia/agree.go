package rabia

import (
	"bytes"
	"slices"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// agreement is what this member says in one slot. It says nothing else there, ever: all of it is durable
// before anybody hears of it.
type agreement struct {
	slot     uint64
	proposal []byte // nil: none
	value    []byte // what a majority proposed, if that is known
	steps    []step // by phase
}

// said is a copy of the steps.
func (a *agreement) said() []step { return slices.Clone(a.steps) }

// say writes down what this member says now, and tells everybody when it is durable.
func (r *Rabia) say() bool {
	r.record(nil)
	a := &r.mine
	r.hold(all, message{kind: kindSay, slot: a.slot, proposal: a.proposal, value: a.value, steps: a.said()})
	return true
}

// onSay takes note of what a member, or this one itself, said durably.
func (r *Rabia) onSay(from int, m *message) {
	p, now := &r.peers[from], r.Commit+1
	switch {
	case m.slot < now:
		if m.again {
			r.teach(from, m.slot)
		}
	case m.slot > now:
		p.ahead = max(p.ahead, m.slot-1)
		if p.early == nil || m.slot > p.early.slot || m.slot == p.early.slot &&
			rank(m.steps) >= rank(p.early.steps) {
			p.early = m
		}
		if m.slot > now+1 {
			r.ask()
		}
	default:
		r.merge(from, m)
	}
}

// merge adds what a member said in the present slot. Whoever says 1 says of which value.
func (r *Rabia) merge(from int, m *message) {
	p := &r.peers[from]
	if len(p.proposal) == 0 && len(m.proposal) > 0 {
		if p.proposal = m.proposal; from != r.Self {
			r.pool.add(m.proposal, false)
		}
		r.age = 0
	}
	if rank(m.steps) > rank(p.steps) {
		p.steps = m.steps
	}
	if r.mine.value == nil && len(m.value) > 0 {
		r.mine.value = m.value
	}
}

// agree takes the next step in the present slot, if it is time for one.
func (r *Rabia) agree() bool {
	a := &r.mine
	if r.unjudged || r.waiting > r.WaitMax || len(a.steps) >= maxPhases {
		return false
	}
	if len(a.steps) == 0 {
		return r.exchange()
	}
	if a.steps[len(a.steps)-1].vote == none {
		return r.vote(len(a.steps) - 1)
	}
	return r.conclude(len(a.steps) - 1)
}

// exchange is the first stage: 1 if a majority proposed the same, 0 if it did not. Proposals are the
// evidence of holding. Who goes on without a proposal has said that it has none.
func (r *Rabia) exchange() bool {
	said, missing, most := 0, 0, 0
	var best []byte
	for i := range r.peers {
		v := r.peers[i].proposal
		switch {
		case len(v) > 0 || len(r.peers[i].steps) > 0:
			said++
		case r.Alive(i):
			missing++
		}
		if n := r.proposers(v); n > most {
			best, most = v, n
		}
	}
	needed := r.Accepts
	if mutate.On(mutate.RabiaMinority) {
		needed--
	}
	if most >= needed {
		r.mine.value = best
	}
	switch {
	case r.mine.value != nil: // seen here, or by another
		return r.enter(one)
	case r.propose():
		return true
	case said < r.quorum || most+missing >= r.Accepts && r.age < 2*r.HeartbeatTicks:
		return false // those that are alive and did not propose yet may make it a majority
	}
	return r.enter(zero)
}

func (r *Rabia) proposers(v []byte) (n int) {
	for i := range r.peers {
		if len(v) > 0 && bytes.Equal(r.peers[i].proposal, v) {
			n++
		}
	}
	return n
}

// propose proposes the first value of those that anybody wants and that is held here: the lemma's first
// step. One proposal a slot.
func (r *Rabia) propose() bool {
	if r.mine.proposal != nil || r.holes() > 0 || r.pause > 0 && !r.begun() {
		return false
	}
	v := r.pool.first(func(w *want) bool {
		if mutate.On(mutate.RabiaProposeUnheld) {
			return true
		}
		verdict := r.Judge(w.cut)
		if verdict == order.Mismatch && !w.refused {
			w.refused = true
			r.out.Refuse(r.Members[r.Self], w.cut)
		}
		return verdict == order.Held
	})
	if v == nil {
		return false
	}
	r.mine.proposal = v
	return r.say()
}

// begun reports whether somebody proposed in this slot.
func (r *Rabia) begun() bool {
	return slices.ContainsFunc(r.peers, func(p peer) bool { return len(p.proposal) > 0 })
}

// enter begins a phase with a state.
func (r *Rabia) enter(state opinion) bool {
	r.mine.steps = append(r.mine.steps, step{state: state})
	return r.say()
}

// vote is the first round of a phase: for what a majority has as its state.
func (r *Rabia) vote(p int) bool {
	var n [4]int
	for i := range r.peers {
		if s := r.peers[i].steps; len(s) > p {
			n[s[p].state]++
		}
	}
	if n[zero]+n[one] < r.quorum {
		return false
	}
	v := unsure
	switch {
	case n[one] >= r.quorum || n[one] > 0 && mutate.On(mutate.RabiaHastyVote):
		v = one
	case n[zero] >= r.quorum:
		v = zero
	}
	r.mine.steps[p].vote = v
	return r.say()
}

// conclude is the second round: what f+1 voted for is decided; what one voted for is the next state; and
// where nobody here was sure, the coin is.
func (r *Rabia) conclude(p int) bool {
	var n [4]int
	for i := range r.peers {
		if s := r.peers[i].steps; len(s) > p {
			n[s[p].vote]++
		}
	}
	enough := len(r.Members) - r.quorum + 1
	if mutate.On(mutate.RabiaOneVote) {
		enough--
	}
	own := r.peers[r.Self].steps
	switch {
	case n[one] >= enough:
		r.decide(r.mine.value)
		return true
	case n[zero] >= enough:
		r.decide(nil)
		return true
	case n[zero]+n[one]+n[unsure] < r.quorum || len(own) <= p || own[p].vote == none:
		return false
	case n[one] > 0:
		return r.enter(one)
	case n[zero] > 0:
		return r.enter(zero)
	}
	return r.enter(r.coin(p))
}

// coin is the same at every member, and nobody's to choose: of the slot and the phase.
func (r *Rabia) coin(phase int) opinion {
	return zero + opinion(slots.Mix(slots.Mix(r.common^r.mine.slot)+uint64(phase))&1)
}

// decide ends the present slot with a value, nil for nothing, and begins the next. It need not be held here.
func (r *Rabia) decide(value []byte) {
	n := r.Commit + 1
	r.Commit = n
	r.Log.Put(n, slots.Slot{Ballot: term, Decision: value})
	r.waiting += len(value)
	r.judge()
	r.record([]entry{{Slot: n, Ballot: term, Decision: value}})
	r.pool.settle(value)
	if r.row++; len(value) > 0 {
		r.row, r.pause = 0, 0
	} else if r.nothings++; r.row > 1 {
		r.pause = 1 + r.Random.Below(min(r.HeartbeatTicks<<min(r.row, 8), r.ElectionTicks))
	}
	r.next()
}

// next begins the slot after the last decided, with what was said in it already.
func (r *Rabia) next() {
	r.mine, r.unjudged, r.age = agreement{slot: r.Commit + 1}, false, 0
	for i := range r.peers {
		r.peers[i].proposal, r.peers[i].steps = nil, nil
	}
	for i := range r.peers {
		p := &r.peers[i]
		if m := p.early; m != nil && m.slot <= r.mine.slot {
			if p.early = nil; m.slot == r.mine.slot {
				r.merge(i, m)
			}
		}
	}
}
