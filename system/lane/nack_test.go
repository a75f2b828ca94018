package lane

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"metronome/system/wire"
)

const (
	us = 1000
	ms = 1000 * us
)

// missing opens a lane that asks, and hands it the given frames of a stream at time 0.
func missing(t testing.TB, cfg Config, peers uint16, total int, arrive ...int) (
	*Ingest, *Receiver, [][]byte) {
	t.Helper()
	frames := stream(t, digester(t), total, rand.New(rand.NewPCG(1, 1)))
	cfg.Nack.Enabled = true
	in, r := open(t, cfg)
	in.SetPeers(peers)
	in.Clock(0)
	for _, i := range arrive {
		in.Frame(frames[i])
	}
	return in, r, frames
}

func due(r *Receiver, now int64) string {
	whom, gaps := r.Nacker().Due(now, make([]Gap, 0, wire.MaxGaps))
	if whom == Nobody {
		return "nothing"
	}
	return fmt.Sprint(whom, gaps)
}

var window64 = Config{Window: 64, Arena: 128 << 10}

// All gaps go into one request, after the guard; then again after a round trip, three times in
// short succession, then in growing intervals, at last from peers in turn.
func TestRequestsFollowTheSchedule(t *testing.T) {
	_, r, _ := missing(t, window64, 0b101, 10, 0, 2, 3, 6)
	n := r.Nacker()
	if n.Next() != 0 || due(r, 0) != "nothing" {
		t.Fatal("asked without a guard")
	}
	if first := n.Next(); first < 50*us || first > 63*us {
		t.Fatalf("the guard ends at %d", first)
	}
	var intervals []int64
	targets := map[Target]int{}
	last := n.Next()
	for now := n.Next(); len(intervals) < 16; now = max(now+1, n.Next()) {
		whom, gaps := n.Due(now, make([]Gap, 0, wire.MaxGaps))
		if whom == Nobody {
			continue
		}
		if want := []Gap{{From: 1, To: 2}, {From: 4, To: 6}}; !slices.Equal(gaps, want) {
			t.Fatalf("request %d is for %v", len(intervals), gaps)
		}
		if len(intervals) < 5 && whom != Origin {
			t.Errorf("request %d goes to %d", len(intervals), whom)
		}
		targets[whom]++
		intervals = append(intervals, now-last)
		last = now
	}
	for i, most := range []int64{0, 1.6 * ms, .134 * ms, .134 * ms, 1.6 * ms, 3.2 * ms, 6.4 * ms, 13 * ms} {
		if least := most * 5 / 6; intervals[i] > most || intervals[i] < least {
			t.Errorf("request %d comes %d ns after its predecessor, want %d to %d", i, intervals[i], least, most)
		}
	}
	if last := intervals[15]; last > 107*ms || last < 100*ms {
		t.Errorf("in the end every %d ns", last)
	}
	if targets[0] < 3 || targets[2] < 3 || targets[1] > 0 || targets[Origin] < 8 {
		t.Errorf("asked %v", targets)
	}
	if c := n.Counters(); c.Requests != 16 || c.Asked != 48 || c.Again != 45 {
		t.Errorf("%+v", c)
	}
}

// The round trip is measured by repairs that were asked for once; the guard grows with frames that
// come late by themselves, at most to a round trip.
func TestNackerLearns(t *testing.T) {
	in, r, frames := missing(t, window64, 0, 60)
	n := r.Nacker()
	now := int64(0)
	for i := 1; i < 40; i += 2 { // every other frame is lost, and repaired after 300 µs
		now += ms
		in.Clock(now)
		in.Frame(frames[i])
		due(r, now)
		now = n.Next()
		if got := due(r, now); got != fmt.Sprint(Origin, []Gap{{From: uint64(i - 1), To: uint64(i)}}) {
			t.Fatalf("frame %d: %s", i-1, got)
		}
		now += 300 * us
		in.Clock(now)
		repaired := append([]byte(nil), frames[i-1]...)
		wire.Restamp(repaired, uint64(i), 0, digester(t))
		in.Frame(repaired)
		if n.Next() != Never || due(r, now+second) != "nothing" {
			t.Fatal("something is due though nothing is missing")
		}
	}
	if rtt := n.RoundTrip(); rtt != 300*us || n.Guard() != 50*us {
		t.Errorf("round trip %d, guard %d", rtt, n.Guard())
	}
	for i, late := range []int64{10 * us, 100 * us, 9 * ms} {
		in.Clock(now)
		in.Frame(frames[41+2*i])
		due(r, now)
		now += late
		in.Clock(now)
		in.Frame(frames[40+2*i])
		if want := []int64{50 * us, 125 * us, 300 * us}[i]; n.Guard() != want {
			t.Errorf("a frame %d ns late: guard %d, want %d", late, n.Guard(), want)
		}
	}
	if c := n.Counters(); c.Reordered != 3 || c.Answered != 20 || c.Needless != 0 {
		t.Errorf("%+v", c)
	}
}

