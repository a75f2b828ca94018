// Package queue is the heart of the device's store: what is sent next, what need not be sent at
// all, and when to try again. It is pure: the log of operations is handed in as a [Log], time as
// nanoseconds of a monotonic clock, chance as a seed. Package device drives it with a journal, a
// disk and an edge.
//
//	Put, Delete ──► log (journal) ──► [Core.Next] ──► [Plan.Build] ──► request ──► edge
//	                  ▲ durable            │                              │
//	                  └── [Core.Trim] ◄────┴──────── [Core.Answer] ◄──────┘
//
// # Numbers
//
// An operation's number is its place in the log: given once, ascending, with holes. Together with
// client and session it is the operation's identity, which the edge remembers as one high-water
// mark a session. So a request may be repeated for ever, after any outage and any crash, and is
// executed once. Only what is durable here is ever sent: a number that a crash takes back was never
// seen by an edge.
//
// # What need not be sent
//
// An operation that is overwritten before it is sent is skipped, by rules that keep every state
// which another reader of the edge can see one that it could have seen without skipping:
//
//   - only operations that are in no request yet, and only within one request, which the edge applies as
//     one atomic step. Under a prefix declared LatestOnly across requests too: its readers want the newest
//     value of each key and nothing else;
//   - only an unconditional PUT or DELETE by a later unconditional PUT or DELETE of the same key, never
//     under a prefix declared History;
//   - the later one stays at its own place, the earlier one goes. A DELETE after a PUT stays: the edge may
//     hold the key;
//   - never across a barrier, never across a conditional operation on the key, never one whose
//     acknowledgement is awaited, and never on account of one that the edge refused.
//
// The log is not rewritten for it: operations are skipped when a request is built, and go when
// their segment is trimmed.
//
// # What the edge says
//
// See [Reply]. An answer either advances the edge mark, names operations that it refuses (they
// become dead letters, and the request is built again without them, so that what they had displaced
// is sent), says that it knows less than we thought (a restored edge: what is still kept is sent
// again), or leaves things as they are until a later try: full jitter between 0.5 s and 60 s, not
// before what Retry-After says.
//
// # What this package does not do
//
// It opens no file and no connection, starts nothing, and knows no encoding but that of a log
// record. The idea of sessions and numbers is TigerBeetle's and Kafka's idempotent producer; that
// of coalescing only within an atomic batch is what makes it provable; full jitter is from the AWS
// architecture blog.
package queue
