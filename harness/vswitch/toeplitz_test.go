package vswitch

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// Microsoft's verification suite for RSS over IPv4 ("Verifying the RSS Hash Calculation").
func TestToeplitzIsMicrosofts(t *testing.T) {
	h := NewToeplitz(MicrosoftKey[:])
	for _, c := range []struct {
		dst, src       string
		ip, ipAndPorts uint32
	}{
		{"161.142.100.80:1766", "66.9.149.187:2794", 0x323e8fc2, 0x51ccc178},
		{"65.69.140.83:4739", "199.92.111.2:14230", 0xd718262a, 0xc626b0ea},
		{"12.22.207.184:38024", "24.19.198.95:12898", 0xd2d0a5de, 0x5c2b394a},
		{"209.142.163.6:2217", "38.27.205.30:48228", 0x82989176, 0xafc7327f},
		{"202.188.127.2:1303", "153.39.163.191:44251", 0x5d1809c5, 0x10e828a2},
	} {
		pkt := udpPacket(netip.MustParseAddrPort(c.src), netip.MustParseAddrPort(c.dst), 20)
		if got := h.Packet(pkt); got != c.ipAndPorts {
			t.Errorf("%s to %s: %#x, want %#x", c.src, c.dst, got, c.ipAndPorts)
		}
		if got := h.Hash(pkt[26:34]); got != c.ip {
			t.Errorf("%s to %s, addresses: %#x, want %#x", c.src, c.dst, got, c.ip)
		}
		pkt[20] = 0x20 // the first fragment of several: no other has the ports
		if got := h.Packet(pkt); got != c.ip {
			t.Errorf("fragment of %s to %s: %#x, want %#x", c.src, c.dst, got, c.ip)
		}
	}
}

// udpPacket is a datagram with a payload of n bytes; its checksums are left out.
func udpPacket(src, dst netip.AddrPort, n int) []byte {
	pkt := make([]byte, 42+n)
	pkt[12] = 0x08
	ip := pkt[14:]
	ip[0], ip[9] = 0x45, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	from, to := src.Addr().As4(), dst.Addr().As4()
	copy(ip[12:], from[:])
	copy(ip[16:], to[:])
	binary.BigEndian.PutUint16(ip[20:], src.Port())
	binary.BigEndian.PutUint16(ip[22:], dst.Port())
	return pkt
}

// Flows whose source ports follow each other spread over the queues, and each stays in one.
func TestQueuesAreSpread(t *testing.T) {
	h := NewToeplitz(MicrosoftKey[:])
	var got [4]int
	for lane := range uint16(256) {
		src := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), 7000+lane)
		got[Queue(h.Packet(udpPacket(src, netip.MustParseAddrPort("239.1.2.3:7700"), 0)), 4)]++
	}
	for q, n := range got {
		if n < 32 {
			t.Errorf("queue %d has %d of 256 flows: %v", q, n, got)
		}
	}
}

func FuzzPacketHash(f *testing.F) {
	f.Add(udpPacket(netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2"), 0))
	f.Add([]byte{})
	h := NewToeplitz(MicrosoftKey[:])
	f.Fuzz(func(t *testing.T, pkt []byte) { h.Packet(pkt) })
}
