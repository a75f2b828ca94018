package kv

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a store whose service takes as long as it is told. It runs under synctest, where time is made
// up, so that figures are exact.
type fake struct {
	begin   time.Time
	service func(since time.Duration, b *Batch) time.Duration
	answer  func(b *Batch) (int, error) // nil: all is well
	mu      sync.Mutex
	ops     uint64
	keys    map[string]int
}

func (f *fake) Connect(_ context.Context, _ int, l Load) (Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begin.IsZero() {
		f.begin = time.Now().Add(lead)
		f.keys = map[string]int{}
	}
	return Sync(l.Outstanding, f.do), nil
}

func (f *fake) do(ctx context.Context, b *Batch) (int, error) {
	f.mu.Lock()
	f.ops += uint64(len(b.Ops))
	for _, op := range b.Ops {
		f.keys[string(op.Key)]++
	}
	f.mu.Unlock()
	t := time.NewTimer(f.service(time.Since(f.begin), b))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if f.answer != nil {
		return f.answer(b)
	}
	return len(b.Ops), nil
}

// always takes d for everything.
func always(d time.Duration) func(time.Duration, *Batch) time.Duration {
	return func(time.Duration, *Batch) time.Duration { return d }
}

// small is a load of one second without warm-up.
func small(change func(*Load)) Load {
	l := Default()
	l.WarmupNS, l.WindowNS, l.DrainNS, l.IntervalNS, l.Keys = 0, 1e9, 2e9, 1e8, 1000
	if change != nil {
		change(&l)
	}
	return l
}

// offer runs a load in made-up time.
func offer(t *testing.T, f *fake, l Load, check func(t *testing.T, r *Result)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := Run(t.Context(), f, l, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Balance(); err != nil {
			t.Error(err)
		}
		if h, err := r.Histogram(); err != nil || h.TotalCount() != r.Latency.Count {
			t.Errorf("the encoded histogram: %v", err)
		}
		check(t, r)
	})
}

// near fails unless got lies within a share of want.
func near[N int64 | uint64 | float64](t *testing.T, what string, got, want N, share float64) {
	t.Helper()
	if g, w := float64(got), float64(want); g < w*(1-share) || g > w*(1+share) {
		t.Errorf("%s is %v, want %v within %g %%", what, got, want, 100*share)
	}
}

// A store that stands still for 300 ms owes an answer to everything that would have been sent meanwhile,
// not only to what happened to be in flight (coordinated omission).
func TestAStallIsChargedToEverythingDueInIt(t *testing.T) {
	stall := func(since time.Duration, _ *Batch) time.Duration {
		if since >= 300*time.Millisecond && since < 600*time.Millisecond {
			return 600*time.Millisecond - since
		}
		return time.Millisecond / 2
	}
	l := small(func(l *Load) { l.RateOPS, l.Outstanding = 1000, 4 })
	offer(t, &fake{service: stall}, l, func(t *testing.T, r *Result) {
		if r.Due != 1000 || r.Answered != 1000 {
			t.Errorf("due %d, answered %d, want 1000 of each", r.Due, r.Answered)
		}
		h, err := r.Histogram()
		if err != nil {
			t.Fatal(err)
		}
		slow := int64(0)
		for _, b := range h.Distribution() {
			if b.From >= 100e6 {
				slow += b.Count
			}
		}
		// Due in the stall's first 200 ms, and somewhat more for the backlog after it.
		if slow < 200 || slow > 250 {
			t.Errorf("%d operations waited 100 ms or more, want 200 to 250", slow)
		}
		near(t, "the longest latency", r.Latency.MaxNS, 300e6, 0.01)
		// What was really sent into the stall is four operations: that is what omission would show.
		if r.Service.P99NS > 1e6 {
			t.Errorf("p99 of the service is %d ns", r.Service.P99NS)
		}
	})
}

