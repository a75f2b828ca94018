package ethernet

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// Flow names both ends of the datagrams a [Template] stamps.
type Flow struct {
	SrcMAC, DstMAC [6]byte
	Src, Dst       netip.AddrPort // IPv4
	TTL            uint8          // 0 means 1 for a multicast destination, 64 otherwise
	Checksum       bool           // fill the UDP checksum; false leaves 0, "none"
}

// Template is a prepared header of one flow. Only lengths, source port and checksums change from
// packet to packet, and lengths rarely, so stamping one costs a 42-byte copy and a few stores. A
// template belongs to one goroutine.
type Template struct {
	header   [HeaderBytes]byte // with the lengths and IPv4 checksum of the last packet
	length   int               // bytes of the last packet
	port     uint16            // first source port
	checksum bool
	ip       uint64 // sum over the IPv4 header without length and checksum
	pseudo   uint64 // sum over UDP's pseudo header and header but for length, port and checksum
	udp      uint64 // pseudo with the lengths of the last packet
}

// NewTemplate prepares the headers of flow. It refuses addresses that are not IPv4.
func NewTemplate(flow Flow) (*Template, error) {
	src, dst := flow.Src.Addr().Unmap(), flow.Dst.Addr().Unmap()
	if !src.Is4() || !dst.Is4() {
		return nil, fmt.Errorf("ethernet: %s to %s is not an IPv4 flow", flow.Src, flow.Dst)
	}
	t := &Template{port: flow.Src.Port(), checksum: flow.Checksum}
	copy(t.header[0:], flow.DstMAC[:])
	copy(t.header[6:], flow.SrcMAC[:])
	t.header[12] = 0x08
	ip := t.header[EthernetBytes:]
	putIPv4(ip, protocolUDP, ttl(flow.TTL, dst), src.As4(), dst.As4())
	binary.BigEndian.PutUint16(ip[IPv4Bytes+2:], flow.Dst.Port())
	t.ip = sum(0, ip[:IPv4Bytes])
	t.pseudo = add(sum(sum(0, ip[12:20]), ip[IPv4Bytes+2:IPv4Bytes+4]), protocolUDP<<8)
	return t, nil
}

// ttl is the time to live: one hop for multicast, as the kernel does, unless asked otherwise.
func ttl(asked uint8, dst netip.Addr) uint8 {
	switch {
	case asked != 0:
		return asked
	case dst.IsMulticast():
		return 1
	}
	return 64
}

// putIPv4 writes a header of 20 bytes with don't-fragment set and neither length nor checksum.
func putIPv4(ip []byte, protocol, ttl uint8, src, dst [4]byte) {
	ip[0] = 0x45
	ip[6] = 0x40
	ip[8], ip[9] = ttl, protocol
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
}

// Put stamps the headers in front of a payload: pkt is 42 bytes followed by the payload of at most
// [MaxPayload] bytes, already written because the UDP checksum covers it. The source port is the
// flow's plus lane, so that every lane is a 5-tuple of its own and receivers can spread them.
func (t *Template) Put(pkt []byte, lane uint16) {
	if len(pkt) != t.length {
		t.setLength(len(pkt))
	}
	*(*[HeaderBytes]byte)(pkt) = t.header
	udp := pkt[EthernetBytes+IPv4Bytes:]
	port := swap(t.port + lane)
	binary.LittleEndian.PutUint16(udp, port)
	if t.checksum {
		s := sum(add(t.udp, uint64(port)), udp[UDPBytes:])
		binary.LittleEndian.PutUint16(udp[6:], udpChecksum(s))
	}
}

// setLength makes the template one of packets of n bytes.
func (t *Template) setLength(n int) {
	t.length = n
	ip := t.header[EthernetBytes:]
	total, length := swap(uint16(n-EthernetBytes)), swap(uint16(n-EthernetBytes-IPv4Bytes))
	binary.LittleEndian.PutUint16(ip[2:], total)
	binary.LittleEndian.PutUint16(ip[10:], ^fold(add(t.ip, uint64(total))))
	binary.LittleEndian.PutUint16(ip[IPv4Bytes+4:], length)
	t.udp = add(t.pseudo, 2*uint64(length))
}

// udpChecksum finishes a UDP checksum; 0 is sent as ffff, since 0 means "none" (RFC 768).
func udpChecksum(s uint64) uint16 {
	if c := ^fold(s); c != 0 {
		return c
	}
	return 0xffff
}

// MulticastMAC is the Ethernet address that the IPv4 group maps to: 01:00:5e and the low 23 bits of
// the group (RFC 1112 §6.4). 32 groups share each address.
func MulticastMAC(group [4]byte) [6]byte {
	return [6]byte{0x01, 0x00, 0x5e, group[1] & 0x7f, group[2], group[3]}
}

// ParseMAC reads a MAC address of 6 bytes.
func ParseMAC(s string) ([6]byte, error) {
	mac, err := net.ParseMAC(s)
	if err != nil {
		return [6]byte{}, fmt.Errorf("ethernet: %w", err)
	}
	if len(mac) != 6 {
		return [6]byte{}, fmt.Errorf("ethernet: %q is not a MAC address of 6 bytes", s)
	}
	return [6]byte(mac), nil
}
