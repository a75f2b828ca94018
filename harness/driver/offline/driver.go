package offline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"metronome/harness/driver/edgeproc"
	"metronome/harness/driver/offline/outage"
	"metronome/harness/driver/tool"
	"metronome/harness/factorial"
	"metronome/system/device"
	"metronome/system/packet"
)

// Driver measures devices that were cut off. Its zero value runs from the repository's root.
type Driver struct {
	Root string   // of the repository; "" = where we are
	Edge []string // the edge server's command; nil = bin/metronome edge
}

// Open builds the device's process.
func (d Driver) Open(ctx context.Context, env factorial.Env) (factorial.Session, error) {
	worker := filepath.Join(env.Bin, "clients", "device")
	root, err := filepath.Abs(d.Root)
	if err != nil {
		return nil, err
	}
	if err := tool.Go(ctx, root, "./harness/driver/offline/worker", worker); err != nil {
		return nil, err
	}
	command := d.Edge
	if command == nil {
		command = []string{filepath.Join(env.Bin, "metronome"), "edge"}
		if _, err := os.Stat(command[0]); err != nil {
			return nil, &packet.ErrUnavailable{What: "metronome", Why: err.Error(), Next: "make build"}
		}
	}
	return &session{dir: env.Dir, log: filepath.Join(env.Logs, "edge.log"), worker: worker, edge: command}, nil
}

type session struct {
	dir, log, worker string
	edge             []string
}

// Close implements factorial.Session.
func (s *session) Close() error { return nil }

// nowhere is an address where nothing listens.
const nowhere = "https://127.0.0.1:1"

// order and answer are the worker's spec and report.
type (
	order struct {
		Drain                     bool
		Dir, Edge, User, Password string
		CA                        string
		Batch                     int
		Every, Latest             bool
		RetryMS                   int
		Outage                    outage.Spec
		SampleMS                  int
	}
	answer struct {
		OpenNS, WorkNS, CPUNS int64
		PeakKiB               int64
		Status                device.Status
		Samples               [][2]float64
	}
)

// trial is one trial under way.
type trial struct {
	*session
	order
	cut    bool
	seed   uint64
	fill   *answer
	drain  *answer
	disk   int64 // bytes that the full queue takes
	repeat float64
	cuts   int
	seen   *outage.Witness
	lost   int // keys with other values than they should have
}

// Trial implements factorial.Session.
func (s *session) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	t, err := s.trial(c)
	if err != nil {
		return o, err
	}
	home, err := os.MkdirTemp(s.dir, "trial-")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	t.Dir = filepath.Join(home, "device")
	if t.fill, err = t.run(ctx); err != nil {
		return o, fmt.Errorf("fill: %w", err)
	}
	if t.disk, err = allocated(t.Dir); err != nil {
		return o, err
	}
	edge, err := edgeproc.Start(ctx, edgeproc.Config{Command: s.edge, Dir: filepath.Join(home, "edge"),
		Log: s.log, CPU: -1})
	if err != nil {
		return o, err
	}
	err = t.meet(ctx, edge)
	if err = errors.Join(err, edge.Stop()); err != nil {
		return o, err
	}
	return t.outcome(), nil
}

func (s *session) trial(c factorial.Cell) (t *trial, err error) {
	t = &trial{session: s, seed: c.Seed, order: order{Edge: nowhere, User: "profile", SampleMS: 20,
		Every: c.Set["send"] == "every", Latest: c.Set["send"] == "latest"}, cut: c.Set["link"] == "cut"}
	n := map[string]int{}
	for _, name := range []string{"outage", "rate", "batch", "sensors", "value"} {
		if n[name], err = c.Int(name); err != nil {
			return nil, err
		}
	}
	if t.cut {
		t.RetryMS = 5
	}
	t.Batch = n["batch"]
	t.Outage = outage.Spec{Seed: c.Seed, Count: n["outage"] * n["rate"], Sensors: n["sensors"],
		Value: n["value"]}
	if t.Outage.Count < 1 || t.Outage.Sensors < 1 || t.Outage.Value < 10 {
		return nil, fmt.Errorf("outage %+v: use at least one operation, one sensor, values of 10 bytes", t.Outage)
	}
	return t, nil
}

// meet lets the device send to the edge, and looks at what arrived.
func (t *trial) meet(ctx context.Context, edge *edgeproc.Edge) error {
	t.Drain, t.Edge, t.CA, t.User, t.Password = true, edge.URL, edge.CA, edge.User, edge.Password
	if t.cut {
		cutter, err := NewCutter(strings.TrimPrefix(edge.URL, "https://"), t.seed)
		if err != nil {
			return err
		}
		defer func() { t.cuts = cutter.Cuts() }()
		defer cutter.Close()
		t.Edge = "https://" + cutter.Addr()
	}
	// The edge is asked once with the password before, so that its bcrypt is in no drain.
	if err := edge.List(ctx, "", func(edgeproc.Entry) {}); err != nil {
		return err
	}
	var err error
	if t.drain, err = t.run(ctx); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return t.witness(ctx, edge)
}

// witness compares what the edge did with what the device wrote.
func (t *trial) witness(ctx context.Context, edge *edgeproc.Edge) error {
	t.seen = outage.NewWitness(t.Outage)
	if err := edge.Changes(ctx, "", 1, func(e edgeproc.Entry) {
		t.seen.Change(e.Key, e.Value, e.Deleted)
	}); err != nil {
		return err
	}
	want := t.Outage.State()
	if err := edge.List(ctx, "", func(e edgeproc.Entry) {
		if value, ok := want[e.Key]; !ok || !bytes.Equal(value, e.Value) {
			t.lost++
		}
		delete(want, e.Key)
	}); err != nil {
		return err
	}
	t.lost += len(want)
	metrics, err := edge.Metrics(ctx)
	t.repeat = metrics["metronome_edge_duplicates_total"]
	return err
}

// run runs the device's process once.
func (t *trial) run(ctx context.Context) (*answer, error) {
	spec, err := json.Marshal(&t.order)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, t.worker)
	var complaints bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(spec), &complaints
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("device: %w: %s", err, bytes.TrimSpace(complaints.Bytes()))
	}
	a := &answer{}
	return a, json.Unmarshal(out, a)
}

// allocated is what a folder takes on the disk, in bytes.
func allocated(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += s.Blocks * 512
		}
		return nil
	})
	return sum, err
}
