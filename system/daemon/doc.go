// Package daemon makes processes of the cores: a replica or a proxy with its threads, ports,
// streams and metrics.
//
//	cluster.yaml --cluster.Load--> Config --Replica, Proxy--> process
//
// Each process is a poll loop on one goroutine, pinned to a CPU if the file says so, that owns its
// core:
//
//	port, control socket, stream inbox, clients' operations --> core --> Output --> the same
//
// A replica may have ingest cores, threads that receive and verify frames in front of its loop, and apply
// cores, which execute batches behind it (ingest.go, apply.go; queues.go says what ingest cores poll).
//
// With nothing to do it sleeps until a descriptor is readable, somebody wakes it, or the next tick
// is due, so that an idle cluster costs next to nothing.
//
// The package does not decide anything about the protocol; replica and proxy do.
package daemon
