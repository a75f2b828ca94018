// Package edge drives the experiments about one edge server.
//
//	Load      experiments/edge-load      throughput and latency, beside etcd's gateway and Redis
//	Liveness  experiments/edge-liveness  failure detectors, on made-up arrivals in virtual time
//	Security  experiments/edge-security  a legitimate user's latency while wrong passwords pour in
//	Backup    experiments/edge-backup    what backups cost, how far they lag, how fast they are restored
//
// Load, Security and Backup speak to servers in processes of their own over TLS on loopback. Their
// clients write requests that were prepared as far as they can be, one at a time a connection, and
// look at answers as little as they may: status and length. They are load generators, no HTTP clients.
//
// The package offers no rates of its own and judges nothing: experiment.yaml does.
package edge
