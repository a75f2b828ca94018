// Package rabia is Rabia behind the gate: an [order.Orderer] without a leader (Pan, Tuglu, Zhou, Wang, Shen,
// Zheng, Tassarotti, Tseng and Palmieri, "Rabia: Simplifying State-Machine Replication Through
// Randomization", SOSP 2021; the binary part is Ben-Or's, PODC 1983, with a common coin).
//
// Positions of the sequence are *slots*, decided one after the other. Of n members, f < n/2 may fail; a
// *quorum* is n-f, a majority. A slot is decided with the value that a majority proposed, or with nothing:
//
//	exchange   Proposal: each proposes one value that it holds. State 1 if a majority proposed the same, else 0
//	phase p    State: vote for what a majority has as its state, or "?"
//	           Vote: f+1 for the same decide it; one for it makes it the next state; else the coin does
//	beside     Request: a value wanted; Beat; Ask → Learn: what is decided; Read → Voted
//
// A message repeats all that its sender said in the slot (Say), so that the latest one stands for those that
// got lost.
//
// # The lemma
//
// Evidence of holding is *Proposal*, and nothing else: states, votes, requests, beats and what is learnt say
// nothing about items. Claim: *if a slot is decided with a cut, then a majority held, durably, every item
// under it, or had a durable snapshot there* (I1).
//
//  1. propose proposes what the gate said is [order.Held], and there is no other way to propose; whoever
//     proposed a value first (R8). What is held stays held while it is not decided (R17, the caller's).
//  2. A Proposal leaves, and counts here, when it is durable, and so are the items before it (say). After a
//     restart it is judged again before anything more is said in its slot (resume, judge; R4).
//  3. State 1 is taken in phase 1 when Config.AcceptQuorum members, a majority or more, proposed the same
//     value (exchange), or from another who says 1, and of which value. Later states and votes of 1 come from
//     earlier ones: a vote from states, a state from a vote, or from a coin thrown by somebody whose own vote
//     was "?", which takes having seen a state of 1 (vote, conclude).
//  4. So a slot is decided 1 only if a majority proposed its value: it sent the evidence. ∎
//  5. And who decides 1 knows the value: everybody who says 1 says of which (merge; decode refuses others).
//     There is one such value a slot: majorities meet, and a member proposes once.
//
// And: *no slot is decided twice* (I2).
//
//  6. A member says one proposal, one state and one vote a phase, each durable before it is said (say), and
//     remembers them after a restart (record, redo).
//  7. In a phase there are no votes for 0 and for 1: majorities of states meet (vote).
//  8. If a member decides v in phase p, f+1 voted v; every quorum of votes has one of them, so that everybody
//     who goes on has state v, and decides v in phase p+1 (conclude).
//  9. Who learns what is decided learns it from one who knows.
//
// And reads: what anybody knew to be decided when a read was asked, f+1 members had voted on. A majority that
// answers has one of them, and says in which slot it voted last (ReadIndex, voted). That slot is decided in
// the end, and the read waits for it.
//
// # What differs from the paper
//
//   - The gate. A member proposes the first value wanted that it holds. What is decided waits at the gate to
//     be handed out; the slots behind go on without.
//   - The items are everywhere already: what clients' requests are there, cuts are here, and any replica
//     makes them. Those of different replicas are to be the same, so they are quantised: log time is rounded
//     down here (Propose), lanes by system/replica (Status.Quantum). Whoever sees another's proposal, or
//     request, may propose it; what is wanted has one order everywhere (pool), which is the paper's queue.
//   - A member that lacks a proposal of its own may go on with the majority's. And a quorum of proposals that
//     differ does not make a 0 at once: those who are alive and did not propose yet are waited for, two beats
//     at most, if they could make a majority. After two slots of nothing in a row, members wait at random.
//   - The coin is a hash of the members, the slot and the phase: the same everywhere. It is no secret;
//     whoever schedules the network against it can delay a decision, and not change one.
//   - Messages get lost, members restart: everything is repeated at each beat, values and all, and nothing
//     rests on channels. The paper leaves recovery out.
//   - There is no compaction of the paper's: a snapshot stands for the log, from any member that has one.
//   - Commands are proposed by the member that Status.Leader names, the first that is alive.
//
// What is inherent: a slot is three rounds of messages, and three writes, one after the other. No member's
// absence costs a timeout where proposals are the same.
//
// # Members
//
// They are fixed: those of the founding configuration. ProposeConf is refused with
// [order.ErrMembership], a life that is no member with [order.ErrStatic].
//
// # What this package does not do
//
// It does not check who sent a message, hold or send items, write files, or keep time; it has one slot under
// way. Records need a journal that detects damage; a restart believes them.
package rabia
