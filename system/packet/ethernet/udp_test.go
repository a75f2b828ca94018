package ethernet

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	group = [4]byte{239, 77, 0, 1}
	src   = netip.MustParseAddrPort("10.77.0.1:7701")
	dst   = netip.AddrPortFrom(netip.AddrFrom4(group), 7700)
)

func testFlow() Flow {
	return Flow{
		SrcMAC: [6]byte{2, 0, 0, 0, 0, 1}, DstMAC: MulticastMAC(group),
		Src: src, Dst: dst, Checksum: true,
	}
}

// datagramOf is a right packet carrying payload.
func datagramOf(t testing.TB, payload []byte) []byte {
	t.Helper()
	tpl, err := NewTemplate(testFlow())
	if err != nil {
		t.Fatal(err)
	}
	pkt := append(make([]byte, HeaderBytes), payload...)
	tpl.Put(pkt, 0)
	return pkt
}

// refreshIP makes the IPv4 header checksum right again after an edit.
func refreshIP(pkt []byte) {
	ip := pkt[EthernetBytes:]
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], Checksum(ip[:int(ip[0]&15)*4]))
}

func TestUDPPayloadVerdicts(t *testing.T) {
	payload := []byte("twelve bytes and an odd end.!")
	for _, c := range []struct {
		name string
		edit func(pkt []byte) []byte
		want Verdict
	}{
		{"untouched", func(p []byte) []byte { return p }, OK},
		{"padded by Ethernet", func(p []byte) []byte { return append(p, 0, 0, 0) }, OK},
		{"checksum absent", func(p []byte) []byte { p[40], p[41] = 0, 0; return p }, OK},
		{"IP options", withOptions, OK},
		{"empty", func([]byte) []byte { return nil }, Foreign},
		{"cut in Ethernet", func(p []byte) []byte { return p[:13] }, Foreign},
		{"cut in IPv4", func(p []byte) []byte { return p[:33] }, Foreign},
		{"ARP", func(p []byte) []byte { p[13] = 0x06; return p }, Foreign},
		{"IPv6 EtherType", func(p []byte) []byte { p[12], p[13] = 0x86, 0xdd; return p }, Foreign},
		{"VLAN tag", func(p []byte) []byte { p[12] = 0x81; return p }, Foreign},
		{"IP version 6", func(p []byte) []byte { p[14] = 0x65; return p }, Foreign},
		{"TCP", func(p []byte) []byte { p[23] = 6; refreshIP(p); return p }, Foreign},
		{"other group", func(p []byte) []byte { p[33]++; refreshIP(p); return p }, Foreign},
		{"other port", func(p []byte) []byte { p[37]++; return p }, Foreign},
		{"IGMP", func(p []byte) []byte { p[23] = 2; refreshIP(p); return p }, IGMP},
		{"IHL too small", func(p []byte) []byte { p[14] = 0x44; return p }, BadLength},
		{"IHL past the end", func(p []byte) []byte { p[14] = 0x4f; p[17] = 40; return p }, BadLength},
		{"IP length past the end", func(p []byte) []byte { p[17]++; return p }, BadLength},
		{"cut in the payload", func(p []byte) []byte { return p[:len(p)-1] }, BadLength},
		{"IP length before UDP's end", setIPLength(27), BadLength},
		{"UDP length 7", func(p []byte) []byte { p[39] = 7; return p }, BadLength},
		{"UDP length past IP's", func(p []byte) []byte { p[39]++; return p }, BadLength},
		{"IP checksum", func(p []byte) []byte { p[24] ^= 1; return p }, BadIPSum},
		{"TTL flipped", func(p []byte) []byte { p[22] ^= 0x40; return p }, BadIPSum},
		{"first fragment", func(p []byte) []byte { p[20] |= 0x20; refreshIP(p); return p }, Fragment},
		{"later fragment", func(p []byte) []byte { p[21] = 9; refreshIP(p); return p }, Fragment},
		{"payload bit", func(p []byte) []byte { p[50] ^= 4; return p }, BadUDPSum},
		{"last byte", func(p []byte) []byte { p[len(p)-1] ^= 4; return p }, BadUDPSum},
		{"source port", func(p []byte) []byte { p[35] ^= 4; return p }, BadUDPSum},
		{"UDP checksum", func(p []byte) []byte { p[41] ^= 4; return p }, BadUDPSum},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, v := UDPPayload(c.edit(datagramOf(t, payload)), group, dst.Port(), true)
			if v != c.want {
				t.Fatalf("verdict %v, want %v", v, c.want)
			}
			if v == OK && !bytes.Equal(got, payload) {
				t.Fatal(cmp.Diff(payload, got))
			}
		})
	}
}

