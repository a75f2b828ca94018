package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/history"
	"metronome/harness/nemesis"
	"metronome/internal/mutate"
	"metronome/system/cluster"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
)

// How a cluster is loaded and broken while clients write down what they see.
const (
	proxies      = 2
	lanes        = 3 // of each: so every replica is the one that answers for some
	diskBytes    = 256 << 20
	keys         = 12 // at a time
	era          = time.Second
	patience     = 2 * time.Second
	startTime    = 3 * time.Minute
	settle       = 3 * time.Minute
	settleBroken = 15 * time.Second // of a build that is broken on purpose
)

var (
	hold  = [2]time.Duration{300 * time.Millisecond, 1200 * time.Millisecond}
	peace = [2]time.Duration{100 * time.Millisecond, 500 * time.Millisecond}
)

// linearizability is one schedule of faults: a fresh cluster, clients, faults until the time is over, and
// what the judges say.
func (t *task) linearizability(ctx context.Context) (o factorial.Outcome, err error) {
	kinds, err := t.kinds()
	if err != nil {
		return o, err
	}
	clients, err := t.Cell.Int("clients")
	if err != nil {
		return o, err
	}
	c, done, err := t.start(ctx)
	if err != nil {
		return o, err
	}
	defer done()
	w := &nemesis.Workload{Addresses: c.Addresses(), Clients: clients, Keys: keys, Seed: t.Cell.Seed,
		Barrier: t.Cell.Seed%2 == 1 || t.mutation() == mutate.StaleRead, Patience: patience}
	w.Start(ctx)
	s := nemesis.Schedule{Cluster: c, Kinds: kinds, Length: t.Cell.Length, Pairs: len(kinds) > 5,
		Fragile: t.mutation() != mutate.None,
		Seed:    t.Cell.Seed, Hold: hold, Peace: peace, Now: w.Now,
		Told: func(e nemesis.Injected) { w.NextEra(); t.say(e) }}
	stop := every(era, w.NextEra)
	faults, err := s.Run(ctx)
	stop()
	h, wrong := w.Stop()
	if err != nil {
		return o, errors.Join(err, wrong)
	}
	v := verdict{task: t, faults: faults, history: h, wrong: wrong}
	limit := settle
	if s.Fragile {
		limit = settleBroken
	}
	settled, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if last := len(faults) - 1; last < 0 || faults[last].Error == "" && (faults[last].Ended == 0 || !s.Fragile) {
		v.differ = c.Settled(settled)
	}
	if ctx.Err() != nil {
		return o, ctx.Err()
	}
	v.report = history.Judge(h, history.Standard())
	return v.outcome()
}

