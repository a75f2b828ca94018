package load

import (
	"testing"

	"metronome/system/lane"
	"metronome/system/wire"
)

func shape(items, lanes int, m wire.Mode) Shape {
	return Shape{Items: items, KeyBytes: 8, ValueBytes: 8, Lanes: lanes, Mode: m,
		ClusterKey: []byte("key"), Cluster: 7, Proxy: 3, Window: 16}
}

// The pipeline under test accepts every frame, in order, in every lane and digest mode.
func TestPipelineAcceptsEveryFrame(t *testing.T) {
	for _, m := range []wire.Mode{wire.ModeNone, wire.ModeXXH3, wire.ModeCRC32C, wire.ModeMAC, wire.ModeAEAD} {
		s := shape(4, 3, m)
		frames, err := s.New(9)
		if err != nil {
			t.Fatal(err)
		}
		d, err := wire.NewDigester(m, s.ClusterKey)
		if err != nil {
			t.Fatal(err)
		}
		in, err := lane.NewIngest(s.Cluster, d, lane.Config{Window: 64, Arena: 1 << 16})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Open(s.Proxy, 9, s.Lanes); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, frames.Len())
		for g := range uint64(300) {
			frames.Put(buf, g)
			in.Frame(buf)
			in.TrimAll()
		}
		if n := in.Counters(); n.Released != 300 || n.Items != 1200 {
			t.Errorf("%s: %+v", m, n)
		}
		for l := range uint16(3) {
			if mark := in.Lane(s.Proxy, 9, l).Mark(); mark.Frames != 100 || mark.Items != 400 {
				t.Errorf("%s: lane %d at %+v", m, l, mark)
			}
		}
	}
}

func TestPutHeaderIsPut(t *testing.T) {
	for _, m := range []wire.Mode{wire.ModeXXH3, wire.ModeAEAD} {
		putHeaderIsPut(t, m)
	}
}

func putHeaderIsPut(t *testing.T, m wire.Mode) {
	frames, err := shape(2, 2, m).New(1)
	if err != nil {
		t.Fatal(err)
	}
	a, b := make([]byte, frames.Len()), make([]byte, frames.Len())
	frames.Put(a, 5)
	frames.Put(b, 1000)
	frames.PutHeader(b, 5)
	if string(a) != string(b) {
		t.Error("PutHeader over another frame differs from Put")
	}
}

func TestSizes(t *testing.T) {
	if s := shape(1, 1, wire.ModeXXH3); s.FrameBytes() != 96 {
		t.Errorf("a 16-byte item makes a frame of %d bytes", s.FrameBytes())
	}
	most := ItemsPerFrame(8, 8)
	if _, err := shape(most, 1, wire.ModeXXH3).New(1); err != nil {
		t.Errorf("%d items: %v", most, err)
	}
	for _, s := range []Shape{shape(most+1, 1, wire.ModeXXH3), shape(0, 1, wire.ModeXXH3),
		shape(1, 0, wire.ModeXXH3)} {
		if _, err := s.New(1); err == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
}
