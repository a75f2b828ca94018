package consensus

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"sync"

	"metronome/harness/factorial"
	"metronome/harness/model"
	"metronome/system/order/orderers"
	"metronome/system/packet"
)

// Driver is the driver of experiments/consensus. Arms are algorithms of package orderers, by name, or
// models of them.
type Driver struct{}

// Open implements [factorial.Driver].
func (Driver) Open(context.Context, factorial.Env) (factorial.Session, error) {
	return session{start: byName}, nil
}

// session measures what start starts.
type session struct {
	start func(name string) (starter, error)
}

// Close implements [factorial.Session].
func (session) Close() error { return nil }

// byName finds an algorithm in the table.
func byName(name string) (starter, error) {
	if !slices.Contains(orderers.Names(), name) {
		return nil, &packet.ErrUnavailable{What: name, Why: "this build has no such algorithm",
			Next: "use " + strings.Join(orderers.Names(), " or ")}
	}
	c, err := orderers.Parse(name)
	return c.New, err
}

// Trial implements [factorial.Session].
func (s session) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	p, err := pointOf(c)
	if err != nil {
		return o, err
	}
	if of := c.Set["model"]; of != "" {
		return calculate(of, &p)
	}
	start, err := s.start(c.Arm)
	if err != nil {
		return o, err
	}
	defer seedEntropy(c.Seed)()
	var all []*seen
	for n := range p.repeats {
		if err := ctx.Err(); err != nil {
			return o, err
		}
		w, err := newWorld(p, start, c.Seed+uint64(n)*0x9E3779B97F4A7C15)
		if err != nil {
			return o, err
		}
		if err := w.measure(); err != nil {
			return o, fmt.Errorf("run %d of seed %#x: %w", n, c.Seed, err)
		}
		all = append(all, &w.seen)
	}
	return outcome(&p, all), nil
}

// outcome sums up the runs of a trial.
func outcome(p *point, all []*seen) (o factorial.Outcome) {
	var sum seen
	var gaps, steady []int64
	for _, s := range all {
		sum.commits, sum.learns = append(sum.commits, s.commits...), append(sum.learns, s.learns...)
		sum.items, sum.flight = append(sum.items, s.items...), append(sum.flight, s.flight...)
		sum.rounds, sum.messages = sum.rounds+s.rounds, sum.messages+s.messages
		sum.bytes, sum.fsyncs = sum.bytes+s.bytes, sum.fsyncs+s.fsyncs
		gaps, steady = append(gaps, s.gap), append(steady, s.unsteady-s.since)
		o.Timeline = append(o.Timeline, factorial.Point{Series: "outage, ms", Y: ms(s.gap)})
	}
	rounds, span := float64(max(sum.rounds, 1)), float64(p.length)*float64(len(all))/1e9
	items := float64(itemsPerFrame * len(sum.items))
	o.Values = map[string]float64{
		"rounds_per_s": float64(sum.rounds) / span, "items_per_s": items / span, "items_per_round": items / rounds,
		"messages_per_round": float64(sum.messages) / rounds, "bytes_per_round": float64(sum.bytes) / rounds,
		"fsyncs_per_round": float64(sum.fsyncs) / rounds,
		"outage_p50_ms":    ms(quantile(gaps, 0.5)), "outage_p99_ms": ms(quantile(gaps, 0.99)),
		"steady_p50_ms": ms(quantile(steady, 0.5)), "steady_p99_ms": ms(quantile(steady, 0.99)),
	}
	if len(sum.commits) > 0 {
		o.Values["commit_p50_ms"], o.Values["commit_p99_ms"] = both(sum.commits)
		o.Values["commit_delays"] = float64(quantile(sum.commits, 0.5)) / float64(p.delay)
		o.Values["commit_p99_delays"] = float64(quantile(sum.commits, 0.99)) / float64(p.delay)
		o.Values["commit_mean_ms"] = mean(sum.commits) / 1e6
		o.Values["in_flight"] = mean(sum.flight)
	}
	if len(sum.learns) > 0 {
		o.Values["apply_p50_ms"], o.Values["apply_p99_ms"] = both(sum.learns)
	}
	if len(sum.items) > 0 {
		o.Values["item_p50_ms"], o.Values["item_p99_ms"] = both(sum.items)
		o.Values["item_mean_ms"] = mean(sum.items) / 1e6
	}
	if slices.ContainsFunc(all, func(s *seen) bool { return s.unsteady > s.since+p.length*9/10 }) {
		o.AtLeast = append(o.AtLeast, "steady_p99_ms")
	}
	return o
}

func both(values []int64) (p50, p99 float64) {
	return ms(quantile(values, 0.5)), ms(quantile(values, 0.99))
}

func ms(ns int64) float64 { return float64(ns) / 1e6 }

// calculate asks the model.
func calculate(name string, p *point) (o factorial.Outcome, err error) {
	a, ok := model.Of(name)
	if !ok {
		return o, fmt.Errorf("harness/model knows no %q; next: use %s", name, strings.Join(model.Names(), " or "))
	}
	r := a.Predict(model.Setting{Replicas: p.n, Lanes: p.lanes - p.idle, Rounds: p.rounds, Items: itemsPerFrame,
		Delay: seconds(p.delay), Jitter: p.jitter * seconds(p.delay), Sync: seconds(p.fsync), CPU: seconds(p.cpu),
		Frames: p.rate, Heartbeat: heartbeatTicks * seconds(p.tick)})
	o.Values = map[string]float64{"commit_mean_ms": 1e3 * r.Commit, "commit_delays": r.Commit / seconds(p.delay),
		"item_mean_ms": 1e3 * r.Item, "rounds_per_s": r.Rounds, "items_per_round": r.Items,
		"items_per_s": r.Rounds * r.Items, "messages_per_round": r.Messages, "bytes_per_round": r.Bytes}
	return o, nil
}

func seconds(ns int64) float64 { return float64(ns) / 1e9 }

// entropy is what raft draws its timeouts from (R18), under a seed.
type entropy struct{ r *mrand.Rand }

// Read fills b.
func (e entropy) Read(b []byte) (int, error) {
	var word [8]byte
	for i := 0; i < len(b); i += len(word) {
		binary.LittleEndian.PutUint64(word[:], e.r.Uint64())
		copy(b[i:], word[:])
	}
	return len(b), nil
}

// drawing serialises trials of one process: crypto/rand's source is one for all.
var drawing sync.Mutex

// seedEntropy replaces crypto/rand's source while a trial runs, and returns what puts it back.
func seedEntropy(seed uint64) (restore func()) {
	drawing.Lock()
	before := rand.Reader
	rand.Reader = entropy{mrand.New(mrand.NewPCG(seed, streamEntropy))}
	return func() {
		rand.Reader = before
		drawing.Unlock()
	}
}
