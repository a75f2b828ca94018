// Package ethernet reads and writes the three headers a frame wears on the wire, and speaks the
// little IGMP a host needs to be sent its group's traffic. It serves the ports that meet packets
// below the kernel's UDP: packet/dpdk and the AF_PACKET mode of packet/socket.
//
//	 0 ┌ Ethernet (14) ┐ destination MAC 6, source MAC 6, EtherType 0x0800
//	14 ├ IPv4 (20..60) ┤ version+IHL 1, TOS 1, total length 2, ID 2, flags+offset 2, TTL 1,
//	   │               │ protocol 1 (17), checksum 2, source 4, destination 4, options
//	34 ├ UDP (8)       ┤ source port 2, destination port 2, length 2, checksum 2
//	42 └ payload       ┘ one frame of package wire; trailing Ethernet padding is cut off
//
// Numbers on the wire are big-endian. [UDPPayload] is the way in, [Template] the way out, and
// [ParseIGMP], [MembershipReport] and [Leave] the group's own conversation. All of it is pure:
// bytes in, bytes out, nothing allocated on the per-packet paths.
//
// The package does not reassemble fragments (they are refused), speak IPv6 or VLAN tags (foreign),
// resolve addresses by ARP, or look inside a frame.
package ethernet
