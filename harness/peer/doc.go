// Package peer starts, drives and stops the systems Metronome is compared with, on this machine.
//
//	            lab peers serve etcd                        (the generator: package kv)
//	lab ──JSON lines──▶ host ──start──▶ etcd m0, m1, m2     (own process groups, killed with us)
//	                    driver ──load──▶ leader
//
// A [Peer] is one system in one configuration, and one file: how it is started, how it is driven at its
// best, how one sees that every member has applied everything. Peers that are servers run as processes of
// their own, as they would; the two Raft libraries run as three nodes inside the generator's process,
// which spares them a client's network hop and, in one case, every byte of encoding: they are the
// strongest form of replication by a leader, not a fair twin of a server.
//
// Each peer says what an acknowledged write survives ([Peer.Durable]). That sentence belongs beside every
// figure. Peers that hold their state in memory may use files on tmpfs for what they insist on writing;
// a directory is checked for being one.
//
// etcd and NATS are built, unmodified and pinned, from the nested module in servers/, so that the
// module of this repository does not depend on them:
//
//	cd harness/peer/servers
//	go build -trimpath -o ../../../bin/peers/etcd go.etcd.io/etcd/server/v3
//	go build -trimpath -o ../../../bin/peers/nats-server github.com/nats-io/nats-server/v2
//
// Redis is Debian's. What is missing is a *packet.ErrUnavailable that says how to get it.
//
// A newcomer should read [Peer], [Instance] and one driver, such as redis.go.
//
// The package does NOT tune the machine, pin processes to cores, choose rates, inject faults, or judge. It
// reaches nothing but 127.0.0.1.
package peer
