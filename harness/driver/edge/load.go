package edge

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/load/kv"
)

// Load is the driver of experiments/edge-load.
type Load struct{}

// Open implements [factorial.Driver]. A store is started when an arm begins, and ends with it.
func (Load) Open(_ context.Context, env factorial.Env) (factorial.Session, error) {
	return &loadSession{env: env}, nil
}

type loadSession struct {
	env    factorial.Env
	arm    string
	starts int
	server *server // of the arm; nil: none
	filled bool    // every key is there
}

// Bounds of a trial's time.
const (
	leastWarmup = 100 * time.Millisecond
	drain       = 5 * time.Second
)

// Trial implements [factorial.Session].
func (s *loadSession) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	l, err := loadOf(c)
	if err != nil {
		return o, err
	}
	if err := s.serve(ctx, c.Arm); err != nil {
		return o, err
	}
	if l.ReadRatio > 0 {
		if err := s.fill(ctx, l); err != nil {
			return o, err
		}
	}
	r, err := kv.Run(ctx, s.server.target, l, []int{s.server.pid})
	if err != nil {
		return o, err
	}
	return told(r), nil
}

// loadOf is a cell as a load.
func loadOf(c factorial.Cell) (kv.Load, error) {
	l := kv.Default()
	op, err1 := c.Get("op")
	batch, err2 := c.Int("batch")
	connections, err3 := c.Int("connections")
	value, err4 := c.Int("value_bytes")
	keys, err5 := c.Int("keys")
	rate, err6 := c.Float("rate")
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return l, err
	}
	switch op {
	case "put":
	case "get":
		l.ReadRatio = 1
	default:
		return l, fmt.Errorf("op %q: use put or get", op)
	}
	if op == "get" && batch > 1 {
		return l, errors.New("gets go one by one: use batch 1")
	}
	l.Keys, l.ValueBytes, l.Connections, l.Batch, l.RateOPS = keys, value, connections, batch, rate
	l.WindowNS, l.WarmupNS = c.Length.Nanoseconds(), max(leastWarmup, c.Length/4).Nanoseconds()
	l.DrainNS, l.IntervalNS, l.Seed = drain.Nanoseconds(), l.WindowNS, c.Seed
	return l, nil
}

// serve has the arm's store up, and no other.
func (s *loadSession) serve(ctx context.Context, arm string) error {
	if s.arm == arm && s.server != nil {
		return nil
	}
	if err := s.Close(); err != nil {
		return err
	}
	begin := servers[arm]
	if begin == nil {
		return fmt.Errorf("arm %s: no store of that name; next: use edge, etcd or redis", arm)
	}
	s.starts++
	server, err := begin(ctx, s.env, filepath.Join(s.env.Dir, fmt.Sprintf("%s-%d", arm, s.starts)))
	if err != nil {
		return err
	}
	s.arm, s.server, s.filled = arm, server, false
	return nil
}

// fill writes every key, so that gets find something.
func (s *loadSession) fill(ctx context.Context, l kv.Load) error {
	if s.filled {
		return nil
	}
	l.Preload, l.ReadRatio, l.Batch, l.Connections, l.RateOPS = true, 0, 256, 4, 0
	l.WarmupNS, l.WindowNS = 0, int64(time.Millisecond)
	if _, err := kv.Run(ctx, s.server.target, l, nil); err != nil {
		return err
	}
	s.filled = true
	return nil
}

// mostFailed is the share of operations that may fail in a trial that counts.
const mostFailed = 0.001

// told is what a trial tells.
func told(r *kv.Result) factorial.Outcome {
	ms := func(ns int64) float64 { return float64(ns) / 1e6 }
	o := factorial.Outcome{Values: map[string]float64{
		"ops_per_s": r.AchievedOPS, "p50_ms": ms(r.Latency.P50NS), "p99_ms": ms(r.Latency.P99NS),
		"server_cpu_us": r.Cost.TargetCPUPerOp, "client_cpu_us": r.Cost.CPUPerOp - r.Cost.TargetCPUPerOp,
		"server_mb": float64(r.Cost.TargetPeakBytes) / 1e6}}
	if r.Busy > 0 {
		o.Flags = append(o.Flags, fmt.Sprintf("%d refused as busy", r.Busy))
	}
	if lost := r.Failed + r.Busy + r.Unanswered; r.Due == 0 || float64(lost) > mostFailed*float64(r.Due) {
		o.Void = fmt.Sprintf("of %d operations %d failed, %d were refused, %d got no answer in time: %v", r.Due,
			r.Failed, r.Busy, r.Unanswered, r.Errors)
	}
	if err := r.Balance(); err != nil {
		o.Void = err.Error()
	}
	if r.Censored > 0 && float64(r.Censored) > 0.01*float64(r.Due) {
		o.AtLeast = append(o.AtLeast, "p99_ms")
	}
	return o
}

// Close implements [factorial.Session].
func (s *loadSession) Close() error {
	if s.server == nil {
		return nil
	}
	err := s.server.stop()
	s.server = nil
	return err
}
