// Package multipaxos is Multi-Paxos behind the gate: an [order.Orderer] of our own (Lamport, "The
// Part-Time Parliament", TOCS 1998, and "Paxos Made Simple", 2001; the stable leader and its log as in
// Chandra, Griesemer and Redstone, "Paxos Made Live", PODC 2007; quorums as in Howard, Malkhi and
// Spiegelman, "Flexible Paxos", OPODIS 2016). It is the baseline that the Paxi papers compare with.
//
// Positions of the sequence are *slots*. A *ballot* is a number and its owner; a leader leads in one.
//
//	phase 1, once a ballot     Prepare → Promise: what was accepted, with the ballots
//	phase 2, once a round      Accept → Accepted → Decided; a slot is a decision, or nothing
//	beside them                Probe, Heartbeat and Alive, Read, TakeOver, Refusal
//
// # The lemma
//
// Evidence of holding is *Accepted*, and nothing else: "I accepted these slots in your ballot, or know
// that they are decided". Promises, probes, heartbeats and their answers say nothing about items.
// Claim: *if a slot is decided, then a majority held, durably, every item under its cut, or had a
// durable snapshot there* (I1).
//
//  1. What is in an acceptor's log was held there when it got in. take is the one way in, and gets what
//     the gate said is [order.Held]: from accept, for what a leader offers; from Propose, for the
//     leader's own (R8); from recover, for what earlier ballots left. A restart reads what had got in
//     before. Items stay held: nothing under an accepted, undecided cut is dropped (R17, the caller's).
//  2. An Accepted leaves after everything in the log that it speaks of is durable (Outbox.Hold), the
//     leader's own to itself included.
//  3. A slot is decided when Config.AcceptQuorum members sent Accepted for it in one ballot: a majority
//     at least, for New takes no less. So a majority sent the evidence. ∎
//  4. An Accepted may also cover a slot by "decided". The first of whom that is true learnt it from a
//     leader, who had counted a quorum that accepted, or from a snapshot of what was decided.
//
// And Paxos: *no slot is decided twice* (I2).
//
//  5. An acceptor promises a ballot durably before it says so, and then accepts nothing lower
//     (onPrepare, onAccept). A proposer tells nobody of a ballot before it is durable here, and so uses
//     none twice (prepare).
//  6. A leader proposes, for each slot beyond what it knows to be decided, the value of the highest
//     ballot among the promises, or nothing if there is none (onPromise, recover). The quorums of the
//     two phases meet: accepts + promises = members + 1 (Promises).
//  7. A promise tells what was accepted beyond what the *proposer* knows to be decided. An acceptor that
//     knows more refuses, and wins an election sooner or later itself: so that nothing is asked for that
//     only a snapshot still has.
//  8. A member learns that a slot is decided when it accepted it in the leader's ballot and the leader
//     says that so much is decided (advance); a leader's value for a decided slot is the decided one, by
//  6. A slot that was decided before is therefore caught up with by a plain Accept, through the gate.
//
// # What differs from the papers
//
//   - The gate. A value waits at the acceptor until its items are held, each slot by itself: Accepted
//     names slots beyond the first gap, and a leader decides out of order and hands out in order. Raft
//     cannot: its log has no holes.
//   - A new leader gets the items of what it has to propose again *before* it does (recovering). Were it
//     bound to a value that only a member held that then dies, the slot would wait for ever; so, if the
//     items do not come within a timeout, it begins again with a higher ballot, and finds the value only
//     if somebody alive has it. Of a decided value somebody does: a majority holds it.
//   - The commit index rides on everything and stands for Learn messages; Probe is Raft's PreVote; a
//     leader that no majority answers steps down; timeouts are random in ticks, from Config.Seed.
//   - Rounds are pipelined without a window of its own (maxRounds is the caller's); each member is sent
//     up to maxInflight slots ahead of what came. What was lost shows in the answer to a heartbeat.
//   - A leader with nothing to recover leads at once: there is no empty entry. R7 holds by "everything
//     that earlier ballots may have decided is applied" (leads).
//   - Reads: a quorum of phase 2 confirms that it follows (confirm); each quorum of phase 1 has a member
//     of it.
//
// # After a restart
//
// Records hold the ballot promised, how far all is decided, and what was accepted; a restart accepts
// where it stopped. Slots that are not applied are judged again by the gate, and while one is not held
// there is no campaigning, and nothing handed out from there on (R4). A member that lacks what the log
// no longer holds gets a snapshot.
//
// # Members
//
// They are fixed: those of the founding configuration. ProposeConf is refused with
// [order.ErrMembership], a life that is no member with [order.ErrStatic]. A replica that lost its state
// does not come back; the cluster goes on as long as a quorum is left, and is then restored from a
// backup.
//
// # What this package does not do
//
// It does not check who sent a message, hold or send items, write files, or keep time. Committed.Term is
// the ballot in which this member accepted, and may be another one elsewhere; the decision is not.
// Records need a journal that detects damage; a restart believes them.
package multipaxos
