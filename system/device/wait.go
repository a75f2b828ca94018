package device

import (
	"context"
	"fmt"
	"time"

	"metronome/system/device/queue"
)

// maxWaiters bounds how many calls wait for marks at once.
const maxWaiters = 1 << 16

// waiter is a call that waits for a mark beyond Local.
type waiter struct {
	number  uint64
	mark    queue.Mark
	all     bool       // waits for what is before, too
	done    chan error // buffered
	receipt Receipt
}

// Wait waits until the operation has reached a mark. What it waits for beyond Local is sent at
// once, and not displaced any more. An error says that the mark will not be reached, but for the
// context's.
func (d *Device) Wait(ctx context.Context, number uint64, mark queue.Mark) (Receipt, error) {
	return d.await(ctx, number, mark, false)
}

// await waits; announced says that the core was told already.
func (d *Device) await(ctx context.Context, number uint64, mark queue.Mark, announced bool) (Receipt, error) {
	local := Receipt{Number: number, Mark: queue.Local.String()}
	err := d.log.Wait(ctx, number)
	if mark == queue.Local {
		return local, err
	}
	if !announced {
		d.announce(number, mark)
	}
	defer d.leave(number, mark)
	if err != nil {
		return Receipt{Number: number}, err
	}
	w := &waiter{number: number, mark: mark, done: make(chan error, 1),
		receipt: Receipt{Number: number, Mark: mark.String()}}
	if err := d.linger(ctx, w); err != nil {
		return local, err
	}
	return w.receipt, nil
}

func (d *Device) announce(number uint64, mark queue.Mark) {
	d.mu.Lock()
	d.core.Await(d.now(), number, mark)
	d.mu.Unlock()
}

func (d *Device) leave(number uint64, mark queue.Mark) {
	d.mu.Lock()
	d.core.Leave(number, mark)
	d.mu.Unlock()
}

// linger waits until the waiter is told.
func (d *Device) linger(ctx context.Context, w *waiter) error {
	if err := d.register(w); err != nil {
		return err
	}
	d.wake()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
	}
	d.mu.Lock()
	delete(d.waiters, w)
	d.mu.Unlock()
	return fmt.Errorf("device: number %d is durable here and has not reached %v yet: %w", w.number, w.mark,
		context.Cause(ctx))
}

func (d *Device) register(w *waiter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case w.number > d.core.Last():
		return fmt.Errorf("%w: there is no number %d yet", ErrInput, w.number)
	case len(d.waiters) >= maxWaiters:
		return fmt.Errorf("%w: %d calls wait already", ErrFull, maxWaiters)
	}
	d.waiters[w] = struct{}{}
	d.settle(w)
	return nil
}

// settle tells a waiter if its mark is reached or never will be. The caller holds mu.
func (d *Device) settle(w *waiter) {
	reached, err := d.core.Reached(w.number, w.mark)
	if w.all {
		reached, err = d.core.Flushed(w.number, w.mark)
	}
	switch {
	case d.err != nil:
		err = d.err
	case err == nil && !reached && d.core.Stopped() == queue.StopFenced:
		err = ErrFenced
	case err == nil && !reached:
		return
	}
	delete(d.waiters, w)
	w.done <- err
}

// serve looks at all waiters. The caller holds mu.
func (d *Device) serve() {
	for w := range d.waiters {
		d.settle(w)
	}
}

// inform notes, for those who wait, what an accepted request did. The caller holds mu.
func (d *Device) inform(b *queue.Batch, results []queue.Result) {
	if b == nil || len(d.waiters) == 0 {
		return
	}
	revisions := make(map[uint64]uint64, len(results))
	for _, r := range results {
		revisions[r.Number] = r.Revision
	}
	for w := range d.waiters {
		if by, skipped := b.Superseded[w.number]; skipped {
			w.receipt.Superseded = max(by, w.number)
		}
		if revision, ok := revisions[w.number]; ok {
			w.receipt.Revision = revision
		}
	}
}

// Flush waits until all that was enqueued before has reached a mark. Operations that were refused,
// or gave way, are passed over: [Device.DeadLetters] and the counters tell of them. Before a mark beyond
// Local counts, an edge is asked once in the life of this store: it may have been restored since the last.
func (d *Device) Flush(ctx context.Context, mark queue.Mark) error {
	last := d.newest()
	if last == 0 {
		return nil
	}
	if err := d.log.Wait(ctx, last); err != nil || mark == queue.Local {
		return err
	}
	d.announce(last, mark)
	defer d.leave(last, mark)
	return d.linger(ctx, &waiter{number: last, mark: mark, all: true, done: make(chan error, 1)})
}

// Room waits until an eighth of the queue is free, or the largest operation fits: for callers that
// want to wait when it is full.
func (d *Device) Room(ctx context.Context) error {
	for {
		d.mu.Lock()
		room, err, fits := d.room, d.err, d.core.Admit(min(queue.MaxValue, int(d.cfg.MaxBytes/8)))
		if d.lowDisk {
			d.lookAtDisk()
		}
		low := d.lowDisk
		d.mu.Unlock()
		if err != nil || fits && !low {
			return err
		}
		select {
		case <-room:
		case <-time.After(time.Second): // the disk's free space tells nobody when it grows
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// renewRoom wakes those who wait for room. The caller holds mu.
func (d *Device) renewRoom() {
	close(d.room)
	d.room = make(chan struct{})
}
