package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/load/kv"
	"metronome/harness/nemesis"
	"metronome/harness/peer"
	"metronome/harness/vswitch"
	"metronome/system/cluster"
	loadgen "metronome/system/load"
	"metronome/system/wire"
)

// nonIdeal is one load at a fixed rate over a bad network: submitted from within the cluster's only proxy, so
// that nothing but the store's own network is between.
func (t *task) nonIdeal(ctx context.Context) (o factorial.Outcome, err error) {
	w, err := t.weather()
	if err != nil {
		return o, err
	}
	c, done, err := t.bareCluster(ctx, w.switched)
	if err != nil {
		return o, err
	}
	defer done()
	f, err := w.fault(c)
	if err != nil {
		return o, err
	}
	before, err := c.Strays()
	if err != nil {
		return o, err
	}
	if err := f.Apply(ctx); err != nil {
		return o, err
	}
	r, cost, err := t.generate(ctx, c, wire.ProxyPeer(1))
	if err = errors.Join(err, f.Heal(context.WithoutCancel(ctx))); err != nil {
		return o, err
	}
	after, err := c.Strays()
	if err != nil {
		return o, err
	}
	o.Values = map[string]float64{"achieved_ops": r.OpsPerS,
		"p50_us": r.LatencyP50, "p99_us": r.LatencyP99, "p999_us": r.LatencyP999, "max_us": r.LatencyMax,
		"failed_ops": float64(r.Failed + r.Unknown + r.Busy), "late_ops": float64(r.Unsent)}
	if w.switched {
		o.Values["stray_losses"] = float64(max(0, after-before))
	}
	told(o.Values, cost)
	if r.Ops == 0 {
		o.Void = "nothing was answered"
	}
	return o, nil
}

// told adds what the window cost to the metrics.
func told(v map[string]float64, c kv.Cost) {
	frames, seconds := max(c.Counters[framesCounter], 1), float64(c.WallNS)/1e9
	v["repaired"] = 1000 * c.Counters["metronome_lane_repaired_frames_total"] / frames
	v["requests"] = 1000 * c.Counters["metronome_lane_nacks_total"] / frames
	v["repeated"] = 1000 * c.Counters["metronome_lane_duplicate_frames_total"] / frames
	v["frames_per_s"] = frames / seconds
	for _, p := range c.Processes {
		if p.CPUNS == 0 { // it has ended: the end of the window was noticed late
			continue
		}
		v["cpu_"+p.Role] += float64(p.CPUNS) / 1e9 / seconds
	}
	if lost, ok := c.Counters["lost"]; ok {
		v["switch_lost"], v["switch_overrun"] = lost, c.Counters["overrun"]
	}
}

// framesCounter counts what replicas' ports hand on.
const framesCounter = "metronome_ingest_frames_total"

// bareCluster brings up replicas that keep their state in memory, and no proxy.
func (t *task) bareCluster(ctx context.Context, switched bool) (*nemesis.Cluster, func(), error) {
	replicas, err := t.Cell.Int("replicas")
	if err != nil {
		return nil, nil, err
	}
	o := nemesis.Options{Binary: filepath.Join(t.Bin, "metronome"), Dir: filepath.Join(t.Dir, "cluster"),
		Logs: t.Logs, Reserve: 1,
		Cluster: cluster.DevOptions{Replicas: replicas, Proxies: 1, Lanes: lanes, Change: t.change}}
	network := nemesis.NewNetwork
	if switched {
		if err := withDPDK(); err != nil {
			return nil, nil, err
		}
		network, o.Switch, o.Seed = nemesis.NewSwitchedNetwork, filepath.Join(t.Bin, "lab"), t.Cell.Seed
	}
	if o.Network, err = network(ctx, replicas, 1); err != nil {
		return nil, nil, err
	}
	return t.bring(ctx, o)
}

// weather is what befalls the network at a point.
type weather struct {
	switched   bool // the software switch draws, by the trial's seed; else the kernel
	share      float64
	pattern    string
	rtt        time.Duration
	impairment vswitch.Impairment
}

// burstLength is how many datagrams in a row the pattern bursts loses.
const burstLength = 16

// weather reads it from the point.
func (t *task) weather() (w weather, err error) {
	var errs []error
	get := func(name string) string {
		v, err := t.Cell.Get(name)
		errs = append(errs, err)
		return v
	}
	path, hits := get("path"), get("hits")
	w.pattern = get("pattern")
	percent, err := t.Cell.Float("loss")
	errs = append(errs, err)
	w.rtt, err = t.Cell.Duration("rtt")
	errs = append(errs, err)
	jitter, err := t.Cell.Duration("jitter")
	errs = append(errs, err)
	megabits, err := t.Cell.Int("bandwidth")
	if err := errors.Join(append(errs, err)...); err != nil {
		return w, err
	}
	switch {
	case path != "switch" && path != "bridge":
		return w, fmt.Errorf("setting path: there is no %q; next: switch or bridge", path)
	case hits != "datagrams" && hits != "everything":
		return w, fmt.Errorf("factor hits: there is no %q; next: datagrams or everything", hits)
	}
	w.switched, w.share = path == "switch", percent/100
	w.impairment = vswitch.Impairment{Datagrams: hits == "datagrams", Delay: vswitch.Span(w.rtt / 2),
		Jitter: vswitch.Span(jitter), Rate: int64(megabits) * 1e6}
	if !w.switched && (hits != "datagrams" || w.rtt != 0 || jitter != 0 || megabits != 0) {
		return w, errors.New("path bridge: only patterns befall it, and only datagrams, and no link is narrow; " +
			"next: use the switch")
	}
	return w, w.draw()
}

