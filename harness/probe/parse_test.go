package probe

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

// parsers maps each file under testdata to what reads it.
var parsers = map[string]func([]byte) (any, error){
	"stat":             func(b []byte) (any, error) { return ParseStat(b) },
	"schedstat":        func(b []byte) (any, error) { return ParseSchedstat(b) },
	"status":           func(b []byte) (any, error) { return ParseStatus(b) },
	"status_kthread":   func(b []byte) (any, error) { return ParseStatus(b) },
	"snmp":             parseNet,
	"netstat":          parseNet,
	"softnet_stat":     func(b []byte) (any, error) { return ParseSoftnet(b) },
	"softnet_stat_old": func(b []byte) (any, error) { return ParseSoftnet(b) },
	"udp":              func(b []byte) (any, error) { return ParseUDP(b) },
	"udp_empty":        func(b []byte) (any, error) { return ParseUDP(b) },
	"sockstat":         func(b []byte) (any, error) { return ParseSockstat(b) },
	"net_dev":          func(b []byte) (any, error) { return ParseNetDev(b) },
}

func parseNet(b []byte) (any, error) {
	c := make(Counters)
	err := ParseSNMP(b, c)
	return c.net(), err
}

func TestParsersGolden(t *testing.T) {
	for name, parse := range parsers {
		t.Run(name, func(t *testing.T) {
			in, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			v, err := parse(in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(v, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden.json")
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if strings.TrimSpace(string(want)) != string(got) {
				t.Errorf("got %s\nwant %s", got, want)
			}
		})
	}
}

// A file cut anywhere, or with a number spoilt, gives an error or a shorter answer, never a panic.
func TestParsersOnDamage(t *testing.T) {
	for name, parse := range parsers {
		in, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range in {
			_, _ = parse(in[:i])
			spoilt := append([]byte(nil), in...)
			spoilt[i] = '?'
			_, _ = parse(spoilt)
		}
	}
}

func TestParsersRefuse(t *testing.T) {
	for _, c := range []struct{ parser, in string }{
		{"stat", ""},
		{"stat", "cpu  1 2 3\n"},
		{"stat", "cpu0 1 x 3\n"},
		{"stat", "cpuz 1 2 3\n"},
		{"schedstat", "1 2"},
		{"schedstat", "1 2 x"},
		{"schedstat", "-1 2 3"},
		{"status", "VmHWM:\t12 pages\n"},
		{"status", "VmHWM:\tmany kB\n"},
		{"snmp", "Udp: InDatagrams NoPorts\nUdp: 1\n"},
		{"snmp", "Udp: InDatagrams\nIp: 1\n"},
		{"snmp", "Udp: InDatagrams\n"},
		{"snmp", "Udp: InDatagrams\nUdp: one\n"},
		{"softnet_stat", "00000001 00000000\n"},
		{"softnet_stat", "xyz 0 0\n"},
		{"udp", "title\n 1: 01004DEF 0 07 0:0 0 0 0 0 1 2 3 4\n"},
		{"udp", "title\n 1: 01004DEF:1E14\n"},
		{"udp", "title\n 1: 0:1E14 0:0 07 0:0 0:0 0 0 0 x 2 0 0\n"},
		{"sockstat", "TCP: inuse 1 mem 4\n"},
		{"net_dev", "a\nb\nlo 1 2 3\n"},
		{"net_dev", "a\nb\nlo: 1 2 3\n"},
		{"net_dev", "a\nb\nlo: 1 2 3 4 5 6 7 8 9 x 11 12\n"},
	} {
		if v, err := parsers[c.parser]([]byte(c.in)); err == nil {
			t.Errorf("%s of %q: %v, want an error", c.parser, c.in, v)
		}
	}
}

func TestVethSumsQueues(t *testing.T) {
	c := Counters{"peer_ifindex": 5,
		"rx_queue_0_xdp_packets": 10, "rx_queue_1_xdp_packets": 1,
		"rx_queue_0_drops": 2, "rx_queue_0_xdp_drops": 3, "rx_queue_0_xdp_redirect": 4,
		"rx_queue_0_xdp_tx": 99, "rx_queue_0_xdp_tx_errors": 99, "rx_queue_0_xdp_bytes": 99,
		"tx_queue_0_xdp_xmit": 5, "tx_queue_1_xdp_xmit": 6,
		"tx_queue_0_xdp_xmit_errors": 7, "tx_queue_1_xdp_xmit_errors": 8}
	want := Veth{RingFull: 15, Transmitted: 11, Dropped: 2, XDPPackets: 11, XDPDropped: 3, Redirected: 4}
	if got := c.Veth(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestFromRusage(t *testing.T) {
	r := &syscall.Rusage{Utime: syscall.Timeval{Sec: 2, Usec: 3}, Stime: syscall.Timeval{Usec: 5},
		Maxrss: 7, Nvcsw: 11, Nivcsw: 13, Majflt: 17, Minflt: 19}
	want := Rusage{UserNS: 2_000_003_000, SysNS: 5000, MaxRSSBytes: 7168, VoluntarySwitches: 11,
		InvoluntarySwitches: 13, MajorFaults: 17, MinorFaults: 19}
	if got := FromRusage(r); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := FromRusage(nil); got != (Rusage{}) {
		t.Errorf("of nil: %+v", got)
	}
}
