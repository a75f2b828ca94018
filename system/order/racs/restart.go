package racs

import (
	"fmt"

	"metronome/system/order"
	"metronome/system/order/slots"
	"metronome/system/wire"
)

// recordFormat is the first byte of a record; another one is another layout, or another algorithm.
const recordFormat = 0xE1

// record writes what was accepted, the ballot promised, and what is decided by then.
func (p *Racs) record(entries []entry) {
	p.recorded = p.promised
	p.out.Record(p.encode(entries))
}

func (p *Racs) encode(entries []entry) []byte {
	if p.Volatile {
		return nil
	}
	w := wire.Writer{}
	w.U8(recordFormat)
	w.U64(p.promised)
	w.U64(p.Commit)
	slots.AppendEntries(&w, entries, true)
	return w.B
}

// redo repeats one write. What the durable state covers is passed over.
func (p *Racs) redo(b []byte) error {
	r := wire.NewReader(b)
	format := r.U8()
	promised, commit := r.U64(), r.U64()
	entries := slots.ReadEntries(&r, true, 0, 0)
	if !r.Done() || format != recordFormat || max(promised, commit) > slots.MaxNumber {
		return fmt.Errorf("%w: no record of racs", order.ErrMalformed)
	}
	if err := slots.CheckEntries(entries, 0, max(promised, 1)); err != nil {
		return err
	}
	p.promised, p.Commit = max(p.promised, promised), max(p.Commit, commit)
	p.recorded = p.promised
	p.see(p.promised)
	return p.AcceptedAgain(entries, 1<<16)
}