// A round trip much longer than believed is learnt although every frame is asked for many times.
func TestRoundTripThatGrew(t *testing.T) {
	trip := guessed(ms)
	for range 20 {
		trip.answered(ms, 1)
	}
	for range unclearMax {
		trip.answered(200*ms, 9)
	}
	if trip.mean != 200*ms {
		t.Errorf("mean %d", trip.mean)
	}
	trip.answered(210*ms, 1)
	if trip.mean < 200*ms || trip.mean > 202*ms || trip.timeout(0) < 220*ms || trip.timeout(0) > 310*ms {
		t.Errorf("mean %d, timeout %d", trip.mean, trip.timeout(0))
	}
}

// What the sender does not keep is asked from peers at once; what nobody keeps is reported.
func TestGoneLeadsToPeersAndThenToASnapshot(t *testing.T) {
	_, r, _ := missing(t, window64, 0b110, 10, 5)
	n := r.Nacker()
	due(r, 0)
	now := n.Next()
	if got := due(r, now); got != "-1 [{0 5}]" {
		t.Fatal(got)
	}
	n.Gone(Origin, 3)
	now += 100 * us
	asked := map[string]bool{}
	for range 2 { // frames 3 and 4 were asked for just now
		asked[due(r, now)] = true
	}
	if len(asked) != 2 || !asked["nothing"] || !asked["1 [{0 3}]"] && !asked["2 [{0 3}]"] {
		t.Errorf("after the sender dropped frames 0 to 2: %v", asked)
	}
	n.Gone(1, 4)
	if _, is := n.Unrepairable(); is {
		t.Error("replica 2 was not asked")
	}
	n.Gone(2, 2)
	if gap, is := n.Unrepairable(); !is || gap != (Gap{From: 0, To: 2}) {
		t.Errorf("%v, %v", gap, is)
	}
	n.Gone(Target(wire.MaxSeats), 9) // nobody
	n.Gone(Nobody, 9)
	if now = n.Next(); now > second {
		t.Error("what can be repaired is not asked for any more")
	}
}

