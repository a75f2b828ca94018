// Package kv offers key-value load to a store and records what its clients would have felt.
//
//	Load ──▶ workers, one a connection ──Batch──▶ Target (a store's driver)
//	          │  ▲                                   │
//	          │  └────────────── Done ───────────────┘
//	          └──▶ histograms, merged ──▶ Result
//
// A newcomer should read [Load], then [Target], then [Run].
//
// Open loop: every operation has an *intended* time, fixed before the store has answered anything, and
// its latency counts from then. A store that stalls is charged for every operation that should have
// been sent meanwhile (coordinated omission: G. Tene, "How NOT to measure latency"; wrk2 does the
// same). What is due goes out at once, up to Batch operations together; what cannot go out, because
// Outstanding batches are in flight already, waits in the schedule, which is computed and not stored,
// so a generator that falls behind holds no more memory. What was never sent or never answered enters
// the histogram with the time it had waited so far: a lower bound, counted as censored.
//
// Closed loop (rate 0): every connection keeps Outstanding batches in flight. That finds saturation; its
// latencies say what the queue is, not what a client would feel.
//
// Two times are kept for each operation: latency from the intended time, and service from the
// moment of sending. Their difference is waiting for a free slot plus the generator's own lateness.
//
// A worker is one goroutine: it alone fills batches, records and counts, so no lock is on the path.
// Drivers answer from any goroutine; the time is taken there, and recorded later.
//
// The package does NOT start or stop stores (package peer), check what was read (package check), or
// choose rates (package run).
package kv
