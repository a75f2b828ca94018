package lane

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"metronome/system/wire"
)

// Goal: verifying elsewhere changes nothing. Frames, some of them damaged, doubled or swapped, go
// into one Ingest as they are and into another behind two verifiers, and leave the same lane and the
// same counters.
func TestVerifiedElsewhere(t *testing.T) {
	for _, mode := range []wire.Mode{wire.ModeXXH3, wire.ModeMAC, wire.ModeAEAD} {
		t.Run(mode.String(), func(t *testing.T) { verifiedElsewhere(t, mode) })
	}
}

func verifiedElsewhere(t *testing.T, mode wire.Mode) {
	t.Helper()
	digester := func() *wire.Digester {
		d, err := wire.NewDigester(mode, []byte("key"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	open := func() (*Ingest, *Receiver) {
		in, err := NewIngest(cluster, digester(), Config{Window: 512, Arena: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Open(1, 1, 1); err != nil {
			t.Fatal(err)
		}
		return in, in.Lane(1, 1, 0)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	frames := stream(t, digester(), 300, rng)
	for i := 50; i < 300; i++ {
		switch rng.IntN(6) {
		case 0:
			frames[i] = append([]byte(nil), frames[i]...)
			frames[i][rng.IntN(len(frames[i]))] ^= 1 << rng.IntN(8)
		case 1:
			frames = append(frames, frames[i])
		case 2:
			j := 50 + rng.IntN(i-49)
			frames[i], frames[j] = frames[j], frames[i]
		}
	}
	frames = append(frames, nil, []byte("short"), make([]byte, wire.MaxFrame+1))
	whole, a := open()
	split, b := open()
	verifiers := []*Verifier{NewVerifier(cluster, digester()), NewVerifier(cluster, digester())}
	for i, f := range frames {
		placed := whole.Frame(f)
		if opened := verifiers[i%2].Frame(f); opened != nil {
			if got := split.Verified(opened); got != placed {
				t.Fatalf("frame %d: %v, want %v", i, got, placed)
			}
		}
	}
	n, examined := split.Counters(), uint64(0)
	for _, v := range verifiers {
		c := v.Counters()
		n.Add(&c)
		examined += c.Frames
	}
	balance(t, n)
	if want := whole.Counters(); !reflect.DeepEqual(n, want) {
		t.Errorf("%+v\nwant %+v", n, want)
	}
	for i := range a.Mark().Frames {
		if !bytes.Equal(a.Frame(i), b.Frame(i)) {
			t.Fatalf("frame %d is held as %q, want %q", i, b.Frame(i), a.Frame(i))
		}
	}
	if a.Mark() != b.Mark() || a.Mark().Frames == 0 || examined != uint64(len(frames)) {
		t.Errorf("marks %+v and %+v, %d frames examined of %d", a.Mark(), b.Mark(), examined, len(frames))
	}
}

// A verifier allocates nothing.
func TestVerifierAllocatesNothing(t *testing.T) {
	frames := stream(t, digester(t), 10, rand.New(rand.NewPCG(1, 1)))
	v := NewVerifier(cluster, digester(t))
	if n := testing.AllocsPerRun(100, func() {
		for _, f := range frames {
			v.Frame(f)
		}
	}); n != 0 {
		t.Errorf("%v allocations a burst", n)
	}
}
