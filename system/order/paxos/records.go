package paxos

import (
	"fmt"
	"slices"

	"metronome/system/order"
	"metronome/system/order/slots"
	"metronome/system/wire"
)

// record writes what was accepted, the ballot promised, and what is decided by then.
func (c *Core) record(entries []slots.Entry) {
	c.recorded = c.Promised
	c.out.Record(c.encode(entries))
}

func (c *Core) encode(entries []slots.Entry) []byte {
	if c.Volatile {
		return nil
	}
	w := wire.Writer{}
	w.U8(c.dialect.Format)
	w.U64(c.Promised)
	w.U64(c.Commit)
	slots.AppendEntries(&w, entries, true)
	return w.B
}

// redo repeats one write. What the durable state covers is passed over.
func (c *Core) redo(b []byte) error {
	r := wire.NewReader(b)
	format := r.U8()
	promised, commit := r.U64(), r.U64()
	entries := slots.ReadEntries(&r, true, 0, 0)
	if !r.Done() || format != c.dialect.Format || max(promised, commit) > slots.MaxNumber {
		return fmt.Errorf("%w: no record of %s", order.ErrMalformed, c.dialect.Name)
	}
	if err := slots.CheckEntries(entries, 0, max(promised, 1)); err != nil {
		return err
	}
	c.Promised, c.Commit = max(c.Promised, promised), max(c.Commit, commit)
	c.recorded = c.Promised
	c.See(c.Promised)
	return c.AcceptedAgain(entries, maxFound)
}

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (c *Core) Compact(position uint64) {
	if c.Forget(position) {
		c.repeat()
	}
}

func (c *Core) repeat() {
	c.recorded = c.Promised
	c.out.Repeat(c.Log.Base, c.encode(c.Log.Entries(c.Log.Base+1, c.Log.Last())))
}

// Restore implements [order.Orderer]. What the state covers is decided, whatever ballot its sender
// led in.
func (c *Core) Restore(s order.SnapshotMeta) error {
	if err := c.Restorable(&s); err != nil {
		return err
	}
	if c.Role == Leading {
		return fmt.Errorf("%w: this replica leads at %d", order.ErrStale, c.Done)
	}
	c.Role = Follower
	c.TakeState(&s, &c.out.Ready)
	c.repeat()
	if to := slices.Index(c.Members, c.Leader); to >= 0 {
		c.acknowledge(to, c.Promised)
	}
	c.advance()
	return nil
}
