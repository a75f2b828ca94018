package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"metronome/harness/history"
	"metronome/system/client"
	"metronome/system/wire"
)

// Workload is concurrent clients on few keys, each with a connection of its own and one operation at a time.
// Values are never used twice, so that a read names the write it saw.
type Workload struct {
	Addresses []string // of proxies; client i begins with the i-th
	Clients   int
	Keys      int
	Seed      uint64
	Barrier   bool          // reads at a barrier
	Pause     time.Duration // of a client between operations
	Patience  time.Duration // of a client with one operation

	start  time.Time
	cancel context.CancelFunc
	group  sync.WaitGroup
	era    atomic.Int64
	mu     sync.Mutex
	ops    []history.Operation
	conn   int
	gap    time.Duration // the longest time between two answers, to any client
	last   int64
	errs   []error
}

// Start lets the clients begin.
func (w *Workload) Start(ctx context.Context) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.start = time.Now()
	for i := range w.Clients {
		w.group.Go(func() { w.client(ctx, i) })
	}
}

// NextEra lets clients go on with other keys. What is unknown about the old ones burdens the judgement no
// longer: a write whose outcome nobody knows may happen at any later time.
func (w *Workload) NextEra() { w.era.Add(1) }

// Now is the time on the clients' clock, in ns, once they have begun.
func (w *Workload) Now() int64 { return int64(time.Since(w.start)) }

// Stop ends them and returns what they saw.
func (w *Workload) Stop() (*history.History, error) {
	w.cancel()
	w.group.Wait()
	h := &history.History{Operations: w.ops, Start: 1}
	slices.SortStableFunc(h.Operations, func(a, b history.Operation) int { return int(a.Invoked - b.Invoked) })
	return h, errors.Join(w.errs...)
}

// Answered is how many operations have been answered so far.
func (w *Workload) Answered() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.ops {
		if w.ops[i].Outcome == history.Answered {
			n++
		}
	}
	return n
}

// Outage is the longest time in which no client got an answer since the last call.
func (w *Workload) Outage() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	gap := w.gap
	w.gap = 0
	return gap
}

func (w *Workload) client(ctx context.Context, place int) {
	n := place % len(w.Addresses)
	addresses := append(slices.Clone(w.Addresses[n:]), w.Addresses[:n]...)
	rng := rand.New(rand.NewPCG(w.Seed, uint64(place)))
	seen := revisions{}
	for serial := 0; ctx.Err() == nil; {
		c, err := client.Dial(ctx, client.Config{Addresses: addresses, BarrierReads: w.Barrier})
		if err != nil {
			time.Sleep(10 * time.Millisecond) // no proxy is up just now
			continue
		}
		w.mu.Lock()
		w.conn++
		conn := w.conn
		w.mu.Unlock()
		for ctx.Err() == nil {
			serial++
			key := fmt.Sprintf("k%d.%d", w.era.Load(), rng.IntN(w.Keys))
			op := w.operate(ctx, c, rng, key, fmt.Sprintf("%d.%d", place, serial), seen)
			op.Connection = conn
			w.record(op)
			if op.Outcome == history.Unknown {
				break // program order is over with: what comes next gets a connection of its own
			}
			time.Sleep(w.Pause)
		}
		c.Close()
	}
}

// revisions are what a client has last seen, by key.
type revisions map[string]uint64

// operate does one operation and says what came of it.
func (w *Workload) operate(ctx context.Context, c *client.Client, rng *rand.Rand, key, value string,
	seen revisions,
) history.Operation {
	// Stopping must not cut operations off: most would be unknown for no reason.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.Patience)
	defer cancel()
	op := history.Operation{Call: history.Call{Op: wire.OpGet, Key: key}, Returned: history.Never}
	op.Invoked = int64(time.Since(w.start))
	var err error
	switch p := rng.IntN(100); {
	case p < 40:
		err = w.get(ctx, c, &op, seen)
	case p < 75:
		op.Call.Op, op.Call.Value = wire.OpPut, value
		op.Answer.Blind = true
		err = c.Put(ctx, key, []byte(value))
	case p < 95:
		op.Call.Op, op.Call.Value, op.Call.Expect = wire.OpCAS, value, seen[key]
		err = w.cas(ctx, c, &op, seen)
	default:
		op.Call.Op = wire.OpDelete
		err = w.del(ctx, c, &op, seen)
	}
	w.judge(&op, err)
	return op
}

// judge notes how an operation ended. An answer that came in the same nanosecond still came later.
func (w *Workload) judge(op *history.Operation, err error) {
	switch {
	case err == nil:
		op.Outcome = history.Answered
		op.Returned = int64(time.Since(w.start)) + 1
	case client.MayHaveHappened(err):
		op.Outcome = history.Unknown
	case errors.Is(err, client.ErrBusy), errors.Is(err, client.ErrUnavailable),
		errors.Is(err, context.DeadlineExceeded):
		op.Outcome = history.Refused
		op.Returned = int64(time.Since(w.start)) + 1
	default:
		op.Outcome = history.Unknown
		w.mu.Lock()
		w.errs = append(w.errs, fmt.Errorf("%v: %w", op.Call, err))
		w.mu.Unlock()
	}
}

func (w *Workload) get(ctx context.Context, c *client.Client, op *history.Operation, seen revisions) error {
	op.Barrier, op.Retried = w.Barrier, true // a client may repeat a read by itself
	e, err := c.Get(ctx, op.Call.Key)
	if errors.Is(err, client.ErrNotFound) {
		op.Answer.Status = wire.StatusNotFound
		delete(seen, op.Call.Key)
		return nil
	}
	op.Answer = history.Answer{Existed: true, Revision: e.Revision, Value: string(e.Value)}
	if err == nil {
		seen[op.Call.Key] = e.Revision
	}
	return err
}

func (w *Workload) cas(ctx context.Context, c *client.Client, op *history.Operation, seen revisions) error {
	revision, err := c.CAS(ctx, op.Call.Key, op.Call.Expect, []byte(op.Call.Value))
	op.Answer = history.Answer{Revision: revision, Existed: op.Call.Expect != 0}
	var m *client.Mismatch
	if errors.As(err, &m) {
		op.Answer = history.Answer{Status: wire.StatusMismatch, Revision: m.Revision, Existed: m.Revision != 0}
		revision, err = m.Revision, nil
	}
	if err == nil {
		seen[op.Call.Key] = revision
	}
	return err
}

func (w *Workload) del(ctx context.Context, c *client.Client, op *history.Operation, seen revisions) error {
	n, err := c.Delete(ctx, op.Call.Key)
	op.Answer.Existed = n == 1
	if n == 0 {
		op.Answer.Status = wire.StatusNotFound
	}
	delete(seen, op.Call.Key)
	return err
}

func (w *Workload) record(op history.Operation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops = append(w.ops, op)
	if op.Outcome == history.Answered {
		w.gap = max(w.gap, time.Duration(op.Returned-w.last))
		w.last = op.Returned
	}
}

// Judge says whether an order explains what clients saw, and whether anything that was acknowledged is
// missing from it.
func Judge(h *history.History) error {
	f := history.Linearizable(h, history.Budget{Steps: 4_000_000}, nil)
	if f.Verdict != history.Legal {
		return fmt.Errorf("nemesis: history of %d operations is %v: %s", len(h.Operations), f.Verdict, f.What)
	}
	return nil
}
