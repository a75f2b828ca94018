package ethernet

import "encoding/binary"

// Sizes and places of the headers, in bytes.
const (
	EthernetBytes = 14                                   // Ethernet header, no tag
	IPv4Bytes     = 20                                   // IPv4 header without options
	UDPBytes      = 8                                    // UDP header
	HeaderBytes   = EthernetBytes + IPv4Bytes + UDPBytes // all of what Template.Put writes: 42
	MaxPayload    = 1500 - IPv4Bytes - UDPBytes          // UDP payload of a 1500-byte MTU: 1472
)

const (
	protocolIGMP = 2
	protocolUDP  = 17

	etherTypeIPv4LE = 0x0008 // 0x0800 as read little-endian
	fragmentMaskLE  = 0xff3f // more-fragments bit and offset, as read little-endian
)

// Verdict says what [UDPPayload] made of a packet.
type Verdict uint8

// The verdicts. Everything before BadLength is a packet that was never meant for the port;
// BadLength and what follows was addressed to the port's group and arrived damaged.
const (
	OK          Verdict = iota // a whole datagram to this group and port
	Foreign                    // not IPv4, or IPv4 to another address, protocol or port
	IGMP                       // IPv4 protocol 2: hand it to ParseIGMP
	BadLength                  // a length field points outside its container, or the packet is cut
	BadIPSum                   // IPv4 header checksum wrong
	Fragment                   // a fragment of a datagram: refused
	BadUDPSum                  // UDP checksum present, wanted and wrong
	NumVerdicts                // how many verdicts there are; no verdict itself
)

var verdictNames = [NumVerdicts]string{
	"ok", "foreign", "igmp", "bad_length", "bad_ip_checksum", "fragment", "bad_udp_checksum",
}

// String names the verdict as counters and columns do.
func (v Verdict) String() string {
	if v >= NumVerdicts {
		return "unknown"
	}
	return verdictNames[v]
}

// Damaged reports whether the packet was addressed to the port but could not be taken
// (packet.Stats.RxBadUDP); what is neither OK nor Damaged is RxForeign.
func (v Verdict) Damaged() bool { return v >= BadLength && v < NumVerdicts }

// UDPPayload returns the UDP payload of the Ethernet packet pkt if it is a datagram to group and
// port; the payload is a subslice of pkt. The zero group accepts any destination address, port 0
// any port. verifyUDP also verifies a UDP checksum that is not zero (zero means "none", RFC 768).
//
// Nothing is allocated and every field is bounds-checked: pkt may be hostile.
func UDPPayload(pkt []byte, group [4]byte, port uint16, verifyUDP bool) ([]byte, Verdict) {
	if len(pkt) < EthernetBytes || binary.LittleEndian.Uint16(pkt[12:]) != etherTypeIPv4LE {
		return nil, Foreign
	}
	ip := pkt[EthernetBytes:]
	if len(ip) < IPv4Bytes || ip[0]>>4 != 4 {
		return nil, Foreign
	}
	if ip[9] != protocolUDP {
		if ip[9] == protocolIGMP {
			return nil, IGMP
		}
		return nil, Foreign
	}
	if group != [4]byte{} && [4]byte(ip[16:20]) != group {
		return nil, Foreign
	}
	return datagram(ip, port, verifyUDP)
}

// datagram takes an IPv4 packet (at least 20 bytes, protocol UDP, the right destination) apart.
func datagram(ip []byte, port uint16, verifyUDP bool) ([]byte, Verdict) {
	header := int(ip[0]&15) * 4
	total := int(binary.BigEndian.Uint16(ip[2:]))
	if header < IPv4Bytes || total < header || total > len(ip) {
		return nil, BadLength
	}
	if !headerHolds(ip, header) {
		return nil, BadIPSum
	}
	if binary.LittleEndian.Uint16(ip[6:])&fragmentMaskLE != 0 {
		return nil, Fragment
	}
	udp := ip[header:total]
	if len(udp) < UDPBytes {
		return nil, BadLength
	}
	if port != 0 && binary.BigEndian.Uint16(udp[2:]) != port {
		return nil, Foreign
	}
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < UDPBytes || length > len(udp) {
		return nil, BadLength
	}
	udp = udp[:length]
	if verifyUDP && !checksumHolds(ip, udp) {
		return nil, BadUDPSum
	}
	return udp[UDPBytes:], OK
}

// headerHolds verifies the checksum of an IPv4 header of the given length.
func headerHolds(ip []byte, header int) bool {
	if header == IPv4Bytes {
		return fold(sum20(ip)) == 0xffff
	}
	return fold(sum(0, ip[:header])) == 0xffff
}

// checksumHolds reports whether the UDP checksum is absent (0) or right.
func checksumHolds(ip, udp []byte) bool {
	if binary.LittleEndian.Uint16(udp[6:]) == 0 {
		return true
	}
	return fold(sum(pseudo(ip[12:20], len(udp)), udp)) == 0xffff
}