// withOptions inserts a router alert option between the IPv4 and UDP headers.
func withOptions(pkt []byte) []byte {
	out := append([]byte{}, pkt[:EthernetBytes+IPv4Bytes]...)
	out = append(out, routerAlert[:]...)
	out = append(out, pkt[EthernetBytes+IPv4Bytes:]...)
	out[14] = 0x46
	out[17] += 4
	refreshIP(out)
	return out
}

// setIPLength claims an IPv4 packet of n bytes.
func setIPLength(n byte) func([]byte) []byte {
	return func(pkt []byte) []byte {
		pkt[17] = n
		refreshIP(pkt)
		return pkt
	}
}

func TestUDPPayloadFilters(t *testing.T) {
	pkt := datagramOf(t, []byte("x"))
	for _, c := range []struct {
		group [4]byte
		port  uint16
		want  Verdict
	}{
		{group, 7700, OK},
		{[4]byte{}, 7700, OK},
		{group, 0, OK},
		{[4]byte{}, 0, OK},
		{[4]byte{239, 77, 0, 2}, 0, Foreign},
		{[4]byte{}, 7701, Foreign},
	} {
		if _, v := UDPPayload(pkt, c.group, c.port, true); v != c.want {
			t.Errorf("group %v port %d: %v, want %v", c.group, c.port, v, c.want)
		}
	}
}

func TestVerifyCanBeSwitchedOff(t *testing.T) {
	pkt := datagramOf(t, []byte("payload"))
	pkt[len(pkt)-1] ^= 1
	if _, v := UDPPayload(pkt, group, 7700, false); v != OK {
		t.Fatalf("verdict %v with verification off", v)
	}
}

// Every one-bit change from the IPv4 header on is noticed: headers by their checksum, payload by
// UDP's; the exception is a checksum field that becomes 0, which no single bit reaches here.
func TestEveryFlippedBitIsNoticed(t *testing.T) {
	payload := []byte("some payload of a length that is odd")
	pkt := datagramOf(t, payload)
	for bit := EthernetBytes * 8; bit < len(pkt)*8; bit++ {
		pkt[bit/8] ^= 1 << (bit % 8)
		if _, v := UDPPayload(pkt, group, 7700, true); v == OK {
			t.Errorf("byte %d bit %d: accepted", bit/8, bit%8)
		}
		pkt[bit/8] ^= 1 << (bit % 8)
	}
}

func TestVerdictNames(t *testing.T) {
	seen := map[string]bool{}
	for v := range NumVerdicts {
		if seen[v.String()] || v.String() == "" {
			t.Errorf("verdict %d has name %q", v, v)
		}
		seen[v.String()] = true
	}
	if NumVerdicts.String() != "unknown" || Foreign.Damaged() || IGMP.Damaged() || OK.Damaged() {
		t.Error("classes of verdicts are wrong")
	}
}

func TestUDPPayloadAllocatesNothing(t *testing.T) {
	pkt := datagramOf(t, make([]byte, 96))
	tpl, err := NewTemplate(testFlow())
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		tpl.Put(pkt, 3)
		UDPPayload(pkt, group, 7700, true)
	}); n != 0 {
		t.Fatalf("%v allocations a packet", n)
	}
}

func FuzzUDPPayload(f *testing.F) {
	f.Add(datagramOf(f, []byte("a frame")), true)
	f.Add(withOptions(datagramOf(f, nil)), false)
	f.Add(make([]byte, 42), true)
	f.Fuzz(func(t *testing.T, pkt []byte, verify bool) {
		payload, v := UDPPayload(pkt, group, 7700, verify)
		if v != OK {
			if payload != nil {
				t.Fatalf("verdict %v with a payload", v)
			}
			return
		}
		if len(payload) > len(pkt)-HeaderBytes {
			t.Fatalf("%d bytes of payload out of a packet of %d", len(payload), len(pkt))
		}
		again, v := UDPPayload(datagramOf(t, payload), group, 7700, true)
		if v != OK || !bytes.Equal(again, payload) {
			t.Fatalf("rebuilt: %v", v)
		}
	})
}

func BenchmarkUDPPayload(b *testing.B) {
	for _, c := range []struct {
		name   string
		bytes  int
		verify bool
	}{{"96", 96, false}, {"96/verify", 96, true}, {"1408/verify", 1408, true}} {
		b.Run(c.name, func(b *testing.B) {
			pkt := datagramOf(b, make([]byte, c.bytes))
			for b.Loop() {
				UDPPayload(pkt, group, 7700, c.verify)
			}
		})
	}
}
