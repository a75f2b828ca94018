package lane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"metronome/system/wire"
)

// frameOf seals a frame of one put for any lane.
func frameOf(t testing.TB, name Name, number, first uint64, flags uint8) []byte {
	t.Helper()
	frame, err := wire.AppendItem(make([]byte, wire.HeaderSize), &wire.Item{Op: wire.OpPut, Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	h := wire.Header{Type: wire.TypeData, Flags: flags, Cluster: cluster, Proxy: name.Proxy,
		Incarnation: name.Incarnation, Lane: name.Lane, Count: 1, Frame: number, First: first, HighWater: number}
	if err := wire.Seal(frame, &h, digester(t)); err != nil {
		t.Fatal(err)
	}
	return frame
}

func ingest(t testing.TB, cfg Config) *Ingest {
	t.Helper()
	in, err := NewIngest(cluster, digester(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// A lane opened at a mark continues from there as one that was there from the start, and knows
// nothing of what lies below.
func TestOpenAtAMark(t *testing.T) {
	d := digester(t)
	frames := stream(t, d, 40, rand.New(rand.NewPCG(1, 1)))
	_, whole := open(t, window64)
	in := ingest(t, Config{Window: 64, Arena: 128 << 10, Nack: NackConfig{Enabled: true}})
	var r *Receiver
	for i, f := range frames {
		var h wire.Header
		h.Get(f)
		whole.Place(&h, f)
		if i == 24 {
			var err error
			if r, err = in.OpenAt(Name{Proxy: 1, Incarnation: 1, ID: 77}, whole.Mark()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r.Missing() || r.Name().ID != 77 || r.Window() != (Gap{From: 25, To: 25}) {
		t.Errorf("newly opened: missing %v, %+v, window %+v", r.Missing(), r.Name(), r.Window())
	}
	for _, i := range []int{10, 24, 25, 30, 39} {
		in.Frame(frames[i])
	}
	if n := in.Counters(); n.Duplicate != 2 || r.Counters().Duplicate != 2 || n.Queued != 3 {
		t.Errorf("%+v", n)
	}
	if got := fmt.Sprint(r.Gaps(make([]Gap, 0, 8))); got != "[{26 30} {31 39}]" {
		t.Errorf("gaps %s", got)
	}
	for _, f := range frames {
		in.Frame(f)
	}
	if r.Mark() != whole.Mark() {
		t.Errorf("mark %+v, want %+v", r.Mark(), whole.Mark())
	}
	for n := uint64(0); n < 41; n++ {
		got, ok := r.MarkAfter(n)
		want, has := whole.MarkAfter(n)
		if ok != (n >= 25 && n < 40) || ok && got != want || has != (n < 40) {
			t.Errorf("after frame %d: %+v %v, want %+v", n, got, ok, want)
		}
	}
	balance(t, in.Counters())
}

func TestOpenAtRefuses(t *testing.T) {
	in := ingest(t, window64)
	name := Name{Proxy: 1, Incarnation: 1, Lane: 3}
	if _, err := in.OpenAt(name, Mark{}); err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func() (*Receiver, error){
		"open already": func() (*Receiver, error) { return in.OpenAt(name, Mark{}) },
		"lane": func() (*Receiver, error) {
			return in.OpenAt(Name{Proxy: 1, Incarnation: 1, Lane: MaxLanes}, Mark{})
		},
		"mark": func() (*Receiver, error) { return in.OpenAt(Name{Proxy: 2}, Mark{Items: limit}) },
	} {
		if _, err := try(); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	for _, other := range []uint16{0, 2, 4, MaxLanes} {
		if in.Lane(1, 1, other) != nil {
			t.Errorf("lane %d is open", other)
		}
	}
	in.Frame(frameOf(t, Name{Proxy: 1, Incarnation: 1, Lane: 2}, 0, 0, 0))
	if n := in.Counters(); n.Bad[wire.BadLane] != 1 {
		t.Errorf("%+v", n)
	}
}

// Incarnations close one by one, and with their lanes everything that was noted about them.
func TestCloseLife(t *testing.T) {
	in := ingest(t, window64)
	names := []Name{{Proxy: 1, Incarnation: 1}, {Proxy: 1, Incarnation: 2}, {Proxy: 2, Incarnation: 1}}
	for _, name := range names {
		if _, err := in.OpenAt(name, Mark{}); err != nil {
			t.Fatal(err)
		}
		in.Frame(frameOf(t, name, 0, 0, 0))
		in.Frame(frameOf(t, name, 2, 2, 0))
	}
	in.CloseLife(1, 1)
	lanes := make([]*Receiver, 0, 8)
	if got := in.Advanced(lanes); len(got) != 2 || got[0].Name() != names[1] || got[1].Name() != names[2] {
		t.Errorf("%d lanes advanced", len(got))
	}
	if got := in.Gapped(lanes); len(got) != 2 || in.Lane(1, 1, 0) != nil || in.Lane(1, 2, 0) == nil {
		t.Errorf("%d lanes with gaps", len(got))
	}
	in.Frame(frameOf(t, names[0], 1, 1, 0))
	in.CloseLife(3, 1)
	in.Close(1)
	if got := in.Gapped(lanes); len(got) != 1 || in.Lane(1, 2, 0) != nil {
		t.Errorf("%d lanes with gaps", len(got))
	}
	if n := in.Counters(); n.Abandoned != 4 || n.Queued != 2 || n.Bad[wire.BadLane] != 1 {
		t.Errorf("%+v", n)
	}
	balance(t, in.Counters())
}

// Goal: the lists name exactly the lanes that moved and those that miss frames, once each. Method:
// random frames for many lanes of several proxies; a scan of all lanes beside it.
func TestListsNameWhatMoved(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 4))
		in := ingest(t, Config{Window: 64, Arena: 8 << 10})
		var all []*Receiver
		for i := range 60 {
			r, err := in.OpenAt(Name{Proxy: uint32(i % 7), Incarnation: 1, Lane: uint16(i), ID: uint32(i)}, Mark{})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		seen := make([]uint64, len(all))
		for range 50 {
			for range rng.IntN(40) {
				r := all[rng.IntN(len(all))]
				n := r.Mark().Frames + uint64(rng.IntN(3))
				in.Frame(frameOf(t, r.Name(), n, n, 0))
			}
			var moved, gapped []*Receiver
			for got := make([]*Receiver, 0, 5); ; got = got[:0] { // a few at a time
				got = in.Advanced(got)
				if moved = append(moved, got...); len(got) < cap(got) {
					break
				}
			}
			gapped = in.Gapped(make([]*Receiver, 0, 100))
			for i, r := range all {
				count := func(list []*Receiver) (n int) {
					for _, other := range list {
						if other == r {
							n++
						}
					}
					return n
				}
				if want := r.Mark().Frames > seen[i]; count(moved) != map[bool]int{true: 1}[want] {
					t.Fatalf("seed %d: lane %d moved %v, was named %d times", seed, i, want, count(moved))
				}
				if count(gapped) != map[bool]int{true: 1}[r.Missing()] {
					t.Fatalf("seed %d: lane %d misses frames %v", seed, i, r.Missing())
				}
				seen[i] = r.Mark().Frames
			}
		}
	}
}

// A NACK that reaches a replica is not for it.
func TestRequestsAreForSenders(t *testing.T) {
	in, _ := open(t, window64)
	nack := wire.AppendGaps(make([]byte, wire.HeaderSize), []Gap{{From: 1, To: 2}})
	h := wire.Header{Type: wire.TypeNack, Cluster: cluster, Proxy: 1, Incarnation: 1}
	if err := wire.Seal(nack, &h, digester(t)); err != nil {
		t.Fatal(err)
	}
	in.Frame(nack)
	if n := in.Counters(); n.Bad[wire.BadType] != 1 || n.Items != 0 {
		t.Errorf("%+v", n)
	}
	balance(t, in.Counters())
}

func TestView(t *testing.T) {
	s := sender(t, 16, 64<<10)
	in, r := open(t, window64)
	for n := range 6 {
		s.SetResponder(n - 1)
		for range n + 1 {
			if _, err := s.Append(&wire.Item{Op: wire.OpGet, Key: []byte("key")}); err != nil {
				t.Fatal(err)
			}
		}
		s.Flush()
		if err := s.Commit(map[bool]uint64{true: 3}[n == 4]); err != nil { // frames 0 and 1
			t.Fatal(err)
		}
		for _, f := range s.Next(make([][]byte, 0, 1)) {
			in.Frame(f)
		}
	}
	first := uint64(0)
	for n := range uint64(6) {
		var v View
		if !r.View(n, &v) {
			t.Fatalf("frame %d is not held", n)
		}
		chain, _ := r.Chain(n)
		want := View{Number: n, First: first, Count: int(n) + 1, Chain: chain, Responder: int(n) - 1,
			Tail: map[bool]uint64{true: 2}[n == 5], Payload: v.Payload}
		if !slices.Equal(v.Payload, r.Frame(n)[wire.HeaderSize:]) || fmt.Sprint(v) != fmt.Sprint(want) {
			t.Errorf("frame %d is %+v, want %+v", n, v, want)
		}
		first += n + 1
	}
	if r.Tail() != 2 {
		t.Errorf("tail %d", r.Tail())
	}
	r.Trim(3)
	var v View
	if r.View(2, &v) || r.View(6, &v) {
		t.Error("frames that are not held were shown")
	}
}

// Goal: gaps by bitmap are the gaps that looking at every slot finds. Method: windows of all sizes,
// also smaller than a word; random holes; a window that wraps.
func TestGapsByBitmap(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 2))
		window := 2 << rng.IntN(9)
		b := newBitmap(window)
		from := rng.Uint64N(1 << 20)
		held := make(map[uint64]bool)
		for n := from; n < from+uint64(window); n++ {
			if rng.IntN(3) > 0 {
				held[n] = true
				b.set(n & uint64(window-1))
			}
		}
		for range 20 {
			at := from + rng.Uint64N(uint64(window))
			end := at + rng.Uint64N(from+uint64(window)-at+1)
			wanted := rng.IntN(2) == 0
			want := at
			for want < end && held[want] != wanted {
				want++
			}
			if got := b.find(at, end, uint64(window-1), wanted); got != want {
				t.Fatalf("seed %d: window %d, [%d, %d), %v: %d, want %d", seed, window, at, end, wanted, got, want)
			}
		}
	}
}

// The largest item a configuration says it holds fits a sender of that size, and reaches a
// receiver.
func TestHolds(t *testing.T) {
	const key, value = wire.MaxKey, 40 << 10
	cfg := Config{Window: 128, Arena: 256 << 10}
	if err := cfg.Holds(key, value, wire.MaxFrame); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cfg               Config
		key, value, frame int
	}{
		{Config{Window: 64, Arena: 256 << 10}, key, value, wire.MaxFrame},
		{Config{Window: 128, Arena: 128 << 10}, key, value, wire.MaxFrame},
		{cfg, key, wire.MaxValue, wire.MaxFrame},
		{cfg, key, 1, wire.HeaderSize + key},
	} {
		if c.cfg.Holds(c.key, c.value, c.frame) == nil {
			t.Errorf("%+v", c)
		}
	}
	s := sender(t, cfg.Window, cfg.Arena)
	in, r := open(t, cfg)
	it := &wire.Item{Op: wire.OpCAS, Key: make([]byte, key), Value: make([]byte, value),
		HasSession: true, Number: 1}
	for range 3 {
		if _, err := s.Append(it); err != nil {
			t.Fatal(err)
		}
		for _, f := range s.Next(make([][]byte, 0, cfg.Window)) {
			in.Frame(f)
		}
		in.TrimAll()
		if err := s.Commit(r.Mark().Items); err != nil {
			t.Fatal(err)
		}
	}
	if r.Mark().Items != 3 {
		t.Errorf("%+v", r.Mark())
	}
}

// The tail follows commits and answers; frames below stay for repair while there is room.
func TestAnswersAndKeep(t *testing.T) {
	s, err := NewSender(SenderConfig{Cluster: cluster, Proxy: 1, Incarnation: 1, Window: 8, Arena: 16 << 10,
		FrameBytes: wire.MaxFrame, Answers: true, Keep: 3}, digester(t))
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, 6)
	state := func() string { return fmt.Sprint(s.Tail(), s.Window(), s.Committed()) }
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return s.Commit(5) }, "0 {0 6} 5"},
		{func() error { return s.Answered(2) }, "2 {0 6} 5"},
		{func() error { return s.Answered(1) }, "2 {0 6} 5"},
		{func() error { return s.Answered(6) }, "5 {2 6} 5"},
		{func() error { send(t, s, 4); return nil }, "5 {2 10} 5"},
		{func() error { send(t, s, 3); return nil }, "5 {5 13} 5"}, // what was kept makes room
		{func() error { return s.Commit(13) }, "6 {5 13} 13"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if state() != step.want {
			t.Errorf("%s, want %s", state(), step.want)
		}
	}
	send(t, s, 1)
	if _, err := s.Append(&wire.Item{Op: wire.OpGet, Key: []byte("k")}); !errors.Is(err, ErrWindowFull) {
		t.Errorf("eight frames are unanswered, and %v", err)
	}
	if s.Answered(20) == nil {
		t.Error("an item that was never appended was answered")
	}
	var h wire.Header
	h.Get(s.Heartbeat())
	if h.Tail != 6 || h.HighWater != 13 {
		t.Errorf("heartbeat %+v", h)
	}
	if repairs, gone := s.Repair(Gap{From: 0, To: 9}, make([][]byte, 0, 9)); len(repairs) != 3 || gone.To != 6 {
		t.Errorf("%d repairs, gone %+v", len(repairs), gone)
	}
	if _, err := NewSender(SenderConfig{Window: 8, Arena: 16 << 10, FrameBytes: wire.MaxFrame, Keep: 9},
		digester(t)); err == nil {
		t.Error("more kept than the window was accepted")
	}
}

