// Package multipaxos is Multi-Paxos behind the gate: an [order.Orderer] of our own, and the baseline that
// the Paxi papers compare with. What a leader and its followers do, and what is written down, is package
// paxos; here is who leads: elections, as in Lamport, "Paxos Made Simple", 2001, and Chandra, Griesemer and
// Redstone, "Paxos Made Live", PODC 2007.
//
// A ballot names its owner. Who hears of no leader for a random time campaigns in one of its own.
//
//	election   Probe → Probed: would a majority promise? Prepare → Promise: what was accepted, with the
//	           ballots. Enough promises, and the items of what they tell: it leads
//	then       what paxos says: Accept → Accepted → Decided, Heartbeat and Alive, Read
//
// # Its part of the lemma
//
// Evidence of holding is *Accepted*, and nothing else (lemmas 1 to 4 of paxos): Probe, Prepare and their
// answers say nothing about items. What paxos asks of a protocol, so that no slot is decided twice (I2):
//
//   - A. A member uses its own ballots only, which Vouch checks. It tells nobody of one before that is
//     durable here (prepare), and after a restart begins a higher one (nextBallot): it uses none twice.
//   - B. A promise tells what was accepted beyond what the *proposer* said it knows to be decided
//     (onPrepare), in the ballot that it campaigns in (onPromise). An acceptor that knows more refuses, and
//     wins an election sooner or later itself: so that nothing is asked for that only a snapshot still
//     has.
//
// # What differs from the papers
//
// Beside what paxos names:
//
//   - A new leader gets the items of what it has to propose again *before* it does (Recover). Were it
//     bound to a value that only a member held that then dies, the slot would wait for ever; so, if the
//     items do not come within a timeout, it begins again with a higher ballot, and finds the value only
//     if somebody alive has it. Of a decided value somebody does: a majority holds it.
//   - Probe is Raft's PreVote; timeouts are random in ticks, from Config.Seed.
//   - With a hole in what it accepted before a restart a member does not campaign (R4).
//
// # What this package does not do
//
// What paxos does not. Members are fixed, and a replica that lost its state does not come back; the cluster
// goes on as long as a quorum is left, and is then restored from a backup.
package multipaxos
