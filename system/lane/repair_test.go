package lane

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"metronome/system/wire"
)

// repairer makes a sender that sent so many frames of 100 bytes or so, and its repairer.
func repairer(t testing.TB, frames int, cfg RepairConfig, bytes int64) (*Sender, *Repairer) {
	t.Helper()
	s, err := NewSender(SenderConfig{Cluster: cluster, Proxy: 1, Incarnation: 1, Window: 64, Arena: 64 << 10,
		FrameBytes: wire.MaxFrame, Keep: 32}, digester(t))
	if err != nil {
		t.Fatal(err)
	}
	send(t, s, frames)
	budget := NewBucket(bytes, max(bytes/10, 1))
	p, err := NewRepairer(cfg, 64, s, &budget)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

func send(t testing.TB, s *Sender, frames int) {
	t.Helper()
	for range frames {
		if _, err := s.Append(&wire.Item{Op: wire.OpGet, Key: []byte("key")}); err != nil {
			t.Fatal(err)
		}
		s.Flush()
	}
	s.Next(make([][]byte, 0, frames))
}

// told is what Due sends, as text: "5*" is frame 5 by multicast, "5>2" to asker 2, "<7>2" tells
// asker 2 that everything below 7 is gone.
func told(p *Repairer, now int64) string {
	var out Repairs
	p.Due(now, &out)
	var all []string
	number := func(frame []byte) uint64 {
		var h wire.Header
		h.Get(frame)
		return h.Frame
	}
	for _, f := range out.Multicast {
		all = append(all, fmt.Sprintf("%d*", number(f)))
	}
	for _, u := range out.Unicast {
		all = append(all, fmt.Sprintf("%d>%d", number(u.Frame), u.Asker))
	}
	for _, g := range out.Gone {
		all = append(all, fmt.Sprintf("<%d>%d", g.Below, g.Asker))
	}
	return fmt.Sprint(all)
}

func gap(from, to uint64) []Gap { return []Gap{{From: from, To: to}} }

// One asker gets unicast; two within the linger time, or the second shortly after, get multicast.
func TestTwoAskersGetMulticast(t *testing.T) {
	_, p := repairer(t, 20, RepairConfig{}, 0)
	p.Nack(0, 1, ms, gap(3, 6))
	p.Nack(20*us, 2, ms, gap(5, 7))
	if got := told(p, 40*us); got != "[]" {
		t.Errorf("before the linger time is over: %s", got)
	}
	if got := told(p, 50*us); got != "[5* 3>1 4>1]" {
		t.Errorf("at its end: %s", got)
	}
	if got := told(p, 70*us); got != "[6>2]" || p.Next() != Never {
		t.Errorf("later: %s, next %d", got, p.Next())
	}
	p.Nack(80*us, 2, ms, gap(3, 4))
	p.Nack(80*us, 3, ms, gap(5, 6))
	if got := told(p, 200*us); got != "[3* 5>3]" {
		t.Errorf("a second asker, and one that missed a multicast: %s", got)
	}
}

// A repair that was lost comes in copies; in between, and shortly after, requests are ignored.
func TestRepairsThatWereLost(t *testing.T) {
	_, p := repairer(t, 20, RepairConfig{}, 0)
	var sent []string
	for now := int64(0); now < 4*ms; now += 10 * us {
		if now%(100*us) == 0 && now < 3*ms { // a request each 100 µs, though the round trip is 1 ms
			p.Nack(now, 1, ms, gap(3, 4))
		}
		if got := told(p, now); got != "[]" {
			sent = append(sent, fmt.Sprint(now/us, got))
		}
	}
	want := "[50[3>1] 150[3>1] 250[3>1] 850[3>1] 920[3>1] 990[3>1] 1550[3>1] 1620[3>1] 1690[3>1] " +
		"2250[3>1] 2320[3>1] 2390[3>1] 2950[3>1] 3020[3>1] 3090[3>1]]"
	if got := fmt.Sprint(sent); got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	if c := p.Counters(); c.Asked != 30 || c.Unicast != 15 || c.Ignored+c.Waiting != 23 {
		t.Errorf("%+v", c)
	}
}

// What is gone is answered as such, also if it goes while somebody waits for it.
func TestGoneIsAnswered(t *testing.T) {
	s, p := repairer(t, 60, RepairConfig{}, 0)
	if err := s.Commit(40); err != nil { // 32 of these are kept
		t.Fatal(err)
	}
	p.Nack(0, 1, ms, []Gap{{From: 2, To: 5}, {From: 6, To: 10}})
	if got := told(p, 0); got != "[<8>1]" {
		t.Errorf("asked for 2 to 9, 8 is the first kept: %s", got)
	}
	if err := s.Commit(41); err != nil {
		t.Fatal(err)
	}
	if got := told(p, 50*us); got != "[9>1 <9>1]" {
		t.Errorf("frame 8 went meanwhile: %s", got)
	}
	p.Nack(ms, 1, ms, gap(58, 1<<60))
	if got := told(p, 2*ms); got != "[58>1 59>1]" {
		t.Errorf("a gap without end: %s", got)
	}
	if c := p.Counters(); c.Gone != 2 || c.Lacking != 0 {
		t.Errorf("%+v", c)
	}
}

// The bounds: work a call, bytes a second, and each asker's share.
func TestRepairsAreBounded(t *testing.T) {
	t.Run("work", func(t *testing.T) {
		_, p := repairer(t, 20, RepairConfig{Work: 3}, 0)
		p.Nack(0, 1, ms, gap(0, 5))
		for i, want := range []string{"[0>1 1>1 2>1]", "[3>1 4>1]", "[]"} {
			if got := told(p, 50*us); got != want {
				t.Errorf("call %d: %s, want %s", i, got, want)
			}
		}
	})
	t.Run("budget", func(t *testing.T) {
		_, p := repairer(t, 60, RepairConfig{}, 20_000) // bytes a second, 2000 at once
		p.Nack(0, 1, ms, gap(0, 60))
		var out Repairs
		for now := int64(0); now < 100*ms; now = max(now+1, p.Next()) {
			p.Due(now, &out)
		}
		if bytes := len(out.Unicast) * len(out.Unicast[0].Frame); bytes < 3800 || bytes > 4200 {
			t.Errorf("%d bytes in 100 ms at 20 000 a second after a burst of 2000", bytes)
		}
	})
	t.Run("quota", func(t *testing.T) {
		_, p := repairer(t, 60, RepairConfig{Quota: 1000, QuotaBurst: 20}, 0)
		p.Nack(0, 1, ms, gap(0, 60))
		p.Nack(0, 2, ms, gap(0, 10))
		want := "[0* 1* 2* 3* 4* 5* 6* 7* 8* 9* 10>1 11>1 12>1 13>1 14>1 15>1 16>1 17>1 18>1 19>1]"
		if got := told(p, ms); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		a := p.Askers(nil)
		if !a[0].Quarantined || a[0].OverQuota != 40 || a[0].Unicast != 10 || a[1].Quarantined || a[1].Asker != 2 {
			t.Errorf("%+v", a)
		}
		p.Nack(9*ms, 1, ms, gap(30, 31)) // 9 of 20 earned
		if got := told(p, 10*ms); got != "[]" {
			t.Errorf("in quarantine: %s", got)
		}
		p.Nack(10*ms, 1, ms, gap(30, 31))
		if got := told(p, 11*ms); got != "[30>1]" {
			t.Errorf("after quarantine: %s", got)
		}
	})
	t.Run("askers", func(t *testing.T) {
		_, p := repairer(t, 60, RepairConfig{}, 0)
		for i := range uint64(MaxAskers + 1) {
			p.Nack(int64(i), 100+i, 0, gap(i, i+1))
		}
		a := p.Askers(nil)
		if len(a) != MaxAskers || slices.ContainsFunc(a, func(c AskerCounters) bool { return c.Asker == 100 }) {
			t.Errorf("%d askers, the first among them: %+v", len(a), a)
		}
		if got := told(p, ms); got == "" || p.Counters().Unicast != MaxAskers {
			t.Errorf("%s %+v", got, p.Counters())
		}
	})
}

// Goal: the accounts balance, and nothing is sent that was not asked for, whatever is asked.
func TestRepairerAccounts(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		s, p := repairer(t, 30, RepairConfig{Quota: 20_000, QuotaBurst: 50, Work: 10}, 10<<20)
		asked := map[uint64]bool{}
		var out Repairs
		for now := int64(0); now < 50*ms; now += rng.Int64N(200 * us) {
			from := s.Tail() + rng.Uint64N(64)
			gaps := []Gap{{From: from, To: from + rng.Uint64N(4)}, {From: from + 6, To: from + 6 + rng.Uint64N(3)}}
			p.Nack(now, rng.Uint64N(20), rng.Int64N(2*ms), gaps)
			for _, g := range gaps {
				for f := g.From; f < g.To; f++ {
					asked[f] = true
				}
			}
			out.Reset()
			p.Due(now, &out)
			for _, f := range out.Multicast {
				var h wire.Header
				if h.Get(f); !asked[h.Frame] || h.Flags&wire.FlagRepair == 0 {
					t.Fatalf("seed %d: frame %d", seed, h.Frame)
				}
			}
			if rng.IntN(3) == 0 {
				if err := s.Commit(min(s.Items(), s.Tail()+rng.Uint64N(5))); err != nil {
					t.Fatal(err)
				}
				send(t, s, min(rng.IntN(5), 64-int(s.Items()-s.Tail())))
			}
		}
		c := p.Counters()
		if taken := c.Asked - c.Waiting - c.Ignored - c.OverQuota; c.Unicast+c.Multicast > 4*taken || taken == 0 ||
			c.Lacking > 0 {
			t.Errorf("seed %d: %+v", seed, c)
		}
		if p.span.From < p.span.To && p.Next() == Never {
			t.Errorf("seed %d: frames wait, and nothing is due", seed)
		}
	}
}

