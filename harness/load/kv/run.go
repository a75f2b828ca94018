package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lead lets every worker be ready when the load begins.
const lead = 10 * time.Millisecond

// Clock returns a function that reads CLOCK_MONOTONIC, as all processes of the lab do, by way of
// Go's own clock, which needs no system call.
func Clock() (func() int64, error) {
	var ts unix.Timespec
	base := time.Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return nil, fmt.Errorf("read clock: %w", err)
	}
	at := ts.Nano()
	return func() int64 { return at + int64(time.Since(base)) }, nil
}

// Run offers a load to a target and returns what it met. pids are the target's processes, whose CPU
// time and memory are charged to it; an empty list measures none. Cancelling ctx ends the run early,
// with an error. An error means that there is no result; operations that fail are counted in it.
func Run(ctx context.Context, t Target, l Load, pids []int) (_ *Result, err error) {
	if err := l.Check(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	now, err := Clock()
	if err != nil {
		return nil, err
	}
	workers, err := connect(ctx, t, l, now)
	defer func() { err = errors.Join(err, disconnect(workers)) }()
	if err != nil {
		return nil, err
	}
	if l.Preload {
		if err := preload(workers); err != nil {
			return nil, fmt.Errorf("preload %d keys: %w", l.Keys, err)
		}
	}
	start := now() + int64(lead)
	s := newSeries(start, l.IntervalNS, int(l.intervals()))
	begun := begin(workers, start, s)
	observer, _ := t.(Observer)
	cost, err := Measure(ctx, now, start+l.WarmupNS, start+l.WarmupNS+l.WindowNS, pids, observer)
	begun.Wait()
	if err := errors.Join(err, ctx.Err()); err != nil {
		return nil, err
	}
	r, err := merge(l, start, recorders(workers), s)
	if err != nil {
		return nil, err
	}
	r.Cost = cost.Per(r.AchievedOPS)
	return r, nil
}

func connect(ctx context.Context, t Target, l Load, now func() int64) (workers []*worker, err error) {
	var z *zipf
	if l.Distribution == Zipf {
		z = newZipf(l.Keys, l.Theta)
	}
	for i := range l.Connections {
		conn, err := t.Connect(ctx, i, l)
		if err != nil {
			return workers, fmt.Errorf("connection %d: %w", i, err)
		}
		workers = append(workers, newWorker(ctx, l, i, conn, z, now))
	}
	return workers, nil
}

func disconnect(workers []*worker) error {
	errs := make([]error, 0, len(workers))
	for _, w := range workers {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(errs...)
}

// begin starts the workers on their schedules.
func begin(workers []*worker, start int64, s *series) *sync.WaitGroup {
	var all sync.WaitGroup
	for i, w := range workers {
		from := start + w.load.WarmupNS
		w.end = from + w.load.WindowNS
		w.schedule = newSchedule(w.load, i, start)
		w.record = newRecorder(from, w.end, s)
		all.Go(func() { w.run(w.end + w.load.DrainNS) })
	}
	return &all
}

func recorders(workers []*worker) (all []*recorder) {
	for _, w := range workers {
		all = append(all, w.record)
	}
	return all
}
