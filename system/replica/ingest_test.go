package replica

import (
	"testing"

	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/packet/memory"
	"metronome/system/packet/porttest"
	"metronome/system/wire"
)

func core(t *testing.T, port packet.Port) *IngestCore {
	t.Helper()
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	lanes, err := lane.NewIngest(1, d, lane.Config{Window: 64, Arena: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	if err := lanes.Open(1, 1, 1); err != nil {
		t.Fatal(err)
	}
	c, err := NewIngestCore(port, lanes, 8)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func frame(t *testing.T, n uint64) []byte {
	t.Helper()
	d, _ := wire.NewDigester(wire.ModeXXH3, []byte("key"))
	f, err := wire.AppendItem(make([]byte, wire.HeaderSize), &wire.Item{Op: wire.OpPut, Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	h := wire.Header{Type: wire.TypeData, Cluster: 1, Proxy: 1, Incarnation: 1, Count: 1, Frame: n, First: n}
	if err := wire.Seal(f, &h, d); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPollPlacesAndReleases(t *testing.T) {
	hub := memory.NewHub(64, wire.MaxFrame)
	tx, c := hub.Join(), core(t, hub.Join())
	for n := range uint64(20) {
		if _, err := tx.Send([][]byte{frame(t, n)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		if _, err := c.Poll(); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.Lanes.Counters(); n.Released != 20 || n.Items != 20 || c.Polls != 4 || c.Empty != 1 {
		t.Errorf("%+v after %d polls, %d empty", n, c.Polls, c.Empty)
	}
}

func TestHostileFramesThroughMemory(t *testing.T) {
	hub := memory.NewHub(64, wire.MaxFrame)
	porttest.Hostile(t, hub.Join(), hub.Join(), nil)
}

func TestMemoryPortExchange(t *testing.T) {
	hub := memory.NewHub(512, wire.MaxFrame)
	porttest.Exchange(t, hub.Join(), hub.Join(), 3000, nil)
	hub = memory.NewHub(512, wire.MaxFrame)
	porttest.Allocations(t, hub.Join(), hub.Join())
}

func TestPollAllocatesNothing(t *testing.T) {
	hub := memory.NewHub(64, wire.MaxFrame)
	tx, c := hub.Join(), core(t, hub.Join())
	const runs = 1000
	frames := make([][]byte, runs+1)
	for n := range frames {
		frames[n] = frame(t, uint64(n))
	}
	i := 0
	allocs := testing.AllocsPerRun(runs, func() {
		if _, err := tx.Send(frames[i : i+1]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Poll(); err != nil {
			t.Fatal(err)
		}
		i++
	})
	if n := c.Lanes.Counters(); allocs != 0 || n.Released != uint64(i) {
		t.Errorf("%g allocations a frame; %+v", allocs, n)
	}
}

func TestBurstIsChecked(t *testing.T) {
	for _, burst := range []int{0, packet.MaxBurst + 1} {
		if _, err := NewIngestCore(nil, nil, burst); err == nil {
			t.Errorf("a burst of %d was accepted", burst)
		}
	}
}
