// Package bypass is the driver of experiments/ingest-cluster: a whole cluster, end to end, on socket
// ports or on DPDK ports through the software switch.
//
//	metronome bench load (the proxy) ──port──▶ kernel or lab vswitch ──ports──▶ 3 × metronome replica
//
// Each trial starts its own cluster, loads it from within its proxy, reads what every process costs in
// the middle of the load, and ends everything. A replica, the proxy and the switch are processes; all
// of them poll in the arms with DPDK.
//
// On a machine with fewer cores than polling processes each row carries the flag oversubscribed, and
// the metric that rate claims look at is left out: such a run supports none.
//
// [Reads] is the driver of experiments/barrier-reads, on sockets only: it fills a cluster of the same
// kind first, and then loads it with reads.
//
// The package does not pin processes, tune the kernel, or judge.
package bypass
