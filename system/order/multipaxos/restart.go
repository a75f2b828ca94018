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

// begin takes up the configuration's beginning.
func (p *Paxos) begin(c *order.Config) error {
	at := order.SnapshotMeta{Position: 1, Term: 1}
	var records [][]byte
	switch {
	case c.Bootstrap != nil:
		at.Members = *c.Bootstrap
	case c.Restart != nil:
		at, records = c.Restart.Snapshot, c.Restart.Records
	}
	if len(at.Members.Voters) == 0 || at.Position == 0 {
		return fmt.Errorf("order/multipaxos: %x holds nothing: %w", c.ID, order.ErrStatic)
	}
	if !at.Members.WellFormed(func(uint64) bool { return false }) || len(at.Members.Learners) > 0 {
		return fmt.Errorf("order/multipaxos: members %+v: want voters only, each once: %w", at.Members,
			order.ErrMembership)
	}
	p.members = append(p.members, at.Members.Voters...)
	p.log.Base, p.log.Term, p.commit = at.Position, max(at.Term, 1), at.Position
	for i, b := range records {
		if err := p.redo(b); err != nil {
			return fmt.Errorf("orderer record %d of %d: %w: repair from peers", i+1, len(records), err)
		}
	}
	for n := p.log.Base + 1; n <= p.log.Last(); n++ {
		if p.log.At(n).Ballot != 0 {
			p.holes = append(p.holes, n)
		} else if n <= p.commit {
			return fmt.Errorf("%w: %d is decided, and the records lack %d: repair from peers", order.ErrMalformed,
				p.commit, n)
		}
	}
	if p.commit > p.log.Last() {
		return fmt.Errorf("%w: decided %d, but the records end at %d: repair from peers", order.ErrMalformed,
			p.commit, p.log.Last())
	}
	return nil
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
