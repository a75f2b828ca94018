// Package bench is the device under test of the ingest experiment: one ingest core behind one port,
// in a process of its own, that speaks JSON lines.
//
//	stdout  {"event":"ready", …}             the port is open; what it was granted
//	stdin   {"cmd":"arm","incarnation":7,"deadline_ns":N}
//	                                         empty the port, open new lanes, zero the counters
//	stdout  {"event":"armed"}
//	stdin   {"cmd":"report"}                 after the deadline: empty the port, then tell
//	stdout  {"event":"report","at_deadline":{…},"final":{…}, …}
//	stdin   {"cmd":"stop"}                   or end of input
//
// A process that this machine cannot run says {"event":"unavailable", …} instead of ready.
//
// Counters are frozen when CLOCK_MONOTONIC passes deadline_ns, so that what is still in a buffer by
// then can be told from what went through the pipeline in time. The loop that polls is the loop of
// a replica's ingest core; the only addition is a look at the clock every few polls.
//
// The package measures nothing but counts: CPU time and memory are read from outside.
package bench
