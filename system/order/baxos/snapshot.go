package baxos

import "metronome/system/order"

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (b *Baxos) Compact(position uint64) {
	if b.Forget(position) {
		b.repeat()
	}
}

// Restore implements [order.Orderer]. What the state covers is decided. The queue stays: nobody knows here
// what of it lies under the state, and in the same term nobody would propose again what is dropped. What does
// lie under it costs a slot and has no effect a second time: marks do not move back (R6), and a command names
// a nonce, an incarnation, a level or a log time, by which a replica knows it; of limits the first stay.
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
