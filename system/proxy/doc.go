// Package proxy takes operations, multicasts them to every replica at once, and tells how they
// ended.
//
// [Proxy] is a proxy without its surroundings (node.Core). Package daemon gives it sockets, and
// package resp the Redis protocol in front of it.
//
// # The life of an operation
//
//	Submit --lane.Sender--> frame --multicast--> replicas
//	Report (committed watermark of any replica) --> ends blind writes, moves the window (R21, R25)
//	Reply (results, from the replica that was asked) --> ends everything else
//	no reply in time --> another replica is asked, reads are sent again as new items (R25)
//	Opened, with another incarnation --> the cluster was founded anew: all end unknown, a new life
//	Fenced --> operations beyond the closing point were definitely not executed (R19)
//
// # The caller's duties, in order
//
//  1. Submit, Datagram and Message as they come; Config.Complete is called from within.
//  2. Tick, at least once a millisecond while operations are outstanding.
//  3. Output, and send what it says.
//  4. Look at Err: a proxy fenced by another instance with its number is finished.
//
// A proxy keeps no state that outlives it: its incarnation is agreed on by the replicas, and a new
// instance closes the lanes of the old one.
//
// It does not retry writes (R20): a client that wants that opens a session.
package proxy
