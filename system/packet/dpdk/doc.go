// Package dpdk is a packet.Port that takes packets straight from a DPDK poll-mode driver: no system
// call, no interrupt, no kernel buffer on the way. The kernel's part of the work (Ethernet, IPv4,
// UDP, IGMP) is done in Go by package ethernet.
//
//	Init(EAL{Vdevs: …}.Args())   once per process: memory, drivers, devices
//	Open(Config{Device: …})      one device, N queue pairs
//	  └ Device.Port(i)           a packet.Port, one per queue pair and goroutine
//	Attach()                     in the polling goroutine: gives its thread a buffer cache of its own
//	Device.Close(), Shutdown()
//
// A burst costs one call into C: it frees the buffers of the burst before, receives, and fills a
// flat array of (pointer, length) that lives in C memory, so that nothing is checked, copied or
// allocated per packet on the way to Go. Sending is the mirror image: one call transmits the
// buffers written since the last and reserves the next. The struct layouts of DPDK are only read in
// C (shim_*.c), since they differ between releases; 22.11 and newer compile.
//
// # Devices
//
// Devices come into being through EAL's arguments: [Memif] (shared memory between two processes; no
// NIC, no root), [AFXDP] and [AFPacket] (a kernel interface), [Null], [Ring], and PCI addresses in
// [EAL]. memif is point to point: one peer per interface, so a multicast over it needs a software
// replicator.
//
// # Memory
//
// All of it is set aside at the start and nothing grows. [EAL].MemoryMB bounds everything DPDK
// allocates: pools, rings, device state. Each queue pair owns one pool of [Config].Mbufs buffers;
// [Config.PoolBytes] gives its size beforehand. memif adds a ring and one buffer of
// [Memif].BufferBytes per slot, direction and queue, in the client's memory. [HeapUse] reads what
// is used.
//
// # Group membership
//
// A device of a multicast group is told the group's MAC address; what it cannot do is widened in
// steps and [Info].Filter says which step held: address list, all multicast, promiscuous, none.
// IGMP membership is reported in versions 2 and 3 when the link comes up, and queries found in the
// packet stream are answered at once in the querier's version: without the random delay that RFC
// 3376 asks of large groups.
//
// # Hazards
//
// Received frames are borrowed: after the next Recv their memory holds something else. EAL starts
// once per process, and a closed virtual device does not open again in it.
//
// memif frees the shared ring in a control thread the moment its peer goes away, whether or not
// this side is inside a burst. The fault is caught and the burst ends empty (shim_guard.c), at the
// price of its buffers: a port of a process that outlives many peers wants more [Config].Mbufs. Its
// server also corrupts its memory if a client goes in the middle of their greeting, which
// Device.Connect avoids and a killed client may not: whoever starts both ends best stops both
// before closing either.
//
// # What it does not do
//
// No hardware offload is asked for except, with several queues, RSS or a rule a flow where there is none
// (Config.Flows): no checksum offload, no interrupts, no VLANs, no reassembly, no ARP (a unicast peer's
// MAC address is configured). Stats leaves RxSegs at RxFrames. Drops that the device counts for all queues
// together appear in port 0's Stats.
//
// Without the build tag dpdk (chosen by the Makefile when pkg-config finds libdpdk) every entry
// point returns *packet.ErrUnavailable, and nothing links to C.
package dpdk
