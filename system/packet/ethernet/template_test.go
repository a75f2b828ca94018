package ethernet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

// golden compares pkt with testdata/name.hex, 16 bytes a line.
func golden(t *testing.T, name string, pkt []byte) {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(pkt); i += 16 {
		b.WriteString(hex.EncodeToString(pkt[i:min(i+16, len(pkt))]) + "\n")
	}
	path := filepath.Join("testdata", name+".hex")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Fatalf("%s:\n got\n%swant\n%s", name, b.String(), want)
	}
}

func TestTemplateGolden(t *testing.T) {
	tpl, err := NewTemplate(testFlow())
	if err != nil {
		t.Fatal(err)
	}
	pkt := append(make([]byte, HeaderBytes), "the payload of a frame"...)
	tpl.Put(pkt, 2)
	golden(t, "udp-lane2", pkt)
}

// Lengths around every branch of the checksum, and values that make it fold to 0.
func TestTemplateIsReadBack(t *testing.T) {
	tpl, err := NewTemplate(testFlow())
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n <= MaxPayload; n++ {
		pkt := make([]byte, HeaderBytes+n)
		for i := range pkt {
			pkt[i] = byte(i * n)
		}
		payload := bytes.Clone(pkt[HeaderBytes:])
		tpl.Put(pkt, uint16(n))
		got, v := UDPPayload(pkt, group, 7700, true)
		if v != OK || !bytes.Equal(got, payload) {
			t.Fatalf("%d bytes: %v", n, v)
		}
		if p := binary.BigEndian.Uint16(pkt[34:]); p != 7701+uint16(n) {
			t.Fatalf("lane %d: source port %d", n, p)
		}
	}
}

// A checksum that comes out as 0 must be sent as ffff, or it would read as "none".
func TestChecksumIsNeverZero(t *testing.T) {
	tpl, err := NewTemplate(testFlow())
	if err != nil {
		t.Fatal(err)
	}
	pkt := make([]byte, HeaderBytes+2)
	zeros := 0
	for i := range 1 << 16 {
		binary.BigEndian.PutUint16(pkt[HeaderBytes:], uint16(i))
		tpl.Put(pkt, 0)
		if sum := binary.BigEndian.Uint16(pkt[40:]); sum == 0 {
			zeros++
		}
		if _, v := UDPPayload(pkt, group, 7700, true); v != OK {
			t.Fatalf("payload %04x: %v", i, v)
		}
	}
	if zeros != 0 {
		t.Fatalf("%d packets without a checksum", zeros)
	}
}

func TestTemplateFields(t *testing.T) {
	unicast := netip.MustParseAddrPort("10.0.0.2:9")
	for _, c := range []struct {
		flow Flow
		ttl  byte
	}{
		{Flow{Src: src, Dst: dst}, 1},
		{Flow{Src: src, Dst: unicast}, 64},
		{Flow{Src: src, Dst: dst, TTL: 8}, 8},
	} {
		tpl, err := NewTemplate(c.flow)
		if err != nil {
			t.Fatal(err)
		}
		pkt := make([]byte, HeaderBytes)
		tpl.Put(pkt, 0)
		if pkt[22] != c.ttl {
			t.Errorf("%v: TTL %d, want %d", c.flow.Dst, pkt[22], c.ttl)
		}
		if pkt[40] != 0 || pkt[41] != 0 {
			t.Errorf("%v: a checksum nobody asked for", c.flow.Dst)
		}
	}
}

func TestTemplateRefusesIPv6(t *testing.T) {
	six := netip.MustParseAddrPort("[ff02::1]:7700")
	if _, err := NewTemplate(Flow{Src: src, Dst: six}); err == nil {
		t.Error("an IPv6 destination was taken")
	}
	if _, err := NewTemplate(Flow{Dst: dst}); err == nil {
		t.Error("a flow without source was taken")
	}
}

func TestMulticastMAC(t *testing.T) {
	got := MulticastMAC([4]byte{239, 0xcd, 0x12, 0x34})
	if want := [6]byte{0x01, 0x00, 0x5e, 0x4d, 0x12, 0x34}; got != want {
		t.Fatalf("%x, want %x", got, want)
	}
}

func TestParseMAC(t *testing.T) {
	if m, err := ParseMAC("02:00:00:00:00:0a"); err != nil || m != [6]byte{2, 0, 0, 0, 0, 10} {
		t.Errorf("%v %v", m, err)
	}
	for _, s := range []string{"", "02:00", "00:00:00:00:00:00:00:01"} {
		if _, err := ParseMAC(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

// slowSum is RFC 1071 by the letter: 16-bit words, carries at the end.
func slowSum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		s += w
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func FuzzChecksum(f *testing.F) {
	f.Add([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}) // the example of RFC 1071 §3
	f.Add(bytes.Repeat([]byte{0xff}, 77))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := Checksum(b), slowSum(b); got != want {
			t.Fatalf("%d bytes: %04x, want %04x", len(b), got, want)
		}
	})
}

func BenchmarkTemplatePut(b *testing.B) {
	tpl, err := NewTemplate(testFlow())
	if err != nil {
		b.Fatal(err)
	}
	pkt := make([]byte, HeaderBytes+96)
	for b.Loop() {
		tpl.Put(pkt, 1)
	}
}
