package rabia

import "metronome/system/order"

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (r *Rabia) Compact(position uint64) {
	if r.Forget(position) {
		r.fresh()
	}
}

func (r *Rabia) fresh() {
	r.out.Repeat(r.Log.Base, r.encode(r.Log.Entries(r.Log.Base+1, r.Log.Last())))
}

// Restore implements [order.Orderer]. What the state covers is decided. What became of own proposals nobody
// knows here: a new term begins, in which they may be made again. What lies beyond is judged again, and not
// before the next call: the gate does not stand at the snapshot yet.
func (r *Rabia) Restore(s order.SnapshotMeta) error {
	if err := r.Restorable(&s); err != nil {
		return err
	}
	news := s.Position > r.Commit
	if r.TakeState(&s, &r.out.Ready); news {
		r.pool, r.lost = pool{dropped: r.pool.dropped}, r.lost+1
		r.next()
	}
	r.judged, r.waiting = s.Position, 0
	for n := s.Position + 1; n <= r.Commit; n++ {
		slot := r.Log.At(n)
		slot.Held = false
		r.waiting += len(slot.Decision)
	}
	r.stall = 0
	r.fresh()
	return nil
}
