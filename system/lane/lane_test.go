package lane

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"metronome/system/wire"
)

const cluster = 7

func digester(t testing.TB) *wire.Digester {
	t.Helper()
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// stream makes n consecutive frames of lane 0 of proxy 1, incarnation 1; sizes and item counts
// vary.
func stream(t testing.TB, d *wire.Digester, n int, rng *rand.Rand) [][]byte {
	t.Helper()
	frames := make([][]byte, n)
	first := uint64(0)
	for i := range frames {
		count := 1 + rng.IntN(4)
		frame := make([]byte, wire.HeaderSize)
		for range count {
			var err error
			value := bytes.Repeat([]byte{byte(i)}, rng.IntN(100))
			frame, err = wire.AppendItem(frame, &wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: value})
			if err != nil {
				t.Fatal(err)
			}
		}
		frames[i] = seal(t, d, frame, uint64(i), first, count)
		first += uint64(count)
	}
	return frames
}

func seal(t testing.TB, d *wire.Digester, frame []byte, number, first uint64, count int) []byte {
	t.Helper()
	h := wire.Header{Type: wire.TypeData, Cluster: cluster, Proxy: 1, Incarnation: 1,
		Count: uint16(count), Frame: number, First: first, HighWater: number}
	frame = append(frame, make([]byte, d.Mode().Overhead())...)
	if err := wire.Seal(frame, &h, d); err != nil {
		t.Fatal(err)
	}
	return frame
}

func open(t testing.TB, cfg Config) (*Ingest, *Receiver) {
	t.Helper()
	in, err := NewIngest(cluster, digester(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Open(1, 1, 1); err != nil {
		t.Fatal(err)
	}
	return in, in.Lane(1, 1, 0)
}

func balance(t *testing.T, n Counters) {
	t.Helper()
	sum := n.Heartbeats + n.Duplicate + n.Refused + n.Released + n.Queued + n.Abandoned
	for _, b := range n.Bad {
		sum += b
	}
	if sum != n.Frames {
		t.Fatalf("%d frames came in, %d are accounted for: %+v", n.Frames, sum, n)
	}
}

// Goal: whatever the network does, a lane ends with the sender's frames, in order, under the chain
// that in-order arrival gives. Method: shuffle within a span, duplicate, lose and repeat what Gaps
// names, trim at random; compare with the stream itself.
func TestAnyArrivalOrderGivesTheSameLane(t *testing.T) {
	d := digester(t)
	for seed := range uint64(50) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			frames := stream(t, d, 300, rng)
			cfg := Config{Window: 64, Arena: 8 << 10} // less than a window of frames: it fills up
			in, r := open(t, cfg)
			_, straight := open(t, Config{Window: 512, Arena: 1 << 20})
			for _, f := range frames {
				var h wire.Header
				h.Get(f)
				straight.Place(&h, f)
			}
			next := uint64(0) // the next frame the consumer reads
			consume := func() {
				for ; next < r.Mark().Frames; next++ {
					if got := r.Frame(next); !bytes.Equal(got, frames[next]) {
						t.Fatalf("frame %d differs", next)
					}
					got, _ := r.Chain(next)
					if want, ok := straight.Chain(next); !ok || got != want {
						t.Fatalf("chain at frame %d: %x, want %x", next, got, want)
					}
				}
				r.Trim(next)
			}
			for rounds := 0; r.Mark().Frames < uint64(len(frames)); rounds++ {
				if rounds > 1000 {
					t.Fatalf("stuck at %+v: %+v", r.Mark(), in.Counters())
				}
				for _, i := range arrivals(rng, r, len(frames)) {
					in.Frame(frames[i])
					if rng.IntN(4) == 0 {
						consume()
					}
				}
				consume()
				balance(t, in.Counters())
				checkEarly(t, r)
			}
			if r.Mark() != straight.Mark() {
				t.Errorf("mark %+v, want %+v", r.Mark(), straight.Mark())
			}
			if r.Held() != 0 || r.arena.used() != 0 {
				t.Errorf("%d frames and %d bytes are left behind", r.Held(), r.arena.used())
			}
		})
	}
}

// checkEarly compares the bitmap of early frames with the slots.
func checkEarly(t *testing.T, r *Receiver) {
	t.Helper()
	early := uint64(0)
	for n := r.Mark().Frames; n < r.trimmed+uint64(r.cfg.Window); n++ {
		held := r.Frame(n) != nil
		if is := r.early.find(n, n+1, r.mask, true) == n; is != held {
			t.Fatalf("frame %d is held %v, its bit is %v", n, held, is)
		}
		if held {
			early++
		}
	}
	if early != r.waiting {
		t.Fatalf("%d early frames, %d counted", early, r.waiting)
	}
}

