package edge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/load/kv"
)

// shipping measures an edge under load, alone or while it ships everything to a master every second.
func (s *backupSession) shipping(ctx context.Context, c factorial.Cell, backed bool) (o factorial.Outcome,
	err error) {
	b, l, err := s.loaded(ctx, c, backed)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	target, pids, err := b.target()
	if err != nil {
		return o, err
	}
	r, err := kv.Run(ctx, target, l, pids)
	if err != nil {
		return o, err
	}
	return paid(r), nil
}

// loaded is a new bed, started, and the load that a cell asks for.
func (s *backupSession) loaded(ctx context.Context, c factorial.Cell, backed bool) (*bed, kv.Load, error) {
	l, err := loadOf(c)
	if err != nil {
		return nil, l, err
	}
	b, err := s.bed(ctx, backed)
	if err != nil {
		return nil, l, err
	}
	err = b.start(ctx)
	if err == nil {
		_, err = b.edge.Put(ctx, "first", nil) // from now on the edge knows the password
	}
	if err != nil {
		return nil, l, errors.Join(err, b.close())
	}
	return b, l, nil
}

// paid is what a load tells of an edge, and of its master if it has one.
func paid(r *kv.Result) factorial.Outcome {
	o := told(r)
	done := r.AchievedOPS * float64(r.Load.WindowNS) / 1e9
	if len(r.Cost.Processes) == 0 || done == 0 {
		return o
	}
	o.Values["server_cpu_us"] = float64(r.Cost.Processes[0].CPUNS) / 1e3 / done
	o.Values["server_mb"] = float64(r.Cost.Processes[0].PeakBytes) / 1e6
	if len(r.Cost.Processes) > 1 {
		o.Values["master_cpu_us"] = float64(r.Cost.Processes[1].CPUNS) / 1e3 / done
	}
	return o
}

// How often the edge is written to and its master looked at, to see how far behind it is.
const (
	markEvery = 5 * time.Millisecond
	lookEvery = 20 * time.Millisecond
)

// exposure measures under load what would be lost if the edge died: how long ago the oldest operation was
// acknowledged that its master has not got.
func (s *backupSession) exposure(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	b, l, err := s.loaded(ctx, c, true)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	target, pids, err := b.target()
	if err != nil {
		return o, err
	}
	w := &watch{bed: b, from: time.Now().Add(time.Duration(l.WarmupNS))}
	w.to = w.from.Add(time.Duration(l.WindowNS))
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var marked, looked error
	wg.Go(func() { marked = every(watching, markEvery, w.mark) })
	wg.Go(func() { looked = every(watching, lookEvery, w.look) })
	r, err := kv.Run(ctx, target, l, pids)
	stop()
	wg.Wait()
	if err := errors.Join(err, marked, looked); err != nil {
		return o, err
	}
	o = paid(r)
	w.tell(&o)
	return o, nil
}

// every does something so often until ctx ends or it fails.
func every(ctx context.Context, period time.Duration, do func(context.Context) error) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watch compares what an edge has acknowledged with what its master has.
type watch struct {
	bed      *bed
	from, to time.Time // when looks count

	mu     sync.Mutex
	behind backlog
	ages   []float64 // s
}

// mark writes one value more.
func (w *watch) mark(ctx context.Context) error {
	revision, err := w.bed.edge.Put(ctx, "mark", []byte("here"))
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.behind.acknowledged(revision, time.Now())
	return nil
}

// look asks the master what it has.
func (w *watch) look(ctx context.Context) error {
	reach, err := w.bed.master.Reach(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if age := w.behind.age(reach, now); now.After(w.from) && now.Before(w.to) {
		w.ages = append(w.ages, age.Seconds())
	}
	return nil
}

func (w *watch) tell(o *factorial.Outcome) {
	if len(w.ages) == 0 {
		o.Void = "the master was never looked at: use a longer trial"
		return
	}
	for _, age := range w.ages {
		o.Timeline = append(o.Timeline, factorial.Point{Series: "behind, s", Y: age})
	}
	slices.Sort(w.ages)
	at := func(q float64) float64 { return w.ages[int(q*float64(len(w.ages)-1))] }
	o.Values["rpo_p50_s"], o.Values["rpo_p99_s"], o.Values["rpo_max_s"] = at(0.5), at(0.99), at(1)
}

// backlog is what was acknowledged at an edge and is not known to be at its master.
type backlog struct{ marks []acknowledged }

type acknowledged struct {
	revision uint64
	at       time.Time
}

func (b *backlog) acknowledged(revision uint64, at time.Time) {
	b.marks = append(b.marks, acknowledged{revision, at})
}

// age is how long ago the oldest was acknowledged that a master with everything up to a revision has not
// got; 0 if there is none.
func (b *backlog) age(reach uint64, now time.Time) time.Duration {
	for len(b.marks) > 0 && b.marks[0].revision <= reach {
		b.marks = b.marks[1:]
	}
	if len(b.marks) == 0 {
		return 0
	}
	return max(0, now.Sub(b.marks[0].at))
}
