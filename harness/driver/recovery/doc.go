// Package recovery measures how a cluster of ours comes back: restarts, snapshots under load, the space
// that it takes on disk, and state transfer to a replica that was emptied.
//
// Everything runs as real processes on this machine (harness/nemesis); loads are offered by a proxy process
// that loads itself (`metronome bench load`). A measurement begins with a fresh cluster and ends with
// it, so that no trial sees what another one left.
//
//	bed         a cluster, filled; killed, emptied, started again
//	load        a generator process, and what it says
//	restart     from the start of a process until it serves again
//	snapshots   the latency of puts with snapshots being taken, and without
//	overwrite   the space on disk while the same keys are written again and again
//	transfer    a snapshot to an emptied replica, against a plain copy of the same bytes, and beside a load
//
// It does not judge: claims are experiments/recovery's. It does not inject faults other than kill -9 and an
// emptied data directory: harness/nemesis does.
package recovery
