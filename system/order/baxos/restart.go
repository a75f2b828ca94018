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
	if b.Volatile {
		return nil
	}
	w := wire.Writer{}
	w.U8(recordFormat)
	w.U64(b.pledged)
	w.U64(b.round)
	w.U64(b.Commit)
	w.U32(uint32(len(numbers)))
	var accepted []entry
	for _, n := range numbers {
		s := b.Log.At(n)
		w.U64(n)
		w.U64(s.Promised)
		accepted = append(accepted, b.Log.Entries(n, n)...)
	}
	slots.AppendEntries(&w, accepted, true)
	return w.B
}

// repeat writes down everything that counts after a compaction.
func (b *Baxos) repeat() {
	var all []uint64
	for n := b.Log.Base + 1; n <= b.Log.Last(); n++ {
		if b.Log.At(n).Promised != 0 {
			all = append(all, n)
		}
	}
	b.out.Repeat(b.Log.Base, b.encode(all))
}

// resume goes on beyond the rounds that an earlier life may have used, and judges again what that accepted.
func (b *Baxos) resume() {
	for n := b.Log.Base + 1; n <= b.Commit; n++ {
		b.Log.At(n).Decided = true
	}
	b.Holes = b.Log.Holes()
	b.reserved, b.seen = b.pledged, max(b.round, b.pledged)
	b.began, b.durable = b.round, b.Commit
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
	b.pledged, b.round, b.Commit = max(b.pledged, pledged), max(b.round, round), max(b.Commit, commit)
	for left := r.U32(); left > 0 && r.OK(); left-- {
		n, promised := r.U64(), r.U64()
		s, err := b.Again(n, 1<<16)
		if err != nil || promised >= slots.MaxNumber {
			return fmt.Errorf("%w: what was promised in slot %d", order.ErrMalformed, n)
		}
		if s != nil {
			s.Promised = max(s.Promised, promised)
		}
	}
	entries := slots.ReadEntries(&r, true, 0, 0)
	if !r.Done() {
		return fmt.Errorf("%w: a record that is cut short", order.ErrMalformed)
	}
	if err := slots.CheckEntries(entries, 0, slots.MaxNumber-1); err != nil {
		return err
	}
	return b.AcceptedAgain(entries, 1<<16)
}
