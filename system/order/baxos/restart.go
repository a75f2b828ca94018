package baxos

import (
	"fmt"

	"metronome/system/order"
	"metronome/system/order/slots"
	"metronome/system/wire"
)

// recordFormat is the first byte of a record; another one is another layout, or another algorithm.
const recordFormat = 0xC1

// record writes slots as they are now, and what is decided by then.
func (b *Baxos) record(numbers ...uint64) { b.out.Record(b.encode(numbers)) }

// encode is a record: format, rounds reserved, the highest round, how far all is decided, then the slots
// with the ballots promised there, and what was accepted in them.
func (b *Baxos) encode(numbers []uint64) []byte {
	if b.volatile {
		return nil
	}
	w := wire.Writer{}
	w.U8(recordFormat)
	w.U64(b.pledged)
	w.U64(b.round)
	w.U64(b.commit)
	w.U32(uint32(len(numbers)))
	var accepted []entry
	for _, n := range numbers {
		s := b.log.At(n)
		w.U64(n)
		w.U64(s.Promised)
		accepted = append(accepted, b.log.Entries(n, n)...)
	}
	slots.AppendEntries(&w, accepted, true)
	return w.B
}

// repeat writes down everything that counts after a compaction.
func (b *Baxos) repeat() {
	var all []uint64
	for n := b.log.Base + 1; n <= b.log.Last(); n++ {
		if b.log.At(n).Promised != 0 {
			all = append(all, n)
		}
	}
	b.out.Repeat(b.log.Base, b.encode(all))
}

// begin takes up where it left off: a founding, or what survived. It goes on beyond the rounds that an
// earlier life may have used, and judges again what that accepted.
func (b *Baxos) begin(at *slots.Start) error {
	b.log.Base, b.log.Term, b.commit = at.At.Position, at.At.Term, at.At.Position
	if err := at.Redo(b.redo); err != nil {
		return err
	}
	if err := b.log.Complete(b.commit); err != nil {
		return err
	}
	for n := b.log.Base + 1; n <= b.commit; n++ {
		b.log.At(n).Decided = true
	}
	b.holes = b.log.Holes()
	b.reserved, b.seen = b.pledged, max(b.round, b.pledged)
	b.began, b.durable = b.round, b.commit
	return nil
}

// redo repeats one write. What the durable state covers is passed over.
func (b *Baxos) redo(record []byte) error {
	r := wire.NewReader(record)
	format := r.U8()
	pledged, round, commit := r.U64(), r.U64(), r.U64()
	if !r.OK() || format != recordFormat || max(pledged, round) > slots.MaxNumber>>8 ||
		commit > slots.MaxNumber {
		return fmt.Errorf("%w: no record of baxos", order.ErrMalformed)
	}
	b.pledged, b.round, b.commit = max(b.pledged, pledged), max(b.round, round), max(b.commit, commit)
	for left := r.U32(); left > 0 && r.OK(); left-- {
		n, promised := r.U64(), r.U64()
		s, err := b.place(n, promised)
		if err != nil {
			return err
		}
		if s != nil {
			s.Promised = max(s.Promised, promised)
		}
	}
	for _, e := range slots.ReadEntries(&r, true, 0, 0) {
		s, err := b.place(e.Slot, e.Ballot)
		if err != nil {
			return err
		}
		if _, err := order.CutOf(e.Decision); err != nil || e.Ballot == 0 {
			return fmt.Errorf("%w: what was accepted in slot %d", order.ErrMalformed, e.Slot)
		}
		if s != nil && e.Ballot >= s.Ballot {
			s.Promised, s.Ballot, s.Decision = max(s.Promised, e.Ballot), e.Ballot, e.Decision
		}
	}
	if !r.Done() {
		return fmt.Errorf("%w: a record that is cut short", order.ErrMalformed)
	}
	return nil
}

// place is a slot that is written again; nil if the durable state covers it.
func (b *Baxos) place(n, ballot uint64) (*slots.Slot, error) {
	if n > max(b.log.Last(), b.commit)+1<<16 || ballot >= slots.MaxNumber {
		return nil, fmt.Errorf("%w: slot %d in a record, after %d", order.ErrMalformed, n, b.log.Last())
	}
	if n > b.log.Last() {
		b.log.Grow(n)
	}
	return b.log.At(n), nil
}
