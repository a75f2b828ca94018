package memif

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"metronome/system/packet/dpdk"
)

// numbered are frames that hold their number.
type numbered struct{}

func (numbered) Len() int                 { return 16 }
func (numbered) Put(dst []byte, n uint64) { binary.LittleEndian.PutUint64(dst, n) }

// simPort is a ring that takes what take says and remembers what it got and when.
type simPort struct {
	now   *int64
	take  func(n int) int
	out   []dpdk.Out
	got   []uint64 // frame numbers
	lanes []uint16
	times []int64
	calls []int // burst sizes
	err   error
}

func newSimPort(now *int64, take func(n int) int) *simPort {
	p := &simPort{now: now, take: take, out: make([]dpdk.Out, 512)}
	for i := range p.out {
		p.out[i].Payload = make([]byte, 16)
	}
	return p
}

func (p *simPort) Reserve(n, _ int) ([]dpdk.Out, error) { return p.out[:n], nil }

func (p *simPort) Transmit(n int) (int, error) {
	taken := p.take(n)
	for _, o := range p.out[:taken] {
		p.got = append(p.got, binary.LittleEndian.Uint64(o.Payload))
		p.lanes = append(p.lanes, o.Lane)
		p.times = append(p.times, *p.now)
	}
	p.calls = append(p.calls, n)
	return taken, p.err
}

func all(n int) int { return n }

// sim is a trial on a clock that moves by tick(i) ns at its i-th reading.
type sim struct {
	trial        Trial
	lanes, burst int
	take         func(n int) int
	tick         func(i int) int64
}

func (s sim) run(t *testing.T) (*simPort, Report) {
	t.Helper()
	now, reads := int64(0), 0
	clock := func() int64 {
		now += s.tick(reads)
		reads++
		return now
	}
	p := newSimPort(&now, s.take)
	sender, err := NewSender(p, clock, s.lanes, s.burst)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sender.Run(context.Background(), numbered{}, s.trial)
	if err != nil {
		t.Fatal(err)
	}
	return p, r
}

func every(ns int64) func(int) int64 { return func(int) int64 { return ns } }

func TestFramesLeaveInTheirSlots(t *testing.T) {
	trial := Trial{Rate: 1e6, Start: 5000, Duration: 100 * time.Microsecond}
	p, r := sim{trial, 3, 32, all, every(70)}.run(t)
	if r.Emitted != 100 || r.RingFull != 0 || r.Missed != 0 {
		t.Fatalf("%+v", r)
	}
	for i, n := range p.got {
		slot := trial.Start + int64(i)*1000
		if n != uint64(i) || p.lanes[i] != uint16(i%3) || p.times[i] < slot || p.times[i] >= slot+70 {
			t.Fatalf("frame %d of lane %d at %d; slot %d is at %d", n, p.lanes[i], p.times[i], i, slot)
		}
	}
	if r.First != p.times[0] || r.Last != p.times[99] {
		t.Fatalf("%+v", r)
	}
}

// A refused frame is gone with its number; the next carries the next number.
func TestRingFullIsNotRetried(t *testing.T) {
	half := func(n int) int { return n / 2 }
	trial := Trial{Rate: 1e6, Duration: 100 * time.Microsecond}
	p, r := sim{trial, 1, 32, half, every(4000)}.run(t)
	if r.Emitted+r.Missed != 100 || r.RingFull != r.Emitted-uint64(len(p.got)) || r.RingFull < 40 {
		t.Fatalf("%+v, %d taken", r, len(p.got))
	}
	number, got := 0, p.got
	for _, n := range p.calls {
		for i := range n / 2 {
			if got[i] != uint64(number+i) {
				t.Fatalf("frame %d where %d belongs", got[i], number+i)
			}
		}
		number, got = number+n, got[n/2:]
	}
}

