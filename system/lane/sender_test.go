package lane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"metronome/system/wire"
)

func sender(t testing.TB, window, arena int) *Sender {
	t.Helper()
	s, err := NewSender(SenderConfig{Cluster: cluster, Proxy: 1, Incarnation: 1, Window: window, Arena: arena,
		FrameBytes: wire.MaxFrame}, digester(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put is the n-th item of a test's sequence; its value says so, and now and then needs many frames.
func put(rng *rand.Rand, n uint64) *wire.Item {
	size := rng.IntN(200)
	if rng.IntN(40) == 0 {
		size = rng.IntN(9000)
	}
	value := bytes.Repeat([]byte{byte(n)}, 8+size)
	binary.LittleEndian.PutUint64(value, n)
	return &wire.Item{Op: wire.OpPut, Key: fmt.Appendf(nil, "key-%d", n), Value: value}
}

// member is a receiver with what its consumer read: the items, fragments put together again.
type member struct {
	in    *Ingest
	r     *Receiver
	next  uint64 // frame
	parts []byte
	got   []string
}

func (m *member) consume(t *testing.T) {
	t.Helper()
	for ; m.next < m.r.Mark().Frames; m.next++ {
		items := wire.Items(m.r.Frame(m.next))
		for len(items) > 0 {
			var it wire.Item
			n, ok := wire.DecodeItem(items, &it)
			if !ok {
				t.Fatal("an accepted frame holds an item that cannot be decoded")
			}
			items = items[n:]
			m.parts = append(m.parts, it.Value...)
			if it.Completes() {
				m.got = append(m.got, string(it.Key)+"="+string(m.parts))
				m.parts = m.parts[:0]
			}
		}
	}
	m.r.Trim(m.next)
}

// Goal: whatever the network loses, repeats and reorders, every replica ends with the sender's
// items in the sender's order, and the sender never keeps more than its window. Method: three
// receivers, each on a path of its own; every tick they name their gaps and the sender repairs;
// what two of three hold is committed. A failure's name is its seed.
func TestEveryReplicaGetsEveryItemOverABadNetwork(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			s := sender(t, 64, 128<<10)
			members := make([]*member, 3)
			for i := range members {
				in, r := open(t, Config{Window: 128, Arena: 256 << 10})
				members[i] = &member{in: in, r: r}
			}
			const items = 600
			var want []string
			pending := put(rng, 0)
			for tick := 0; len(members[0].got) < items || len(members[1].got) < items ||
				len(members[2].got) < items; tick++ {
				if tick > 5000 {
					t.Fatalf("stuck: %d of %d appended, window %+v, marks %+v %+v %+v", len(want), items,
						s.Window(), members[0].r.Mark(), members[1].r.Mark(), members[2].r.Mark())
				}
				for len(want) < items && rng.IntN(8) > 0 {
					number, err := s.Append(pending)
					if errors.Is(err, ErrWindowFull) {
						break
					}
					if err != nil || number != uint64(len(want)) {
						t.Fatalf("item %d got number %d, %v", len(want), number, err)
					}
					want = append(want, string(pending.Key)+"="+string(pending.Value))
					pending = put(rng, number+1)
				}
				exchange(t, rng, s, members)
				if w := s.Window(); w.To-w.From > 64 {
					t.Fatalf("the sender keeps %d frames", w.To-w.From)
				}
			}
			for i, m := range members {
				for n := range want {
					if m.got[n] != want[n] {
						t.Fatalf("replica %d, item %d: %.40q, want %.40q", i, n, m.got[n], want[n])
					}
				}
				if m.r.Mark() != members[0].r.Mark() {
					t.Errorf("replica %d at %+v, replica 0 at %+v", i, m.r.Mark(), members[0].r.Mark())
				}
				balance(t, m.in.Counters())
			}
			if s.arena.used() != 0 || s.Window().From != s.Window().To {
				t.Errorf("all is committed, and %d bytes, frames %+v are kept", s.arena.used(), s.Window())
			}
		})
	}
}

// exchange is one tick: new frames, repairs, a heartbeat, and a commit of what all hold.
func exchange(t *testing.T, rng *rand.Rand, s *Sender, members []*member) {
	t.Helper()
	s.Flush()
	deliver(rng, members, s.Next(make([][]byte, 0, 16)))
	for _, m := range members {
		for _, gap := range m.r.Gaps(make([]Gap, 0, 4)) {
			repairs, gone := s.Repair(gap, make([][]byte, 0, 32))
			if gone.From != gone.To {
				t.Fatalf("frames %+v are gone though a replica lacks them", gone)
			}
			deliver(rng, []*member{m}, repairs)
		}
	}
	if beat := s.Heartbeat(); beat != nil {
		deliver(rng, members, [][]byte{beat})
	}
	committed := s.Items()
	for _, m := range members {
		m.consume(t)
		committed = min(committed, m.r.Mark().Items)
	}
	if err := s.Commit(committed); err != nil {
		t.Fatal(err)
	}
}

// deliver hands frames to each member over a path that loses a quarter, repeats some and reorders.
func deliver(rng *rand.Rand, members []*member, frames [][]byte) {
	for _, m := range members {
		var arriving [][]byte
		for _, f := range frames {
			if rng.IntN(4) > 0 {
				arriving = append(arriving, f)
			}
			if rng.IntN(10) == 0 {
				arriving = append(arriving, f)
			}
		}
		rng.Shuffle(len(arriving), func(i, j int) { arriving[i], arriving[j] = arriving[j], arriving[i] })
		for _, f := range arriving {
			m.in.Frame(f)
		}
	}
}

