// Package socket is packet.Port over the Linux kernel's network stack, one way of reading a mode:
//
//	recv        recvfrom(2), one datagram a call
//	net         Go's net.UDPConn, one datagram a call: what most Go programs do
//	recvmmsg    recvmmsg(2), a burst of datagrams a call
//	gro         recvmmsg(2) with UDP_GRO: the kernel merges datagrams, and splits are ours
//	af_packet   a TPACKET_V3 ring on the device (packet(7)): the kernel's UDP is passed by, its driver not
//
// Any mode but af_packet may busy-poll the device (SO_BUSY_POLL, SO_PREFER_BUSY_POLL). Sending is
// by sendmmsg(2), with UDP_SEGMENT (GSO) for runs of frames of one length if asked.
//
// What Stats reads: RxDropped is the socket's own drop counter, the one SO_RXQ_OVFL reports, read
// by SO_MEMINFO (af_packet: PACKET_STATISTICS). It counts a full receive buffer and a wrong UDP
// checksum alike; the namespace's /proc/net/snmp tells them apart. RxForeign and RxBadUDP are only
// seen by af_packet: in the other modes the kernel filters before the socket.
//
// The package does not route, resolve addresses or answer for the network's multicast: the group
// must be reachable through the named interface.
package socket
