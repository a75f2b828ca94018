// Package testbed prepares this machine for a run and puts it back afterwards.
//
// A [Testbed] owns everything a run changes on the host: two network namespaces joined by a veth
// pair ([Link]), child processes inside them, reserved hugepages, files. Each change is written to a
// small state file *before* it is made:
//
//	/run/metronome/<id>.json            as root
//	$XDG_RUNTIME_DIR/metronome/<id>.json  as an ordinary user
//
// The file names its owner by pid and start time, so that after a kill -9, when no deferred call
// ran, the next start finds it and [Sweep] removes what was left. A newcomer should read [Open],
// then [Testbed.Link], then [Testbed.Close].
//
//	        mtn-gen-<id>                          mtn-dut-<id>
//	┌──────────────────────────┐         ┌──────────────────────────┐
//	│ generator   mtn-tx ──────┼── veth ─┼───── mtn-rx   receiver   │
//	│ 10.77.0.1/24             │         │              10.77.0.2/24│
//	└──────────────────────────┘         └──────────────────────────┘
//
// The receiving end has GRO on, which on veth means NAPI, and NAPI runs in a kernel thread of its
// own. That thread is the kernel's half of the receive path; [Link.Place] says which core carries
// it, because a figure for a socket means nothing without that.
//
// The package also answers what kind of machine this is ([Facts], [ReadCounters]) and what it can do
// ([Preflight]).
//
// It does NOT run experiments, generate traffic or interpret counters (packages spec, load, probe),
// does not touch the host's own interfaces, and does not reach other machines (folder ansible).
package testbed
