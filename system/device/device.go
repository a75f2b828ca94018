package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"metronome/system/device/queue"
)

// Errors for errors.Is. Those of queue are part of this API: [ErrFull], [ErrMarkUnavailable],
// [ErrRefused], [ErrDropped].
var (
	// ErrFull: not enqueued, because a bound is reached. Trying again helps once the edge was reached,
	// or at once if the disk was only slow; the text says which bound it is.
	ErrFull = queue.ErrFull
	// ErrMarkUnavailable: this edge cannot give the mark waited for. The operation is in the queue.
	ErrMarkUnavailable = queue.ErrMarkUnavailable
	// ErrRefused: the edge will never execute the operation; it is a dead letter.
	ErrRefused = queue.ErrRefused
	// ErrDropped: the operation gave way when the queue was full, as Rules.DropOldest allows.
	ErrDropped = queue.ErrDropped
	// ErrUnreachable: no edge answers, and the key is neither in the queue nor among the last seen.
	ErrUnreachable = errors.New("device: no edge answers and nothing is known of the key")
	// ErrNotFound: the key has no value.
	ErrNotFound = errors.New("device: no such key")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("device: closed")
	// ErrInput: the operation makes no sense. Nothing was enqueued.
	ErrInput = errors.New("device: operation")
	// ErrFenced: a later life or a copy of this directory took over.
	ErrFenced = errors.New("device: another copy of this directory has written under the same identity")
)

// Device is an open store. Its methods may be called by any number of goroutines.
type Device struct {
	cfg    Config
	lock   io.Closer
	log    opLog
	sequel sequel // the sender's
	remote *remote
	seen   *seenCache
	dead   *deadLetters
	start  time.Time
	report Report

	ctx    context.Context // ends when the store closes
	cancel context.CancelFunc
	done   chan struct{} // closed when the sender has ended
	kick   chan struct{}

	client string
	idMu   sync.Mutex // held while the identity is written
	id     *identity

	mu       sync.Mutex
	core     *queue.Core
	scratch  []byte
	waiters  map[*waiter]struct{}
	room     chan struct{} // closed and renewed when there may be room again
	err      error         // why the store cannot go on
	appended int64         // bytes since the free space was last looked at
	lowDisk  bool
	noted    int64      // when the last note was written
	notedAt  queue.Note // what it said
	once     sync.Once  // Close
	closeErr error
}

// Write is one operation to enqueue.
type Write struct {
	Key    string
	Value  []byte // of a put; copied
	Delete bool
	// If makes it conditional: IfMatch with Revision, IfAbsent, IfPresent. What the edge finds then
	// decides; an operation whose condition fails becomes a dead letter.
	If       queue.Condition
	Revision uint64
}

// Receipt says how far an operation has come.
type Receipt struct {
	// Number is the operation's place in the queue and, with client and session, its identity.
	Number uint64 `json:"number"`
	// Mark is what was waited for and reached.
	Mark string `json:"mark"`
	// Revision of the key after it, if the edge said so; for If and Revision of a later Write.
	Revision uint64 `json:"revision,omitempty"`
	// Superseded is set if the operation was skipped because another overwrote it: its number, or the
	// operation's own if that one is in a later request.
	Superseded uint64 `json:"superseded_by,omitempty"`
}

func (d *Device) now() int64 { return int64(time.Since(d.start)) }

// Put makes a put durable on this device. It waits for the local disk, never for a network.
func (d *Device) Put(ctx context.Context, key string, value []byte) (Receipt, error) {
	return d.Do(ctx, Write{Key: key, Value: value}, queue.Local)
}

// Delete makes a delete durable on this device.
func (d *Device) Delete(ctx context.Context, key string) (Receipt, error) {
	return d.Do(ctx, Write{Key: key, Delete: true}, queue.Local)
}

// Do enqueues an operation and waits until it has reached a mark.
func (d *Device) Do(ctx context.Context, w Write, mark queue.Mark) (Receipt, error) {
	number, err := d.enqueue(&w, mark)
	for turn := (waiting{}); turn.worth(err); {
		if err := d.catchUp(ctx, &turn); err != nil {
			return Receipt{}, err
		}
		number, err = d.enqueue(&w, mark)
	}
	if err != nil {
		return Receipt{}, err
	}
	return d.await(ctx, number, mark, true)
}

// How long somebody who waits for the disk tries again before it is called full: when it says that it is, it
// may only be about to free what is not needed any more; when it is merely slow, however slow.
const (
	fullFor   = time.Second
	behindFor = time.Minute
)

// waiting is somebody who waits for the disk.
type waiting struct {
	tries int
	since time.Time
}

// worth counts a refusal, and reports whether it is worth waiting for the disk.
func (w *waiting) worth(refusal error) bool {
	limit := behindFor
	if !errors.Is(refusal, errBehind) {
		limit = fullFor
		if !errors.Is(refusal, errNoRoom) {
			return false
		}
	}
	if w.tries++; w.tries == 1 {
		w.since = time.Now()
	}
	return time.Since(w.since) < limit
}

