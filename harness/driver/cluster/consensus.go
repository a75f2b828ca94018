package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"metronome/harness/driver/consensus"
	"metronome/harness/factorial"
	"metronome/harness/load/kv"
	"metronome/harness/nemesis"
	"metronome/harness/peer"
	"metronome/system/cluster"
	loadgen "metronome/system/load"
	"metronome/system/packet"
	"metronome/system/wire"
)

// consensus is one algorithm among real processes, on the loopback interface of a sandbox: what a round
// costs, or what clients feel of a fault.
func (t *task) consensus(ctx context.Context) (factorial.Outcome, error) {
	fault, err := t.Cell.Get("fault")
	if err != nil {
		return factorial.Outcome{}, err
	}
	if fault != faultNone {
		return t.faults(ctx)
	}
	return t.rounds(ctx)
}

// faultNone is the value of factor fault at which rounds are measured.
const faultNone = "none"

// onLoopback brings a cluster up that has nothing but the loopback interface, as metronome dev does. Its
// proxies are not started if a generator is to be the proxy.
func (t *task) onLoopback(ctx context.Context, reserve int) (c *nemesis.Cluster, done func(), err error) {
	n, err1 := t.Cell.Int("n")
	lanes, err2 := t.Cell.Int("lanes")
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	o := nemesis.Options{Binary: filepath.Join(t.Bin, "metronome"), Dir: filepath.Join(t.Dir, "cluster"),
		Logs: t.Logs, Reserve: reserve,
		Cluster: cluster.DevOptions{Replicas: n, Proxies: 1, Lanes: lanes, Change: t.ordered}}
	if _, err := os.Stat(o.Binary); err != nil {
		return nil, nil, &packet.ErrUnavailable{What: "metronome", Why: err.Error(), Next: "make build"}
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("folder of the cluster: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if c, err = nemesis.Start(ctx, o); err != nil {
		return nil, nil, err
	}
	if err := c.Whole(ctx); err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return c, func() { _ = c.Close() }, nil
}

// ordered makes the arm's algorithm the cluster file's.
func (t *task) ordered(c *cluster.Config) {
	t.change(c)
	if name, err := t.Cell.Get("orderer"); err == nil {
		c.Consensus = name
	}
}

// rounds is one load, and what a round of it costs.
func (t *task) rounds(ctx context.Context) (o factorial.Outcome, err error) {
	c, done, err := t.onLoopback(ctx, 1)
	if err != nil {
		return o, err
	}
	defer done()
	p := wire.ProxyPeer(1)
	g, err := t.offer(c, p)
	if err != nil {
		return o, err
	}
	cost, err := t.cost(ctx, c, p)
	if err != nil {
		g.Kill()
		return o, err
	}
	r, err := generated(ctx, c, p, g, t.Cell.Length+time.Minute)
	if err != nil {
		return o, err
	}
	o = perRound(&r, &cost, len(c.Config.Replicas))
	settled, cancel := context.WithTimeout(ctx, settleBroken)
	defer cancel()
	if err := c.Settled(settled); err != nil {
		o.Void = "replicas were left behind: " + err.Error()
	}
	return o, nil
}

// offer starts the generator, which is the proxy too.
func (t *task) offer(c *nemesis.Cluster, p wire.Peer) (*nemesis.Process, error) {
	args := []string{"bench", "load", "--config", c.File(), "--name", p.String(), "--keys", "100000",
		"--warmup", loadWarmup.String(), "--length", t.Cell.Length.String(), "--seed", "1"}
	for _, name := range []string{"rate", "outstanding", "reads"} {
		v, err := t.Cell.Get(name)
		if err != nil {
			return nil, err
		}
		args = append(args, "--"+name, v)
	}
	return c.Spawn(p, args...)
}

// loadWarmup is before a load is measured; measured is the share of the load's time that its cost is taken
// in, because its beginning is noticed late.
const (
	loadWarmup = 400 * time.Millisecond
	measured   = 0.85
)

// cost waits until the generator measures, and measures the replicas meanwhile.
func (t *task) cost(ctx context.Context, c *nemesis.Cluster, p wire.Peer) (cost kv.Cost, err error) {
	now, err := kv.Clock()
	if err != nil {
		return cost, err
	}
	begins, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	err = nemesis.Poll(begins, "the generator", func(context.Context) error {
		if b, err := os.ReadFile(c.LogPath(p)); err != nil || !strings.Contains(string(b), "measuring") {
			return errors.Join(err, fmt.Errorf("it said %q", b))
		}
		return nil
	})
	if err != nil {
		return cost, err
	}
	var pids []int
	for i := range c.Config.Replicas {
		pids = append(pids, c.PID(c.Config.Replicas[i].Peer()))
	}
	from := now()
	return kv.Measure(ctx, now, from, from+int64(measured*float64(t.Cell.Length)), pids,
		peer.Replicas{Config: c.Config})
}

// perRound is what a load met, and its cost by the round.
func perRound(r *loadgen.Result, cost *kv.Cost, n int) (o factorial.Outcome) {
	count := func(name string) float64 { return cost.Counters[name] }
	rounds, seconds := max(count("cuts"), 1), float64(cost.CountersNS)/1e9
	o.Values = map[string]float64{
		"achieved_ops": r.OpsPerS, "p50_us": r.LatencyP50, "p99_us": r.LatencyP99, "max_us": r.LatencyMax,
		"rounds_per_s": count("cuts") / seconds, "items_per_round": count("committed_items") / rounds,
		"messages_per_round": count("order_messages") / rounds, "bytes_per_round": count("order_bytes") / rounds,
		"cpu_us_per_round": float64(cost.TargetCPUNS) / float64(cost.WallNS) * seconds / rounds * 1e6,
		"cpu_us_per_op":    cost.Per(r.OpsPerS).TargetCPUPerOp,
	}
	if syncs, durable := cost.Counters["all_syncs"]; durable {
		o.Values["syncs_per_round"] = syncs / rounds
	}
	if rtt := cost.Gauges["rtt_seconds"] / float64(n-1); rtt > 0 {
		o.Values["rtt_us"], o.Values["round_trips"] = rtt*1e6, r.LatencyP50/(rtt*1e6)
	}
	switch {
	case r.Ops == 0 || count("cuts") == 0:
		o.Void = "nothing was answered"
	case r.Failed+r.Unknown > r.Ops/1000:
		o.Void = fmt.Sprintf("%d of %d operations failed", r.Failed+r.Unknown, r.Ops)
	}
	return o
}

// views are the other ways to look at an algorithm, by the arms' setting view.
var views = map[string]bool{"virtual": true, "model": true}

// another is the same point in virtual time, or calculated: what experiment consensus does.
func another(ctx context.Context, env factorial.Env, c factorial.Cell) (o factorial.Outcome, err error) {
	point, err := virtual(c)
	if err != nil {
		return o, err
	}
	s, err := consensus.Driver{}.Open(ctx, env)
	if err != nil {
		return o, err
	}
	o, err = s.Trial(ctx, point)
	if err = errors.Join(err, s.Close()); err != nil {
		return o, err
	}
	v := o.Values
	o.Values = map[string]float64{"rounds_per_s": v["rounds_per_s"],
		"messages_per_round": v["messages_per_round"], "bytes_per_round": v["bytes_per_round"]}
	if at, ok := v["item_mean_ms"]; ok { // and one more delay, until the proxy hears of it
		o.Values["round_trips"] = (at/1e3 + virtualDelay.Seconds()) / (2 * virtualDelay.Seconds())
	}
	return o, nil
}

// virtualDelay is one way between two processes of one machine that sleep until something comes.
const virtualDelay = 50 * time.Microsecond

// virtual is a cell in the words of experiment consensus, a frame an item.
func virtual(c factorial.Cell) (v factorial.Cell, err error) {
	v = c
	v.Factors = map[string]string{"delay": virtualDelay.String(), "jitter": "0", "loss": "0", "idle": "0",
		"rounds": "2", "cpu": "0s", "fsync": "0s", "tick": "20ms", "target": "leader", "fault": faultNone,
		"repeats": "1", "length": c.Length.String()}
	v.Set = map[string]string{}
	if v.Arm, err = c.Get("orderer"); err != nil {
		return v, err
	}
	if c.Set["view"] == "model" {
		v.Set["model"] = v.Arm
	}
	for _, name := range []string{"n", "lanes", "rate"} {
		if v.Factors[name], err = c.Get(name); err != nil {
			return v, err
		}
	}
	return v, nil
}
