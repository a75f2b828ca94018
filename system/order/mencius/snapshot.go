package mencius

import "metronome/system/order"

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (p *Mencius) Compact(position uint64) {
	if p.Forget(position) {
		p.fresh()
	}
}

func (p *Mencius) fresh() { p.out.Repeat(p.Log.Base, p.recordAll()) }

// Restore implements [order.Orderer]. What the state covers is decided. Of own proposals under it nobody
// knows here what became of them: they count as lost.
func (p *Mencius) Restore(s order.SnapshotMeta) error {
	if err := p.Restorable(&s); err != nil {
		return err
	}
	p.TakeState(&s, &p.out.Ready)
	p.used = max(p.used, s.Position)
	p.fresh()
	for o := &p.own; len(o.pending) > 0 && o.pending[0].slot <= s.Position; {
		o.settled(p, o.pending[0].slot, false)
	}
	p.progressed()
	p.deliver()
	return nil
}
