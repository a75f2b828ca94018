package kv

import (
	"context"
	"errors"
	"time"
)

const (
	// backoff keeps a closed loop whose store refuses everything from spinning.
	backoff = time.Millisecond
	// nap is the longest sleep: a worker that is told to stop does so within it.
	nap = 100 * time.Millisecond
)

// errStopped ends what waits when the run is cancelled.
var errStopped = errors.New("the run was cancelled")

// worker drives one connection.
type worker struct {
	load     Load
	conn     Conn
	source   *source
	schedule *schedule
	record   *recorder
	now      func() int64
	end      int64 // of the window: nothing is due after it
	stopped  <-chan struct{}

	free     chan *Batch // every batch is here, in flight, or in the worker's hands
	batches  []Batch
	inFlight int
	timer    *time.Timer
	calm     int64 // no sending before: the last answer was an error
}

func newWorker(ctx context.Context, l Load, i int, conn Conn, z *zipf, now func() int64) *worker {
	w := &worker{load: l, conn: conn, source: newSource(l.Workload, z, l.Seed, i), now: now,
		stopped: ctx.Done(),
		free:    make(chan *Batch, l.Outstanding), batches: make([]Batch, l.Outstanding),
		timer: time.NewTimer(0)}
	for i := range w.batches {
		w.batches[i].prepare(w)
		w.free <- &w.batches[i]
	}
	return w
}

// prepare gives a batch all the memory it will ever use.
func (b *Batch) prepare(w *worker) {
	l := w.load
	size := l.KeyBytes + l.ValueBytes
	memory := make([]byte, l.Batch*size)
	b.owner, b.all, b.due = w, make([]Op, l.Batch), make([]int64, l.Batch)
	for i := range b.all {
		m := memory[i*size : (i+1)*size : (i+1)*size]
		PutValue(m[l.KeyBytes:], 0)
		b.all[i] = Op{Key: m[:l.KeyBytes:l.KeyBytes], Value: m[l.KeyBytes:]}
	}
}

// run offers what the schedule has before end, the backlog at most until halfway from end to deadline,
// and waits for answers until deadline.
func (w *worker) run(deadline int64) {
	limit := w.end
	if w.load.RateOPS > 0 {
		limit += (deadline - w.end) / 2
	}
	for now := w.now(); now < limit && !w.isStopped(); now = w.now() {
		due := w.schedule.due(now)
		if due >= w.end {
			break
		}
		if due > now {
			time.Sleep(min(nap, time.Duration(due-now)))
			continue
		}
		if b := w.take(limit); b != nil {
			time.Sleep(time.Duration(w.calm - w.now()))
			w.fill(b)
			w.send(b)
		}
	}
	w.leftover()
	w.drain(deadline)
	w.record.series.flush()
}

func (w *worker) isStopped() bool {
	select {
	case <-w.stopped:
		return true
	default:
		return false
	}
}

// take returns a batch that is not in flight, or nil if none came back before limit.
func (w *worker) take(limit int64) *Batch {
	var b *Batch
	select {
	case b = <-w.free:
	default:
		w.timer.Reset(time.Duration(limit - w.now()))
		select {
		case b = <-w.free:
		case <-w.timer.C:
			return nil
		case <-w.stopped:
			return nil
		}
	}
	w.settle(b)
	return b
}

// settle records the answer a batch came back with, if it was in flight.
func (w *worker) settle(b *Batch) {
	if b.sent == 0 {
		return
	}
	w.inFlight--
	w.record.answered(b)
	if b.err != nil && b.ok == 0 {
		w.calm = b.at + int64(backoff)
	}
	b.sent, b.err = 0, nil
}

// fill takes what is due by now from the schedule, as much as fits, and at least one operation: the
// caller has seen that it is due.
func (w *worker) fill(b *Batch) {
	now, n := w.now(), 0
	for n < len(b.all) {
		due := w.schedule.due(now)
		if n > 0 && (due > now || w.load.RateOPS > 0 && due >= w.end) {
			break
		}
		b.due[n] = due
		w.source.draw(&b.all[n])
		w.schedule.advance()
		n++
	}
	b.Ops = b.all[:n]
}

func (w *worker) send(b *Batch) {
	w.inFlight++
	b.sent = w.now()
	b.flying.Store(true)
	w.conn.Send(b)
}

// leftover records what was due before the end and never sent.
func (w *worker) leftover() {
	if w.load.RateOPS == 0 || w.isStopped() {
		return
	}
	for now := w.now(); w.schedule.due(now) < w.end; w.schedule.advance() {
		w.record.unsent(w.schedule.due(now), now)
	}
}

// drain waits for the batches in flight and gives up those that are not back at deadline.
func (w *worker) drain(deadline int64) {
	for w.inFlight > 0 {
		if w.take(deadline) == nil {
			break
		}
	}
	if w.inFlight == 0 {
		return
	}
	now := w.now()
	for i := range w.batches {
		// One that is answered this very moment is late all the same.
		if b := &w.batches[i]; b.sent != 0 {
			w.record.unanswered(b, now)
		}
	}
}
