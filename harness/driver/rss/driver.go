package rss

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"metronome/harness/driver/rss/worker"
	"metronome/harness/factorial"
	"metronome/harness/load"
	"metronome/harness/load/memif"
	"metronome/harness/vswitch"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
)

// Driver is the driver of experiments/ingest-rss.
type Driver struct{}

// Open implements [factorial.Driver]. Processes are a trial's own.
func (Driver) Open(_ context.Context, env factorial.Env) (factorial.Session, error) {
	s := &session{env: env, lab: filepath.Join(env.Bin, "lab"), calibrations: map[string]*worker.Calibration{}}
	if _, err := os.Stat(s.lab); err != nil {
		return nil, &packet.ErrUnavailable{What: "lab", Why: "it is not built: " + err.Error(), Next: "make build"}
	}
	return s, nil
}

type session struct {
	env          factorial.Env
	lab          string
	calibrations map[string]*worker.Calibration // by shape, until the session ends
}

// Close implements [factorial.Session].
func (*session) Close() error { return nil }

// Ways of getting frames to cores.
const (
	hardware = "hardware" // a queue each
	software = "software" // one core hands on
	none     = "none"     // there is one core
)

// trial is what a cell asks for.
type trial struct {
	wire, distribution string
	cores, lanes       int
	items              int
	ports              string // chosen, or consecutive
	rate               float64
	length             time.Duration

	gbit, receive, crosses, memories float64 // of the model
}

const keyBytes, valueBytes = 8, 8

func parse(c factorial.Cell) (t trial, err error) {
	note := func(e error) { err = errors.Join(err, e) }
	text := func(name string) string {
		v, e := c.Get(name)
		note(e)
		return v
	}
	number := func(name string) int {
		v, e := c.Int(name)
		note(e)
		return v
	}
	float := func(name string) float64 {
		v, e := c.Float(name)
		note(e)
		return v
	}
	t = trial{wire: text("wire"), distribution: text("distribution"), cores: number("cores"),
		lanes: number("lanes"), items: number("items"), ports: text("ports"), rate: float("rate"),
		gbit: float("gbit"), receive: float("receive_ns"), crosses: float("crosses"),
		memories: float("memories"), length: c.Length}
	switch {
	case err != nil:
		return t, err
	case t.distribution != hardware && t.distribution != software && t.distribution != none:
		return t, fmt.Errorf("distribution %q: use %s, %s or %s", t.distribution, hardware, software, none)
	case t.distribution == none && t.cores != 1:
		return t, fmt.Errorf("%d cores and nothing that distributes; next: limit the arm to cores 1", t.cores)
	case t.ports != chosen && t.ports != consecutive:
		return t, fmt.Errorf("ports %q: use %s or %s", t.ports, chosen, consecutive)
	case t.cores < 1 || t.lanes < 1:
		return t, fmt.Errorf("%d cores, %d lanes: use 1 or more of each", t.cores, t.lanes)
	}
	return t, nil
}

// Ways of giving lanes their source ports.
const (
	chosen      = "chosen"
	consecutive = "consecutive"
)

// wireModel is the wire of arms that are calculated.
const wireModel = "model"

// Trial implements [factorial.Session].
func (s *session) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	t, err := parse(c)
	if err != nil {
		return o, err
	}
	if t.wire == wireModel {
		return s.predict(ctx, t)
	}
	if t.wire == worker.Memif && dpdk.Version() == "" {
		return o, &packet.ErrUnavailable{What: "dpdk", Why: "this build has none", Next: "make setup && make build"}
	}
	return s.measure(ctx, t)
}

// split reports whether one core receives for the others.
func (t *trial) split() bool { return t.distribution == software && t.cores > 1 }

// queues are what the wire deals lanes out to.
func (t *trial) queues() int {
	if t.distribution == hardware {
		return t.cores
	}
	return 1
}

// lanePorts are the source ports of the lanes.
func (t *trial) lanePorts() ([]uint16, error) {
	if t.ports == consecutive {
		ports := make([]uint16, t.lanes)
		for i := range ports {
			ports[i] = worker.Source.Port() + uint16(i)
		}
		return ports, nil
	}
	return vswitch.Spread{Table: vswitch.RoundRobin(vswitch.TableSize, t.queues()), Src: worker.Source.Addr(),
		Dst: worker.Group, Lanes: t.lanes, First: worker.Source.Port()}.Ports()
}

// arguments of the worker's processes.
func (t *trial) arguments(role string, more ...string) []string {
	return append([]string{"rss", role, "--wire", t.wire, "--lanes", strconv.Itoa(t.lanes),
		"--items", strconv.Itoa(t.items), "--key-bytes", strconv.Itoa(keyBytes),
		"--value-bytes", strconv.Itoa(valueBytes)}, more...)
}

// running are a trial's processes.
type running struct {
	all     []*process // in the order of their start
	receive *process
	send    *process // nil: frames are in memory
}

// close ends them all: those who poll first.
func (r *running) close() (err error) {
	for i := len(r.all) - 1; i >= 0; i-- {
		err = errors.Join(err, r.all[i].close())
	}
	return err
}

