package racs

import (
	"fmt"
	"slices"

	"metronome/system/order"
)

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (p *Racs) Compact(position uint64) {
	if p.Forget(position) {
		p.repeat()
	}
}

func (p *Racs) repeat() {
	p.recorded = p.promised
	p.out.Repeat(p.Log.Base, p.encode(p.Log.Entries(p.Log.Base+1, p.Log.Last())))
}

// Restore implements [order.Orderer]. What the state covers is decided, whatever ballot its sender
// led in.
func (p *Racs) Restore(s order.SnapshotMeta) error {
	if err := p.Restorable(&s); err != nil {
		return err
	}
	if p.role == leading {
		return fmt.Errorf("%w: this replica leads at %d", order.ErrStale, p.Done)
	}
	p.role = follower
	p.TakeState(&s, &p.out.Ready)
	p.repeat()
	if to := slices.Index(p.Members, p.leader); to >= 0 {
		p.acknowledge(to, p.promised)
	}
	p.advance()
	return nil
}
