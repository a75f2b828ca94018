// Package order agrees with the other replicas on how far each lane is to be taken.
//
// The items themselves reach every replica by multicast, beside consensus. What consensus carries
// is small and does not grow with their number:
//
//   - A [Cut] is a vector {lane → up to which item, which frame, which chain digest}. Its marks end
//     at frame boundaries and its components are absolute, so that deciding a cut twice, or an older
//     one after a newer one, changes nothing: what counts is the componentwise maximum (R6).
//   - A [Decision] is what one round agrees on: a cut, the log time, and [Command]s such as opening
//     the lanes of a proxy (R5).
//   - An [Orderer] agrees on one sequence of decisions. Algorithms live in folders of their own
//     (order/raft) and are interchangeable.
//   - A [Gate] says what this replica durably holds. An orderer accepts a cut only when the gate
//     says [Held]; so a majority's acceptance, which consensus needs anyway, *is* the proof that a
//     majority holds every item under the cut (I1). There is no acknowledgement per item.
//
// # Life of a round
//
//  1. Replicas tell the leader what they hold: a [Report] rides on their ordering messages, the
//     changed lanes only; the leader keeps them in a [Holdings] each.
//  2. The leader computes with [Joint] the best cut that a majority holds jointly, never beyond
//     its own durable marks (R8, R9), wraps it in a Decision, and calls [Orderer.Propose].
//  3. Every orderer passes the cut through its gate. Where items are still missing, the cut waits,
//     and [Orderer.Recheck] is to be called when more is held. A cut whose chain digest is not the
//     one held here is refused and reported (R14).
//  4. Once a majority accepted, the decision comes out of [Ready.Committed] on every replica, in
//     the same order. The replica takes the componentwise maximum ([Cut.Merge]) and applies the
//     items between the old and the new effective cut.
//
// # Driving an Orderer
//
// An Orderer is a state machine without clock, goroutine or socket (I7). Its owner is one thread:
//
//	for {
//		select {
//		case m := <-messages: orderer.Step(m.From, m.Bytes) // from a peer whose identity was checked
//		case <-ticker:        orderer.Tick()
//		case <-more:          orderer.Recheck()             // the journal made more durable
//		case seq := <-synced: orderer.Persisted(seq)
//		}
//		rd := orderer.Ready()
//		send(rd.Messages)                // at once: what has to wait, the orderer holds back itself
//		journal(rd.Persist)              // answers later on synced; Records in order, then one sync
//		for _, c := range rd.Committed { // in order
//			apply(c)
//		}
//		orderer.Applied(lastApplied)
//		answer(rd.Reads)
//		stream(rd.Snapshots)             // SnapshotSent says how each ended, always (R30)
//	}
//
// Persistence is asynchronous on purpose: heartbeats and their answers never wait for a slow disk
// (R16). With volatile durability nothing has to be written and Persisted may be called at once.
// After a pause feed one or two ticks, not the hundreds that were missed.
//
// A replica that needs state which the log no longer holds is named in the leader's
// [Ready.Snapshots]. The caller streams the state together with that [SnapshotMeta]; the receiver
// makes the state durable *first*, then calls [Orderer.Restore], then applies what is committed
// after it.
//
// # What this package does not do
//
// It does not receive, keep, repair or apply items, does not know sessions or keys, and opens no
// connection. It does not decide when to propose (R10), to transfer leadership (R15) or to
// compact; it offers what is needed for deciding that. A decision's commands are carried and
// checked for form; what they mean is the replicated state machine's business.
package order
