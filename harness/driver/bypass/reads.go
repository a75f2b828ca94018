package bypass

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"metronome/harness/factorial"
	"metronome/system/load"
)

// Reads is the driver of experiments/barrier-reads: reads as items of the order, or at a barrier, of a
// whole cluster on sockets.
type Reads struct{}

// Open implements [factorial.Driver]. Clusters are a trial's own.
func (Reads) Open(ctx context.Context, env factorial.Env) (factorial.Session, error) {
	s, err := Driver{}.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	return readsSession{s.(session)}, nil
}

type readsSession struct{ session }

// What makes sure that there is something to read.
const (
	fillTime  = 1500 * time.Millisecond
	fillDepth = 16384
	fillTimes = 4 // puts a key, drawn at random: 98 % of the keys are there
)

// Trial implements [factorial.Session]: a cluster is brought up, filled, and read.
func (s readsSession) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	t, err := s.planReads(c)
	if err != nil {
		return o, err
	}
	defer os.RemoveAll(t.dir) // what is left, the session's end removes
	n, err := t.start(ctx)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	fill := t
	fill.load.Reads, fill.load.Barrier = 0, false
	fill.load.Length, fill.load.Outstanding = fillTime, fillDepth
	puts, err := fill.measured(ctx, n)
	if err != nil {
		return o, fmt.Errorf("fill: %w", err)
	}
	r, err := t.measured(ctx, n)
	if err != nil {
		return o, err
	}
	if o, err = outcome(r, n); err != nil {
		return o, err
	}
	rename(o.Values, "items_per_s", "reads_per_s")
	rename(o.Values, "cpu_us_per_item", "cpu_us_per_read")
	delete(o.Values, "judged_items_per_s")
	if puts.load.Ops < uint64(fillTimes*t.load.Keys) {
		o.Void = fmt.Sprintf("%d puts do not fill %d keys", puts.load.Ops, t.load.Keys)
	}
	return o, nil
}

func rename(v map[string]float64, from, to string) {
	v[to] = v[from]
	delete(v, from)
}

// planReads reads a cell.
func (s readsSession) planReads(c factorial.Cell) (t trial, err error) {
	t = trial{session: s.session, dir: filepath.Join(s.env.Dir, "c"),
		logs: filepath.Join(s.env.Logs, c.Folder())}
	number := func(name string) int {
		n, e := c.Int(name)
		err = errors.Join(err, e)
		return n
	}
	how, e := c.Get("reads")
	if err = e; err == nil && how != "item" && how != "barrier" {
		err = fmt.Errorf("reads: %q: use item or barrier", how)
	}
	t.replicas = number("replicas")
	t.load = load.Config{Keys: number("keys"), KeyBytes: 16, ValueBytes: number("value_bytes"), Seed: c.Seed,
		Reads: 1, Barrier: how == "barrier", Outstanding: number("outstanding"), Warmup: warmup / 2,
		Length: max(c.Length, time.Second)}
	return t, err
}
