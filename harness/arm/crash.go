package arm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"metronome/harness/nemesis"
	"metronome/harness/peer"
	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/internal/version"
	"metronome/system/cluster"
)

// Crash is a cluster of ours whose processes are killed under load. Its processes belong to this one.
type Crash struct {
	cluster *nemesis.Cluster
	remove  func() error
	fs      string // of its data
}

// How the cluster is loaded: a stream of writes, so fine that its gaps tell an outage, and clients whose
// history is judged.
const (
	crashProxies   = 2
	crashWorkers   = 16 // of each proxy
	crashPatience  = 5 * time.Second
	checkedClients = 6
	checkedKeys    = 8 // at a time
	checkedPause   = 5 * time.Millisecond
	crashStart     = 3 * time.Minute
	crashSettle    = 2 * time.Minute
)

// OpenCrash starts a cluster for loads that kill.
func (e *StoreEnv) OpenCrash(ctx context.Context, g spec.StoreGroup) (_ *Crash, err error) {
	set, err := peer.ParseSettings(g.Set.String())
	if err != nil {
		return nil, err
	}
	replicas, err := set.Replicas()
	if err != nil {
		return nil, err
	}
	c := &Crash{}
	var dir string
	if dir, c.fs, c.remove, err = peer.Scratch(set); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	var failed error
	options := nemesis.Options{Binary: filepath.Join(e.Bin, "metronome"), Dir: dir,
		Logs:    filepath.Join(e.Logs, g.Arm.Name+"-"+g.Setup.Name),
		Cluster: cluster.DevOptions{Replicas: replicas, Proxies: crashProxies, Change: set.Change(&failed)}}
	if err := os.RemoveAll(options.Logs); err != nil { // of an earlier block
		return nil, fmt.Errorf("old logs: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, crashStart)
	defer cancel()
	c.cluster, err = nemesis.Start(ctx, options)
	if err = errors.Join(failed, err); err != nil {
		return nil, err
	}
	return c, c.cluster.Whole(ctx)
}

// Close kills the cluster and removes its data.
func (c *Crash) Close() {
	if c.cluster != nil {
		_ = c.cluster.Close()
	}
	_ = c.remove() // the next host's sweep tries again
}

// Trial implements run.StoreSession: it loads the cluster, kills processes, and reads everything back.
func (c *Crash) Trial(ctx context.Context, ask StoreAsk) (t record.StoreTrial, err error) {
	t = record.NewStoreTrial()
	t.Version, t.DataFS, t.OfferedOPS = version.String(), c.fs, ask.RateOPS
	history := &nemesis.Workload{Addresses: c.cluster.Addresses(), Clients: checkedClients, Keys: checkedKeys,
		Seed: ask.Seed, Pause: checkedPause, Patience: crashPatience}
	w := &nemesis.Writers{Addresses: c.cluster.Addresses(), Workers: crashWorkers, RateOPS: ask.RateOPS,
		Bytes: ask.ValueBytes, Patience: crashPatience}
	if err := w.Start(ctx); err != nil {
		return t, err
	}
	defer w.Close()
	history.Start(ctx)
	killer := nemesis.Killer{Cluster: c.cluster, Writers: w, Rand: rand.New(rand.NewPCG(ask.Seed, 0)),
		Told: func(nemesis.Event) { history.NextEra() }}
	time.Sleep(ask.Warmup)
	events, err := killer.Run(ctx, roles(ask.Kill), ask.Kills)
	length := w.Now()
	w.Halt()
	h, wrong := history.Stop()
	if err = errors.Join(err, wrong); err != nil {
		return t, err
	}
	outages(&t.Crash, events)
	t.Kills, t.Timeline = killRows(events), moments(w)
	t.Status = record.StatusOK
	t.WindowNS, t.Connections, t.Outstanding, t.BatchOps = length.Nanoseconds(), crashProxies, crashWorkers, 1
	t.Crash.CheckedOps, t.Crash.NotLinearizable = float64(len(h.Operations)), 0
	if err := nemesis.Judge(h); err != nil {
		t.Crash.NotLinearizable, t.Reason = 1, err.Error()
	}
	return t, c.audit(ctx, w, &t)
}

// audit reads everything back once the replicas have one state.
func (c *Crash) audit(ctx context.Context, w *nemesis.Writers, t *record.StoreTrial) error {
	settle, cancel := context.WithTimeout(ctx, crashSettle)
	defer cancel()
	t.Crash.DifferingStates = 0
	if err := c.cluster.Settled(settle); err != nil {
		t.Crash.DifferingStates, t.Reason = 1, cmp.Or(t.Reason, err.Error())
	}
	settle, cancel = context.WithTimeout(ctx, crashSettle)
	defer cancel()
	a, err := w.Audit(settle)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		t.Reason = cmp.Or(t.Reason, err.Error())
		return nil // nothing is known of the writes: their columns stay empty
	}
	x := &t.Crash
	x.AckedWrites, x.UnknownWrites = float64(a.Acknowledged), float64(a.Unknown)
	x.RefusedWrites, x.FoundWrites = float64(a.Refused), float64(a.Found)
	x.LostWrites, x.PhantomWrites = float64(a.Lost), float64(a.Phantoms)
	t.Reason = cmp.Or(a.First, t.Reason)
	t.CompletedOps, t.FailedOps = uint64(a.Acknowledged), uint64(a.Unknown+a.Refused)
	t.AchievedOPS = x.AckedWrites / (float64(t.WindowNS) / 1e9)
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func roles(names []string) (all []nemesis.Role) {
	for _, name := range names {
		all = append(all, nemesis.Role(name))
	}
	return all
}

func killRows(events []nemesis.Event) (rows []record.Kill) {
	for i := range events {
		e := &events[i]
		k := record.Kill{Number: i + 1, Role: string(e.Role), Victim: e.Names(), AtMS: ms(e.At), DownMS: ms(e.Down),
			RejoinMS: ms(e.Rejoin), OutageMS: ms(e.Outage), OwnOutageMS: math.NaN(), Unknown: e.Unknown,
			Refused: e.Refused, Ended: e.Ended, Status: record.StatusOK}
		if e.Role == nemesis.RoleProxy {
			k.OwnOutageMS = ms(e.Own)
		}
		if e.Err != nil {
			k.Status, k.Reason = record.StatusVoid, e.Err.Error()
		}
		rows = append(rows, k)
	}
	return rows
}

func moments(w *nemesis.Writers) (rows []record.Moment) {
	for proxy, counts := range w.Timeline(record.MomentMS * time.Millisecond) {
		for i, n := range counts {
			rows = append(rows, record.Moment{AtMS: i * record.MomentMS, Proxy: proxy + 1, Acked: n})
		}
	}
	return rows
}

// outages sums up the events of a trial.
func outages(x *record.Crash, events []nemesis.Event) {
	gaps := map[nemesis.Role][]float64{}
	var own []float64
	x.RejoinMax, x.Unrecovered, x.SelfEnded = 0, 0, 0
	for i := range events {
		e := &events[i]
		gaps[e.Role] = append(gaps[e.Role], ms(e.Outage))
		if e.Role == nemesis.RoleProxy {
			own = append(own, ms(e.Own))
		}
		if e.Role != nemesis.RoleNobody {
			x.Kills++
			x.RejoinMax = math.Max(x.RejoinMax, ms(e.Rejoin))
		}
		x.SelfEnded += float64(e.Ended)
		if e.Err != nil {
			x.Unrecovered++
		}
	}
	leader := gaps[nemesis.RoleLeader]
	x.LeaderP50, x.LeaderP99 = nearestRank(leader, 0.5), nearestRank(leader, 0.99)
	x.FollowerP99 = nearestRank(gaps[nemesis.RoleFollower], 0.99)
	x.ProxyOthersP99, x.ProxyOwnP99 = nearestRank(gaps[nemesis.RoleProxy], 0.99), nearestRank(own, 0.99)
	x.ReplicasP99 = nearestRank(gaps[nemesis.RoleReplicas], 0.99)
	x.CalmP99 = nearestRank(gaps[nemesis.RoleNobody], 0.99)
}

// nearestRank is the least value that a share of all do not exceed; missing if there are none.
func nearestRank(values []float64, share float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	values = slices.Sorted(slices.Values(values))
	return values[max(0, int(math.Ceil(share*float64(len(values))))-1)]
}