func TestAClosedLoopKeepsAllBatchesInFlight(t *testing.T) {
	l := small(func(l *Load) { l.Connections, l.Outstanding, l.Batch, l.ReadRatio = 2, 3, 5, 0.5 })
	offer(t, &fake{service: always(time.Millisecond)}, l, func(t *testing.T, r *Result) {
		near(t, "the rate", r.AchievedOPS, 2*3*5*1000, 0.01)
		near(t, "p50", r.Latency.P50NS, 1e6, 0.001)
		near(t, "p99.9", r.Latency.P999NS, 1e6, 0.001)
		near(t, "the count of reads", r.Reads.Count, r.Latency.Count/2, 0.05)
		if r.Reads.Count+r.Writes.Count != r.Latency.Count || r.Censored != 0 {
			t.Errorf("%d reads and %d writes of %d, %d censored", r.Reads.Count, r.Writes.Count,
				r.Latency.Count, r.Censored)
		}
	})
}

func TestAnOpenLoopKeepsItsRate(t *testing.T) {
	for _, arrivals := range []string{Constant, Poisson} {
		l := small(func(l *Load) {
			l.RateOPS, l.Arrivals, l.Connections, l.Outstanding, l.Batch = 20_000, arrivals, 4, 64, 16
		})
		offer(t, &fake{service: always(time.Millisecond)}, l, func(t *testing.T, r *Result) {
			if arrivals == Constant && r.Due != 20_000 {
				t.Errorf("%d operations due, want exactly 20000", r.Due)
			}
			near(t, arrivals+": due", r.Due, 20_000, 0.05) // 7 standard deviations
			near(t, arrivals+": p50", r.Latency.P50NS, 1e6, 0.001)
			near(t, arrivals+": p99", r.Latency.P99NS, 1e6, 0.001)
		})
	}
}

// Offered twice what the store can take, half of it waits at the window's end. The backlog is worked off
// for half the drain; what is left stays in the counts, and in the distribution as a lower bound.
func TestOverloadIsCensored(t *testing.T) {
	l := small(func(l *Load) { l.RateOPS, l.DrainNS = 2000, 400e6 })
	offer(t, &fake{service: always(time.Millisecond)}, l, func(t *testing.T, r *Result) {
		near(t, "the rate", r.AchievedOPS, 1000, 0.01)
		near(t, "unsent", r.Unsent, 800, 0.01)
		if r.Censored != r.Unsent || r.Latency.Count != 2000 {
			t.Errorf("%d censored, %d in the histogram", r.Censored, r.Latency.Count)
		}
		near(t, "the longest latency", r.Latency.MaxNS, 600e6, 0.01) // the next to be sent
	})
}

func TestBacklogGoesOutInBatches(t *testing.T) {
	l := small(func(l *Load) { l.RateOPS, l.Batch = 10_000, 64 })
	offer(t, &fake{service: always(time.Millisecond)}, l, func(t *testing.T, r *Result) {
		if r.Answered != 10_000 {
			t.Errorf("answered %d of 10000", r.Answered)
		}
		// At most the rest of the batch before, and its own.
		if r.Latency.MaxNS > 2.1e6 {
			t.Errorf("the longest latency is %d ns", r.Latency.MaxNS)
		}
	})
}

func TestTheWarmUpIsCut(t *testing.T) {
	slowStart := func(since time.Duration, _ *Batch) time.Duration {
		if since < 500*time.Millisecond {
			return 50 * time.Millisecond
		}
		return time.Millisecond
	}
	l := small(func(l *Load) { l.WarmupNS = 1e9 })
	offer(t, &fake{service: slowStart}, l, func(t *testing.T, r *Result) {
		near(t, "the longest latency", r.Latency.MaxNS, 1e6, 0.001)
		near(t, "answered", r.Answered, 1000, 0.01)
		if n := len(r.Series); n != 20 && n != 21 {
			t.Fatalf("%d intervals, want the warm-up's and the window's", n)
		}
		near(t, "the first interval", r.Series[0].MaxNS, 50e6, 0.02)
		near(t, "the last interval", r.Series[19].MaxNS, 1e6, 0.02)
		near(t, "completed in the last interval", r.Series[19].Completed, 100, 0.02)
	})
}

func TestWhatIsNeverAnsweredIsCounted(t *testing.T) {
	lost := func(since time.Duration, _ *Batch) time.Duration {
		if since >= 500*time.Millisecond {
			return time.Hour
		}
		return time.Millisecond
	}
	l := small(func(l *Load) { l.RateOPS, l.Outstanding = 1000, 10 })
	offer(t, &fake{service: lost}, l, func(t *testing.T, r *Result) {
		// All ten slots are lost one by one; nothing can be sent after that.
		if r.Answered != 500 || r.Unanswered != 10 || r.Unsent != 490 {
			t.Errorf("answered %d, unanswered %d, unsent %d", r.Answered, r.Unanswered, r.Unsent)
		}
		near(t, "the longest latency", r.Latency.MaxNS, 2500e6, 0.01) // of the first: window's end and drain
	})
}