func TestWindowFollowsTheCommittedWatermark(t *testing.T) {
	s := sender(t, 4, 16<<10)
	item := &wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: make([]byte, 1000)} // one fits a frame
	for n := range uint64(4) {
		if _, err := s.Append(item); err != nil {
			t.Fatal(n, err)
		}
		s.Flush()
	}
	if _, err := s.Append(item); !errors.Is(err, ErrWindowFull) {
		t.Fatalf("a fifth frame in a window of four: %v", err)
	}
	if err := s.Commit(2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(item); !errors.Is(err, ErrWindowFull) {
		t.Errorf("frames that were never sent were released: %v", err)
	}
	if n := len(s.Next(make([][]byte, 0, 8))); n != 4 {
		t.Fatalf("%d frames to send", n)
	}
	if err := s.Commit(2); err != nil {
		t.Fatal(err)
	}
	if number, err := s.Append(item); err != nil || number != 4 {
		t.Errorf("after two are committed: item %d, %v", number, err)
	}
	if err := s.Commit(6); err == nil {
		t.Error("an item that was never appended was committed")
	}
}

func TestRepairMarksAndNamesWhatIsGone(t *testing.T) {
	d := digester(t)
	s := sender(t, 8, 16<<10)
	for range 4 {
		if _, err := s.Append(&wire.Item{Op: wire.OpGet, Key: []byte("k")}); err != nil {
			t.Fatal(err)
		}
		s.Flush()
	}
	s.Next(make([][]byte, 0, 3)) // the fourth stays unsent
	if err := s.Commit(1); err != nil {
		t.Fatal(err)
	}
	repairs, gone := s.Repair(Gap{From: 0, To: 10}, make([][]byte, 0, 8))
	if gone != (Gap{From: 0, To: 1}) || len(repairs) != 2 {
		t.Fatalf("%d repairs, gone %+v", len(repairs), gone)
	}
	o := wire.Opener{Cluster: cluster, Digest: d}
	for i, f := range repairs {
		var h wire.Header
		if c := o.Open(f, &h); c != wire.OK || h.Frame != uint64(i+1) || h.Flags&wire.FlagRepair == 0 ||
			h.HighWater != 2 || h.Tail != 1 {
			t.Errorf("repair %d: %s, %+v", i, c, h)
		}
	}
	if one, _ := s.Repair(Gap{From: 1, To: 3}, make([][]byte, 0, 1)); len(one) != 1 {
		t.Errorf("%d repairs where one was asked for", len(one))
	}
}

// Small items share frames; an item that is refused leaves no trace; a large one waits for room for
// all its parts.
func TestAppend(t *testing.T) {
	s := sender(t, 16, 16<<10)
	for range 10 {
		if _, err := s.Append(&wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	for name, it := range map[string]*wire.Item{
		"no key":      {Op: wire.OpPut},
		"long key":    {Op: wire.OpPut, Key: make([]byte, wire.MaxKey+1)},
		"a fragment":  {Op: wire.OpPut, Key: []byte("k"), Value: []byte("v"), Fragment: true, Total: 9},
		"large value": {Op: wire.OpPut, Key: []byte("k"), Value: make([]byte, wire.MaxValue+1)},
	} {
		if _, err := s.Append(it); err == nil || errors.Is(err, ErrWindowFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
	large := &wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: make([]byte, 15<<10)}
	if _, err := s.Append(large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("15 KiB in an arena of 16, with frames that wrap: %v", err)
	}
	if s.Items() != 10 {
		t.Errorf("%d items after refusals", s.Items())
	}
	s.Flush()
	if frames := s.Next(make([][]byte, 0, 8)); len(frames) != 1 {
		t.Errorf("10 small items and refusals made %d frames", len(frames))
	}
	if s.Heartbeat() == nil || sender(t, 2, 4096).Heartbeat() != nil {
		t.Error("a heartbeat tells of what was sent, and only of that")
	}
}

func TestSenderConfigIsChecked(t *testing.T) {
	good := SenderConfig{Window: 4, Arena: 4096, FrameBytes: wire.MaxFrame}
	for name, spoil := range map[string]func(*SenderConfig){
		"window":      func(c *SenderConfig) { c.Window = 3 },
		"arena":       func(c *SenderConfig) { c.Arena = 1 << 10 },
		"long frame":  func(c *SenderConfig) { c.FrameBytes = wire.MaxFrame + 1 },
		"short frame": func(c *SenderConfig) { c.FrameBytes = wire.MaxKey },
	} {
		c := good
		spoil(&c)
		if _, err := NewSender(c, digester(t)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSenderAllocatesNothing(t *testing.T) {
	s := sender(t, 64, 128<<10)
	item := &wire.Item{Op: wire.OpPut, Key: []byte("key"), Value: make([]byte, 40)}
	frames := make([][]byte, 0, 64)
	if n := testing.AllocsPerRun(2000, func() {
		if _, err := s.Append(item); err != nil {
			t.Fatal(err)
		}
		s.Flush()
		s.Next(frames)
		s.Heartbeat()
		if err := s.Commit(s.Items()); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%g allocations an item", n)
	}
}
