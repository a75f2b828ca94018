package lane

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"metronome/system/wire"
)

// Goal: a bucket never lets through more than burst + rate × time, nor, when asked all the time,
// less than one unit below that. Method: exact arithmetic beside it.
func TestBucketKeepsItsRate(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		rate, burst := 1+rng.Int64N(1<<rng.IntN(33)), 1+rng.Int64N(1<<rng.IntN(33))
		burst = min(burst, 1000*rate) // no more than a quarter of an hour to earn it
		b := NewBucket(rate, burst)
		start := rng.Int64N(1 << 40)
		now, taken := start, big.NewInt(0)
		for range 200 {
			if rng.IntN(2) == 0 {
				now = b.Ready(now, 1) + rng.Int64N(3)
			}
			n := 1 + rng.Int64N(burst)
			if ready := b.Ready(now, n); ready > now {
				if b.Has(ready-1, n) {
					t.Fatalf("seed %d: ready before Ready says so", seed)
				}
				now = ready
			}
			if !b.Take(now, n) {
				t.Fatalf("seed %d: not ready when Ready says so", seed)
			}
			taken.Add(taken, big.NewInt(n))
			most := new(big.Int).Mul(big.NewInt(now-start), big.NewInt(rate))
			most.Div(most, big.NewInt(second)).Add(most, big.NewInt(burst))
			if taken.Cmp(most) > 0 {
				t.Fatalf("seed %d: %s of at most %s units after %d ns", seed, taken, most, now-start)
			}
		}
	}
}

func TestBucketEdges(t *testing.T) {
	b := NewBucket(10, 5)
	if !b.Take(0, 5) || b.Take(0, 1) || b.Ready(0, 1) != second/10 || b.Ready(0, 6) != Never {
		t.Error("a burst of 5 at 10 a second")
	}
	b.Spend(0, 100)
	if at := b.Ready(0, 1); at != 6*second/10 {
		t.Errorf("a debt is at most a burst: ready at %d", at)
	}
	if b.Has(1<<62, 6) || !b.Has(1<<62, 5) {
		t.Error("after ages it holds a burst")
	}
	free := NewBucket(0, 0)
	if !free.Take(0, 1<<40) || free.Ready(7, 1<<40) != 7 {
		t.Error("rate 0 is unlimited")
	}
}

func TestPacer(t *testing.T) {
	p, err := NewPacer(PaceConfig{Bytes: 1_472_000, BytesBurst: 4 * wire.MaxFrame, Frames: 2000, FramesBurst: 8})
	if err != nil {
		t.Fatal(err)
	}
	full := make([]byte, wire.MaxFrame)
	sent := 0
	for now := int64(0); now < second; now = max(now+1, p.Next(now)) {
		for range p.Allow(now, 16) {
			p.Sent(now, [][]byte{full})
			sent++
		}
	}
	if sent < 1003 || sent > 1004 {
		t.Errorf("%d full frames in a second: 1000 by bytes and a burst of 4", sent)
	}
	small := [][]byte{make([]byte, 100)}
	sent = 0
	for now := int64(10 * second); now < 11*second; now = max(now+1, p.Next(now)) {
		for range p.Allow(now, 16) {
			p.Sent(now, small)
			sent++
		}
	}
	if sent < 2000 || sent > 2008 {
		t.Errorf("%d small frames in a second: 2000 and a burst of 8", sent)
	}
	if p.Repairs().rate != 1_472_000/5 {
		t.Errorf("repairs get %d bytes a second", p.Repairs().rate)
	}
	if free, err := NewPacer(PaceConfig{}); err != nil || free.Allow(0, 100) != 100 || free.Next(5) != 5 {
		t.Error("without limits, all may go", err)
	}
	for _, c := range []PaceConfig{{Bytes: -1}, {Frames: maxRate + 1}, {RepairsBurst: -1}} {
		if _, err := NewPacer(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestHeartSlowsDown(t *testing.T) {
	h := NewHeart(0, 0)
	if h.Due(1<<60) || h.Next() != Never {
		t.Error("it beats before anything was sent")
	}
	h.Sent(5 * ms)
	var beats []int64
	for now := int64(5 * ms); now < 400*ms; now += ms {
		if h.Due(now) {
			beats = append(beats, now/ms)
		}
	}
	want := []int64{6, 8, 12, 20, 36, 68, 132, 232, 332}
	if len(beats) != len(want) {
		t.Fatalf("beats at %d, want %d", beats, want)
	}
	for i := range want {
		if beats[i] != want[i] {
			t.Fatalf("beats at %d, want %d", beats, want)
		}
	}
	if h.Sent(500 * ms); h.Next() != 501*ms {
		t.Errorf("after new frames, the next beat is at %d", h.Next())
	}
}
