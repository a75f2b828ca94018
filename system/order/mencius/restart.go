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
	for n := p.Log.Base + 1; n <= p.Log.Last(); n++ {
		if s := p.Log.At(n); s.Promised > s.Ballot {
			promised = append(promised, entry{Slot: n, Ballot: s.Promised})
		}
	}
	return p.encode(promised, p.Log.Entries(p.Log.Base+1, p.Log.Last()))
}

func (p *Mencius) encode(promised, entries []entry) []byte {
	p.own.reserved = max(p.own.reserved, p.free()+advance*uint64(len(p.Members)))
	if p.Volatile {
		return nil
	}
	w := wire.Writer{}
	w.U8(recordFormat)
	w.U64(p.Commit)
	w.U64(p.own.reserved)
	w.U32(uint32(len(promised)))
	for _, e := range promised {
		w.U64(e.Slot)
		w.U64(e.Ballot)
	}
	slots.AppendEntries(&w, entries, true)
	return w.B
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
	if !r.Done() || format != recordFormat || max(commit, reserved) > slots.MaxNumber {
		return fmt.Errorf("%w: no record of mencius", order.ErrMalformed)
	}
	for _, list := range [2][]entry{promised, entries} {
		if err := slots.CheckEntries(list, 0, decided); err != nil {
			return err
		}
		for i := range list {
			p.see(list[i].Ballot)
		}
	}
	p.Commit, p.own.reserved = max(p.Commit, commit), max(p.own.reserved, reserved)
	for _, e := range promised {
		if s, err := p.Again(e.Slot, 2*maxAhead); err != nil {
			return err
		} else if s != nil {
			s.Promised = max(s.Promised, e.Ballot)
		}
	}
	return p.AcceptedAgain(entries, 2*maxAhead)
}

// resume finds out what a restart has to look after: what is not judged yet, and own slots that may have
// been used by what was not durable. The latter are as if revoked, and will be.
func (p *Mencius) resume() {
	p.Holes = p.Log.Holes()
	for n := p.Log.Base + 1; n <= p.Commit; n++ {
		s := p.Log.At(n)
		s.Promised, s.Ballot = decided, decided
	}
	p.used = p.Commit
	for n := p.Log.Base + 1; n <= p.Log.Last(); n++ {
		if s := p.Log.At(n); s.Ballot != 0 && (s.Ballot != decided || len(s.Decision) > 0) {
			p.used = n
		}
	}
	reserved := p.own.reserved
	p.own.reserved = 0
	if mutate.On(mutate.MenciusReuseSlots) {
		return
	}
	for n := p.free(); n <= reserved; n = p.free() {
		p.Log.Put(n, slots.Slot{Promised: first + 1})
		p.own.abandoned = n
	}
}
