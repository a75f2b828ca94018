package bypass

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/nemesis"
	"metronome/harness/vswitch/vswitchd"
	"metronome/system/cluster"
	"metronome/system/load"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
)

// Driver is the driver of experiments/ingest-cluster.
type Driver struct{}

// Open implements [factorial.Driver]. Clusters are a trial's own.
func (Driver) Open(_ context.Context, env factorial.Env) (factorial.Session, error) {
	s := session{env: env, metronome: filepath.Join(env.Bin, "metronome"), lab: filepath.Join(env.Bin, "lab")}
	for _, binary := range []string{s.metronome, s.lab} {
		if _, err := os.Stat(binary); err != nil {
			return nil, &packet.ErrUnavailable{What: "metronome", Why: "it is not built: " + err.Error(),
				Next: "make build"}
		}
	}
	return s, nil
}

type session struct {
	env            factorial.Env
	metronome, lab string
}

// Close implements [factorial.Session].
func (session) Close() error { return nil }

// trial is what one trial is to be.
type trial struct {
	session
	mode     string // of port: memif, or one of sockets
	replicas int
	burst    int
	load     load.Config
	dir      string // all data
	logs     string
}

const memif = "memif"

// Trial implements [factorial.Session].
func (s session) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	t, err := s.plan(c)
	if err != nil {
		return o, err
	}
	if t.mode == memif && dpdk.Version() == "" {
		return o, &packet.ErrUnavailable{What: "dpdk", Why: "this build has none", Next: "make setup && make build"}
	}
	defer os.RemoveAll(t.dir) // what is left, the session's end removes
	return t.run(ctx)
}

// plan reads a cell.
func (s session) plan(c factorial.Cell) (t trial, err error) {
	t = trial{session: s, dir: filepath.Join(s.env.Dir, "c"),
		logs: filepath.Join(s.env.Logs, c.Folder())}
	t.mode, err = c.Get("port")
	number := func(name string) int {
		n, e := c.Int(name)
		err = errors.Join(err, e)
		return n
	}
	t.replicas, t.burst = number("replicas"), number("burst")
	t.load = load.Config{Keys: number("keys"), KeyBytes: 16, ValueBytes: number("value_bytes"), Seed: c.Seed,
		Outstanding: number("outstanding"), Warmup: warmup, Length: max(c.Length, time.Second)}
	return t, err
}

const warmup = time.Second

// change is what the trial alters in a development cluster's file.
func (t trial) change(c *cluster.Config) {
	c.Durability = "memory"
	c.Port.Burst = cmp.Or(t.burst, c.Port.Burst)
	if t.mode != memif {
		c.Port.Mode = cmp.Or(t.mode, c.Port.Mode)
	}
}

// run brings the cluster up, loads it, and ends it.
func (t trial) run(ctx context.Context) (o factorial.Outcome, err error) {
	n, err := t.start(ctx)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	r, err := t.measured(ctx, n)
	if err != nil {
		return o, err
	}
	return outcome(r, n)
}

// start brings the trial's cluster up. Its one proxy is left to be started as the load's generator.
func (t trial) start(ctx context.Context) (*nemesis.Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	o := nemesis.Options{Binary: t.metronome, Dir: t.dir, Logs: t.logs, Reserve: 1,
		Cluster: cluster.DevOptions{Replicas: t.replicas, Proxies: 1, Change: t.change}}
	if t.mode == memif {
		o.Switch, o.Seed = t.lab, t.load.Seed
	}
	return nemesis.Start(ctx, o)
}

// measured loads a cluster from within its proxy.
func (t trial) measured(ctx context.Context, n *nemesis.Cluster) (*readings, error) {
	g, err := t.generate(n.File(), n.Config.Proxies[0].Peer().String())
	if err != nil {
		return nil, err
	}
	return g.measure(ctx, processes(n, g))
}

// process is one whose cost is read.
type process struct {
	role string
	pid  int
}

func processes(n *nemesis.Cluster, g *generator) (all []process) {
	for i := range n.Config.Replicas {
		all = append(all, process{"replica", n.PID(n.Config.Replicas[i].Peer())})
	}
	all = append(all, process{"proxy", g.cmd.Process.Pid})
	if pid := n.SwitchPID(); pid != 0 {
		all = append(all, process{"switch", pid})
	}
	return all
}

// outcome turns readings into the experiment's metrics.
func outcome(r *readings, n *nemesis.Cluster) (o factorial.Outcome, err error) {
	seconds := float64(r.cost.WallNS) / 1e9
	v := map[string]float64{"items_per_s": r.load.OpsPerS, "p50_us": r.load.LatencyP50,
		"p99_us": r.load.LatencyP99, "p999_us": r.load.LatencyP999,
		"failed": float64(r.load.Failed + r.load.Unknown), "busy": float64(r.load.Busy)}
	count := map[string]float64{}
	for _, p := range r.cost.Processes {
		v["cpu_"+p.Role] += float64(p.CPUNS) / 1e9 / seconds
		v["memory_"+p.Role] += float64(p.PeakBytes) / (1 << 20)
		count[p.Role]++
	}
	v["cpu_replica"] /= count["replica"]
	v["memory_replica"] /= count["replica"]
	v["cpu_us_per_item"] = float64(r.cost.TargetCPUNS) / 1e3 / (r.load.OpsPerS * seconds)
	if n.SwitchPID() != 0 {
		var s *vswitchd.Stats
		if s, err = n.SwitchStats(); err != nil {
			return o, err
		}
		v["switch_lost"] = float64(s.Loop.Lost)
		v["switch_packets"] = float64(s.Switch.Packets)
	}
	o.Values = v
	if r.load.Ops == 0 {
		o.Void = "no put was answered"
	}
	// Replicas and proxy take a core each, and the switch one more.
	if pollers := len(r.cost.Processes); pollers > runtime.NumCPU() {
		o.Flags = append(o.Flags, "oversubscribed")
	} else {
		v["judged_items_per_s"] = r.load.OpsPerS
	}
	return o, nil
}