func TestErrorsAreClassed(t *testing.T) {
	n := 0
	answer := func(b *Batch) (int, error) {
		n++
		switch n % 4 {
		case 0:
			return 0, errors.Join(errors.New("try later"), ErrBusy)
		case 1:
			return 3, errors.New("half of it failed") // of 4
		}
		return len(b.Ops), nil
	}
	l := small(func(l *Load) { l.Batch = 4 })
	offer(t, &fake{service: always(time.Millisecond), answer: answer}, l, func(t *testing.T, r *Result) {
		near(t, "busy", r.Busy, r.Due/4, 0.02)
		near(t, "failed", r.Failed, r.Due/16, 0.02)
		if r.Latency.Count != int64(r.Answered) {
			t.Errorf("%d latencies of %d answers", r.Latency.Count, r.Answered)
		}
		if len(r.Errors) != 2 {
			t.Errorf("errors: %q", r.Errors)
		}
	})
}

// A store that refuses everything at once must not make a closed loop spin.
func TestRefusalsAreNotHammered(t *testing.T) {
	f := &fake{service: always(0), answer: func(*Batch) (int, error) { return 0, ErrBusy }}
	offer(t, f, small(nil), func(t *testing.T, r *Result) {
		near(t, "busy", r.Busy, 1000, 0.02) // one a millisecond
	})
}

func TestPreloadWritesEveryKeyOnce(t *testing.T) {
	l := small(func(l *Load) {
		l.Preload, l.Connections, l.Outstanding, l.Batch, l.Keys, l.ReadRatio = true, 3, 2, 7, 1000, 1
		l.WindowNS = 1
	})
	f := &fake{service: always(time.Millisecond)}
	offer(t, f, l, func(t *testing.T, _ *Result) {
		for i := range uint64(1000) {
			key := make([]byte, l.KeyBytes)
			if PutKey(key, i); f.keys[string(key)] == 0 {
				t.Fatalf("key %s was not written", key)
			}
		}
		if extra := f.ops - 1000; extra > 3*2*7 {
			t.Errorf("%d operations more than keys", extra)
		}
	})
}

func TestPreloadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{service: always(0), answer: func(*Batch) (int, error) { return 0, errors.New("no room") }}
		_, err := Run(t.Context(), f, small(func(l *Load) { l.Preload = true }), nil)
		if err == nil || !strings.Contains(err.Error(), "no room") {
			t.Errorf("error %v", err)
		}
	})
}

func TestCancelEndsARun(t *testing.T) {
	for name, preload := range map[string]bool{"load": false, "preload": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(200*time.Millisecond, cancel)
				begin := time.Now()
				f := &fake{service: always(time.Hour)}
				l := small(func(l *Load) { l.WindowNS, l.IntervalNS, l.Preload = 100e9, 1e9, preload })
				if _, err := Run(ctx, f, l, nil); err == nil {
					t.Error("no error")
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// unreachable has one connection and no second.
type unreachable struct{ closed *bool }

func (u unreachable) Connect(_ context.Context, i int, _ Load) (Conn, error) {
	if i > 0 {
		return nil, errors.New("refused")
	}
	return u, nil
}
func (u unreachable) Send(*Batch)  {}
func (u unreachable) Close() error { *u.closed = true; return nil }

func TestConnectionsAreClosedAfterAFailure(t *testing.T) {
	closed := false
	l := small(func(l *Load) { l.Connections = 2 })
	if _, err := Run(t.Context(), unreachable{&closed}, l, nil); err == nil || !closed {
		t.Errorf("error %v, closed %t", err, closed)
	}
}

func TestAnAnswerTooManyIsABug(t *testing.T) {
	w := newWorker(t.Context(), small(nil), 0, nil, nil, func() int64 { return 0 })
	defer func() {
		if recover() == nil {
			t.Error("a second answer went unnoticed")
		}
	}()
	w.batches[0].Done(1, nil)
}
