package ethernet

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

var host = Host{MAC: [6]byte{2, 0, 0, 0, 0, 1}, IP: [4]byte{10, 77, 0, 1}}

func TestIGMPGolden(t *testing.T) {
	buf := make([]byte, MaxIGMP)
	for name, pkt := range map[string][]byte{
		"igmp-v1-report": append([]byte{}, host.MembershipReport(buf, IGMPv1, group, false)...),
		"igmp-v2-report": append([]byte{}, host.MembershipReport(buf, IGMPv2, group, true)...),
		"igmp-v2-leave":  append([]byte{}, host.Leave(buf, IGMPv2, group)...),
		"igmp-v3-join":   append([]byte{}, host.MembershipReport(buf, IGMPv3, group, true)...),
		"igmp-v3-answer": append([]byte{}, host.MembershipReport(buf, IGMPv3, group, false)...),
		"igmp-v3-leave":  append([]byte{}, host.Leave(buf, IGMPv3, group)...),
	} {
		golden(t, name, pkt)
		if _, v := UDPPayload(pkt, group, 0, true); v != IGMP {
			t.Errorf("%s: verdict %v", name, v)
		}
		if _, err := igmpMessage(pkt); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if host.Leave(buf, IGMPv1, group) != nil {
		t.Error("IGMPv1 has no leave message")
	}
}

// query builds a membership query the way a router sends one.
func query(code byte, asked [4]byte, rest ...byte) []byte {
	msg := append([]byte{typeQuery, code, 0, 0, asked[0], asked[1], asked[2], asked[3]}, rest...)
	binary.BigEndian.PutUint16(msg[2:], Checksum(msg))
	pkt := make([]byte, 200)
	pkt = Host{IP: [4]byte{10, 0, 0, 9}}.putIP(pkt, [4]byte{224, 0, 0, 1}, len(msg))
	copy(pkt[EthernetBytes+igmpIPBytes:], msg)
	return pkt
}

func TestParseIGMP(t *testing.T) {
	v3 := func(sources byte, list ...byte) []byte {
		return append([]byte{2, 125, 0, sources}, list...)
	}
	for _, c := range []struct {
		name string
		pkt  []byte
		want Query
	}{
		{"v1", query(0, [4]byte{}), Query{IGMPv1, [4]byte{}, 10 * time.Second, 0}},
		{"v2 general", query(100, [4]byte{}), Query{IGMPv2, [4]byte{}, 10 * time.Second, 0}},
		{"v2 group", query(10, group), Query{IGMPv2, group, time.Second, 0}},
		{"v3 general", query(100, [4]byte{}, v3(0)...), Query{IGMPv3, [4]byte{}, 10 * time.Second, 0}},
		{"v3 sources", query(10, group, v3(1, 10, 0, 0, 1)...), Query{IGMPv3, group, time.Second, 1}},
		{"v3 long", query(0xff, group, v3(0)...), Query{IGMPv3, group, 3174400 * time.Millisecond, 0}},
		{"padded", append(query(10, group), 0, 0, 0), Query{IGMPv2, group, time.Second, 0}},
	} {
		got, err := ParseIGMP(c.pkt)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestParseIGMPRefuses(t *testing.T) {
	flip := func(i int) []byte {
		pkt := query(10, group)
		pkt[i] ^= 0x10
		return pkt
	}
	for _, c := range []struct {
		name string
		pkt  []byte
		want error
	}{
		{"nothing", nil, ErrNotQuery},
		{"cut", query(10, group)[:40], ErrIGMPLength},
		{"not IPv4", flip(12), ErrNotQuery},
		{"version 5", flip(14), ErrNotQuery},
		{"UDP", flip(23), ErrNotQuery},
		{"IP checksum", flip(24), ErrIGMPChecksum},
		{"IGMP checksum", flip(len(query(10, group)) - 1), ErrIGMPChecksum},
		{"length 10", query(10, group, 0, 0), ErrIGMPLength},
		{"missing source", query(10, group, 0, 0, 0, 1), ErrIGMPLength},
		{"a report", host.MembershipReport(make([]byte, MaxIGMP), IGMPv2, group, false), ErrNotQuery},
	} {
		if q, err := ParseIGMP(c.pkt); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v %v, want %v", c.name, q, err, c.want)
		}
	}
}

func TestQueryAsks(t *testing.T) {
	if !(Query{}).Asks(group) || !(Query{Group: group}).Asks(group) {
		t.Error("a query for the group goes unanswered")
	}
	if (Query{Group: [4]byte{239, 1, 1, 1}}).Asks(group) {
		t.Error("a query for another group is answered")
	}
}

func FuzzParseIGMP(f *testing.F) {
	f.Add(query(10, group))
	f.Add(query(100, [4]byte{}, 2, 125, 0, 0))
	f.Add(host.Leave(make([]byte, MaxIGMP), IGMPv3, group))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		q, err := ParseIGMP(pkt)
		if err != nil {
			return
		}
		if q.Version < IGMPv1 || q.Version > IGMPv3 || q.Max < 0 {
			t.Fatalf("%+v", q)
		}
		UDPPayload(pkt, group, 0, true)
	})
}
