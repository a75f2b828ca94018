// Package slots is the machinery that orderers have in common which agree on each position by itself, with
// ballots of Paxos, and whose members are fixed. An algorithm embeds one of
//
//	Replica       who the members are, the [Log] of what was accepted, the [Queue] of what waits at the gate,
//	              what is handed out and applied, the holes a restart leaves, and state for who lacks much
//	Leaderless    the same, and who is alive, where everybody proposes
//
// and is left with its protocol: what it says, when it accepts, what it writes down. The two algorithms
// that have a leader share that as well, but for who leads: package paxos embeds Replica, and they embed
// paxos. Beside them are the bytes of an [Entry], and what a ballot is.
//
// Nothing gets into a [Log] but by the algorithm's hand, which asks the gate first; the queue holds what
// the gate answered [order.Missing] to.
//
// # State instead of a log
//
// A member that asks for what the log no longer holds is sent state ([Replica.SendState]): one transfer at a
// time to each, until [order.Orderer.SnapshotSent] or the member itself says that it has it. And a member
// asks one other at a time: two that send their state hold each other up, each with an older one than the
// other has brought. So whom it asks stays the same while that one is alive and knows more, and changes only
// when that does not help for long ([Source]; baxos also remembers whom it asked in vain).
//
// # What this package does not do
//
// It knows no messages and no rules of ballots: those are each algorithm's own. So is how many members
// have to say what; only that a majority at least accepts (R13) is the same for all.
package slots
