//go:build dpdk

package dpdk

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unsafe"

	"metronome/system/packet/ethernet"
)

// raw receives one burst and returns the packets as they were on the wire.
func raw(t *testing.T, p *Port) (pkts [][]byte) {
	t.Helper()
	if n, err := p.Recv(make([][]byte, 32)); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	for _, r := range p.q.rx_pkt[:p.q.held] {
		pkts = append(pkts, bytes.Clone(unsafe.Slice((*byte)(r.data), r.len)))
	}
	return pkts
}

// queryFor is a general query, of version 2 or, with more bytes, 3.
func queryFor(group [4]byte, rest ...byte) []byte {
	msg := append([]byte{0x11, 100, 0, 0, group[0], group[1], group[2], group[3]}, rest...)
	binary.BigEndian.PutUint16(msg[2:], ethernet.Checksum(msg))
	pkt := append([]byte{0x01, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x08, 0x00,
		0x45, 0, 0, byte(20 + len(msg)), 0, 0, 0x40, 0, 1, 2, 0, 0, 10, 77, 0, 9, 224, 0, 0, 1}, msg...)
	binary.BigEndian.PutUint16(pkt[24:], ethernet.Checksum(pkt[14:34]))
	return pkt
}

// A ring hears itself: what the port reports is what comes back.
func TestMembership(t *testing.T) {
	isolated(t, func(t *testing.T) {
		initEAL(t, Ring{}.Vdev())
		attach(t)
		d := open(t, testConfig(Ring{}.Name()))
		p, group := d.Port(0), [4]byte{239, 77, 0, 1}
		report := func(v ethernet.Version, joining bool) []byte {
			return bytes.Clone(d.host.MembershipReport(make([]byte, ethernet.MaxIGMP), v, group, joining))
		}
		expect := func(what string, want ...[]byte) {
			t.Helper()
			got := raw(t, p)
			if len(got) != len(want) {
				t.Fatalf("%s: %d packets, want %d", what, len(got), len(want))
			}
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Errorf("%s: packet %d\n got %x\nwant %x", what, i, got[i], want[i])
				}
			}
		}
		expect("joining", report(ethernet.IGMPv2, true), report(ethernet.IGMPv3, true))
		for _, c := range []struct {
			name    string
			query   []byte
			answers [][]byte
		}{
			{"general v2", queryFor([4]byte{}), [][]byte{report(ethernet.IGMPv2, false)}},
			{"our group v2", queryFor(group), [][]byte{report(ethernet.IGMPv2, false)}},
			{"general v3", queryFor([4]byte{}, 2, 125, 0, 0), [][]byte{report(ethernet.IGMPv3, false)}},
			{"another group", queryFor([4]byte{239, 1, 1, 1}), nil},
			{"damaged", append(queryFor(group)[:34], 0x11, 100, 1, 2, 3, 4, 5, 6), nil},
		} {
			p.sendRaw(c.query)
			expect(c.name, c.query)
			expect("answer to "+c.name, c.answers...)
			expect("silence")
		}
		if v := p.Verdicts(); v[ethernet.IGMP] != 2+5+3 {
			t.Errorf("%v", v)
		}
		d.leave()
		if got := raw(t, p); len(got) != 2 {
			t.Errorf("%d packets to leave with", len(got))
		}
	})
}

// Queries cost no memory, answered or not.
func TestAnswerAllocatesNothing(t *testing.T) {
	isolated(t, func(t *testing.T) {
		initEAL(t, Ring{}.Vdev())
		attach(t)
		p := open(t, testConfig(Ring{}.Name())).Port(0)
		query, damaged := queryFor([4]byte{}), queryFor([4]byte{})
		damaged[36]++
		frames := make([][]byte, 8)
		if n := testing.AllocsPerRun(100, func() {
			p.sendRaw(query)
			p.sendRaw(damaged)
			p.Recv(frames)
		}); n != 0 {
			t.Errorf("%v allocations a query", n)
		}
	})
}
