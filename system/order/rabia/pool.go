package rabia

import (
	"bytes"
	"cmp"
	"slices"

	"metronome/system/order"
)

// pool is the values that this member, or another, wants to be decided, in an order that is the same
// everywhere: those who know of the same values propose the same one. The paper's priority queue.
type pool struct {
	wanted  []want
	size    int // bytes
	dropped uint64
	same    uint64 // of those made here, what another had made, too
}

// want is a value, its time and its cut. open is what of that no decision covers yet; only says that it is
// nothing but a cut.
type want struct {
	value     []byte
	time      uint64
	cut, open order.Cut
	only, own bool
	both      bool // own, and another's
	refused   bool // for a mismatch, which was reported
	age       int  // ticks since it was heard of
}

func (w *want) compare(to *want) int {
	if c := cmp.Compare(w.time, to.time); c != 0 {
		return c
	}
	return bytes.Compare(w.value, to.value)
}

// add adds a value, that was checked when it was decoded. One of others finds room or is dropped: it will
// be heard of again.
func (p *pool) add(value []byte, own bool) {
	d, err := order.DecodeDecision(value)
	if err != nil {
		return
	}
	w := want{value: value, time: d.Time, cut: d.Cut, open: slices.Clone(d.Cut),
		only: len(d.Cut) > 0 && len(d.Commands) == 0, own: own}
	i, there := slices.BinarySearchFunc(p.wanted, &w, func(a want, b *want) int { return a.compare(b) })
	switch {
	case there:
		if own != p.wanted[i].own && (own || !p.wanted[i].both) {
			p.wanted[i].both = true
			p.same++
		}
		p.wanted[i].own, p.wanted[i].age = p.wanted[i].own || own, 0
	case !own && (len(p.wanted) >= maxPool || p.size+len(value) > maxPoolBytes):
		p.dropped++
	default:
		p.wanted, p.size = slices.Insert(p.wanted, i, w), p.size+len(value)
	}
}

// first is the first value that something holds of, or nil.
func (p *pool) first(holds func(w *want) bool) []byte {
	for i := range p.wanted {
		if holds(&p.wanted[i]) {
			return p.wanted[i].value
		}
	}
	return nil
}

// own is how many are this member's.
func (p *pool) own() (n int) {
	for i := range p.wanted {
		if p.wanted[i].own {
			n++
		}
	}
	return n
}

// settle takes out what was decided, and cuts that it covers: they are absolute (R6).
func (p *pool) settle(value []byte) {
	if len(value) == 0 {
		return
	}
	cut, _ := order.CutOf(value)
	p.remove(func(w *want) bool {
		w.open = slices.DeleteFunc(w.open, func(m order.Mark) bool {
			by, ok := cut.Find(m.Lane)
			return ok && by.Frames >= m.Frames
		})
		return w.only && len(w.open) == 0 || bytes.Equal(w.value, value)
	})
}

// grow lets time pass. Others' values that nobody speaks of any more are forgotten.
func (p *pool) grow(limit int) {
	p.remove(func(w *want) bool {
		w.age++
		return !w.own && w.age > limit
	})
}

func (p *pool) remove(which func(w *want) bool) {
	kept := p.wanted[:0]
	for i := range p.wanted {
		if w := &p.wanted[i]; which(w) {
			p.size -= len(w.value)
		} else {
			kept = append(kept, *w)
		}
	}
	clear(p.wanted[len(kept):])
	p.wanted = kept
}

// Propose implements [order.Orderer]. The cut passes the proposer's own gate first (R8); the others may
// propose the same value, if they hold it.
func (r *Rabia) Propose(decision []byte) error {
	if !r.leads() {
		return order.ErrNotLeader
	}
	d, err := order.DecodeDecision(decision)
	if err != nil {
		return err
	}
	if r.Gate.Holds(d.Cut) != order.Held {
		return order.ErrNotHeld
	}
	if r.pool.own() >= maxPending || r.pool.size > maxPoolBytes {
		return order.ErrBusy
	}
	if len(d.Commands) == 0 {
		d.Time -= d.Time % timeQuantum
		decision = order.AppendDecision(nil, &d)
	}
	r.pool.add(decision, true)
	r.progress()
	if !bytes.Equal(r.mine.proposal, decision) {
		r.others(message{kind: kindRequest, slot: r.mine.slot, proposal: decision})
	}
	return nil
}

// onRequest takes note of what another wants. One that was sent before the last decision here may be what
// that decided.
func (r *Rabia) onRequest(m *message) {
	if m.slot > r.Commit {
		r.pool.add(m.proposal, false)
	}
}

// request repeats what this member wants and does not propose in this slot.
func (r *Rabia) request() {
	for i := range r.pool.wanted {
		if w := &r.pool.wanted[i]; w.own && !bytes.Equal(w.value, r.peers[r.Self].proposal) {
			r.others(message{kind: kindRequest, slot: r.mine.slot, proposal: w.value})
		}
	}
}
