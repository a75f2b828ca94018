package rabia

import (
	"metronome/system/order"
	"metronome/system/order/slots"
)

// speak repeats, now and then, whatever others may have missed. It waits for no disk (R16).
func (r *Rabia) speak() {
	r.beat, r.asked = 0, false
	if r.out.Idle() {
		r.durable = r.judged
	} else if r.durable < r.judged && !r.marked {
		r.marked = true
		r.hold(r.Self, message{kind: kindDurable})
	}
	r.others(message{kind: kindBeat, slot: r.Commit, number: r.durable})
	if p := &r.peers[r.Self]; len(p.proposal) > 0 || len(p.steps) > 0 {
		r.others(message{kind: kindSay, again: true, slot: r.mine.slot, proposal: p.proposal, value: r.mine.value,
			steps: p.steps})
	}
	r.request()
	if r.read.open {
		r.others(message{kind: kindRead, number: r.read.number})
	}
	r.ask()
}

// ask asks for what was decided elsewhere, once a beat, always the same member while that helps. Items that
// do not come may be in a snapshot only.
func (r *Rabia) ask() {
	if r.asked {
		return
	}
	from := r.Commit + 1
	r.source.Stay(len(r.Members), func(i int) bool {
		return i != r.Self && r.Alive(i) && r.peers[i].ahead >= from
	})
	source := int(r.source)
	behind := source != r.Self && r.peers[source].ahead >= from
	if !behind && r.judged == r.Commit {
		r.stall = 0
		return
	}
	if r.stall++; r.stall*r.HeartbeatTicks >= 2*r.ElectionTicks { // it does not help
		r.stall, source = 0, (source+1)%len(r.Members)
		r.source = slots.Source(source)
	}
	if r.judged < r.Commit && r.stall*r.HeartbeatTicks >= r.ElectionTicks {
		from, behind = r.judged+1, true
	}
	if behind && source != r.Self {
		r.asked = true
		r.send(source, message{kind: kindAsk, slot: from})
	}
}

// onAsk tells what is decided from a slot on, or has state sent that covers it.
func (r *Rabia) onAsk(to int, from uint64) {
	if from <= r.Log.Base {
		r.SendState(to, &r.out.Ready)
		return
	}
	r.teach(to, from)
}

func (r *Rabia) teach(to int, from uint64) {
	if known := r.Log.Batch(from, r.Commit, term, maxMessageSlots); len(known) > 0 {
		r.send(to, message{kind: kindLearn, entries: known})
	}
}

// onLearn learns what is decided, and asks on. What is not held here waits at the gate.
func (r *Rabia) onLearn(from int, m *message) {
	before := r.Commit
	for i := range m.entries {
		if e := &m.entries[i]; e.Slot == r.Commit+1 && r.waiting <= r.WaitMax {
			r.decide(e.Decision)
		}
	}
	if p := &r.peers[from]; r.Commit > before && p.ahead > r.Commit {
		r.source, r.stall, r.asked = slots.Source(from), 0, true
		r.send(from, message{kind: kindAsk, slot: r.Commit + 1})
	}
}

// reading is a question to all: in which slot did you vote last?
type reading struct {
	open     bool
	number   uint64
	heard    uint32 // by index
	position uint64
	ctxs     []uint64 // that it answers
	next     []uint64 // that came after it was asked
}

// ReadIndex implements [order.Orderer]. What anybody knew to be decided when it was asked, f+1 members had
// voted on; a majority that answers has one of them.
func (r *Rabia) ReadIndex(ctx uint64) {
	if len(r.read.next) == maxReads {
		r.read.next = r.read.next[1:]
	}
	r.read.next = append(r.read.next, ctx)
	r.reread()
}

func (r *Rabia) reread() {
	q := &r.read
	if q.open || len(q.next) == 0 {
		return
	}
	*q = reading{open: true, number: q.number + 1, ctxs: q.next}
	r.others(message{kind: kindRead, number: q.number})
	r.onVoted(r.Self, &message{number: q.number, slot: r.voted()})
}

// voted is the last slot in which this member voted, or that it knows to be decided.
func (r *Rabia) voted() uint64 {
	if a := &r.mine; len(a.steps) > 0 && (len(a.steps) > 1 || a.steps[0].vote != none) {
		return a.slot
	}
	return r.Commit
}

func (r *Rabia) onVoted(from int, m *message) {
	q := &r.read
	if !q.open || m.number != q.number {
		return
	}
	q.heard |= 1 << from
	q.position = max(q.position, m.slot)
	if !slots.Quorum(q.heard, r.quorum) {
		return
	}
	for _, ctx := range q.ctxs {
		r.out.Ready.Reads = append(r.out.Ready.Reads, order.Read{Ctx: ctx, Position: q.position})
	}
	q.open = false
	r.reread()
}
