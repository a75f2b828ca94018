//go:build dpdk

package vswitchd

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"metronome/harness/vswitch"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/ethernet"
)

// isolated runs body in a process of its own, as if it were the body of t: DPDK starts once a
// process.
func isolated(t testing.TB, body func()) {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		body()
		return
	}
	kind := "-test.run=^" + t.Name() + "$"
	args := []string{kind, "-test.v"}
	if _, ok := t.(*testing.B); ok {
		args = []string{"-test.run=^$", "-test.bench=^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$",
			"-test.benchtime=1s"}
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+t.Name())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in the child: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "frames/s") {
			t.Log(line)
		}
	}
}

// rings is a switch whose ports are rings inside this process: what the test sends on a port's ring
// the switch receives there, and what the switch sends on another the test receives.
func rings(t testing.TB, ports int) *Switch {
	t.Helper()
	var vdevs []string
	cfg := Config{Empty: DefaultEmpty, CPU: -1}
	for i := range ports {
		vdevs = append(vdevs, dpdk.Ring{Index: i}.Vdev())
		cfg.Ports = append(cfg.Ports, Port{Name: fmt.Sprintf("p%d", i)})
	}
	core, err := vswitch.New(coreConfig(cfg))
	if err != nil {
		t.Fatal(err)
	}
	s := &Switch{cfg: cfg, core: core, calls: make(chan func(), 1), start: time.Now(), up: make([]bool, ports),
		burst: make([][]byte, pollBurst)}
	if err := dpdk.Init(dpdk.EAL{Vdevs: vdevs, MemoryMB: 128}.Args()); err != nil {
		t.Fatal(err)
	}
	for i := range ports {
		if err := s.openPort(dpdk.Config{Device: dpdk.Ring{Index: i}.Name(), Null: true, Mbufs: 4095}); err != nil {
			t.Fatal(err)
		}
	}
	detach, err := dpdk.Attach()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 { // sinks hold references to what sources own
			for _, p := range s.ports {
				_, _ = p[0].Recv(s.burst)
			}
		}
		detach()
		if err := s.close(); err != nil { // names buffers that were lost
			t.Error(err)
		}
	})
	return s
}

// multicast is a packet to a group that carries a number.
func multicast(n uint64) []byte {
	pkt := make([]byte, 106)
	to := ethernet.MulticastMAC([4]byte{239, 1, 2, 3})
	copy(pkt, to[:])
	copy(pkt[6:], []byte{2, 0, 0, 0, 0, 1})
	pkt[12] = 0x88
	binary.LittleEndian.PutUint64(pkt[14:], n)
	return pkt
}

// Packets are replicated by reference, and no buffer is lost, whatever befalls them.
func TestReplicationByReference(t *testing.T) {
	isolated(t, func() {
		s := rings(t, 4)
		for _, m := range []vswitch.Impairment{{}, {Loss: .2, Duplicate: .2, Corrupt: .2, Delay: 1000}} {
			if err := s.core.Impair(s.now(), "p0", "p1", m); err != nil {
				t.Fatal(err)
			}
			var got [4]int
			for round := range uint64(50) {
				burst := make([][]byte, 32)
				for i := range burst {
					burst[i] = multicast(round*32 + uint64(i))
				}
				if n, err := s.ports[0][0].SendPackets(burst); n != 32 || err != nil {
					t.Fatal(n, err)
				}
				s.once(t, 0)
				time.Sleep(5 * time.Microsecond)
				if err := s.send(nil, s.core.Due(s.now())); err != nil {
					t.Fatal(err)
				}
				for p := 1; p < 4; p++ {
					n, err := s.ports[p][0].Recv(s.burst)
					if err != nil {
						t.Fatal(err)
					}
					for i, pkt := range s.burst[:n] {
						if n := binary.LittleEndian.Uint64(pkt[14:]); p > 1 && n != round*32+uint64(i) && len(pkt) == 106 {
							t.Fatalf("port %d: packet %d of round %d is %d", p, i, round, n)
						}
						if len(pkt) == 106 {
							got[p]++
						}
					}
				}
				if n, err := s.ports[0][0].Recv(s.burst); n > 1 || err != nil {
					t.Fatalf("%d came back, %v", n, err) // a query may
				}
			}
			if got[2] != 1600 || got[3] != 1600 || m == (vswitch.Impairment{}) && got[1] != 1600 ||
				m != (vswitch.Impairment{}) && (got[1] < 1300 || got[1] > 1800) {
				t.Errorf("%+v: %v of 1600", m, got)
			}
		}
	})
}

// once takes one burst from a port and sends it on.
func (s *Switch) once(t testing.TB, from int) {
	p := s.ports[from][0]
	n, err := p.Recv(s.burst)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.send(p, s.core.Step(s.now(), from, s.burst[:n])); err != nil {
		t.Fatal(err)
	}
}

// forward measures the whole switch with a source and sinks in its own process and on its own core:
// what is measured is one thread that makes packets of 106 bytes, switches them and takes them
// in. Frames/s are those taken in by the switch.
func forward(b *testing.B, to int) {
	isolated(b, func() {
		s := rings(b, to+1)
		burst := make([][]byte, 256)
		for i := range burst {
			burst[i] = multicast(uint64(i))
		}
		sinks, taken := make([][]byte, 256), 0
		b.ReportAllocs()
		for b.Loop() {
			if n, err := s.ports[0][0].SendPackets(burst); n != len(burst) || err != nil {
				b.Fatal(n, err)
			}
			s.once(b, 0)
			for p := 1; p <= to; p++ {
				n, err := s.ports[p][0].Recv(sinks)
				if err != nil {
					b.Fatal(err)
				}
				taken += n
			}
		}
		if taken != b.N*len(burst)*to {
			b.Errorf("%d frames came, want %d", taken, b.N*len(burst)*to)
		}
		b.ReportMetric(float64(b.N*len(burst))/b.Elapsed().Seconds(), "frames/s")
	})
}

func BenchmarkDPDKOneToOne(b *testing.B) { forward(b, 1) }

func BenchmarkDPDKFanOutToThree(b *testing.B) { forward(b, 3) }
