package mencius

import (
	"fmt"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/order/slots"
	"metronome/system/wire"
)

// recordFormat is the first byte of a record; another one is another layout, or another algorithm.
const recordFormat = 0xB1

// record writes what was accepted, what is decided by then, and up to where own slots are reserved.
func (p *Mencius) record(entries []entry) { p.out.Record(p.encode(nil, entries)) }

func (p *Mencius) recordPromises(promised []entry) { p.out.Record(p.encode(promised, nil)) }

// recordAll encodes everything that counts after a compaction.
func (p *Mencius) recordAll() []byte {
	var promised []entry
	for n := p.log.Base + 1; n <= p.log.Last(); n++ {
		if s := p.log.At(n); s.Promised > s.Ballot {
			promised = append(promised, entry{Slot: n, Ballot: s.Promised})
		}
	}
	return p.encode(promised, p.log.Entries(p.log.Base+1, p.log.Last()))
}

func (p *Mencius) encode(promised, entries []entry) []byte {
	p.own.reserved = max(p.own.reserved, p.free()+advance*uint64(len(p.members)))
	if p.volatile {
		return nil
	}
	w := wire.Writer{}
	w.U8(recordFormat)
	w.U64(p.commit)
	w.U64(p.own.reserved)
	w.U32(uint32(len(promised)))
	for _, e := range promised {
		w.U64(e.Slot)
		w.U64(e.Ballot)
	}
	slots.AppendEntries(&w, entries, true)
	return w.B
}

// begin takes up where it left off: a founding, or what survived.
func (p *Mencius) begin(at *slots.Start) error {
	p.log.Base, p.log.Term, p.commit = at.At.Position, termOfAll, at.At.Position
	if err := at.Redo(p.redo); err != nil {
		return err
	}
	p.holes = p.log.Holes()
	if err := p.log.Complete(p.commit); err != nil {
		return err
	}
	for n := p.log.Base + 1; n <= p.commit; n++ {
		s := p.log.At(n)
		s.Promised, s.Ballot = decided, decided
	}
	return nil
}

// redo repeats one write. What the durable state covers is passed over.
func (p *Mencius) redo(b []byte) error {
	r := wire.NewReader(b)
	format, commit, reserved := r.U8(), r.U64(), r.U64()
	var promised []entry
	for n := r.U32(); n > 0 && r.OK(); n-- {
		promised = append(promised, entry{Slot: r.U64(), Ballot: r.U64()})
	}
	entries := slots.ReadEntries(&r, true, 0, 0)
	if !r.Done() || format != recordFormat || commit > maxNumber || reserved > maxNumber {
		return fmt.Errorf("%w: no record of mencius", order.ErrMalformed)
	}
	for _, list := range [2]message{{kind: kindLearn, entries: promised}, {kind: kindLearn, entries: entries}} {
		if err := list.check(); err != nil {
			return err
		}
	}
	p.commit, p.own.reserved = max(p.commit, commit), max(p.own.reserved, reserved)
	for _, e := range promised {
		p.see(e.Ballot)
		if s, err := p.place(e.Slot); err != nil {
			return err
		} else if s != nil {
			s.Promised = max(s.Promised, e.Ballot)
		}
	}
	for _, e := range entries {
		p.see(e.Ballot)
		if s, err := p.place(e.Slot); err != nil {
			return err
		} else if s != nil && e.Ballot >= s.Ballot {
			s.Promised, s.Ballot, s.Decision = max(s.Promised, e.Ballot), e.Ballot, e.Decision
		}
	}
	return nil
}

// place is a slot that is written again; nil if the durable state covers it.
func (p *Mencius) place(n uint64) (*slots.Slot, error) {
	if n > max(p.log.Last(), p.commit)+2*maxAhead {
		return nil, fmt.Errorf("%w: slot %d follows %d", order.ErrMalformed, n, p.log.Last())
	}
	if n > p.log.Last() {
		p.log.Grow(n)
	}
	return p.log.At(n), nil
}

// resume finds out what a restart has to look after: what is not judged yet, and own slots that may have
// been used by what was not durable. The latter are as if revoked, and will be.
func (p *Mencius) resume() {
	p.used = p.commit
	for n := p.log.Base + 1; n <= p.log.Last(); n++ {
		if s := p.log.At(n); s.Ballot != 0 && (s.Ballot != decided || len(s.Decision) > 0) {
			p.used = n
		}
	}
	reserved := p.own.reserved
	p.own.reserved = 0
	if mutate.On(mutate.MenciusReuseSlots) {
		return
	}
	for n := p.free(); n <= reserved; n = p.free() {
		p.log.Put(n, slots.Slot{Promised: first + 1})
		p.own.abandoned = n
	}
}
