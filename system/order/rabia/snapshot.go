package rabia

import (
	"slices"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// needSnapshot asks for state that a member needs: it lacks what the log no longer holds.
func (r *Rabia) needSnapshot(i int) {
	if r.peers[i].snapshot != 0 {
		return
	}
	meta, ok := r.Place(r.offered)
	if !ok {
		r.out.Ready.WantSnapshot = true
		return
	}
	meta.To = r.members[i]
	r.peers[i].snapshot = meta.Position
	r.out.Ready.Snapshots = append(r.out.Ready.Snapshots, meta)
}

// Snapshot implements [order.Orderer]. An offer older than the log, or than the last, is ignored.
func (r *Rabia) Snapshot(position uint64) {
	if position <= r.applied && position >= r.log.Base {
		r.offered = max(r.offered, position)
	}
}

// SnapshotSent implements [order.Orderer]. Whether the member has it, its beats show.
func (r *Rabia) SnapshotSent(to uint64, _ bool) {
	if i := slices.Index(r.members, to); i >= 0 {
		r.peers[i].snapshot = 0
	}
}

// Place implements [order.Orderer].
func (r *Rabia) Place(position uint64) (order.SnapshotMeta, bool) {
	if position < r.log.Base || position > r.applied {
		return order.SnapshotMeta{}, false
	}
	return order.SnapshotMeta{Position: position, Term: term,
		Members: order.Members{Voters: slices.Clone(r.members)}}, true
}

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (r *Rabia) Compact(position uint64) {
	if position = min(position, r.applied); position <= r.log.Base {
		return
	}
	r.log.Cut(position, term)
	r.out.Persist().Records = nil
	r.fresh()
}

func (r *Rabia) fresh() {
	r.out.Repeat(r.log.Base, r.encode(r.log.Entries(r.log.Base+1, r.log.Last())))
}

// Restore implements [order.Orderer]. What the state covers is decided. What became of own proposals nobody
// knows here: a new term begins, in which they may be made again. What lies beyond is judged again, and not
// before the next call: the gate does not stand at the snapshot yet.
func (r *Rabia) Restore(s order.SnapshotMeta) error {
	if err := slots.Restorable(&s, r.id, r.members, r.applied); err != nil {
		return err
	}
	if s.Position > r.log.Base {
		r.log.Cut(s.Position, term)
	}
	if s.Position > r.commit {
		r.commit = s.Position
		r.pool, r.lost = pool{dropped: r.pool.dropped}, r.lost+1
		r.next()
	}
	r.judged, r.waiting = s.Position, 0
	for n := s.Position + 1; n <= r.commit; n++ {
		slot := r.log.At(n)
		slot.Held = false
		r.waiting += len(slot.Decision)
	}
	r.handed, r.applied, r.applying, r.out.Ready.Committed = s.Position, s.Position, 0, nil
	r.stall = 0
	r.fresh()
	return nil
}
