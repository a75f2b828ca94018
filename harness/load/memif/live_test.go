//go:build dpdk

package memif

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"metronome/harness/load"
	"metronome/system/packet/dpdk"
	"metronome/system/wire"
)

// Frames of a real shape through a real memif, both ends in this process: what arrives is, byte for
// byte, what the sender says it sent.
func TestLiveTrial(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "memif.sock")
	server := dpdk.Memif{Server: true, Socket: socket, RingLog2: 12}
	client := dpdk.Memif{Index: 1, Socket: socket, RingLog2: 12}
	eal := dpdk.EAL{Vdevs: []string{server.Vdev(), client.Vdev()}, MemoryMB: 64}
	if err := dpdk.Init(eal.Args()); err != nil {
		t.Fatal(err)
	}
	group := netip.MustParseAddrPort("239.77.0.1:7700")
	rx := open(t, dpdk.Config{Device: server.Name(), Listen: group, VerifyChecksum: true,
		NoIGMP: true})
	tx := open(t, dpdk.Config{Device: client.Name(), Destination: group, SendChecksum: true,
		Source: netip.MustParseAddrPort("10.77.0.1:7701")})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := tx.WaitLink(ctx); err != nil {
		t.Fatal(err)
	}

	shape := load.Shape{Items: 1, KeyBytes: 8, ValueBytes: 8, Lanes: 3, Mode: wire.ModeXXH3,
		ClusterKey: []byte("key"), Window: 64}
	frames, err := shape.New(1)
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan Report, 1)
	var sender sync.WaitGroup
	sender.Go(func() { reports <- send(t, tx.Port(0), frames) })
	got := receive(t, rx.Port(0), frames, reports)
	sender.Wait()
	if got == 0 {
		t.Fatal("nothing was sent")
	}
	// Closing both ends at once, the driver frees twice what they share.
	if err := errors.Join(rx.Close(), tx.WaitDown(ctx)); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, cfg dpdk.Config) *dpdk.Device {
	t.Helper()
	d, err := dpdk.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// send runs a trial on a thread of its own.
func send(t *testing.T, port Port, frames Frames) Report {
	detach, err := dpdk.Attach()
	if err != nil {
		t.Error(err)
		return Report{}
	}
	defer detach()
	clock, err := NewClock()
	if err != nil {
		t.Error(err)
		return Report{}
	}
	s, err := NewSender(port, clock, 3, 32)
	if err != nil {
		t.Error(err)
		return Report{}
	}
	start := clock() + int64(time.Millisecond)
	trial := Trial{Rate: 100_000, Start: start, Duration: 200 * time.Millisecond}
	r, err := s.Run(context.Background(), frames, trial)
	if err != nil {
		t.Error(err)
	}
	if slots := uint64(20_000); r.Emitted+r.Missed != slots {
		t.Errorf("%+v of %d slots", r, slots)
	}
	return r
}

// receive compares frames until it has all that the report, once there, says the ring took.
func receive(t *testing.T, port *dpdk.Port, frames *load.Frames, reports <-chan Report) uint64 {
	detach, err := dpdk.Attach()
	if err != nil {
		t.Fatal(err)
	}
	defer detach()
	burst, want := make([][]byte, 64), make([]byte, frames.Len())
	deadline := time.Now().Add(2 * time.Minute)
	got := uint64(0)
	for expect := ^uint64(0); got < expect; {
		n, err := port.Recv(burst)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range burst[:n] {
			lane, number := binary.LittleEndian.Uint16(f[6:]), binary.LittleEndian.Uint64(f[24:])
			frames.Put(want, number*3+uint64(lane))
			if !bytes.Equal(f, want) {
				t.Fatalf("frame %d of lane %d differs", number, lane)
			}
		}
		got += uint64(n)
		select {
		case r := <-reports:
			expect = r.Emitted - r.RingFull
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d frames came", got, expect)
		}
	}
	return got
}
