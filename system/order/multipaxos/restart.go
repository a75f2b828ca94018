package multipaxos

import (
	"fmt"

	"metronome/system/order"
	"metronome/system/order/slots"
	"metronome/system/wire"
)

// recordFormat is the first byte of a record; another one is another layout, or another algorithm.
const recordFormat = 0xA1

// record writes what was accepted, the ballot promised, and what is decided by then.
func (p *Paxos) record(entries []entry) {
	p.recorded = p.promised
	p.out.Record(p.encode(entries))
}

// recordAll encodes everything that counts after a compaction.
func (p *Paxos) recordAll() []byte { return p.encode(p.log.Entries(p.log.Base+1, p.log.Last())) }

func (p *Paxos) encode(entries []entry) []byte {
	if p.volatile {
		return nil
	}
	w := wire.Writer{}
	w.U8(recordFormat)
	w.U64(p.promised)
	w.U64(p.commit)
	slots.AppendEntries(&w, entries, true)
	return w.B
}

// begin takes up where it left off: a founding, or what survived.
func (p *Paxos) begin(at *slots.Start) error {
	p.log.Base, p.log.Term, p.commit = at.At.Position, at.At.Term, at.At.Position
	if err := at.Redo(p.redo); err != nil {
		return err
	}
	p.holes = p.log.Holes()
	return p.log.Complete(p.commit)
}

// redo repeats one write. What the durable state covers is passed over.
func (p *Paxos) redo(b []byte) error {
	r := wire.NewReader(b)
	format := r.U8()
	promised, commit := r.U64(), r.U64()
	entries := slots.ReadEntries(&r, true, 0, 0)
	if !r.Done() || format != recordFormat || promised > maxNumber || commit > maxNumber {
		return fmt.Errorf("%w: no record of multipaxos", order.ErrMalformed)
	}
	m := message{kind: kindPromise, ballot: max(promised, 1), entries: entries}
	if err := m.check(); err != nil {
		return err
	}
	p.promised, p.commit = max(p.promised, promised), max(p.commit, commit)
	for _, e := range entries {
		if e.Slot > max(p.log.Last(), p.commit)+1<<16 {
			return fmt.Errorf("%w: slot %d follows %d", order.ErrMalformed, e.Slot, p.log.Last())
		}
		if s := p.log.At(e.Slot); e.Slot > p.log.Base && (s == nil || e.Ballot >= s.Ballot) {
			p.log.Put(e.Slot, slot{Ballot: e.Ballot, Decision: e.Decision})
		}
	}
	p.recorded = p.promised
	p.see(p.promised)
	return nil
}