// arrivals picks frames as a bad network would: those around the mark, shuffled, a quarter lost,
// some twice.
func arrivals(rng *rand.Rand, r *Receiver, n int) (order []int) {
	from := int(r.Mark().Frames)
	for i := max(0, from-3); i < min(n, from+40); i++ {
		if rng.IntN(4) > 0 {
			order = append(order, i)
		}
		if rng.IntN(10) == 0 {
			order = append(order, i)
		}
	}
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

func TestGapsNameExactlyWhatIsMissing(t *testing.T) {
	d := digester(t)
	frames := stream(t, d, 10, rand.New(rand.NewPCG(1, 1)))
	in, r := open(t, Config{Window: 16, Arena: 16 << 10})
	for _, i := range []int{0, 2, 3, 6} {
		in.Frame(frames[i])
	}
	heartbeat := make([]byte, wire.HeaderSize)
	h := wire.Header{Type: wire.TypeHeartbeat, Cluster: cluster, Proxy: 1, Incarnation: 1, HighWater: 8}
	if err := wire.Seal(heartbeat, &h, d); err != nil {
		t.Fatal(err)
	}
	in.Frame(heartbeat)
	got := fmt.Sprint(r.Gaps(make([]Gap, 0, 8)))
	if want := fmt.Sprint([]Gap{{From: 1, To: 2}, {From: 4, To: 6}, {From: 7, To: 9}}); got != want {
		t.Errorf("gaps %s, want %s", got, want)
	}
	if got := fmt.Sprint(r.Gaps(make([]Gap, 0, 2))); got != "[{1 2} {4 6}]" {
		t.Errorf("with room for two: %s", got)
	}
	balance(t, in.Counters())
}

func TestRefusedAtTheBound(t *testing.T) {
	d := digester(t)
	frames := stream(t, d, 200, rand.New(rand.NewPCG(1, 1)))
	t.Run("window", func(t *testing.T) {
		in, r := open(t, Config{Window: 8, Arena: 64 << 10})
		for _, f := range frames[:20] {
			in.Frame(f)
		}
		if n := in.Counters(); n.Refused != 12 || r.Mark().Frames != 8 {
			t.Errorf("refused %d, mark %+v", n.Refused, r.Mark())
		}
		r.Trim(8)
		in.Frame(frames[8])
		if r.Mark().Frames != 9 {
			t.Errorf("after trimming, mark %+v", r.Mark())
		}
		balance(t, in.Counters())
	})
	t.Run("arena", func(t *testing.T) {
		in, r := open(t, Config{Window: 512, Arena: 4096})
		for _, f := range frames {
			in.Frame(f)
		}
		if n := in.Counters(); n.Refused == 0 || n.Queued == 0 {
			t.Errorf("refused %d, queued %d", n.Refused, n.Queued)
		}
		mark := r.Mark().Frames
		in.TrimAll()
		in.Frame(frames[mark])
		if r.Mark().Frames != mark+1 {
			t.Error("trimming made no room")
		}
		balance(t, in.Counters())
	})
}

// Frames kept for peers give way: to a frame beyond the window, and to one that the arena has no
// room for; what is not spare does not.
func TestSpareFramesGiveWay(t *testing.T) {
	d := digester(t)
	frames := stream(t, d, 200, rand.New(rand.NewPCG(1, 1)))
	for _, cfg := range []Config{{Window: 8, Arena: 64 << 10}, {Window: 512, Arena: 4096}} {
		in, r := open(t, cfg)
		for _, f := range frames {
			in.Frame(f)
		}
		stuck := r.Mark().Frames
		r.Spare(3)
		kept := r.Held()
		in.Frame(frames[stuck])
		if r.Mark().Frames != stuck+1 || r.Frame(0) != nil || r.Held() < kept-3 || r.Frame(3) == nil {
			t.Errorf("%+v: mark %+v after %d, %d held of %d", cfg, r.Mark(), stuck, r.Held(), kept)
		}
		for n := stuck; n < 200; n++ {
			r.Spare(n)
			in.Frame(frames[n])
		}
		if r.Mark().Frames != 200 || r.Held() < 6 {
			t.Errorf("%+v: mark %+v, %d held", cfg, r.Mark(), r.Held())
		}
		balance(t, in.Counters())
		checkEarly(t, r)
	}
}

func TestContradictionsAreThrownOut(t *testing.T) {
	d := digester(t)
	item, err := wire.AppendItem(nil, &wire.Item{Op: wire.OpPut, Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	frame := func(number, first uint64) []byte {
		return seal(t, d, append(make([]byte, wire.HeaderSize), item...), number, first, 1)
	}
	in, r := open(t, Config{Window: 16, Arena: 16 << 10})
	in.Frame(frame(0, 5))     // in order, wrong item number
	in.Frame(frame(1, 9))     // early, wrong item number: found out when frame 0 comes
	in.Frame(frame(limit, 1)) // a number no lane reaches
	in.Frame(frame(0, 0))
	if n := in.Counters(); n.Bad[wire.BadLane] != 3 || r.Mark().Frames != 1 || r.Mark().Items != 1 {
		t.Errorf("bad %d, mark %+v", n.Bad[wire.BadLane], r.Mark())
	}
	in.Frame(frame(1, 1))
	if r.Mark().Items != 2 {
		t.Errorf("the right frame did not take its place: %+v", r.Mark())
	}
	balance(t, in.Counters())
}

func TestGivingUpKeepsALossyLaneMoving(t *testing.T) {
	d := digester(t)
	frames := stream(t, d, 1000, rand.New(rand.NewPCG(1, 1)))
	in, r := open(t, Config{Window: 32, Arena: 16 << 10, GiveUp: 8})
	arrived := uint64(0)
	for i, f := range frames {
		if i%7 == 3 || 300 <= i && i < 500 { // scattered losses, and an outage longer than the window
			continue
		}
		in.Frame(f)
		arrived++
		in.TrimAll()
	}
	n := in.Counters()
	if n.Released+n.Queued+n.Refused != arrived || n.Refused > 1 {
		t.Errorf("%d arrived: %+v", arrived, n)
	}
	if missing := uint64(len(frames)) - arrived; n.Lost+r.Mark().Frames == 0 || n.Lost > missing+n.Refused {
		t.Errorf("%d missing, %d given up", missing, n.Lost)
	}
	balance(t, n)
}

func TestLives(t *testing.T) {
	d := digester(t)
	frames := stream(t, d, 4, rand.New(rand.NewPCG(1, 1)))
	in, _ := open(t, Config{Window: 16, Arena: 16 << 10})
	in.Frame(frames[1]) // stays held: frame 0 never comes
	if err := in.Open(1, 2, 1); err != nil {
		t.Fatal(err)
	}
	in.Frame(frames[0]) // a frame of the old life
	n := in.Counters()
	if n.Abandoned != 1 || n.Bad[wire.BadLane] != 1 || in.Lane(1, 1, 0) != nil || in.Lane(1, 2, 0) == nil {
		t.Errorf("after a new life: %+v", n)
	}
	balance(t, n)
	if in.Lane(1, 2, 1) != nil || in.Open(1, 3, 0) == nil || in.Open(1, 3, MaxLanes+1) == nil {
		t.Error("lanes out of range were accepted")
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{{}, {Window: 3, Arena: 1 << 20}, {Window: 4, Arena: 100},
		{Window: 4, Arena: 1<<20 + 1}, {Window: 4, Arena: 1 << 20, GiveUp: 4},
		{Window: 4, Arena: 1 << 20, GiveUp: -1}} {
		if _, err := NewIngest(cluster, digester(t), c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	d := digester(t)
	frames := stream(t, d, 3000, rand.New(rand.NewPCG(1, 1)))
	in, _ := open(t, Config{Window: 64, Arena: 64 << 10})
	i := 0
	if n := testing.AllocsPerRun(2000, func() {
		in.Frame(frames[i^1]) // swapped in pairs, so that frames wait too
		in.TrimAll()
		i++
	}); n != 0 {
		t.Errorf("%g allocations a frame", n)
	}
	if n := in.Counters(); n.Released < 2000 {
		t.Errorf("only %d frames went through", n.Released)
	}
}

// Frames of any bytes, under a right digest, never break a lane's accounts.
func FuzzPlace(f *testing.F) {
	d := digester(f)
	f.Add([]byte{0, 0, 1, 1, 9, 3, 3, 2, 2, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		in, r := open(t, Config{Window: 8, Arena: 4096, GiveUp: 5})
		item, _ := wire.AppendItem(nil, &wire.Item{Op: wire.OpPut, Key: []byte("k")})
		for len(script) >= 2 {
			frame := seal(t, d, append(make([]byte, wire.HeaderSize), item...),
				uint64(script[0]), uint64(script[1]), 1)
			script = script[2:]
			in.Frame(frame)
			if len(script) > 0 && script[0]%3 == 0 {
				in.TrimAll()
			}
			balance(t, in.Counters())
			checkEarly(t, r)
		}
		in.TrimAll()
		if waiting := r.waiting; r.Held() != waiting {
			t.Fatalf("%d held after trimming, %d of them beyond a gap", r.Held(), waiting)
		}
	})
}

// BenchmarkIngest is the whole pipeline without a port: what one core could do if frames came for
// free.
func BenchmarkIngest(b *testing.B) {
	for _, items := range []int{1, 4, 16, wire.MaxPayload / 24} {
		b.Run(fmt.Sprintf("items=%d", items), func(b *testing.B) {
			d := digester(b)
			in, _ := open(b, Config{Window: 4096, Arena: 1 << 20})
			frame := make([]byte, wire.HeaderSize)
			for range items {
				frame, _ = wire.AppendItem(frame,
					&wire.Item{Op: wire.OpPut, Key: make([]byte, 8), Value: make([]byte, 8)})
			}
			h := wire.Header{Type: wire.TypeData, Cluster: cluster, Proxy: 1, Incarnation: 1,
				Count: uint16(items)}
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				if err := wire.Seal(frame, &h, d); err != nil {
					b.Fatal(err)
				}
				in.Frame(frame)
				if h.Frame%32 == 31 {
					in.TrimAll()
				}
				h.Frame++
				h.HighWater++
				h.First += uint64(items)
			}
			if n := in.Counters(); n.Bad[wire.BadLane]+n.Refused > 0 {
				b.Fatalf("%+v", n)
			}
		})
	}
}
