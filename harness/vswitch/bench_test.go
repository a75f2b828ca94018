package vswitch

import (
	"testing"

	"metronome/system/packet/ethernet"
)

// forward measures the core alone, frames a second of bursts of 64 that come in by one port. What
// drivers add is measured in vswitchd.
func forward(b *testing.B, ports int, m Impairment, dst func(i int) [6]byte) {
	c := newCore(b, ports)
	for i := 1; i < ports; i++ { // all are known
		c.Step(1, i, [][]byte{numbered(hostMAC(i), hostMAC(0), 0)})
	}
	if err := c.Impair(1, "*", "*", m); err != nil {
		b.Fatal(err)
	}
	var burst [][]byte
	for i := range 64 {
		burst = append(burst, numbered(hostMAC(0), dst(i), 0))
	}
	b.ReportAllocs()
	now := int64(1)
	for b.Loop() {
		now += 10_000
		c.Step(now, 0, burst)
		c.Due(now)
	}
	b.ReportMetric(float64(b.N*len(burst))/b.Elapsed().Seconds(), "frames/s")
}

func BenchmarkOneToOne(b *testing.B) {
	forward(b, 2, Impairment{}, func(int) [6]byte { return hostMAC(1) })
}

func BenchmarkOneToOneOfFour(b *testing.B) {
	forward(b, 5, Impairment{}, func(i int) [6]byte { return hostMAC(1 + i%4) })
}

func BenchmarkFanOutToThree(b *testing.B) {
	forward(b, 4, Impairment{}, func(int) [6]byte { return ethernet.MulticastMAC(groupA) })
}

func BenchmarkFanOutToThreeWithLoss(b *testing.B) {
	forward(b, 4, Impairment{Loss: .01}, func(int) [6]byte { return ethernet.MulticastMAC(groupA) })
}

func BenchmarkFanOutToThreeDelayed(b *testing.B) {
	forward(b, 4, Impairment{Delay: 20_000}, func(int) [6]byte { return ethernet.MulticastMAC(groupA) })
}