func every(d time.Duration, do func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				do()
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (t *task) kinds() ([]nemesis.Kind, error) {
	name, err := t.Cell.Get("nemesis")
	if err != nil {
		return nil, err
	}
	switch ports, _ := t.Cell.Get("ports"); {
	case ports != "" && ports != "socket" && ports != portsDPDK:
		return nil, fmt.Errorf("setting ports: there is no %q; next: socket or dpdk", ports)
	case t.bypass() && name == "mixed":
		name = "mixed-bypass"
	}
	return nemesis.Kinds(name)
}

// bypass reports whether the arm's datagrams pass ports of DPDK and the software switch.
func (t *task) bypass() bool {
	ports, _ := t.Cell.Get("ports")
	return ports == portsDPDK
}

// portsDPDK is a value of the arms' setting ports; the other is socket.
const portsDPDK = "dpdk"

// mutation is the rule that the arm breaks.
func (t *task) mutation() mutate.Mutation {
	name, _ := t.Cell.Get("mutation")
	m, _ := mutate.Parse(name)
	return m
}

// start brings a cluster of ours up: every process in a namespace, every replica with a disk of its own.
func (t *task) start(ctx context.Context) (c *nemesis.Cluster, done func(), err error) {
	replicas, err := t.Cell.Int("replicas")
	if err != nil {
		return nil, nil, err
	}
	o := nemesis.Options{Binary: filepath.Join(t.Bin, "metronome"), Dir: filepath.Join(t.Dir, "cluster"),
		Logs: t.Logs, Disk: diskBytes,
		Cluster: cluster.DevOptions{Replicas: replicas, Proxies: proxies, Lanes: lanes, Change: t.change}}
	if t.bypass() {
		if err := withDPDK(); err != nil {
			return nil, nil, err
		}
		o.Switch, o.Seed = filepath.Join(t.Bin, "lab"), t.Cell.Seed
	}
	if m := t.mutation(); m != mutate.None {
		o.Binary += "-mutation"
		o.Env = []string{mutate.EnvName + "=" + m.String()}
	}
	if o.Network, err = nemesis.NewNetwork(ctx, replicas, proxies); err != nil {
		return nil, nil, err
	}
	return t.bring(ctx, o)
}

// withDPDK is an error of a build without DPDK.
func withDPDK() error {
	if dpdk.Version() == "" {
		return &packet.ErrUnavailable{What: "dpdk", Why: "this build has none", Next: "make setup && make build"}
	}
	return nil
}

// bring starts a cluster in its network, both of which done ends.
func (t *task) bring(ctx context.Context, o nemesis.Options) (c *nemesis.Cluster, done func(), err error) {
	done = func() {
		if c != nil {
			_ = c.Close()
		}
		_ = o.Network.Close(context.Background())
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	for _, program := range []string{o.Binary, o.Switch} {
		if program == "" {
			continue
		}
		if _, err := os.Stat(program); err != nil {
			return c, done, &packet.ErrUnavailable{What: filepath.Base(program), Why: err.Error(), Next: "make build"}
		}
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return c, done, fmt.Errorf("folder of the cluster: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if c, err = nemesis.Start(ctx, o); err == nil {
		err = c.Whole(ctx)
	}
	return c, done, err
}

// say logs a fault.
func (t *task) say(e nemesis.Injected) {
	b, _ := json.Marshal(e)
	fmt.Fprintln(os.Stderr, string(b))
}

// verdict is what is known of a schedule at its end.
type verdict struct {
	task    *task
	faults  []nemesis.Injected
	history *history.History
	report  history.Report
	wrong   error // what a client was told that it does not know
	differ  error // why the replicas have not come to one state
}

func (v *verdict) outcome() (o factorial.Outcome, err error) {
	ended, unrecovered := 0, 0
	for i := range v.faults {
		ended += v.faults[i].Ended
		if v.faults[i].Error != "" {
			unrecovered++
		}
	}
	broken := v.report.Verdict == history.Illegal
	o.Values = map[string]float64{"operations": float64(v.report.Operations), "faults": float64(len(v.faults)),
		"answered": float64(v.report.Answered), "unknown": float64(v.report.Unknown),
		"placed": float64(v.report.Placed), "violations": one(broken),
		"inconclusive": one(v.report.Verdict == history.Unfinished), "differing_states": one(v.differ != nil),
		"searches": float64(v.report.Searches), "self_ended": float64(ended),
		"unrecovered": float64(unrecovered), "strange_errors": one(v.wrong != nil)}
	wrong := one(v.report.Verdict != history.Legal || v.differ != nil || ended > 0 || unrecovered > 0 ||
		v.wrong != nil)
	o.Values["wrong"], o.Values["caught"] = wrong, wrong
	for _, err := range []error{v.differ, v.wrong} {
		if err != nil {
			o.Flags = append(o.Flags, err.Error())
		}
	}
	if what := v.report.What(); what != "" {
		o.Flags = append(o.Flags, what)
	}
	o.Timeline = answers(v.history)
	if err := v.keep(&o); err != nil {
		return o, err
	}
	return o, nil
}

// keep keeps what happened; of a schedule that went wrong the whole history, and a drawing of the key.
func (v *verdict) keep(o *factorial.Outcome) error {
	notes := make([]json.RawMessage, 0, len(v.faults))
	for i := range v.faults {
		b, err := json.Marshal(v.faults[i])
		if err != nil {
			return fmt.Errorf("keep the faults: %w", err)
		}
		notes = append(notes, b)
	}
	o.Files = map[string][]byte{"faults.jsonl": append(bytes.Join(asBytes(notes), []byte("\n")), '\n')}
	if v.report.Verdict == history.Legal {
		return nil
	}
	var b bytes.Buffer
	if err := (&history.File{History: *v.history, Notes: notes}).Write(&b); err != nil {
		return err
	}
	o.Files["history.jsonl"] = b.Bytes()
	if v.report.Finding.Key == "" {
		return nil
	}
	var page bytes.Buffer
	if err := history.Visualize(&page, v.history, &v.report.Finding); err != nil {
		return err
	}
	o.Files["history.html"] = page.Bytes()
	return nil
}

func asBytes(notes []json.RawMessage) (all [][]byte) {
	for _, n := range notes {
		all = append(all, n)
	}
	return all
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// answers are how many operations were answered in each tenth of a second, as a rate.
func answers(h *history.History) (points []factorial.Point) {
	const length = int64(100 * time.Millisecond)
	counts := map[int64]int{}
	last := int64(0)
	for i := range h.Operations {
		if op := &h.Operations[i]; op.Outcome == history.Answered {
			counts[op.Returned/length]++
			last = max(last, op.Returned/length)
		}
	}
	for i := range last {
		rate := float64(counts[i]) * 10
		points = append(points, factorial.Point{Series: "answers/s", X: float64(i) / 10, Y: rate})
	}
	return points
}

// change gives lanes a few megabytes each: many clusters are started, and none has much under way. Whether
// a cluster writes to its disks is the arm's.
func (t *task) change(c *cluster.Config) {
	c.Limits.LaneArenaBytes, c.Limits.LaneWindowFrames = 8<<20, 8192
	if d, err := t.Cell.Get("durability"); err == nil {
		c.Durability = d
	}
}