// Every operation travels, with an empty key and in fragments too.
func TestEveryOperationTravels(t *testing.T) {
	items := []wire.Item{
		{Op: wire.OpMulti, Value: make([]byte, 20_000)},
		{Op: wire.OpSession},
		{Op: wire.OpCount},
		{Op: wire.OpAppend, Key: []byte("k"), Value: make([]byte, 5000), HasSession: true, Number: 1},
		{Op: wire.OpIncr, Key: []byte("k"), Value: make([]byte, 8)},
		{Op: wire.OpPut, Key: make([]byte, wire.MaxKey), Value: make([]byte, 9000), Previous: true, Present: true},
	}
	s := sender(t, 128, 256<<10)
	in, r := open(t, Config{Window: 128, Arena: 256 << 10})
	m := &member{in: in, r: r}
	var want []string
	for i := range items {
		if n, err := s.Append(&items[i]); err != nil || n != uint64(i) {
			t.Fatalf("op %d: item %d, %v", items[i].Op, n, err)
		}
		want = append(want, string(items[i].Key)+"="+string(items[i].Value))
	}
	s.Flush()
	for _, f := range s.Next(make([][]byte, 0, 128)) {
		in.Frame(f)
	}
	m.consume(t)
	if !slices.Equal(m.got, want) {
		t.Errorf("%d items arrived, %d were sent", len(m.got), len(want))
	}
	before := s.Window()
	multi := &wire.Item{Op: wire.OpMulti, Value: make([]byte, wire.MaxValue)}
	if _, err := s.Append(multi); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a multi larger than the window: %v", err)
	}
	// A scan cannot travel in fragments: one that needs two frames is refused, not sent in part.
	scan := &wire.Item{Op: wire.OpScan, Key: make([]byte, wire.MaxKey), Value: make([]byte, 900)}
	if _, err := s.Append(scan); err == nil || errors.Is(err, ErrWindowFull) || s.Window() != before {
		t.Errorf("a scan larger than a frame: %v, window %+v", err, s.Window())
	}
}
