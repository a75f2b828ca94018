// Package baxos is Paxos without a leader, behind the gate: an [order.Orderer] of our own after Tennage
// et al., "Baxos: Backing off for Robust and Efficient Consensus" (2022). Any replica proposes for the
// next slot in two phases; who meets contention backs off for a random time, the longer the more often.
//
//	phase 1, a slot    Prepare → Promise: what was accepted there, with the ballot
//	phase 2, a slot    Accept → Accepted → Decided; Accept prepares the next slot, too
//	beside them        Refusal; Beat; Ask → Learn: whoever misses something asks for it
//
// Who won a slot has the next one promised by those that accepted, so that while one replica proposes a
// round is phase 2 alone: two one-way delays, as with a leader.
//
// # The lemma
//
// Evidence of holding is *Accepted*, and nothing else: "I accepted this slot in your ballot". Promises,
// beats and what is learnt say nothing about items. Claim: *if a slot is decided, then a majority held,
// durably, every item under its cut, or had a durable snapshot there* (I1).
//
//  1. What is not learnt to be decided gets into the log through accept alone, which gets what the gate said
//     is [order.Held] (offer, admits); the proposer's own value takes the same way (propose). A restart
//     reads what had got in before. Items stay held: nothing under an accepted, undecided cut is dropped
//     (R17, the caller's). [TestNothingGetsInButThroughTheGate]
//  2. An Accepted leaves after what it speaks of is durable (Outbox.Hold), the one to oneself included.
//     [TestAnAcceptanceIsDurableBeforeItIsSaid]
//  3. A slot is decided when Config.AcceptQuorum members sent Accepted for it in one ballot (onAccepted,
//     win): a majority at least, for New takes no less. So a majority sent the evidence. ∎
//     [TestAQuorumDecides]
//  4. What is learnt to be decided (hear, onLearn, win) counts nowhere as an acceptance. It waits at the gate
//     all the same: nothing is handed out that is not held here, and in a record.
//     [TestNothingGetsInButThroughTheGate, TestWhatOthersDecideIsWrittenDown]
//
// And Paxos: *no slot is decided twice* (I2).
//
//  5. Promises are durable before they are said, and are kept (onPrepare, offer). So are those that an
//     Accepted makes of the next slot, and only where nothing was accepted in that, for they tell of
//     nothing. [TestAPromiseIsKept, TestTheNextSlotIsPromisedOnlyIfItIsEmpty]
//  6. A round is used by one life of a process once: rounds are reserved durably before the first of them
//     is heard of (prepare), and a restart begins beyond them. So a ballot has one value in a slot, and who
//     hears that a ballot was decided there knows with what. [TestARoundIsUsedByOneLife]
//  7. A proposer proposes the value of the highest ballot among the promises, and its own only if there is
//     none (onPromise). The quorums of the two phases meet: accepts + promises = members + 1.
//     [TestTheHighestBallotWins, TestWhatMayBeDecidedIsFound]
//  8. Members go for the slot after the last that they know to be decided; so slots are decided in order,
//     and a read that got a slot of its own comes after whatever was answered before it was asked.
//     [TestSlotsAreDecidedInOrder]
//
// # What differs from the paper
//
//   - The gate, and what follows of it: a proposer gets the items of a value that it found before it binds
//     its ballot to it (recover), and tries anew if they do not come. Were it bound to a value that only a
//     member held that then dies, the slot would wait for ever.
//   - Silence is no contention: what was lost is sent again in the same ballot. Back-off is in ticks, in
//     units of a heartbeat, from Config.Seed; the paper measures round trips. A slot promised to another
//     counts as contention met: who did not win last backs off once before it challenges.
//   - A proposal that others' decisions cover is dropped: cuts are absolute (R6). Otherwise a proposal that
//     loses a slot goes for the next, so that none gets lost while its proposer lives.
//   - The paper's clients send to any server, which proposes what it has. Here every replica gets every
//     item, so that any round takes every lane on; system/replica has each replica begin the rounds of some
//     lanes. Commands, as opposed to cuts, are proposed by the member that Status.Leader names: the first
//     that is alive. It leads nothing else. Each member's term is its own, and lasts as long as its process.
//   - Reads take a slot: that of the next proposal of this member's own that it sees accepted by a quorum,
//     or one that decides nothing.
//
// What is inherent: one slot is under way at a time, so a round begins when the one before it is decided;
// and whoever wants a slot that is promised to another waits for ticks first. It does well while one replica
// proposes, or while rounds are rare; where all have something to propose all the time, they back off.
//
// # After a restart
//
// Records hold promises and acceptances by slot, how far all is decided, and the rounds that are reserved.
// Slots that are not applied are judged again by the gate, and while one is not held nothing is proposed
// here, and nothing handed out from there on (R4). Any member sends a snapshot to one that asks for what its
// log no longer holds.
//
// # Members
//
// They are fixed: those of the founding configuration. ProposeConf is refused with
// [order.ErrMembership], a life that is no member with [order.ErrStatic].
//
// # What this package does not do
//
// It does not check who sent a message, hold or send items, write files, or keep time. It elects nobody and
// hands nothing over. Records need a journal that detects damage; a restart believes them.
package baxos
