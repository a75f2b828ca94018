// Package vswitchd runs package vswitch on DPDK: a poll loop on one thread, memif sockets for the
// nodes of a cluster, and commands at run time.
//
//	lab vswitch --port replica-0=/tmp/c/r0.sock --port proxy-1=/tmp/c/p1.sock --control /tmp/c/switch.sock
//
// A port can also be a device of the kernel's (if:veth0): then ordinary sockets at the far end of a veth pair, TCP
// too, suffer what memif ports suffer, by the same seed, which nftables cannot give them.
//
// The switch listens on every socket; a node connects as a memif client, goes and comes back as it
// likes. Packets are received, looked at, and handed to each port they go to by reference: the
// driver copies them once into each receiver's memory, and nothing else does.
//
// Commands are JSON objects, one a line, on standard input and on a unix socket; each gets one line
// of answer (see [Request] and [Reply]).
//
// With nothing to do the loop yields after some empty polls and then sleeps, longer the longer
// nothing comes, so that a cluster that has more pollers than cores still works. Rates of such a
// run mean nothing.
//
// The package decides nothing about packets; vswitch does. It starts no nodes.
package vswitchd
