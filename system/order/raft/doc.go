// Package raft is the reference [order.Orderer]: Raft (Ongaro and Ousterhout, "In Search of an
// Understandable Consensus Algorithm", USENIX ATC 2014) from go.etcd.io/raft/v3, with a gate before
// its log.
//
// A log entry is an encoded decision, a change of membership, or empty (a leader's first). A *cut*
// in this text is the cut of a decision in the log.
//
// # The lemma
//
// Acceptance of a cut is the library's MsgAppResp that is not a rejection: "my log is yours up to
// index i". It is the only message that is evidence of holding; votes, heartbeats and their answers
// say nothing about items. Claim: *if a position is committed, then a majority of the voters held,
// durably, every item under every cut at or below it, or had a durable snapshot there* (I1).
//
//  1. What is in a replica's log was held there when it got in. An entry gets in by one of four ways:
//     (a) an append: accept and Recheck step only entries whose cut the gate said is [order.Held],
//     in log order, so that no entry is in before its predecessors; (b) the replica's own proposal:
//     Propose asks the same gate (R8); (c) the empty entry and membership changes, which have no
//     cut; (d) a restart, from records of entries that had got in before. Items stay held: nothing
//     under an accepted, undecided cut is dropped (R17, the caller's duty).
//  2. What precedes a replica's log is covered by a snapshot that was durable there first: Restore
//     is called with the state in place (R30), Bootstrap stands for a snapshot of nothing, and
//     Compact forgets only what a durable snapshot covers.
//  3. A MsgAppResp for i leaves a replica after its log up to i is durable: the library holds it back
//     until Persisted. By 1 and 2 its sender holds what is under every cut up to i. This includes
//     the leader, which acknowledges to itself in the same way.
//  4. The library commits i when a majority of the voters (of both configurations while one is being
//     left) acknowledged i; learners' answers do not count. So a majority sent the evidence. ∎
//
// A new leader changes nothing in this: entries of earlier terms in its log got in by 1, and they
// are committed by acknowledgements of an entry of its own term, which by 3 cover everything before
// it.
//
// An entry already in the log, at the same index and term, is not judged again: Raft's log matching
// makes it the same entry, and 1 holds for it. After a restart it is judged again all the same
// (R4), because a damaged disk is found that way; as long as one is not held, this replica neither
// campaigns nor hands out anything from there on.
//
// # What passes the gate, and when
//
// An append is stepped at once with the prefix of its entries that is held, be it none, and the
// rest waits (R12). Its term, its commit index and, if it does not connect, its rejection flow
// therefore as if the leader had sent a shorter append, which it might have: the library lowers the
// commit index to the last entry it is given, and the leader learns of the shorter match. What
// waits is a single run of entries that follow each other; an append whose predecessor lies in the
// run joins it, and is stepped without entries after the last one accepted. Holding whole appends
// back instead makes the follower reject the next one, whose predecessor it lacks, and the leader
// drops it to probing (gate_test.go shows that run). Heartbeats, votes and reads never wait.
//
// The run belongs to one leader in one term and is dropped with it. It is bounded in bytes; at the
// bound the newest entries are dropped, and the leader sends them again. A cut whose chain digest
// is not the one held here is refused: neither it nor what follows is accepted, and it is reported
// in Ready.Refused each time it comes (R14).
//
// # What is ours and what is the library's
//
// The library elects (PreVote, CheckQuorum), replicates and commits; asynchronous storage writes
// let it go on while the disk is busy (R16). Between calls nothing is ready in it: every method
// takes what is, so that the log in memory here is the library's whole log. MsgSnap is never sent:
// the state goes by the caller's way, and Restore steps the message when the state is durable.
// Membership changes take effect as they are handed out in Ready.Committed, in order. Messages are
// checked before the library sees them, for it panics on what its equals would not send.
//
// Election timeouts are drawn from crypto/rand.Reader, the one thing that is not handed in (R18):
// the library reads that variable, so a simulator replaces it for the whole process,
//
//	old := rand.Reader
//	rand.Reader = seeded
//	defer func() { rand.Reader = old }()
//
// and must run one simulation at a time. Nothing else in the library depends on chance: its
// messages come in the order of member ids, and encodings are deterministic.
//
// # What this package does not do
//
// It does not check who sent a message, hold or send items, write files or keep time. Records of
// Ready.Persist need a journal that detects damage; Restart believes them.
package raft
