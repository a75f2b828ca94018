package kv

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// ErrBusy is wrapped by a driver's error when the store said that the operation was definitely not
// executed and may be tried again.
var ErrBusy = errors.New("the store is busy")

// Op is one operation: a get if Read, else a put.
type Op struct {
	Read  bool
	Key   []byte
	Value []byte // empty for a get
}

// Batch is operations that go to a store together: a pipeline, a transaction, one command of a log. Its
// memory is the driver's from Send to Done and is used again afterwards.
type Batch struct {
	Ops []Op

	all    []Op
	due    []int64 // intended time of each
	sent   int64   // 0: never
	at     int64   // of the answer
	ok     int
	err    error
	flying atomic.Bool
	owner  *worker
}

// Done says that the first ok operations of the batch were executed and answered, and, if those are not
// all, why. It must be called exactly once for each Send, from any goroutine; it never blocks.
func (b *Batch) Done(ok int, err error) {
	if !b.flying.CompareAndSwap(true, false) {
		panic("kv: the driver answered a batch that is not in flight")
	}
	if err == nil && ok < len(b.Ops) {
		err = errors.New("the driver gave no reason")
	}
	b.at, b.ok, b.err = b.owner.now(), min(ok, len(b.Ops)), err
	b.owner.free <- b
}

// Target is a store under load.
type Target interface {
	// Connect opens connection i, 0 ≤ i < l.Connections, for at most l.Outstanding batches of at
	// most l.Batch operations in flight.
	Connect(ctx context.Context, i int, l Load) (Conn, error)
}

// Conn is one connection. One goroutine uses it.
type Conn interface {
	// Send starts a batch of at least one operation and does not wait for the answer, which goes to
	// b.Done, also when sending fails. It may block for as long as a local buffer is full.
	Send(b *Batch)
	// Close ends the connection. Batches in flight are answered, with an error, before it returns.
	Close() error
}

// Sync makes a connection of a client that only has calls which wait: calls goroutines, each with one
// batch at a time. Cancelling the context given to do must end it.
func Sync(calls int, do func(ctx context.Context, b *Batch) (ok int, err error)) Conn {
	ctx, cancel := context.WithCancel(context.Background())
	s := &synchronous{batches: make(chan *Batch, calls), cancel: cancel}
	for range calls {
		s.calls.Go(func() {
			for b := range s.batches {
				b.Done(do(ctx, b))
			}
		})
	}
	return s
}

type synchronous struct {
	batches chan *Batch
	cancel  context.CancelFunc
	calls   sync.WaitGroup
}

// Send implements [Conn].
func (s *synchronous) Send(b *Batch) { s.batches <- b }

// Close implements [Conn].
func (s *synchronous) Close() error {
	s.cancel()
	close(s.batches)
	s.calls.Wait()
	return nil
}
