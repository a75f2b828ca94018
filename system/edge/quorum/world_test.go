package quorum_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/edge"
	"metronome/system/edge/quorum"
	"metronome/system/proxy/resp"
	"metronome/system/proxy/resp/resptest"
	"metronome/system/wire"
)

var quiet = slog.New(slog.DiscardHandler)

// patient bounds every wait; nothing here is timed.
const patient = 3 * time.Minute

// core is the replicated store, without its replication: one state machine behind a proxy.
type core struct {
	t       testing.TB
	address string

	down atomic.Bool // nothing is executed, and everybody is told so

	mu    sync.Mutex
	fault func(*resp.Op) wire.Status // what becomes of an op instead; 0 = it is executed
	after func(*resp.Op) wire.Status // what is answered though it was executed; 0 = the truth
}

func newCore(t testing.TB) *core {
	t.Helper()
	c := &core{t: t}
	store := resptest.New()
	store.Answer = func(op *resp.Op) (wire.Result, bool) {
		if c.down.Load() {
			return wire.Result{Status: wire.StatusUnavailable}, false
		}
		status := c.ask(&c.fault, op)
		return wire.Result{Status: status}, status == 0
	}
	store.After = func(op *resp.Op, r *wire.Result) {
		if status := c.ask(&c.after, op); status != 0 {
			*r = wire.Result{Status: status}
		}
	}
	s := resp.NewServer(store, resp.Options{Limits: resp.Limits{Drain: 50 * time.Millisecond}})
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	c.address = s.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *core) ask(hook *func(*resp.Op) wire.Status, op *resp.Op) wire.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *hook == nil {
		return 0
	}
	return (*hook)(op)
}

func (c *core) set(hook *func(*resp.Op) wire.Status, f func(*resp.Op) wire.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*hook = f
}

// edge opens a store over the core. Its directory outlives it.
func (c *core) edge(dir string, change ...func(*quorum.Config)) *quorum.Store {
	c.t.Helper()
	cfg := quorum.Config{Dir: dir, Addresses: []string{c.address}, MinFree: 1, Poll: 10 * time.Millisecond,
		Patience: time.Minute, Log: quiet}
	for _, f := range change {
		f(&cfg)
	}
	s, err := quorum.Open(c.t.Context(), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { shut(c.t, s) })
	return s
}

func shut(t testing.TB, s *quorum.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func keep(n uint64) func(*quorum.Config) { return func(c *quorum.Config) { c.Keep = n } }

func put(key, value string) edge.Op {
	return edge.Op{Kind: edge.Put, Key: []byte(key), Value: []byte(value), Type: "text/plain"}
}

func must(t testing.TB, s edge.Store, b *edge.Batch) *edge.Outcome {
	t.Helper()
	out, err := s.Apply(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// again applies what may be applied twice, until the core can be reached: for an edge of little patience a
// busy machine is a core that is gone.
func again(t testing.TB, s edge.Store, b *edge.Batch) {
	t.Helper()
	eventually(t, "the core is reached", func() bool {
		_, err := s.Apply(t.Context(), b)
		if err != nil && !errors.Is(err, edge.ErrUnreachable) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// get is what a key holds, "" for nothing.
func get(t testing.TB, s edge.Store, level edge.Level, key string) string {
	t.Helper()
	e, err := s.Get(t.Context(), []byte(key), edge.Read{Level: level})
	if errors.Is(err, edge.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(e.Value)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// same checks that stores hold the same, once all have followed.
func same(t testing.TB, stores ...edge.Store) {
	t.Helper()
	for _, s := range stores {
		_ = get(t, s, edge.Quorum, "-")
	}
	want := stores[0].Status()
	for i, s := range stores {
		if got := s.Status(); got.Revision != want.Revision || got.Digest != want.Digest || got.Keys != want.Keys ||
			got.Incarnation != want.Incarnation {
			t.Errorf("edge %d: %+v, the first: %+v", i, got, want)
		}
	}
}

func sender(device string, epoch, prev, last uint64) *edge.Sender {
	return &edge.Sender{Client: device, Session: "s-" + device, Epoch: epoch, Prev: prev, Last: last,
		Digest: prev<<32 | last}
}

// reading is a batch of a device's numbers, each of which makes a key of its own.
func reading(device string, prev, last uint64) *edge.Batch {
	b := &edge.Batch{Sender: sender(device, 1, prev, last)}
	for seq := prev + 1; seq <= last; seq++ {
		op := put(fmt.Sprintf("%s/%06d", device, seq), fmt.Sprint(seq))
		op.Seq = seq
		op.IfNoneMatch = edge.Condition{Any: true} // a second execution would be refused, and show
		b.Ops = append(b.Ops, op)
	}
	return b
}
