// Package cluster has the drivers of experiments that break whole clusters of processes: linearizability,
// faults, non-ideal-network; and of consensus-real, which measures and breaks one with each algorithm.
//
//	lab ── one trial as JSON ──▶ lab trial (a sandbox: network, mounts, processes of its own)
//	                              ├─ ip netns exec replica-0 metronome replica …
//	                              ├─ …                       etcd …
//	                              └─ clients, nemesis, judges ── outcome as JSON ──▶ lab
//
// Every trial is a process in a [testbed.Sandbox]: namespaces, bridges, packet filters, loop mounts and
// the cluster's processes end with it, whether it ends by itself, by an interrupt or by kill -9 of
// whoever started it. What lies outside (control groups, one folder) is swept by the next trial or removed
// by the run.
//
// The package does NOT define faults (harness/nemesis), judge histories (harness/history), choose cells or
// verdicts (harness/factorial).
package cluster
