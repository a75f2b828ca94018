package xdp

import (
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"metronome/harness/testbed"
	"metronome/system/wire"
)

// BenchmarkCeiling sends as fast as it can for half a second an iteration, with the receiver's NAPI
// thread on the other core. Mframes/s is what the program emitted, Mtaken/s what went into the
// peer's ring, by Ethernet frame length. "stack" has the kernel drop the frames for want of a
// listener, "xdp" has an XDP program drop them, which takes the receiver out of the measurement.
//
//	go test -run '^$' -bench Ceiling -benchtime 3x ./harness/load/xdp
func BenchmarkCeiling(b *testing.B) {
	bed := newBench(b)
	place(b, bed)
	b.Run("stack", func(b *testing.B) { ceilings(b, bed) })
	attachDrop(b, bed)
	b.Run("xdp", func(b *testing.B) { ceilings(b, bed) })
}

// attachDrop makes the receiving device drop every frame as early as can be.
func attachDrop(b *testing.B, bed *bench) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpDrop), asm.Return()}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = prog.Close() })
	err = bed.Dut.Netns.Do(func() error {
		l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: bed.Dut.Index})
		if err == nil {
			b.Cleanup(func() { _ = l.Close() })
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	place(b, bed)
}

func ceilings(b *testing.B, bed *bench) {
	for _, mode := range []wire.Mode{wire.ModeNone, wire.ModeXXH3, wire.ModeCRC32C} {
		for _, ethernet := range []int{138, 162, 256, 512, 1408, 1514} {
			for _, lanes := range []int{1, 8} {
				if lanes > 1 && ethernet != 138 {
					continue
				}
				b.Run(fmt.Sprintf("%s/%dB/%dlanes", mode, ethernet, lanes), func(b *testing.B) {
					ceiling(b, bed, newFixture(b, mode, ethernet-hdrOffset, lanes))
				})
			}
		}
	}
}

// place gives the generator's thread core 1 and the NAPI thread core 0.
func place(b *testing.B, bed *bench) {
	if _, err := bed.Place(testbed.Same, 0, 1); err != nil {
		skipUnavailable(b, "xdp", err)
	}
	err := bed.Gen.Netns.Do(func() error {
		var set unix.CPUSet
		set.Set(1)
		return unix.SchedSetaffinity(0, &set)
	})
	if err != nil {
		b.Fatal(err)
	}
}

func ceiling(b *testing.B, bed *bench, f *fixture) {
	g := bed.generator(b, f)
	trial := Trial{Duration: 500 * time.Millisecond}
	var emitted, ringFull uint64
	for b.Loop() {
		rep, err := bed.run(b.Context(), g, trial)
		if err != nil {
			b.Fatal(err)
		}
		emitted += rep.Emitted
		ringFull += rep.RingFull
	}
	seconds := float64(b.N) * trial.Duration.Seconds()
	b.ReportMetric(float64(emitted)/seconds/1e6, "Mframes/s")
	b.ReportMetric(float64(emitted-ringFull)/seconds/1e6, "Mtaken/s")
	b.ReportMetric(0, "ns/op")
}
