// Package model says what a round of an algorithm should cost, and how fast rounds should follow each
// other, from how the algorithm agrees: messages, bytes, round trips, queueing up to saturation. It is
// the other of the two views of the Paxi papers (Ailijiang, Charapko and Demirbas, "Dissecting the
// Performance of Strongly-Consistent Replication Protocols", SIGMOD 2019); the first is
// experiments/consensus, and one figure there shows both.
//
// Three parts, each simple on purpose:
//
//   - A round takes two delays, or with jitter the expected (majority-1)-th fastest of the followers'
//     round trips; a sync; and the leader's and one follower's time for the messages on that path.
//   - Rounds are coalesced: what comes while all rounds that may be under way are is one more round
//     afterwards. With one round under way that is exact: an idle leader waits for the next frame.
//     With more it is the queue M/M/W/W+1, an approximation.
//   - The leader is a queue of its own, M/D/1 in messages. A fixed point of both says how many rounds
//     a second there are: that is where saturation comes from.
//
// A server's intake of frames on many cores is the other thing modelled ([Server]): the least of what its
// cores do together (their measured times, and a [USL] fitted to few of them), what the link carries, what
// memory carries and, with software distribution, what the one core that polls hands on. It is calibrated
// by experiments/ingest-rss.
//
// # What this package does not do
//
// No faults, no losses, no elections, no lanes that lag. It reads no clock, draws nothing and keeps
// nothing.
package model
