package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/client"
	"metronome/system/proxy/resp"
	"metronome/system/proxy/resp/resptest"
	"metronome/system/wire"
)

// Every write of a session is executed exactly once although proxies come and go, refuse, and lose
// answers: the counter ends at the number of increments, and each increment saw a sum of its own.
func TestSessionIsExactlyOnce(t *testing.T) {
	const workers, each = 8, 60
	store := resptest.New()
	rng := rand.New(rand.NewPCG(11, 11)) // used under the store's lock
	var refused, lost atomic.Int64
	store.Answer = func(op *resp.Op) (wire.Result, bool) {
		if !op.Item.HasSession || rng.IntN(100) >= 15 {
			return wire.Result{}, true
		}
		refused.Add(1)
		statuses := []wire.Status{wire.StatusBusy, wire.StatusUnavailable, wire.StatusSessionAhead}
		return wire.Result{Status: statuses[rng.IntN(len(statuses))]}, false
	}
	store.After = func(op *resp.Op, r *wire.Result) {
		if op.Item.HasSession && rng.IntN(100) < 15 {
			lost.Add(1)
			*r = wire.Result{Status: wire.StatusUnknown}
		}
	}
	a, b := newProxy(t, store, resp.Options{}), newProxy(t, store, resp.Options{})
	db := connect(t, client.Config{RetryMax: 5 * time.Millisecond, SessionWindow: 5}, a, b)
	ctx := patient(t)
	s, err := db.OpenSession(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var chaos, all sync.WaitGroup
	chaos.Go(func() {
		for turn := 0; ; turn++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			p := []*proxy{a, b}[turn%2]
			p.stop()
			p.start()
		}
	})
	var seen sync.Map
	for range workers {
		all.Go(func() {
			for range each {
				n, err := s.Incr(ctx, "n", 1)
				if _, twice := seen.LoadOrStore(n, true); err != nil || twice {
					t.Errorf("Incr: %d, seen before %t, %v", n, twice, err)
					return
				}
			}
		})
	}
	all.Wait()
	close(stop)
	chaos.Wait()
	e, err := db.Get(ctx, "n")
	if string(e.Value) != strconv.Itoa(workers*each) || err != nil {
		t.Errorf("the counter is %s, want %d: %v", e.Value, workers*each, err)
	}
	t.Logf("%d refused, %d answers lost", refused.Load(), lost.Load())
	if refused.Load() == 0 || lost.Load() == 0 {
		t.Error("the test did not test")
	}
}

// All writes work in a session, and a mismatch in one is an answer like any other.
func TestSessionOperations(t *testing.T) {
	db := connect(t, client.Config{}, newProxy(t, resptest.New(), resp.Options{}))
	ctx := patient(t)
	s, err := db.OpenSession(ctx)
	if err != nil || s.ID() == 0 {
		t.Fatal(err)
	}
	err1 := s.Put(ctx, "a", []byte("x"))
	length, err2 := s.Append(ctx, "a", []byte("yz"))
	revision, err3 := s.CAS(ctx, "b", 0, nil)
	_, err4 := s.CAS(ctx, "b", revision+100, nil)
	err5 := s.MSet(ctx, client.Entry{Key: "c"}, client.Entry{Key: "d"})
	n, err6 := s.Delete(ctx, "c", "d", "e")
	if length != 3 || revision == 0 || !errors.Is(err4, client.ErrMismatch) || n != 2 ||
		errors.Join(err1, err2, err3, err5, err6) != nil {
		t.Error(length, revision, n, err1, err2, err3, err4, err5, err6)
	}
}

// A session's write that runs out of time says whether it was sent, and if the store forgets the
// session, whether an earlier sending may count.
func TestSessionErrors(t *testing.T) {
	for _, c := range []struct {
		first, then wire.Status
		want        error
		maybe       bool
	}{
		{wire.StatusUnknown, wire.StatusUnknown, client.ErrUnknown, true},
		{wire.StatusBusy, wire.StatusBusy, client.ErrUnavailable, false},
		{wire.StatusUnknown, wire.StatusSessionUnknown, client.ErrUnknown, true},
		{wire.StatusUnknown, wire.StatusSessionUnknown, client.ErrSessionLost, true},
		{wire.StatusBusy, wire.StatusSessionUnknown, client.ErrSessionLost, false},
		{wire.StatusUnknown, wire.StatusResultGone, client.ErrResultGone, true},
		{wire.StatusUnknown, wire.StatusBusy, client.ErrUnknown, true},
		{wire.StatusUnknown, wire.StatusRefused, client.ErrUnknown, true},
		{wire.StatusBusy, wire.StatusRefused, nil, false},
		{wire.StatusUnknown, wire.StatusNotInteger, nil, false},
	} {
		t.Run(fmt.Sprintf("%d,%d", c.first, c.then), func(t *testing.T) {
			err := sessionError(t, c.first, c.then)
			for range 100 { // a sending that was under way when the time was up may have happened, too
				if c.maybe || !client.MayHaveHappened(err) {
					break
				}
				err = sessionError(t, c.first, c.then)
			}
			var refused *client.ServerError
			as := errors.Is(err, c.want)
			if c.want == nil {
				as = errors.As(err, &refused)
			}
			if !as || client.MayHaveHappened(err) != c.maybe {
				t.Errorf("%v; want %v, may have happened %t", err, c.want, c.maybe)
			}
		})
	}
}

// sessionError is what becomes of a session's write that is answered so first, and then on and on until
// its time is up, unless it ends before.
func sessionError(t *testing.T, first, then wire.Status) error {
	t.Helper()
	store := resptest.New()
	var sent atomic.Int64
	store.Answer = func(op *resp.Op) (wire.Result, bool) {
		if !op.Item.HasSession {
			return wire.Result{}, true
		}
		if sent.Add(1) == 1 {
			return wire.Result{Status: first}, false
		}
		return wire.Result{Status: then}, false
	}
	db := connect(t, client.Config{}, newProxy(t, store, resp.Options{}))
	s, err := db.OpenSession(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	return s.Put(until(t, func() bool { return sent.Load() > 2 }), "k", nil) // two were answered
}

// A write given up is settled: once the low mark has passed it, the store refuses it for good, and the
// session's window moves on.
func TestSessionGivesUp(t *testing.T) {
	store := newStuck()
	var mu sync.Mutex
	var lows []uint64
	store.Answer = func(op *resp.Op) (wire.Result, bool) {
		mu.Lock()
		defer mu.Unlock()
		if op.Item.HasSession {
			lows = append(lows, op.Item.Low)
		}
		return wire.Result{}, true
	}
	db := connect(t, client.Config{SessionWindow: 1}, newProxy(t, store, resp.Options{}))
	opened := make(chan struct{})
	var answers sync.WaitGroup
	answers.Go(func() {
		for {
			select {
			case <-opened:
				return
			case <-time.After(time.Millisecond):
				store.answer()
			}
		}
	})
	s, err := db.OpenSession(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	close(opened)
	answers.Wait()
	for n := range 2 {
		sent := until(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(lows) > n
		})
		if err := s.Put(sent, "k", nil); !errors.Is(err, client.ErrUnknown) {
			t.Errorf("a write without answer: %v", err)
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Put(ended, "k", nil); client.MayHaveHappened(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("a write that never left: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(lows) != "[1 2]" {
		t.Errorf("low marks %v, want [1 2]", lows)
	}
}