// Nothing is asked for that the arena could not take, but for the frame at the mark.
func TestNothingIsAskedForWithoutRoom(t *testing.T) {
	d := digester(t)
	in, err := NewIngest(cluster, d, Config{Window: 64, Arena: 4096, Nack: NackConfig{Enabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Open(1, 1, 1); err != nil {
		t.Fatal(err)
	}
	item, err := wire.AppendItem(make([]byte, wire.HeaderSize), &wire.Item{Op: wire.OpPut, Key: []byte("k"),
		Value: make([]byte, 800)})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{20, 21, 22, 23, 24} { // four fit
		in.Frame(seal(t, d, append([]byte(nil), item...), n, n, 1))
	}
	r := in.Lane(1, 1, 0)
	due(r, 0)
	if got := due(r, ms); got != "-1 [{0 1}]" {
		t.Errorf("asked for %s", got)
	}
	if c := in.Counters(); c.Refused != 1 || r.Counters().Refused != 1 || r.Counters().Nack.NoRoom == 0 {
		t.Errorf("%+v %+v", c, r.Counters())
	}
}

// All lanes of a core share one budget of requests, and take turns.
func TestRequestsAreBounded(t *testing.T) {
	in, err := NewIngest(cluster, digester(t), Config{Window: 64, Arena: 16 << 10,
		Nack: NackConfig{Enabled: true, Rate: 200, Burst: 2}})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Open(1, 1, 8); err != nil {
		t.Fatal(err)
	}
	for i := range uint16(8) {
		beat := make([]byte, wire.HeaderSize)
		h := wire.Header{Type: wire.TypeHeartbeat, Cluster: cluster, Proxy: 1, Incarnation: 1, Lane: i,
			HighWater: 9}
		if err := wire.Seal(beat, &h, digester(t)); err != nil {
			t.Fatal(err)
		}
		in.Frame(beat)
	}
	asked := map[uint16]int{}
	total := 0
	lanes := make([]*Receiver, 0, 8)
	for now := int64(0); now < 100*ms; now = max(now+1, in.NextDue()) {
		for _, r := range in.Gapped(lanes) {
			if whom, _ := r.Nacker().Due(now, nil); whom != Nobody {
				t.Fatal("a request without gaps, as there was no room for them")
			}
		}
		for _, r := range in.Gapped(lanes) {
			for {
				if whom, _ := r.Nacker().Due(now, make([]Gap, 0, 4)); whom == Nobody {
					break
				}
				asked[r.Name().Lane]++
				total++
			}
		}
	}
	if total > 22 || total < 19 || len(asked) != 8 {
		t.Errorf("%d requests in 100 ms at 200 a second: %v", total, asked)
	}
}

func TestNackConfigIsChecked(t *testing.T) {
	for _, c := range []NackConfig{{Guess: -1}, {Floor: -1}, {Cap: -1}, {Rate: -1}, {Burst: -1}, {Patience: -1},
		{Patience: maxAsks + 1}} {
		if _, err := NewIngest(cluster, digester(t), Config{Window: 64, Arena: 4096, Nack: c}); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestHint(t *testing.T) {
	_, r, _ := missing(t, window64, 0, 3, 2)
	n := r.Nacker()
	n.Hint(5 * ms)
	if n.RoundTrip() != 5*ms {
		t.Error("a hint did not replace the guess")
	}
	n.trips[toOrigin].answered(ms, 1)
	n.Hint(5 * ms)
	if n.RoundTrip() != ms {
		t.Error("a hint replaced a measurement")
	}
}

func TestAskingAllocatesNothing(t *testing.T) {
	in, r, frames := missing(t, window64, 0b110, 3000)
	n := r.Nacker()
	gaps := make([]Gap, 0, wire.MaxGaps)
	lanes := make([]*Receiver, 0, 4)
	now, i := int64(0), 0
	if allocs := testing.AllocsPerRun(1000, func() {
		in.Clock(now)
		in.Frame(frames[i+1])
		for _, lane := range in.Gapped(lanes) {
			lane.Nacker().Due(now, gaps)
		}
		now = n.Next()
		n.Due(now, gaps)
		now += ms
		in.Clock(now)
		in.Frame(frames[i])
		in.Advanced(lanes)
		in.NextDue()
		in.TrimAll()
		i += 2
	}); allocs != 0 {
		t.Errorf("%g allocations a gap", allocs)
	}
	if n.Counters().Requests < 1000 {
		t.Errorf("%+v", n.Counters())
	}
}

// BenchmarkDue is what asking costs where nothing is lost, and where a window has many gaps.
func BenchmarkDue(b *testing.B) {
	b.Run("nothing missing", func(b *testing.B) {
		_, r, _ := missing(b, window64, 0, 3, 0, 1, 2)
		gaps := make([]Gap, 0, wire.MaxGaps)
		for now := int64(0); b.Loop(); now++ {
			r.Nacker().Due(now, gaps)
		}
	})
	for _, every := range []int{20, 2000} {
		b.Run(fmt.Sprint("one of ", every, " missing"), func(b *testing.B) {
			var arrive []int
			for i := range 4000 {
				if i%every > 0 {
					arrive = append(arrive, i)
				}
			}
			_, r, _ := missing(b, Config{Window: 4096, Arena: 2 << 20}, 0, 4000, arrive...)
			gaps := make([]Gap, 0, wire.MaxGaps)
			for now := int64(0); b.Loop(); now += second {
				r.Nacker().Due(now, gaps)
			}
		})
	}
}

// BenchmarkGaps is a scan of a window of 4096 frames.
func BenchmarkGaps(b *testing.B) {
	var arrive []int
	for i := range 4000 {
		if i%50 > 0 {
			arrive = append(arrive, i)
		}
	}
	_, r, _ := missing(b, Config{Window: 4096, Arena: 2 << 20}, 0, 4000, arrive...)
	gaps := make([]Gap, 0, wire.MaxGaps)
	for b.Loop() {
		r.Gaps(gaps)
	}
}
