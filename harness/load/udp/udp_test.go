package udp

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"metronome/harness/load"
	"metronome/harness/load/memif"
	"metronome/system/lane"
	"metronome/system/packet/socket"
	"metronome/system/wire"
)

// Frames that the paced sender sends over loopback go through the pipeline, none changed.
func TestFramesCrossLoopback(t *testing.T) {
	group := netip.MustParseAddrPort("239.77.0.8:7708")
	rx, err := socket.Open(socket.Config{Mode: socket.GRO, Interface: "lo", Listen: group})
	if err != nil {
		t.Fatal(err)
	}
	defer rx.Close()
	tx, err := Open("lo", netip.MustParseAddrPort("10.77.0.1:0"), group, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	shape := load.Shape{Items: 2, KeyBytes: 8, ValueBytes: 8, Lanes: 1, Mode: wire.ModeXXH3,
		ClusterKey: []byte("k"), Cluster: 1, Proxy: 1, Window: 16}
	frames, err := shape.New(4)
	if err != nil {
		t.Fatal(err)
	}
	clock, err := memif.NewClock()
	if err != nil {
		t.Fatal(err)
	}
	sender, err := memif.NewSender(tx, clock, 1, 64)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sender.Run(context.Background(), frames,
		memif.Trial{Rate: 10_000, Start: clock(), Duration: 50 * time.Millisecond})
	if err != nil || r.Emitted == 0 {
		t.Fatal(err, r)
	}
	d, err := wire.NewDigester(wire.ModeXXH3, shape.ClusterKey)
	if err != nil {
		t.Fatal(err)
	}
	in, err := lane.NewIngest(1, d, lane.Config{Window: 4096, Arena: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Open(1, 4, 1); err != nil {
		t.Fatal(err)
	}
	burst := make([][]byte, 64)
	for {
		n, err := rx.Recv(burst)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		for _, f := range burst[:n] {
			in.Frame(f)
		}
		in.TrimAll()
	}
	if n := in.Counters(); n.Released != r.Emitted-r.RingFull || n.Frames != n.Released {
		t.Errorf("%+v sent, %+v received", r, n)
	}
}

func TestBurstIsChecked(t *testing.T) {
	if _, err := Open("lo", netip.AddrPort{}, netip.MustParseAddrPort("239.77.0.8:7708"), 0); err == nil {
		t.Error("a burst of 0 was accepted")
	}
}
