// Package store is the key-value state machine that every replica runs: it executes the items of the
// total order, one after another as far as anyone can tell, and answers them.
//
// It is pure and deterministic (invariant I7, rule R23): the same batches give the same answers, the
// same state hash and the same snapshot bytes at every replica, whatever its number of parts and wherever
// the sequence is divided into batches. Time is log time, handed in.
//
// # The caller's duties, in order
//
//  1. New, or Restore from a peer's snapshot. All fields of [Config] but Parts must be equal at all
//     replicas.
//  2. For each stretch of the order: [Store.Prepare], then [Store.Execute] once for every part, on as many
//     cores as there are parts, then [Store.Finish], which returns the answers. [Store.Apply] does all
//     three. The payloads must not change before Finish returns, nor be used as the answers' values.
//  3. Between batches, and only there: [Store.Read] for reads that are not items, [Store.Capture] and
//     [Snapshot.Step] for snapshots.
//  4. Compare [Store.Hash] with the other replicas' at the same index now and then.
//
// # What happens to an item
//
// Prepare is serial: it decodes items, puts fragments together, gives each item its index, asks its
// session whether it may run (R24), hashes its key and deals it to the part that owns the key's slot. A
// multi is dealt out key by key; a scan or count goes to every part. Execute is where the keys are
// touched; parts share nothing that they write. Finish joins what several parts did, stores results with
// their sessions and answers retries, in the order of the items.
//
// Puts without session and conditions are blind: they have no answer. All other writes are answered at
// every replica, since their results must survive any one of them. Reads are executed only where
// [Span].Answer asks for them.
//
// # Answers
//
// Result.Existed says of a write whether the key existed before; Revision is the key's revision
// afterwards, so after a successful write the item's index. get: Number is the length. compare-and-set:
// a mismatch carries the present revision. append and increment: Number is the new length or number; on
// TooLong and Overflow the present one. scan: Number is how many entries Value holds (wire.ScanEntry),
// More that it stopped early; by hash, Revision is the cursor to go on from. multi: Value holds a result
// an operation, Number is how many of them are OK; one whose value would exceed Config.MaxReplyBytes is
// TooLong, without value.
//
// # Sessions
//
// A session's id is the index of the item that opened it. It has a low mark, below which the client
// needs no answers any more, and remembers which numbers of the window above the mark were executed, and
// their results. A retry gets the stored result. Results' values are bounded together by
// Config.MaxResultBytes: one that does not fit is not stored, and a retry of it is answered
// StatusResultGone with everything but the value. Reads are never stored: they are executed again. A
// session ends when it was idle for Config.SessionTTL ticks of log time, when Batch.ExpireBefore says so,
// or when it is the least recently used of Config.MaxSessions and one more is opened; order of use is
// the order of indexes. It is never recreated. A session costs at most about 100 bytes for each number of its
// window, and its results' values.
//
// # Memory
//
// A key's hash names one of a fixed number of slots, a slot is a small open-addressing table without
// pointers, and records lie one after another in chunks of 64 KiB (arena.go). A key of 16 bytes and a
// value of 64 take 110 in a store of 10 M: 16 of them are the record's head, 13 table (BenchmarkMemory).
// Overwriting in place makes no garbage; what does is reclaimed by copying mostly dead chunks, in steps
// bounded by what batches leave behind. Values beyond 4 KiB are allocations of their own and immutable.
//
// # Snapshots
//
// A snapshot is captured slot by slot between batches while the store goes on. No record that it needs
// is overwritten or moved meanwhile (snapshot.go), so that an Apply pays a note of 16 bytes a changed
// key instead of copying slots, and the longest stall is what one Step is allowed (at 1 Mi keys: 2 ms of
// CPU for steps of 256 KiB, see BenchmarkSnapshot). The memory of old versions is reclaimed when the
// snapshot is done; the snapshot itself holds Size bytes until Release.
//
// # Scans
//
// A scan by key needs an ordered index, which is built by the first such scan (a third of a second for a
// million keys, during which nothing else is applied) and kept up with new keys only, at the next scan
// (ordered.go). A scan by hash needs none: it walks slots, and looks at 10,000 keys at most before it
// returns a cursor.
//
// # What is ours and what a library does
//
// Hashes are zeebo/xxh3, sorting is the standard library's; the tables, the arena and the ordered index
// are ours. Neither Go's map nor cockroachdb/swiss can be captured step by step, iterated in one order
// everywhere, or have a group of lookups overlap their cache misses, and with keys and values of any
// length both need a pointer an item. The benchmarks beside each other (bench_test.go: decode, hash,
// write and state hash of a put; 1 Mi keys of 16 bytes, values of 64; CPU time of the thread, medians of 5
// runs taken in turn on a two-core virtual machine for which 25 to 35 other threads queued, so that only
// ratios mean anything):
//
//	this package                              191 ns (141 to 211)
//	Go map, fixed-size keys and values inline 652 ns
//	swiss map, the same                       632 ns
//	Go map, strings and byte slices           1190 ns
//	swiss map, the same                       1133 ns
//
// # Huge pages
//
// Chunks are on Go's heap, which asks for no huge pages: where the kernel gives them on request only
// (transparent_hugepage/enabled: madvise), puts miss the TLB. With chunks from mapped slabs of 64 MiB under
// MADV_HUGEPAGE a put of BenchmarkPut took 149 ns instead of 180 (medians of 6 runs in turn, 135 to 163
// against 169 to 218; the same slabs without huge pages: 190), a sixth less. It is not done: memory that is
// not Go's has to be given back by us, a freed chunk may still hold an answer's value, and a slab goes back
// only when all of it is free, which cleaning would have to see to. What the setting "always" gives was not
// measured.
//
// # What it does not do
//
// It does not order anything, persist anything, know lanes beyond their numbers, or send answers; it has
// no clock, goroutine or lock. It trusts the order it is given: a batch at an index already applied is a
// panic (invariant I4).
package store