// catchUp waits until what is enqueued is durable; from the second time on, for a moment more.
func (d *Device) catchUp(ctx context.Context, turn *waiting) error {
	if err := d.log.Wait(ctx, d.newest()); err != nil || turn.tries == 1 {
		return err
	}
	select {
	case <-time.After(time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Enqueue puts an operation into the queue and waits for nothing at all: it is durable within
// milliseconds, and [Device.Wait] tells when. It returns the operation's number.
func (d *Device) Enqueue(w Write) (uint64, error) {
	number, err := d.enqueue(&w, queue.Local)
	d.log.Commit()
	return number, err
}

// Barrier keeps operations before and after it from displacing each other.
func (d *Device) Barrier() (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.log.Commit()
	return d.append(&queue.Op{Kind: queue.KindBarrier, At: time.Now().UnixMilli()}, queue.Local)
}

func (d *Device) enqueue(w *Write, mark queue.Mark) (uint64, error) {
	op, err := w.op()
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.append(&op, mark)
}

func (w *Write) op() (queue.Op, error) {
	op := queue.Op{Kind: queue.KindPut, Cond: w.If, Match: w.Revision, At: time.Now().UnixMilli(),
		Key: []byte(w.Key), Value: w.Value}
	if w.Delete {
		op.Kind = queue.KindDelete
	}
	switch {
	case w.Key == "" || len(w.Key) > queue.MaxKey:
		return op, fmt.Errorf("%w: the key has %d bytes: use 1 to %d", ErrInput, len(w.Key), queue.MaxKey)
	case len(w.Value) > queue.MaxValue:
		return op, fmt.Errorf("%w: the value has %d bytes: use at most %d", ErrInput, len(w.Value), queue.MaxValue)
	case w.Delete && len(w.Value) > 0:
		return op, fmt.Errorf("%w: a delete has no value", ErrInput)
	case w.If > queue.IfPresent || w.Revision != 0 && w.If != queue.IfMatch:
		return op, fmt.Errorf("%w: the condition", ErrInput)
	}
	return op, nil
}

// errBehind wraps ErrFull when the disk is slower than those who enqueue, errNoRoom when it is full.
var (
	errBehind = fmt.Errorf("%w: the disk has not caught up. Next: try again in a few milliseconds, as Do does "+
		"by itself", ErrFull)
	errNoRoom = fmt.Errorf("%w: the disk has no room. Next: free some space", ErrFull)
)

// append gives op its number. The caller holds mu.
func (d *Device) append(op *queue.Op, mark queue.Mark) (uint64, error) {
	if d.err != nil {
		return 0, d.err
	}
	d.scratch = queue.AppendOp(d.scratch[:0], op)
	if err := d.admit(len(d.scratch)); err != nil {
		return 0, err
	}
	number, err := d.log.Append(d.scratch)
	if err != nil {
		return 0, d.appendFailed(err)
	}
	op.Number = number
	d.core.Enqueue(d.now(), op, len(d.scratch))
	if mark != queue.Local {
		d.core.Await(d.now(), number, mark)
	}
	return number, nil
}

// admit refuses an operation for which there is no room. The caller holds mu.
func (d *Device) admit(size int) error {
	if d.appended += int64(size); d.appended > 1<<20 || d.lowDisk {
		d.lookAtDisk()
	}
	if d.lowDisk {
		return fmt.Errorf("%w: less than %d bytes are free on the disk. Next: free some", ErrFull, d.cfg.FreeFloor)
	}
	if d.core.Admit(size) {
		return nil
	}
	switch err := d.core.MakeRoom(size); {
	case errors.Is(err, queue.ErrBehind):
		return errBehind
	case !errors.Is(err, ErrFull):
		return err
	}
	return fmt.Errorf("%w: %d bytes wait for the edge. Next: wait until it is reached", ErrFull, d.cfg.MaxBytes)
}

// lookAtDisk notes whether too little is free. The caller holds mu.
func (d *Device) lookAtDisk() {
	d.appended = 0
	free, err := d.cfg.FS.Free(d.cfg.Dir)
	d.lowDisk = err == nil && free < uint64(d.cfg.FreeFloor)
}

func (d *Device) newest() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.core.Last()
}

// synced is told by the journal: records below next are durable.
func (d *Device) synced(next uint64) {
	d.mu.Lock()
	d.core.Synced(next - 1)
	d.mu.Unlock()
	d.wake()
}

// wake makes the sender look again.
func (d *Device) wake() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// Resume tries the edge at once instead of waiting out the pause after a failure: the network is
// back.
func (d *Device) Resume() {
	d.mu.Lock()
	d.core.Hurry()
	d.mu.Unlock()
	d.wake()
}

// fail ends the store's work; what is on the disk stays. The caller holds mu.
func (d *Device) fail(err error) {
	if d.err == nil {
		d.err = err
		d.serve()
		d.renewRoom()
	}
}

// Close writes what is in memory to the disk and ends. What is not at the edge stays for the next
// Open.
func (d *Device) Close() error {
	d.once.Do(func() {
		d.cancel()
		<-d.done
		d.closeErr = d.shut()
	})
	return d.closeErr
}

func (d *Device) shut() error {
	err := d.writeNote()
	d.mu.Lock()
	broken := d.err
	bound := d.core.SentBound()
	d.fail(ErrClosed)
	d.err = ErrClosed
	d.mu.Unlock()
	if broken == nil && err == nil {
		err = d.become(func(id *identity) { id.Sent, id.Sends = bound, false })
	}
	if broken != nil {
		err = nil // told already
	}
	return errors.Join(err, d.sequel.close(), d.log.Close(), d.dead.close(), d.seen.save(), d.lock.Close())
}
