package replica

import (
	"testing"

	"metronome/system/lane"
	"metronome/system/order"
	"metronome/system/wire"
)

// A cut ends at a multiple of the quantum where that takes a lane further, and what it leaves is counted.
func TestCutsAreQuantised(t *testing.T) {
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := lane.NewIngest(1, d, lane.Config{Window: 64, Arena: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	recv, err := in.OpenAt(lane.Name{Proxy: 1, Incarnation: 1, ID: 7}, lane.Mark{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(11) {
		in.Frame(frame(t, n))
	}
	r := &Replica{}
	r.insert(&laneState{laneRow: &laneRow{id: 7}, open: true, recv: recv})
	for _, c := range []struct{ quantum, base, held, want uint64 }{
		{0, 0, 11, 11}, // no quantum
		{4, 0, 11, 8},  // the multiple before
		{4, 4, 8, 8},   // it is one
		{4, 8, 11, 11}, // that would not take the lane further
		{4, 0, 3, 3},
		{4, 7, 9, 8},
	} {
		r.status.Quantum, r.counts.Quantised = c.quantum, 0
		r.round.base = order.Cut{{Lane: 7, Items: c.base, Frames: c.base}}
		held, _ := r.find(7).whole(c.held)
		got := r.quantised(order.Cut{held})
		want, _ := r.find(7).whole(c.want)
		if len(got) != 1 || got[0] != want || r.counts.Quantised != c.held-c.want {
			t.Errorf("%+v: %+v, %d left", c, got, r.counts.Quantised)
		}
	}
}
