package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/nemesis"
	"metronome/system/client"
	"metronome/system/wire"
)

// target is a cluster of three that is broken while it is written to.
type target interface {
	// Leader is the member that leads, by the seat of its namespace.
	Leader(ctx context.Context) (wire.Peer, error)
	// Fault is what happens to a member.
	Fault(name string, leader, follower wire.Peer) (nemesis.Fault, error)
	// Dial is a client for a number of writers.
	Dial(ctx context.Context, writer int) (putter, error)
	// Whole waits until nothing is left of a fault.
	Whole(ctx context.Context) error
	Close()
}

// putter writes.
type putter interface {
	Put(ctx context.Context, key string, value []byte) error
	Close()
}

// Times of a trial: the cluster warms up, is measured in peace, is hit, and is given time to recover.
const (
	warmup     = time.Second
	bin        = 50 * time.Millisecond
	steadyBins = int64(5)
	steady     = 0.9 // of what is due in so many bins
	halfSteady = 0.5 // of what is due in one
)

// faults is one fault: writes at a fixed rate before, during and after it.
func (t *task) faults(ctx context.Context) (o factorial.Outcome, err error) {
	rate, err := t.Cell.Float("rate")
	if err != nil {
		return o, err
	}
	lasts, err := t.Cell.Duration("lasts")
	if err != nil {
		return o, err
	}
	what, err := t.Cell.Get("fault")
	if err != nil {
		return o, err
	}
	s, err := t.target(ctx)
	if err != nil {
		return o, err
	}
	defer s.Close()
	l, err := startLoad(ctx, s, rate)
	if err != nil {
		return o, err
	}
	defer l.stop()
	begin := warmup + t.Cell.Length/4
	if err := pause(ctx, begin); err != nil {
		return o, err
	}
	hit, wrong := t.hit(ctx, s, what, lasts, l)
	if wrong != nil {
		return o, wrong
	}
	if err := pause(ctx, t.Cell.Length-t.Cell.Length/4-lasts); err != nil {
		return o, err
	}
	l.stop()
	return l.outcome(hit), nil
}

// moments are when a fault began and was healed, on the load's clock.
type moments struct {
	from, to, whole int64
	name            string
}

// hit lets a fault come and go.
func (t *task) hit(ctx context.Context, s target, what string, lasts time.Duration,
	l *load,
) (m moments, err error) {
	leader, err := s.Leader(ctx)
	if err != nil {
		return m, err
	}
	follower := wire.ReplicaPeer((leader.Seat() + 1 + int(t.Cell.Seed%2)) % 3)
	f, err := s.Fault(what, leader, follower)
	if err != nil {
		return m, err
	}
	m.name = f.Name
	m.from = l.now()
	err = f.Apply(ctx)
	_ = pause(ctx, lasts) // what was done is undone also if ctx has ended
	healing, cancel := context.WithTimeout(context.WithoutCancel(ctx), settle)
	defer cancel()
	err = errors.Join(err, f.Heal(healing))
	m.to = l.now()
	if err == nil {
		err = s.Whole(healing)
	}
	m.whole = l.now()
	return m, errors.Join(err, ctx.Err())
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(max(d, 0)):
		return nil
	}
}

// outcome sums up a load round a fault.
func (l *load) outcome(m moments) (o factorial.Outcome) {
	before := l.between(int64(warmup), m.from)
	during := l.between(m.from, m.to)
	calm := slices.DeleteFunc(slices.Clone(before), func(s sample) bool { return !s.ok })
	ms := func(ns int64) float64 { return float64(ns) / 1e6 }
	ok, failed := 0, 0
	for i := range during {
		if during[i].ok {
			ok++
		} else {
			failed++
		}
	}
	o.Values = map[string]float64{
		"outage_ms":      ms(l.gap(m.from, min(m.whole+int64(time.Second), l.end))),
		"calm_gap_ms":    ms(l.gap(int64(warmup), m.from)),
		"before_ops":     float64(len(calm)) / (float64(m.from-int64(warmup)) / 1e9),
		"during_ratio":   float64(ok) / (float64(m.to-m.from) / 1e9 * l.rate),
		"failed_writes":  float64(failed),
		"before_p99_ms":  ms(percentile(calm, 0.99)),
		"during_p99_ms":  ms(percentile(during, 0.99)),
		"whole_ms":       ms(m.whole - m.to),
		"fault_lasts_ms": ms(m.to - m.from),
	}
	at, recovered := l.steady(m)
	o.Values["steady_ms"] = ms(at - m.from)
	if !recovered {
		o.AtLeast = append(o.AtLeast, "steady_ms")
	}
	o.Flags = append(o.Flags, m.name)
	o.Timeline = l.timeline(m)
	return o
}

