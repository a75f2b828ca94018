// Package orderers knows the algorithms that can order a cluster's cuts, by name.
//
// They are interchangeable behind [order.Orderer]; what differs is in each one's package doc. A
// cluster has one for life: its file names it, peers of another are refused at the handshake, and so
// is a data directory that another wrote. To change it, back the cluster up and restore the backup to
// a new cluster whose file names the other.
//
//	raft        the default: go.etcd.io/raft; members can change
//	multipaxos  our own Multi-Paxos: slots are independent, flexible quorums; members are fixed
//	mencius     slots whose owners rotate: every replica proposes; members are fixed
//	baxos       Paxos without a leader, with random back-off: every replica proposes; members are fixed
//	rabia       randomised binary agreement on what a majority proposes; members are fixed
//	racs        a leader per view, drawn by a coin in an asynchronous fallback; members are fixed
//
// # What this package does not do
//
// It holds no state and decides nothing: it is a table.
package orderers