// A sender stopped for a while sends one burst when it wakes, and no number is skipped for what it
// missed.
func TestCatchUpIsBounded(t *testing.T) {
	pause := func(i int) int64 {
		if i == 20 {
			return 500_000
		}
		return 1000
	}
	p, r := sim{Trial{Rate: 1e6, Duration: time.Millisecond}, 1, 16, all, pause}.run(t)
	if r.Emitted+r.Missed != 1000 || r.Missed < 480 || r.Missed > 490 {
		t.Fatalf("%+v", r)
	}
	for i, n := range p.got {
		if n != uint64(i) {
			t.Fatalf("frame %d after %d", n, i)
		}
	}
	for _, n := range p.calls {
		if n > 16 {
			t.Fatalf("a burst of %d", n)
		}
	}
}

func TestNothingLeavesOutsideTheTrial(t *testing.T) {
	trial := Trial{Start: 10_000, Duration: 50 * time.Microsecond}
	p, r := sim{trial, 1, 32, all, every(900)}.run(t)
	if len(p.got) == 0 || r.Missed != 0 {
		t.Fatalf("%+v", r)
	}
	for _, at := range p.times {
		if at < 10_000 || at >= 60_000 {
			t.Fatalf("a frame left at %d", at)
		}
	}
	for _, n := range p.calls {
		if n != 32 {
			t.Fatalf("at the maximum a burst of %d", n)
		}
	}
}

// What a sender that sleeps through the end did not get to is missed.
func TestSleepingThroughTheEnd(t *testing.T) {
	jump := func(i int) int64 {
		if i == 10 {
			return 10_000_000
		}
		return 1000
	}
	_, r := sim{Trial{Rate: 1e6, Duration: time.Millisecond}, 1, 16, all, jump}.run(t)
	if r.Emitted+r.Missed != 1000 || r.Emitted > 20 {
		t.Fatalf("%+v", r)
	}
}

func TestRunStops(t *testing.T) {
	now := int64(0)
	clock := func() int64 { now += 100; return now }
	ctx, cancel := context.WithCancel(context.Background())
	p := newSimPort(&now, func(n int) int {
		if now > 50_000 {
			cancel()
		}
		return n
	})
	s, err := NewSender(p, clock, 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	trial := Trial{Rate: 1e6, Duration: time.Hour}
	r, err := s.Run(ctx, numbered{}, trial)
	if !errors.Is(err, context.Canceled) || r.Emitted < 40 || r.Emitted > 60 {
		t.Fatalf("%+v %v", r, err)
	}
	if r, err := s.Run(ctx, numbered{}, Trial{Start: 1 << 60}); err == nil || r.Emitted != 0 {
		t.Fatalf("cancelled before the start: %+v %v", r, err)
	}
	p.err = errors.New("cable cut")
	r, err = s.Run(context.Background(), numbered{}, trial)
	if !errors.Is(err, p.err) || r.Emitted == 0 {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestNewSenderRefuses(t *testing.T) {
	for _, c := range [][2]int{{0, 32}, {1<<16 + 1, 32}, {1, 0}, {1, 513}} {
		if _, err := NewSender(nil, nil, c[0], c[1]); err == nil {
			t.Errorf("%d lanes, bursts of %d", c[0], c[1])
		}
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	now := int64(0)
	p := newSimPort(&now, func(int) int { return 0 })
	s, err := NewSender(p, func() int64 { now += 1000; return now }, 4, 32)
	if err != nil {
		t.Fatal(err)
	}
	p.calls = make([]int, 0, 1<<20)
	run := func(d time.Duration) float64 {
		return testing.AllocsPerRun(5, func() {
			s.Run(context.Background(), numbered{}, Trial{Rate: 1e6, Start: now, Duration: d})
		})
	}
	if short, long := run(time.Millisecond), run(10*time.Millisecond); long > short {
		t.Errorf("%v allocations in 1 ms, %v in 10 ms", short, long)
	}
}

// The clock reads what the kernel would answer, to the width of a reading.
func TestClockIsMonotonic(t *testing.T) {
	clock, err := NewClock()
	if err != nil {
		t.Fatal(err)
	}
	kernel := func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		return ts.Nano()
	}
	const slack = int64(time.Millisecond) // calibration happened in some bracket
	for range 1000 {
		before, ours, after := kernel(), clock(), kernel()
		if ours < before-slack || ours > after+slack {
			t.Fatalf("%d is not between %d and %d", ours, before, after)
		}
	}
}