// A replica answers a peer with what it holds, and says what it trimmed.
func TestReceiverRepairs(t *testing.T) {
	d := digester(t)
	frames := stream(t, d, 20, rand.New(rand.NewPCG(1, 1)))
	in, r := open(t, window64)
	for _, i := range []int{0, 1, 2, 3, 4, 5, 8, 9} {
		in.Frame(frames[i])
	}
	r.Trim(3)
	if w := r.Window(); w != (Gap{From: 3, To: 10}) {
		t.Errorf("window %+v", w)
	}
	repairs, gone := r.Repair(Gap{From: 1, To: 12}, make([][]byte, 0, 4))
	if len(repairs) != 4 || gone != (Gap{From: 1, To: 3}) {
		t.Fatalf("%d repairs, gone %+v", len(repairs), gone)
	}
	o := wire.Opener{Cluster: cluster, Digest: d}
	for i, n := range []uint64{3, 4, 5, 8} {
		var h wire.Header
		if c := o.Open(repairs[i], &h); c != wire.OK || h.Frame != n || h.Flags&wire.FlagRepair == 0 ||
			h.HighWater != 9 {
			t.Errorf("repair %d: %s %+v", i, c, h)
		}
	}
	repairs, gone = r.Repair(Gap{From: 0, To: 2}, repairs[:0])
	if len(repairs) != 0 || gone != (Gap{From: 0, To: 2}) {
		t.Errorf("%d repairs, gone %+v", len(repairs), gone)
	}
	repairs, gone = r.Repair(Gap{From: 30, To: 1 << 61}, repairs[:0])
	if len(repairs) != 0 || gone.From != gone.To {
		t.Errorf("%d repairs, gone %+v", len(repairs), gone)
	}
	in.Frame(frames[6])
	in.Frame(frames[7]) // held frames that were stamped again still pass the mark
	if r.Mark().Frames != 10 {
		t.Errorf("mark %+v", r.Mark())
	}
	var source Source = r
	if _, err := NewRepairer(RepairConfig{}, 63, source, nil); err == nil {
		t.Error("a window of 63 was accepted")
	}
}

func TestRepairingAllocatesNothing(t *testing.T) {
	_, p := repairer(t, 60, RepairConfig{}, 1<<30)
	var out Repairs
	gaps := gap(0, 50)
	now := int64(0)
	round := func() {
		p.Nack(now, 1, ms, gaps)
		p.Nack(now, 2, ms, gaps[:1])
		p.Nack(now, 3, ms, nil)
		now += ms
		p.Due(now, &out)
		out.Reset()
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%g allocations a round", n)
	}
}
