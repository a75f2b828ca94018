package xdp

import (
	"bytes"
	"testing"

	"metronome/harness/load"
	"metronome/system/wire"
)

// Both generators of a run must send the same frames: what the program makes of a [load.Shape] is what
// the shape itself writes for each global frame number.
func TestAgreesWithShape(t *testing.T) {
	for _, mode := range []wire.Mode{wire.ModeNone, wire.ModeXXH3, wire.ModeCRC32C} {
		shape := load.Shape{Items: 4, KeyBytes: 8, ValueBytes: 8, Lanes: 3, Mode: mode,
			ClusterKey: []byte("key"), Cluster: 7, Proxy: 3, Window: 5}
		const incarnation = 9
		frames, err := shape.New(incarnation)
		if err != nil {
			t.Fatal(err)
		}
		g := loadClocked(t, Config{SrcMAC: testSrcMAC, Src: testSrc, Dst: testGroup,
			SrcPort: 7701, DstPort: testPort, Lanes: shape.Lanes, Window: shape.Window,
			Header: frames.Header(), Payload: frames.Payload(), HeaderSeed: frames.HeaderSeed()})
		if err := g.arm(Trial{Start: 1, Duration: 1, Incarnation: incarnation}, 0); err != nil {
			t.Fatal(err)
		}
		want := make([]byte, frames.Len())
		for n := range uint64(40) {
			frames.Put(want, n)
			if _, pkt := g.step(t, 1); !bytes.Equal(pkt[hdrOffset:], want) {
				t.Fatalf("%s: frame %d\n%x\nwant\n%x", mode, n, pkt[hdrOffset:], want)
			}
		}
	}
}
