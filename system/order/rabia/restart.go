package rabia

import (
	"fmt"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
	"metronome/system/wire"
)

// recordFormat is the first byte of a record; another one is another layout, or another algorithm.
const recordFormat = 0xD1

// record writes decided slots, and what this member said in the present one.
func (r *Rabia) record(entries []entry) { r.out.Record(r.encode(entries)) }

func (r *Rabia) encode(entries []entry) []byte {
	if r.written = r.judged; r.volatile {
		return nil
	}
	w := wire.Writer{}
	w.U8(recordFormat)
	w.U64(r.commit)
	w.U64(r.judged)
	w.U64(r.mine.slot)
	w.Bytes(r.mine.proposal)
	w.Bytes(r.mine.value)
	w.Bytes(packed(r.mine.steps))
	slots.AppendEntries(&w, entries, true)
	return w.B
}

// begin takes up the configuration's beginning.
func (r *Rabia) begin(start *slots.Start) error {
	r.log.Base, r.log.Term, r.commit = start.At.Position, term, start.At.Position
	if err := start.Redo(r.redo); err != nil {
		return err
	}
	for n := r.log.Base + 1; n <= r.commit; n++ {
		if !r.log.Accepted(n, term) {
			return fmt.Errorf("%w: %d is decided, and the records lack %d: repair from peers", order.ErrMalformed,
				r.commit, n)
		}
	}
	return nil
}

// redo repeats one write. What the durable state covers is passed over.
func (r *Rabia) redo(b []byte) error {
	in := wire.NewReader(b)
	format, commit, judged := in.U8(), in.U64(), in.U64()
	a := agreement{slot: in.U64(), proposal: clone(in.Bytes()), value: clone(in.Bytes()),
		steps: unpacked(in.Bytes())}
	m := message{kind: kindLearn, slot: a.slot, proposal: a.proposal, value: a.value, steps: a.steps,
		entries: slots.ReadEntries(&in, true, 0, 0)}
	if !in.Done() || format != recordFormat || judged > commit || commit > slots.MaxNumber {
		return fmt.Errorf("%w: no record of rabia", order.ErrMalformed)
	}
	if err := m.check(); err != nil {
		return err
	}
	if r.commit, r.holeEnd = max(r.commit, commit), max(r.holeEnd, judged); a.slot >= r.mine.slot {
		r.mine = a
	}
	for _, e := range m.entries {
		if e.Slot > max(r.log.Last(), r.commit) {
			return fmt.Errorf("%w: slot %d follows %d", order.ErrMalformed, e.Slot, r.commit)
		}
		if e.Slot > r.log.Base {
			r.log.Put(e.Slot, slots.Slot{Ballot: term, Decision: decision(e.Decision)})
		}
	}
	return nil
}

// decision is nil for nothing.
func decision(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// resume goes on where the records end: what is decided is judged again, what of it was held makes holes
// until it is (R4), and so does what was proposed in the present slot: nothing is said there before.
func (r *Rabia) resume() {
	r.judged, r.written, r.durable = r.log.Base, r.log.Base, r.log.Base
	for n := r.log.Base + 1; n <= r.commit; n++ {
		r.waiting += len(r.log.At(n).Decision)
	}
	if r.mine.slot != r.commit+1 || mutate.On(mutate.RabiaForgetVotes) {
		r.mine = agreement{slot: r.commit + 1}
		return
	}
	r.mine.proposal, r.mine.value = decision(r.mine.proposal), decision(r.mine.value)
	if r.unjudged = r.mine.proposal != nil; !r.unjudged {
		r.peers[r.self].steps = r.mine.said()
	}
}
