// Package packet defines [Port], the one boundary between Metronome's hot paths and the machinery
// that moves datagrams: bursts of frames in, bursts of frames out, nothing else.
//
// A frame is the payload of one UDP datagram; what is in it is the business of package wire. The
// implementations differ in how the datagram crosses the machine, and in nothing a caller can see:
//
//   - packet/socket: the kernel's UDP, one datagram a call, many a call (recvmmsg), coalesced (GRO),
//     or read from a packet ring (AF_PACKET TPACKET_V3)
//   - packet/dpdk: DPDK poll-mode drivers, the kernel bypassed (memif, PCI NICs) or met at its
//     lowest door (AF_XDP, AF_PACKET)
//   - packet/memory: in one process, for tests and the simulator
//
// Frames are borrowed in bursts because both ends of the idea demand it: a poll-mode driver hands
// out its own buffers and wants them back together, and one call a burst is what makes the cost of
// a call into C (about 45 ns) vanish (DPDK Programmer's Guide, "Poll Mode Driver").
//
// The package does not retransmit, order, authenticate or account for frames lost on the way;
// package lane does.
package packet