// up starts a trial's processes and waits until they are ready.
func (s *session) up(ctx context.Context, t trial) (_ *running, err error) {
	r := &running{}
	defer func() {
		if err != nil {
			_ = r.close() // the first error says more
		}
	}()
	add := func(name string, args ...string) (*process, error) {
		p, err := s.start(ctx, name, args...)
		if err == nil {
			r.all = append(r.all, p)
		}
		return p, err
	}
	rx, tx := filepath.Join(s.env.Dir, "rx.sock"), filepath.Join(s.env.Dir, "tx.sock")
	if t.wire == worker.Memif {
		sw, err := add("switch", "vswitch", "--until-eof", "--flood", "--port", "tx="+tx,
			"--port", fmt.Sprintf("rx=%s,queues=%d", rx, t.queues()))
		if err != nil {
			return nil, err
		}
		if err := sw.ready(); err != nil {
			return nil, err
		}
	}
	if r.receive, err = add("receive", t.arguments("receive", "--socket", rx, "--cores", strconv.Itoa(t.cores),
		fmt.Sprintf("--software=%t", t.split()))...); err != nil {
		return nil, err
	}
	if err := r.receive.ready(); err != nil {
		return nil, err
	}
	if t.wire == worker.Replay {
		return r, nil
	}
	ports, err := t.lanePorts()
	if err != nil {
		return nil, err
	}
	var list []string
	for _, p := range ports {
		list = append(list, strconv.Itoa(int(p)))
	}
	if r.send, err = add("send", t.arguments("send", "--socket", tx, "--groups", strconv.Itoa(t.queues()),
		"--ports", strings.Join(list, ","))...); err != nil {
		return nil, err
	}
	return r, r.send.ready()
}

// lead is how long before its window a run is announced: cores are made and pinned by then.
const lead = 150 * time.Millisecond

// grace is how much longer the receiver counts: frames are on their way.
const grace = 10 * time.Millisecond

// measure runs a trial.
func (s *session) measure(ctx context.Context, t trial) (o factorial.Outcome, err error) {
	clock, err := memif.NewClock()
	if err != nil {
		return o, err
	}
	r, err := s.up(ctx, t)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	run := load.Run{Cmd: "run", RateFPS: t.rate, StartNS: clock() + int64(lead), DurationNS: int64(t.length),
		Incarnation: 1}
	if r.send != nil {
		if err := r.send.tell(run); err != nil {
			return o, err
		}
		run.DurationNS += int64(grace)
	}
	if err := r.receive.tell(run); err != nil {
		return o, err
	}
	var sent load.Done
	if r.send != nil {
		if err := r.send.hear(&sent); err != nil {
			return o, err
		}
	}
	var got worker.Result
	if err := r.receive.hear(&got); err != nil {
		return o, err
	}
	return t.outcome(sent, got), nil
}

// busy is how many threads of a trial never sleep.
func (t *trial) busy() int {
	switch t.wire {
	case worker.Memif:
		return t.cores + 2 // sender and switch
	case worker.Replay:
		return t.cores
	}
	return t.cores + 1
}

// outcome turns what processes told into metrics.
func (t *trial) outcome(sent load.Done, got worker.Result) (o factorial.Outcome) {
	var frames, lanes []float64
	var total, items, cpu, dropped float64
	span := t.length.Seconds()
	for _, c := range got.Cores {
		if t.wire == worker.Replay { // it ends with a pass, not with the window
			span = max(float64(c.Wall)/1e9, span)
		}
		cpu += float64(c.CPU)
		dropped += float64(c.Dropped)
		if c.Polls {
			continue
		}
		frames, lanes = append(frames, float64(c.Frames)), append(lanes, float64(c.Lanes))
		total += float64(c.Frames) / span
		items += float64(c.Items) / span
	}
	o.Values = map[string]float64{
		"frames_per_s": total, "items_per_s": items,
		"core_frames_per_s": total / float64(t.cores), "ring_dropped": dropped,
		"cpu_ns_per_frame": cpu / (total * span), "cpu_cores": cpu / 1e9 / span,
		"fairness": Jain(frames),
	}
	t.spread(&o, lanes)
	if total == 0 {
		o.Void = "no frame came through"
	}
	if sent.Emitted > 0 {
		o.Values["loss"] = 1 - total*span/float64(sent.Emitted)
	}
	if t.busy() > runtime.NumCPU() {
		o.Flags = append(o.Flags, "oversubscribed")
	} else {
		o.Values["judged_items_per_s"] = o.Values["items_per_s"]
	}
	return o
}

// spread tells how lanes were dealt out, unless too few frames came to see all of them.
func (t *trial) spread(o *factorial.Outcome, lanes []float64) {
	seen := 0.0
	for _, n := range lanes {
		seen += n
	}
	if t.wire != worker.Replay && int(seen) != t.lanes {
		return
	}
	o.Values["lane_fairness"] = Jain(lanes)
	if uneven(lanes) {
		o.Flags = append(o.Flags, "uneven_lanes")
	}
}

// uneven reports whether some core has two lanes more than another.
func uneven(lanes []float64) bool {
	low, high := lanes[0], lanes[0]
	for _, n := range lanes {
		low, high = min(low, n), max(high, n)
	}
	return high-low > 1
}

// Jain is the fairness of shares, from 1/n, if one has all, to 1 (Jain, Chiu and Hawe, 1984).
func Jain(shares []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / float64(len(shares)) / squares
}
