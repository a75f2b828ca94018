package ethernet

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

var snoopHost = Host{MAC: [6]byte{2, 0, 0, 0, 0, 7}, IP: [4]byte{10, 0, 0, 7}}

// snooped lists what Snoop tells, "+" for joining.
func snooped(pkt []byte) (told []string, err error) {
	err = Snoop(pkt, func(g [4]byte, listens bool) {
		sign := "-"
		if listens {
			sign = "+"
		}
		told = append(told, fmt.Sprintf("%s%d.%d.%d.%d", sign, g[0], g[1], g[2], g[3]))
	})
	return told, err
}

// report3 is a version 3 report with records as given.
func report3(count byte, records ...byte) []byte {
	pkt := snoopHost.putIP(make([]byte, 1500), allV3Routers, 8+len(records))
	msg := pkt[EthernetBytes+igmpIPBytes:]
	msg[0], msg[7] = typeReportV3, count
	copy(msg[8:], records)
	sum := Checksum(msg)
	msg[2], msg[3] = byte(sum>>8), byte(sum)
	return pkt
}

func TestSnoop(t *testing.T) {
	group := [4]byte{239, 1, 2, 3}
	buf := func() []byte { return make([]byte, MaxIGMP) }
	source := []byte{10, 0, 0, 1}
	for _, c := range []struct {
		name string
		pkt  []byte
		want []string
		err  error
	}{
		{"v1 report", snoopHost.MembershipReport(buf(), IGMPv1, group, true), []string{"+239.1.2.3"}, nil},
		{"v2 report", snoopHost.MembershipReport(buf(), IGMPv2, group, true), []string{"+239.1.2.3"}, nil},
		{"v3 join", snoopHost.MembershipReport(buf(), IGMPv3, group, true), []string{"+239.1.2.3"}, nil},
		{"v3 answer", snoopHost.MembershipReport(buf(), IGMPv3, group, false), []string{"+239.1.2.3"}, nil},
		{"v2 leave", snoopHost.Leave(buf(), IGMPv2, group), []string{"-239.1.2.3"}, nil},
		{"v3 leave", snoopHost.Leave(buf(), IGMPv3, group), []string{"-239.1.2.3"}, nil},
		{"query", snoopHost.GeneralQuery(buf()), nil, nil},
		{"two records", report3(2, 1, 0, 0, 1, 239, 0, 0, 1, 10, 0, 0, 1, 3, 0, 0, 0, 239, 0, 0, 2),
			[]string{"+239.0.0.1", "-239.0.0.2"}, nil},
		{"allow and block", report3(2, slices.Concat([]byte{5, 0, 0, 1, 239, 0, 0, 1}, source,
			[]byte{6, 0, 0, 1, 239, 0, 0, 2}, source)...), []string{"+239.0.0.1"}, nil},
		{"too few records", report3(3, 4, 0, 0, 0, 239, 0, 0, 1), []string{"+239.0.0.1"}, ErrIGMPLength},
		{"more sources than there are", report3(1, 4, 0, 255, 255, 239, 0, 0, 1), nil, ErrIGMPLength},
		{"no IGMP", make([]byte, 60), nil, ErrNotQuery},
	} {
		told, err := snooped(c.pkt)
		if !slices.Equal(told, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, told, err, c.want, c.err)
		}
	}
}

// What a switch asks is what a host answers.
func TestGeneralQueryIsOne(t *testing.T) {
	q, err := ParseIGMP(snoopHost.GeneralQuery(make([]byte, MaxIGMP)))
	if err != nil || q.Version != IGMPv2 || !q.Asks([4]byte{239, 9, 9, 9}) {
		t.Errorf("%+v, %v", q, err)
	}
}

func FuzzSnoop(f *testing.F) {
	f.Add(snoopHost.MembershipReport(make([]byte, MaxIGMP), IGMPv3, [4]byte{239, 1, 2, 3}, true))
	f.Add(report3(3, 4, 0, 0, 0, 239, 0, 0, 1))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		_ = Snoop(pkt, func([4]byte, bool) {})
	})
}