// steady is when, after the fault began, writes are again acknowledged as they are due, for good: no bin
// after it has less than half of what is due in it, and no run of bins less than nine tenths.
func (l *load) steady(m moments) (at int64, recovered bool) {
	counts := map[int64]int{}
	for _, s := range l.between(m.from, l.end) {
		if s.ok {
			counts[(s.done-m.from)/int64(bin)]++
		}
	}
	want := l.rate * bin.Seconds()
	last := (l.end-m.from)/int64(bin) - steadyBins // begins the last whole run
	for b := last; b >= 0; b-- {
		run := 0
		for i := range steadyBins {
			run += counts[b+i]
		}
		if float64(counts[b]) < want*halfSteady || float64(run) < want*steady*float64(steadyBins) {
			return m.from + (b+1)*int64(bin), b < last
		}
	}
	return m.from, true
}

// timeline is throughput and latency; 0 is when the fault begins.
func (l *load) timeline(m moments) (points []factorial.Point) {
	bins := map[int64][]sample{}
	for _, s := range l.between(0, l.end) {
		if s.ok {
			b := floorDiv(s.done-m.from, int64(bin))
			bins[b] = append(bins[b], s)
		}
	}
	for b := floorDiv(int64(warmup)-m.from, int64(bin)) + 1; b < (l.end-m.from)/int64(bin); b++ {
		x := float64(b) * bin.Seconds()
		points = append(points, factorial.Point{Series: "writes/s", X: x, Y: float64(len(bins[b])) / bin.Seconds()})
		if len(bins[b]) > 0 {
			late := float64(percentile(bins[b], 0.99)) / 1e6
			points = append(points, factorial.Point{Series: "p99 ms", X: x, Y: late})
		}
	}
	return points
}

func floorDiv(a, b int64) int64 { return int64(math.Floor(float64(a) / float64(b))) }

// percentile is a latency by nearest rank; what failed counts with the time it took.
func percentile(all []sample, share float64) int64 {
	if len(all) == 0 {
		return 0
	}
	latencies := make([]int64, len(all))
	for i := range all {
		latencies[i] = all[i].done - all[i].due
	}
	slices.SortFunc(latencies, cmp.Compare[int64])
	return latencies[max(0, int(math.Ceil(share*float64(len(latencies))))-1)]
}

// target brings the arm's system up.
func (t *task) target(ctx context.Context) (target, error) {
	system, err := t.Cell.Get("system")
	if err != nil {
		return nil, err
	}
	switch system {
	case "metronome":
		c, done, err := t.start(ctx)
		if err != nil {
			return nil, err
		}
		return &ours{c, done}, nil
	case "ordered":
		c, done, err := t.onLoopback(ctx, 0)
		if err != nil {
			return nil, err
		}
		return &ours{c, done}, nil
	case "etcd":
		return startEtcd(ctx, t)
	}
	return nil, fmt.Errorf("setting system: there is no %q; next: metronome or etcd", system)
}

// ours is a cluster of ours; every writer may use either proxy.
type ours struct {
	*nemesis.Cluster
	done func()
}

// Close implements [target].
func (s *ours) Close() { s.done() }

// Dial implements [target].
func (s *ours) Dial(ctx context.Context, writer int) (putter, error) {
	all := s.Addresses()
	n := writer % len(all)
	c, err := client.Dial(ctx, client.Config{Addresses: append(slices.Clone(all[n:]), all[:n]...),
		RetryMax: 20 * time.Millisecond, DialTimeout: time.Second})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Fault implements [target].
func (s *ours) Fault(name string, leader, follower wire.Peer) (nemesis.Fault, error) {
	if s.Network() == nil && (name == "loss" || strings.HasPrefix(name, "isolate")) {
		return nemesis.Fault{}, fmt.Errorf("factor fault: %q needs a network, this is loopback; next: "+
			"experiment faults", name)
	}
	switch name {
	case "kill-proxy":
		return s.Crash(wire.ProxyPeer(1)), nil
	case "slow-disk":
		return s.SlowDisk(follower, 20), nil
	case "slow-leader":
		return s.SlowCPU(leader, slowShare), nil
	case "slow-follower":
		return s.SlowCPU(follower, slowShare), nil
	case "loss":
		return s.Network().Loss(0.01), nil
	}
	return common(name, s.Cluster, s.Network(), leader, follower)
}

// slowShare is how much of a core a slow replica has.
const slowShare = 0.05

// victims can be stopped and killed.
type victims interface {
	Pause(p wire.Peer) nemesis.Fault
	Crash(p wire.Peer) nemesis.Fault
}

// common are the faults that every system suffers alike.
func common(name string, v victims, n *nemesis.Network,
	leader, follower wire.Peer,
) (f nemesis.Fault, err error) {
	switch name {
	case "none":
		nothing := func(context.Context) error { return nil }
		return nemesis.Fault{Name: "nothing", Apply: nothing, Heal: nothing}, nil
	case "kill-leader":
		return v.Crash(leader), nil
	case "kill-follower":
		return v.Crash(follower), nil
	case "pause-leader":
		return v.Pause(leader), nil
	case "pause-follower":
		return v.Pause(follower), nil
	case "isolate-leader":
		return n.Partition(leader), nil
	case "isolate-follower":
		return n.Partition(follower), nil
	}
	return f, fmt.Errorf("factor fault: this system knows no %q; next: name another, or only: in the arm", name)
}

func etcdBinary(bin string) string { return filepath.Join(bin, "peers", "etcd") }
