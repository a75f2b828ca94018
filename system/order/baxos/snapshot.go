package baxos

import "metronome/system/order"

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (b *Baxos) Compact(position uint64) {
	if b.Forget(position) {
		b.out.Persist().Records = nil
		b.repeat()
	}
}

// Restore implements [order.Orderer]. What the state covers is decided. What is wanted here stays wanted:
// nobody knows what of it lies under the state, and there is no new term in which it would be proposed again.
// What was decided before does nothing a second time: marks do not move back (R6), and commands repeat
// themselves harmlessly, as they have to wherever a proposer cannot tell what became of them.
func (b *Baxos) Restore(s order.SnapshotMeta) error {
	if err := b.Restorable(&s); err != nil {
		return err
	}
	b.TakeState(&s, &b.out.Ready)
	if b.attempt.slot <= b.Commit {
		b.attempt = attempt{}
	}
	b.idle, b.orphan, b.asked, b.shunned = 0, false, -1, -1
	b.repeat()
	b.advance()
	b.try()
	return nil
}
