package kv

import (
	"errors"
	"sync"
)

// preload writes every key once, closed loop, with all connections.
func preload(workers []*worker) error {
	errs := make([]error, len(workers))
	var all sync.WaitGroup
	for i, w := range workers {
		all.Go(func() {
			errs[i] = w.preload(uint64(i), uint64(len(workers)))
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// preload writes the keys first, first+step, … once each. It leaves all batches free.
func (w *worker) preload(first, step uint64) error {
	var failed error
	limit := uint64(w.load.Keys)
	for next := first; next < limit && failed == nil; {
		b, err := w.back()
		if b == nil {
			return err
		}
		failed = err
		w.fillWith(b, &next, step, limit)
		w.send(b)
	}
	idle := make([]*Batch, 0, len(w.batches))
	for w.inFlight > 0 {
		b, err := w.back()
		if b == nil {
			return err
		}
		failed = errors.Join(failed, err)
		idle = append(idle, b)
	}
	for _, b := range idle {
		w.free <- b
	}
	return failed
}

// fillWith makes a batch puts of the keys from *next on.
func (w *worker) fillWith(b *Batch, next *uint64, step, limit uint64) {
	n := 0
	for ; n < len(b.all) && *next < limit; n++ {
		op := &b.all[n]
		op.Read, op.Value = false, op.Value[:w.load.ValueBytes]
		PutKey(op.Key, *next)
		*next += step
	}
	b.Ops = b.all[:n]
}

// back waits for a free batch and returns the error it came back with.
func (w *worker) back() (*Batch, error) {
	select {
	case b := <-w.free:
		if b.sent == 0 {
			return b, nil
		}
		w.inFlight--
		err := b.err
		b.sent, b.err = 0, nil
		return b, err
	case <-w.stopped:
		return nil, errStopped
	}
}
