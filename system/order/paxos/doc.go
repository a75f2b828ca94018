// Package paxos is Paxos with a leader, behind the gate, except for how a leader comes to be (Lamport, "The
// Part-Time Parliament", TOCS 1998; the stable leader and its log as in Chandra, Griesemer and Redstone,
// "Paxos Made Live", PODC 2007; quorums as in Howard, Malkhi and Spiegelman, "Flexible Paxos", OPODIS 2016).
// An algorithm embeds [Core], which is an [order.Orderer] but for Tick, and is its [Protocol]: multipaxos
// elects, racs draws.
//
// Positions of the sequence are *slots*. A *ballot* is a number and its owner; a leader leads in one.
//
//	phase 1, once a ballot     the protocol's: Pledge, and Promise what was accepted; whoever campaigns
//	                           Gathers, Counts, and when Elected and HoldsFound, Leads
//	phase 2, once a round      Accept → Accepted → Decided; a slot is a decision, or nothing
//	beside them                Heartbeat and Alive, Read and ReadAt, Refusal, TakeOver
//
// # The lemma
//
// Evidence of holding is *Accepted*, and nothing else: "I accepted these slots in your ballot, or know
// that they are decided". What else is said, a protocol's own kinds included, says nothing about items.
// Claim: *if a slot is decided, then a majority held, durably, every item under its cut, or had a durable
// snapshot there* (I1).
//
//  1. What is in an acceptor's log was held there when it got in. take is the one way in, and gets what
//     the gate said is [order.Held]: from accept, for what a leader offers; from Propose, for the
//     leader's own (R8); from Lead, for what earlier ballots left (HoldsFound). A restart reads what had
//     got in before. Items stay held: nothing under an accepted, undecided cut is dropped (R17, the
//     caller's).
//  2. An Accepted leaves after everything in the log that it speaks of is durable (Hold), the leader's
//     own to itself included.
//  3. A slot is decided when Config.AcceptQuorum members sent Accepted for it in one ballot: a majority
//     at least, for Start takes no less. So a majority sent the evidence. ∎
//  4. An Accepted may also cover a slot by "decided". The first of whom that is true learnt it from a
//     leader, who had counted a quorum that accepted, or from a snapshot of what was decided.
//
// And Paxos: *no slot is decided twice* (I2), if the protocol keeps its part:
//
//   - A. A ballot has one owner (Vouch), who Leads in it once, restarts included.
//   - B. A promise is Counted in its ballot only if it tells everything that its sender had accepted beyond
//     what is known to be decided here (Campaign.Commit).
//
// Then:
//
//  5. An acceptor promises a ballot durably before it says so (Pledge, Promise), and then accepts nothing
//     lower (onAccept). Who leads has its own promise among those counted (Elected), so that its ballot is
//     durable before it is used.
//  6. A leader proposes, for each slot beyond what it knew to be decided, the value of the highest ballot
//     among the promises, or nothing if there is none (Count, Lead). The quorums of the two phases meet:
//     accepts + promises = members + 1 (Promises). So a value that was decided is found. To propose a slot
//     again that is decided is harmless: it is with its value.
//  7. A member learns that a slot is decided when it accepted it in the leader's ballot and the leader
//     says that so much is decided (advance); by lemma 6 a leader's value for a decided slot is the decided
//     one. A slot that was decided before is therefore caught up with by a plain Accept, through the gate.
//
// # What differs from the papers
//
//   - The gate. A value waits at the acceptor until its items are held, each slot by itself: Accepted
//     names slots beyond the first gap, and a leader decides out of order and hands out in order. Raft
//     cannot: its log has no holes.
//   - The commit index rides on everything and stands for Learn messages; a leader that no majority
//     answers steps down.
//   - Rounds are pipelined without a window of its own (maxRounds is the caller's); each member is sent
//     up to maxInflight slots ahead of what came. What was lost shows in the answer to a heartbeat.
//   - A leader with nothing to recover leads at once: there is no empty entry. R7 holds by "everything
//     that earlier ballots may have decided is applied" (leads).
//   - Reads: a quorum of phase 2 confirms that it follows (confirm); each quorum of phase 1 has a member
//     of it, which had promised nothing higher.
//
// # After a restart
//
// Records hold the ballot promised, how far all is decided, and what was accepted; a restart accepts
// where it stopped. Slots that are not applied are judged again by the gate, and nothing is handed out from
// the first on that is not held (R4); the protocol does not campaign meanwhile. A member that lacks what the
// log no longer holds gets a snapshot. Members are fixed ([order.ErrStatic]).
//
// # What this package does not do
//
// It does not say who campaigns, and when, nor judge a leader: those are a protocol's. It does not check
// who sent a message, hold or send items, write files, or keep time. Committed.Term is the ballot in which
// this member accepted, and may be another one elsewhere; the decision is not. Records need a journal that
// detects damage; a restart believes them.
package paxos
