// Package godpdk is a packet.Port over the library github.com/yerden/go-dpdk: one queue of one DPDK
// device, polled. It answers the question what package dpdk's own binding gains over a general one.
//
//	Open(Config{EAL: …})   starts EAL and the device; once per process
//	Port.Recv, Port.Send   a packet.Port, for one goroutine
//	Port.Close()           stops the device and EAL
//
// It is a module of its own, so that neither the store nor the testbed depends on that library: see
// README.md, also for what of it has been run and what not.
//
// Received frames are borrowed mbufs: they go back to their pool with the next Recv. A burst costs one call
// into C to receive and one to free; sending costs one more a packet, to append.
//
// # What it does not do
//
// One queue, no RSS, no offload, no multicast filter (the device is made promiscuous), no IGMP, and no
// wait for memif's peer. TxErrors, RxErrors and RxDropped are the device's. The polling thread is not
// registered with EAL, so its pool has no cache for it.
package godpdk
