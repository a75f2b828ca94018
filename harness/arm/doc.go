// Package arm runs the trials of experiments on real processes.
//
// An [Arm] says how one implementation is started: the flags of metronome bench ingest, the wire
// its frames cross, the offloads it leans on. A [Session] is one arm in one placement and cell: a
// device under test and a generator, each a process pinned to its own core. [Session.Trial] offers
// a rate for a window and fills one row of trials.csv.
//
//	           start, rate                           arm, deadline
//	lab ─────────────────────▶ generator      lab ─────────────────▶ device under test
//	 ▲         done: emitted       │           ▲    report: counters        │
//	 └─────────────────────────────┘           └────────────────────────────┘
//	                               └── frames over veth, memif or loopback ─┘
//
// All times are CLOCK_MONOTONIC, agreed on before the trial, so that nothing has to be said while
// it runs; the lab sleeps then, for it shares the generator's core.
//
// Experiments on stores: a [Store] is a system in a process that starts, loads and stops it; a [Crash] is a
// cluster of ours whose processes are killed meanwhile, and belong to this process.
//
// The package neither decides which trials to run (package run) nor judges them (package check).
package arm
