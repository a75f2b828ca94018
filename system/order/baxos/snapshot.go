package baxos

import (
	"slices"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// needSnapshot asks for state that a member needs: it lacks what the log no longer holds.
func (b *Baxos) needSnapshot(i int) {
	if b.peers[i].snapshot != 0 {
		return
	}
	meta, ok := b.Place(b.offered)
	if !ok {
		b.out.Ready.WantSnapshot = true
		return
	}
	meta.To = b.members[i]
	b.peers[i].snapshot = meta.Position
	b.out.Ready.Snapshots = append(b.out.Ready.Snapshots, meta)
}

// Snapshot implements [order.Orderer]. An offer older than the log, or than the last, is ignored.
func (b *Baxos) Snapshot(position uint64) {
	if position <= b.applied && position >= b.log.Base {
		b.offered = max(b.offered, position)
	}
}

// SnapshotSent implements [order.Orderer]. Whether the member has it, it says itself.
func (b *Baxos) SnapshotSent(to uint64, _ bool) {
	if i := slices.Index(b.members, to); i >= 0 {
		b.peers[i].snapshot = 0
	}
}

// Place implements [order.Orderer].
func (b *Baxos) Place(position uint64) (order.SnapshotMeta, bool) {
	term := b.log.TermAt(position)
	if term == 0 || position > b.applied {
		return order.SnapshotMeta{}, false
	}
	return order.SnapshotMeta{Position: position, Term: term,
		Members: order.Members{Voters: slices.Clone(b.members)}}, true
}

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (b *Baxos) Compact(position uint64) {
	if position = min(position, b.applied); position <= b.log.Base {
		return
	}
	b.log.Cut(position, b.log.TermAt(position))
	b.out.Persist().Records = nil
	b.repeat()
}

// Restore implements [order.Orderer]. What the state covers is decided.
func (b *Baxos) Restore(s order.SnapshotMeta) error {
	if err := slots.Restorable(&s, b.id, b.members, b.applied); err != nil {
		return err
	}
	if s.Position > b.log.Base {
		b.log.Cut(s.Position, s.Term)
	}
	b.commit = max(b.commit, s.Position)
	b.handed, b.applied, b.applying, b.out.Ready.Committed = s.Position, s.Position, 0, nil
	b.wait.DropTo(s.Position)
	if b.attempt.slot <= b.commit {
		b.attempt = attempt{}
	}
	b.idle, b.orphan, b.asked, b.shunned = 0, false, -1, -1
	b.repeat()
	b.advance()
	b.try()
	return nil
}
