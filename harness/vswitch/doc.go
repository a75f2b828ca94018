// Package vswitch is the heart of a software switch for tests: which packet goes out where, when,
// and in what state. It joins the memif ports of a whole cluster on one machine, and makes their
// network as bad as a test wants it.
//
//	burst of packets --Step(now, port)--> []*Out   (by reference: places in the burst, or copies)
//	                   Due(now) --------> []*Out   (what impairments held back, membership queries)
//
// It learns which port an Ethernet address lives on, replicates multicast to the ports that asked
// for the group (IGMP snooping, with a querier of its own) or to all, and spreads what enters a port
// of several queues by Toeplitz hash over addresses and UDP ports, as NICs do (Microsoft, "RSS
// Hashing Functions"). So the packets of one flow stay in one queue and in order.
//
// # Impairments
//
// Each directed link, from one port to another, has its own [Impairment] and its own seed: loss,
// bursts of loss (Gilbert 1960, Elliott 1963), delay, jitter, reordering, duplication, damage, rate,
// and a cut. What happens to the n-th packet of a link is a function of the seed, the link and n:
// neither other links' traffic nor the other impairments of a link move it. An impairment may spare all but
// datagrams, which then are counted by themselves: what TCP makes of its time moves none of them.
//
// Apart from links, a queue of a port may be dead ([Core.Dead]): what is spread to it is swallowed, as by a
// NIC whose receive queue is stuck, while its host goes on sending.
//
// A packet that nothing befalls is never copied: the burst's places are handed on, one reference a
// port. One that must wait or is damaged is copied to memory of bounded size; at the bound packets
// are lost, and counted.
//
// # What it does not do
//
// It does no I/O, reads no clock and starts no goroutine: package vswitchd does. No VLANs, no
// spanning tree (two of these must not be joined in a loop), no IPv6 snooping, no flow control: a
// port that does not take a packet at once has lost it, as with a switch's full queue.
package vswitch
