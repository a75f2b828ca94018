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
	if r.written = r.judged; r.Volatile {
		return nil
	}
	w := wire.Writer{}
	w.U8(recordFormat)
	w.U64(r.Commit)
	w.U64(r.judged)
	w.U64(r.mine.slot)
	w.Bytes(r.mine.proposal)
	w.Bytes(r.mine.value)
	w.Bytes(packed(r.mine.steps))
	slots.AppendEntries(&w, entries, true)
	return w.B
}

// redo repeats one write. What the durable state covers is passed over.
func (r *Rabia) redo(b []byte) error {
	in := wire.NewReader(b)
	format, commit, judged := in.U8(), in.U64(), in.U64()
	a := agreement{slot: in.U64(), proposal: slots.Own(&in), value: slots.Own(&in),
		steps: unpacked(in.Bytes())}
	m := message{kind: kindLearn, slot: a.slot, proposal: a.proposal, value: a.value, steps: a.steps,
		entries: slots.ReadEntries(&in, true, 0, 0)}
	if !in.Done() || format != recordFormat || judged > commit || commit > slots.MaxNumber {
		return fmt.Errorf("%w: no record of rabia", order.ErrMalformed)
	}
	if err := m.check(); err != nil {
		return err
	}
	if r.Commit, r.holeEnd = max(r.Commit, commit), max(r.holeEnd, judged); a.slot >= r.mine.slot {
		r.mine = a
	}
	return r.AcceptedAgain(m.entries, 0)
}

// resume goes on where the records end: what is decided is judged again, what of it was held makes holes
// until it is (R4), and so does what was proposed in the present slot: nothing is said there before.
func (r *Rabia) resume() {
	r.judged, r.written, r.durable = r.Log.Base, r.Log.Base, r.Log.Base
	for n := r.Log.Base + 1; n <= r.Commit; n++ {
		r.waiting += len(r.Log.At(n).Decision)
	}
	if r.mine.slot != r.Commit+1 || mutate.On(mutate.RabiaForgetVotes) {
		r.mine = agreement{slot: r.Commit + 1}
		return
	}
	if r.unjudged = r.mine.proposal != nil; !r.unjudged {
		r.peers[r.Self].steps = r.mine.said()
	}
}
