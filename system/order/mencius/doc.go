// Package mencius is Mencius behind the gate: an [order.Orderer] without a leader (Mao, Junqueira and
// Marzullo, "Mencius: Building Efficient Replicated State Machines for WANs", OSDI 2008; quorums as in
// Howard, Malkhi and Spiegelman, "Flexible Paxos", OPODIS 2016). Every replica proposes.
//
// Positions of the sequence are *slots*. Slot s belongs to the member at place s mod n, its *owner*, who
// proposes in ballot 0 without asking anybody. Who sees that others are ahead *skips* its own slots below:
// they are nothing, by the owner's word. The slots of a suspect are *revoked*: Paxos, with a ballot higher
// than 0, decides what it proposed, if anybody accepted that, or nothing.
//
//	a round         Accept → Accepted → Decided; and a skip, which is an Accept of nothing
//	a revocation    Prepare → Promise, then Accept → Accepted → Decided in that ballot
//	beside them     Heartbeat; Ask → Learn: whoever misses something asks for it; Refusal
//
// # The lemma
//
// Evidence of holding is *Accepted*, and nothing else: "I accepted these slots in your ballot". Promises,
// heartbeats, skips and what is learnt say nothing about items. Claim: *if a slot is decided with a cut,
// then a majority held, durably, every item under it, or had a durable snapshot there* (I1).
//
//  1. What is in the log was held here when it got in. take is the one way in for a cut, and gets what the
//     gate said is [order.Held]: from accept, for what others offer or tell to be decided; from use, for own
//     proposals (R8); from proposeFound, for what a revocation found. A restart reads what had got in
//     before. Items stay held: nothing under an accepted, undecided cut is dropped (R17, the caller's).
//  2. An Accepted leaves after what it speaks of is durable (Outbox.Hold), the one to oneself included.
//  3. A slot is decided with a cut when Config.AcceptQuorum members sent Accepted for it in one ballot: a
//     majority at least, for New takes no less (onAccepted). So a majority sent the evidence. ∎
//  4. A skip decides a slot without a majority. It is decided as nothing, and there is no item under that.
//
// And: *no slot is decided twice* (I2).
//
//  5. A promise is for single slots, and durable before it is said; then nothing lower is accepted in them
//     (onPrepare, onAccept). A revocation tells nobody of its ballot before it is promised durably here.
//  6. Of each slot a revocation proposes the value of the highest ballot among the promises, or nothing if
//     there is none (onPromise, proposeFound). The quorums of the two phases meet: accepts + promises =
//     members + 1. So a value decided in ballot 0 is found. And it proposes a cut only if its owner did.
//  7. In ballot 0 there is one value a slot: its owner's, for it uses no slot twice. A proposal leaves
//     before it is durable here, and a restart may not remember it; so own slots are *reserved*, durably,
//     before they are used (reserve), and after a restart those that were reserved and are not
//     remembered are never used again, but revoked (resume). The same for skips.
//  8. A skipped slot can be nothing only: its owner proposed nothing else in it (7), and by 6 nobody else
//     proposes anything but what the owner did, or nothing. So a skip is decided when its owner says it.
//  9. Decided and Learn tell of what is decided by 3 or 8; who accepted in that ballot or a higher one has
//     the same value (6).
//
// # What differs from the paper
//
//   - The gate. A value waits at the acceptor until its items are held, each slot by itself.
//   - A revocation gets the items of what it has to propose first (as multipaxos does): were it bound to a
//     value that only a member held that then dies, the slot would wait for ever.
//   - Skips are messages of their own, each slot named, and not implied by the order of others on a
//     channel: messages may get lost here. They cost bytes, not round trips.
//   - Nothing is resent on a timer but heartbeats and revocations: whose decisions stand still while others
//     are ahead asks whoever knows more, or the owner of the slot it waits for.
//   - Who is not heard for an election timeout is suspected, and its slots revoked by the first member that
//     is alive, 32 of its own ahead and again in time: an absence costs one timeout, not one a round. Who
//     is heard and is slow is waited for at most two timeouts, whereupon anybody revokes; the owner skips
//     what was taken from it. There is no failure detector besides.
//   - The paper's clients send to one server. Here every replica gets every item, so that any round takes
//     every lane on; system/replica has each replica begin the rounds of some lanes.
//   - Commands, as opposed to cuts, are proposed by the member that Status.Leader names: the first that is
//     alive. It leads nothing else. Each member's term is its own, and ends when a proposal was revoked.
//   - Reads: an empty decision of its own. Whatever was answered before lies in slots before it, for nobody
//     hands out a later slot before this one.
//
// What is inherent: a slot is handed out when all before it are known, so that a round is as slow as the
// slowest replica that is alive; one that is absent delays everything once, for a timeout.
//
// # After a restart
//
// Records hold promises and acceptances by slot, skips, how far all is decided and how far own slots are
// reserved. Slots that are not applied are judged again by the gate, and while one is not held nothing is
// proposed or revoked here, and nothing handed out from there on (R4). Any member sends a snapshot to one
// that asks for what its log no longer holds.
//
// # Members
//
// They are fixed: those of the founding configuration. ProposeConf is refused with
// [order.ErrMembership], a life that is no member with [order.ErrStatic].
//
// # What this package does not do
//
// It does not check who sent a message, hold or send items, write files, or keep time. Committed.Term is
// the same for all positions. Records need a journal that detects damage; a restart believes them.
package mencius