// draw adds the pattern at its share.
func (w *weather) draw() error {
	m := &w.impairment
	switch w.pattern {
	case "random":
		m.Loss = w.share
	case "bursts":
		m.Burst = nemesis.BurstsOf(w.share, burstLength)
	case "twice":
		m.Duplicate = w.share
	case "overtaken":
		m.Reorder, m.ReorderBy = w.share, vswitch.Span(overtakenBy)
	case "damaged":
		m.Corrupt = w.share
	default:
		return fmt.Errorf("factor pattern: there is no %q; next: random, bursts, twice, overtaken or damaged",
			w.pattern)
	}
	return nil
}

// overtakenBy is how late a datagram is that others are to overtake.
const overtakenBy = time.Millisecond

// fault is the same as a fault of a cluster.
func (w *weather) fault(c *nemesis.Cluster) (f nemesis.Fault, err error) {
	n := c.Network()
	if w.switched {
		return c.Impair(w.pattern, w.impairment)
	}
	switch {
	case w.share == 0:
		nothing := func(context.Context) error { return nil }
		return nemesis.Fault{Name: "no loss", Apply: nothing, Heal: nothing}, nil
	case w.pattern == "random":
		return n.Loss(w.share), nil
	case w.pattern == "bursts":
		return n.Bursts(w.share, burstLength), nil
	case w.pattern == "twice":
		return n.Twice(w.share), nil
	case w.pattern == "overtaken":
		return n.Reorder(w.share), nil
	}
	return f, fmt.Errorf("path bridge: the kernel cannot make datagrams %s; next: use the switch", w.pattern)
}

// observer reads what replicas and the switch count.
type observer struct{ c *nemesis.Cluster }

// Observe implements [kv.Observer].
func (o observer) Observe(ctx context.Context) (all kv.Observation, err error) {
	all.Counters = map[string]float64{}
	for i := range o.c.Config.Replicas {
		totals, err := peer.Totals(ctx, o.c.Config.Replicas[i].Ops)
		if err != nil {
			return all, err
		}
		for name, v := range totals {
			all.Counters[name] += v
		}
	}
	if o.c.SwitchPID() == 0 {
		return all, nil
	}
	s, err := o.c.SwitchStats()
	if err != nil {
		return all, err
	}
	for _, l := range s.Links {
		all.Counters["lost"] += float64(l.Lost + l.Burst + l.Corrupted)
		all.Counters["overrun"] += float64(l.Overrun)
	}
	return all, nil
}

// generate runs the generator in a proxy's place.
func (t *task) generate(ctx context.Context, c *nemesis.Cluster, p wire.Peer) (r loadgen.Result, cost kv.Cost,
	err error) {
	rate, err := t.Cell.Get("rate")
	if err != nil {
		return r, cost, err
	}
	value, err := t.Cell.Int("value_bytes")
	if err != nil {
		return r, cost, err
	}
	g, err := c.Spawn(p, "bench", "load", "--config", c.File(), "--name", p.String(), "--rate", rate,
		"--reads", "0", "--keys", "100000", "--outstanding", outstanding,
		"--value-bytes", strconv.Itoa(value), "--warmup", warmUp.String(), "--length", t.Cell.Length.String(),
		"--seed", strconv.FormatUint(t.Cell.Seed, 10))
	if err != nil {
		return r, cost, err
	}
	if cost, err = t.measure(ctx, c, g, c.LogPath(p)); err != nil {
		g.Kill()
		return r, cost, err
	}
	r, err = generated(ctx, c, p, g, t.Cell.Length+time.Minute)
	return r, cost, err
}

// generated waits for a generator's end, and reads what it says last.
func generated(ctx context.Context, c *nemesis.Cluster, p wire.Peer, g *nemesis.Process,
	limit time.Duration,
) (r loadgen.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	code, err := g.Wait(ctx)
	if err != nil {
		g.Kill()
		return r, err
	}
	b, err := os.ReadFile(c.LogPath(p))
	if err != nil {
		return r, fmt.Errorf("what the generator says: %w", err)
	}
	if i := bytes.IndexByte(b, '{'); i >= 0 {
		b = b[i:]
	}
	if err := json.Unmarshal(b, &r); err != nil || code != 0 {
		return r, fmt.Errorf("the generator ended with %d: %w: %s", code, err, b[:min(len(b), 500)])
	}
	return r, nil
}

const (
	warmUp      = time.Second
	outstanding = "131072" // more than a second's: what bounds is to be the store
	inside      = 0.9      // the part of the window in which costs are read, in case its start is noticed late
)

// measure reads what the window costs, from when the generator says that it has begun.
func (t *task) measure(ctx context.Context, c *nemesis.Cluster, g *nemesis.Process, log string) (k kv.Cost,
	err error) {
	err = nemesis.Poll(ctx, "the generator", func(context.Context) error {
		b, err := os.ReadFile(log)
		if err == nil && !bytes.Contains(b, []byte("measuring")) && !g.Ended() {
			err = errors.New("it does not measure yet")
		}
		return err
	})
	if err != nil {
		return k, err
	}
	pids, roles := []int{g.PID()}, []string{"sender"}
	for i := range c.Config.Replicas {
		pids, roles = append(pids, c.PID(c.Config.Replicas[i].Peer())), append(roles, "replicas")
	}
	if pid := c.SwitchPID(); pid != 0 {
		pids, roles = append(pids, pid), append(roles, "switch")
	}
	now, err := kv.Clock()
	if err != nil {
		return k, err
	}
	k, err = kv.Measure(ctx, now, now(), now()+int64(inside*float64(t.Cell.Length)), pids, observer{c})
	k.Roles(roles)
	return k, err
}
