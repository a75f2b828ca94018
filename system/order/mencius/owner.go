package mencius

import (
	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
)

// owner is what a member knows of its own slots.
type owner struct {
	next     uint64 // the first slot that is not used yet
	reserved uint64 // up to here slots may be used before that is durable
	durable  uint64 // of that, what was written
	asked    bool   // a write of it is under way
	pending  []proposal
	bytes    int
	lost     uint64   // how many proposals were revoked: each begins a new term
	reads    []uint64 // that lost their slot, or got none yet
	// abandoned is up to where slots may have been used before a restart that does not remember.
	abandoned uint64
}

// proposal is what is under way in an own slot.
type proposal struct {
	slot  uint64
	size  int
	empty bool     // it is there for reads only
	reads []uint64 // that it answers
}

// rounds is how many proposals that take lanes further are under way.
func (o *owner) rounds() (n int) {
	for i := range o.pending {
		if !o.pending[i].empty {
			n++
		}
	}
	return n
}

// after is the first slot of this member's behind n.
func (p *Mencius) after(n uint64) uint64 {
	size := uint64(len(p.Members))
	return n + 1 + (uint64(p.Self)+size-(n+1)%size)%size
}

// free moves on to the first own slot that is not used, revoked or decided.
func (p *Mencius) free() uint64 {
	o := &p.own
	o.next = max(o.next, p.after(p.Commit))
	for {
		if s := p.Log.At(o.next); s == nil || s.Promised <= first && s.Ballot == 0 {
			return o.next
		}
		o.next += uint64(len(p.Members))
	}
}

// reserve makes durable up to where own slots may be used, well before that is reached: a proposal can
// then leave before it is durable itself, and a restart does not use its slot again.
func (p *Mencius) reserve() {
	o := &p.own
	most := advance * uint64(len(p.Members))
	if p.free()+most/2 > o.durable && !o.asked {
		o.asked = true
		p.record(nil)
		p.hold(p.Self, message{kind: kindDurable, end: o.reserved})
	}
}

// Propose implements [order.Orderer]. The cut passes the proposer's own gate first: its acceptance counts
// like any other (R8).
func (p *Mencius) Propose(decision []byte) error {
	if !p.leads() {
		return order.ErrNotLeader
	}
	d, err := order.DecodeDecision(decision)
	if err != nil {
		return err
	}
	if p.Gate.Holds(d.Cut) != order.Held {
		return order.ErrNotHeld
	}
	if !p.use(decision, false) {
		return order.ErrBusy
	}
	p.deliver()
	return nil
}

// use proposes a value in the next own slot, in ballot 0, which needs no promise.
func (p *Mencius) use(decision []byte, empty bool) bool {
	o := &p.own
	n := p.free()
	if n > o.durable || n > p.Commit+maxAhead || len(o.pending) >= maxPending || o.bytes > maxPendingBytes {
		return false
	}
	o.pending = append(o.pending, proposal{n, len(decision), empty, o.reads})
	o.bytes, o.reads = o.bytes+len(decision), nil
	p.used = max(p.used, n)
	value := []entry{{Slot: n, Ballot: first, Decision: decision}}
	p.take(value)
	p.Others(func(i int) { p.send(i, message{kind: kindAccept, ballot: first, entries: value}) })
	p.acknowledge(p.Self, first, []uint64{n})
	p.reserve()
	return true
}

// skip gives up the own slots below one that somebody else uses, so that it need not wait for them. A skip
// is decided by its owner's word. It leaves at once if the slot is durably reserved, for then a restart
// uses it for nothing else; or else when the skip itself is durable.
func (p *Mencius) skip(below uint64) {
	var all []entry
	for n := p.free(); n < below; n = p.free() {
		e := entry{Slot: n, Ballot: first}
		p.Log.Put(n, slots.Slot{Promised: first, Ballot: first, Held: true})
		if all = append(all, e); len(all) == maxMessageSlots {
			p.skipped(all)
			all = nil
		}
	}
	p.skipped(all)
}

func (p *Mencius) skipped(all []entry) {
	if len(all) == 0 {
		return
	}
	p.record(all)
	m := message{kind: kindAccept, ballot: first, entries: all}
	if all[len(all)-1].Slot <= p.own.durable {
		p.Others(func(i int) { p.send(i, m) })
		p.learn(all)
		return
	}
	p.Others(func(i int) { p.hold(i, m) })
	p.hold(p.Self, m)
}

// onAccepted counts acceptances: a slot is decided when a quorum accepted it in one ballot.
func (p *Mencius) onAccepted(from int, m *message) {
	needed := p.Accepts
	if mutate.On(mutate.MenciusMinority) {
		needed--
	}
	var done []uint64
	for _, n := range m.slots {
		s := p.Log.At(n)
		if s == nil || s.Ballot != m.ballot {
			continue
		}
		if s.Votes |= bit(from); slots.Quorum(s.Votes, needed) {
			p.decide(n)
			done = append(done, n)
		}
	}
	if len(done) > 0 {
		p.Others(func(i int) { p.send(i, message{kind: kindDecided, ballot: m.ballot, slots: done}) })
	}
}

// settled notes what became of an own slot. A proposal that was lost to a revocation ends the term.
func (o *owner) settled(p *Mencius, n uint64, value bool) {
	for i := range o.pending {
		if q := &o.pending[i]; q.slot == n && !value {
			o.reads = append(o.reads, q.reads...)
			o.lost++
			o.remove(i)
			p.reread()
			return
		}
	}
}

// came answers reads as their slot is handed out: whatever was answered before they were asked lies in
// slots before it.
func (o *owner) came(p *Mencius, n uint64) {
	if len(o.pending) == 0 || o.pending[0].slot != n {
		return
	}
	for _, ctx := range o.pending[0].reads {
		p.out.Ready.Reads = append(p.out.Ready.Reads, order.Read{Ctx: ctx, Position: n})
	}
	o.remove(0)
	p.reread()
}

func (o *owner) remove(i int) {
	o.bytes -= o.pending[i].size
	o.pending = append(o.pending[:i:i], o.pending[i+1:]...)
}

// ReadIndex implements [order.Orderer]: a read waits for an empty decision of its own, which is proposed
// after it was asked.
func (p *Mencius) ReadIndex(ctx uint64) {
	if len(p.own.reads) == maxReads {
		p.own.reads = p.own.reads[1:]
	}
	p.own.reads = append(p.own.reads, ctx)
	p.reread()
}

func (p *Mencius) reread() {
	if len(p.own.reads) > 0 && p.leads() {
		p.use(order.AppendDecision(nil, &order.Decision{}), true)
	}
}
