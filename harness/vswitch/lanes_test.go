package vswitch

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

var (
	laneSrc = netip.MustParseAddr("10.77.0.1")
	laneDst = netip.MustParseAddrPort("239.77.0.1:7700")
)

// Lanes spread over queues to within one lane, as the switch itself hashes their packets, and use no
// port twice.
func TestLanesSpreadEvenly(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 7))
		key := make([]byte, 40)
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		queues, lanes := 1+r.IntN(16), r.IntN(65)
		taken := []uint16{49152, 49153, 49160}
		s := Spread{Key: key, Table: RoundRobin(128, queues), Src: laneSrc, Dst: laneDst, Lanes: lanes,
			First: 49152, Taken: taken}
		r.Shuffle(128, func(i, j int) { s.Table[i], s.Table[j] = s.Table[j], s.Table[i] })
		ports, err := s.Ports()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		hash, got := NewToeplitz(key), make([]int, queues)
		for lane, port := range ports {
			pkt := udpPacket(netip.AddrPortFrom(laneSrc, port), laneDst, 64)
			queue := s.Table[hash.Packet(pkt)%128]
			got[queue]++
			if queue != lane%queues || port < s.First || slices.Contains(taken, port) {
				t.Fatalf("seed %d: lane %d from port %d reaches queue %d of %d", seed, lane, port, queue, queues)
			}
			taken = append(taken, port)
		}
		if slices.Max(got)-slices.Min(got) > 1 {
			t.Errorf("seed %d: lanes by queue %v", seed, got)
		}
	}
}

// The table that Queue goes by is the round robin.
func TestChosenPortsSuitTheSwitch(t *testing.T) {
	const queues = 4
	ports, err := Spread{Table: RoundRobin(TableSize, queues), Src: laneSrc, Dst: laneDst, Lanes: 64,
		First: 1024}.Ports()
	if err != nil {
		t.Fatal(err)
	}
	hash := NewToeplitz(MicrosoftKey[:])
	for lane, port := range ports {
		pkt := udpPacket(netip.AddrPortFrom(laneSrc, port), laneDst, 0)
		if got := Queue(hash.Packet(pkt), queues); got != lane%queues {
			t.Errorf("lane %d reaches queue %d", lane, got)
		}
	}
}

func TestSpreadRefuses(t *testing.T) {
	good := Spread{Table: RoundRobin(128, 2), Src: laneSrc, Dst: laneDst, Lanes: 2, First: 60000}
	for name, change := range map[string]func(*Spread){
		"no table":            func(s *Spread) { s.Table = nil },
		"an odd table":        func(s *Spread) { s.Table = make([]int, 100) },
		"a queue left out":    func(s *Spread) { s.Table = []int{0, 2, 0, 2} },
		"a queue below 0":     func(s *Spread) { s.Table = []int{0, -1} },
		"IPv6":                func(s *Spread) { s.Src = netip.IPv6Loopback() },
		"too many lanes":      func(s *Spread) { s.Lanes = 1 << 17 },
		"more than there are": func(s *Spread) { s.First, s.Lanes = 65530, 7 },
		"a key without ports": func(s *Spread) { s.Key = make([]byte, 40) },
	} {
		s := good
		change(&s)
		if ports, err := s.Ports(); err == nil {
			t.Errorf("%s: %v", name, ports)
		}
	}
	if ports, err := good.Ports(); err != nil || len(ports) != 2 {
		t.Errorf("%v, %v", ports, err)
	}
}
