package arm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"metronome/harness/load/kv"
	"metronome/harness/peer"
	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/harness/testbed"
)

// StoreEnv is what systems are started with.
type StoreEnv struct {
	Bed  *testbed.Testbed
	Bin  string // folder of lab and metronome; the servers of make peers lie in its folder peers
	Logs string
}

// Store is one system that runs, in a process that starts, loads and stops it: lab peers serve.
type Store struct {
	proc  *process
	ready peer.Ready
	limit time.Duration // of an answer, beyond the load's length
	ended sync.Once
}

// StoreAsk is one load.
type StoreAsk struct {
	spec.Workload
	RateOPS        float64 // 0: closed loop
	Outstanding    int     // operations in flight of one connection; 0: the shape of the arm's mode
	Warmup, Window time.Duration
	Preload        bool
	Seed           uint64
	Kill           []string // roles of whom to kill meanwhile; how often: Kills
	Kills          int
}

// Bounds of waiting for a system: to come up, which is tried again if a port was taken, to be filled, and
// to stop.
const (
	upLimit   = 3 * time.Minute
	fillLimit = 15 * time.Minute
	stopLimit = 15 * time.Second
)

// Open starts a system. A *packet.ErrUnavailable says what this machine lacks.
func (e *StoreEnv) Open(g spec.StoreGroup) (*Store, error) {
	name := g.Arm.Name
	if g.Setup.Name != "" {
		name += "-" + g.Setup.Name
	}
	logs := filepath.Join(e.Logs, name)
	argv := []string{filepath.Join(e.Bin, "lab"), "peers", "serve", g.Arm.Peer, "-mode", g.Arm.Mode,
		"-bin", filepath.Join(e.Bin, "peers"), "-logs", logs, "-set", g.Set.String()}
	p, err := startAnywhere(e.Bed, e.Logs, name, argv...)
	if err != nil {
		return nil, err
	}
	p.patience = stopLimit
	s := &Store{proc: p, limit: time.Minute}
	if err := p.hear("ready", &s.ready, upLimit); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the system.
func (s *Store) Close() { s.ended.Do(func() { s.proc.stop(`{"cmd":"stop"}`) }) }

// storeLoad is what a system is asked for. What is left out stays as the arm's mode has it.
type storeLoad struct {
	Keys        int     `json:"keys"`
	KeyBytes    int     `json:"key_bytes"`
	ValueBytes  int     `json:"value_bytes"`
	ReadRatio   float64 `json:"read_ratio"`
	RateOPS     float64 `json:"rate_ops"`
	WarmupNS    int64   `json:"warmup_ns"`
	WindowNS    int64   `json:"window_ns"`
	Preload     bool    `json:"preload"`
	Seed        uint64  `json:"seed"`
	Connections int     `json:"connections,omitempty"`
	Outstanding int     `json:"outstanding,omitempty"`
	Batch       int     `json:"batch,omitempty"`
}

// Trial offers one load. Load and row are in the same units; what a system does not count stays missing.
func (s *Store) Trial(ctx context.Context, ask StoreAsk) (t record.StoreTrial, err error) {
	l := storeLoad{Keys: ask.Keys, KeyBytes: ask.KeyBytes, ValueBytes: ask.ValueBytes, ReadRatio: ask.ReadRatio,
		RateOPS: ask.RateOPS, WarmupNS: ask.Warmup.Nanoseconds(), WindowNS: ask.Window.Nanoseconds(),
		Preload: ask.Preload, Seed: ask.Seed}
	if ask.Outstanding > 0 {
		l.Connections, l.Outstanding, l.Batch = 1, ask.Outstanding, 1
	}
	line, err := json.Marshal(map[string]any{"cmd": "run", "load": l})
	if err != nil {
		return t, fmt.Errorf("encode a load: %w", err)
	}
	if err := s.proc.say("%s", line); err != nil {
		return t, err
	}
	limit := s.limit + ask.Warmup + ask.Window
	if ask.Preload {
		limit += fillLimit
	}
	defer context.AfterFunc(ctx, s.Close)()
	var done kv.Done
	if err := s.proc.hear("done", &done, limit); err != nil {
		return t, errors.Join(ctx.Err(), err)
	}
	return s.row(done.Result), nil
}

// row is a result as a row.
func (s *Store) row(r *kv.Result) record.StoreTrial {
	t := record.NewStoreTrial()
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	t.Version, t.DataFS = s.ready.Version, s.ready.DataFS
	t.Connections, t.Outstanding, t.BatchOps = r.Load.Connections, r.Load.Outstanding, r.Load.Batch
	t.OfferedOPS, t.WindowNS = r.Load.RateOPS, r.Load.WindowNS
	t.DueOps, t.AnsweredOps, t.FailedOps, t.BusyOps = r.Due, r.Answered, r.Failed, r.Busy
	t.UnansweredOps, t.UnsentOps, t.CompletedOps = r.Unanswered, r.Unsent, r.Completed
	t.AchievedOPS, t.LatencyHDR = r.AchievedOPS, r.LatencyHDR
	if r.Latency.Count > 0 {
		q := r.Latency
		t.LatencyP50, t.LatencyP90, t.LatencyP99 = us(q.P50NS), us(q.P90NS), us(q.P99NS)
		t.LatencyP999, t.LatencyMax = us(q.P999NS), us(q.MaxNS)
	}
	if r.Reads.Count > 0 && r.Writes.Count > 0 {
		t.PutP50, t.PutP99 = us(r.Writes.P50NS), us(r.Writes.P99NS)
		t.GetP50, t.GetP99 = us(r.Reads.P50NS), us(r.Reads.P99NS)
	}
	costs(&t, &r.Cost)
	inside(&t, &r.Cost)
	t.Status = record.StatusOK
	switch {
	case r.Void != "":
		t.Status, t.Reason = record.StatusVoid, r.Void
	case r.Completed == 0 && r.Failed == 0:
		t.Status, t.Reason = record.StatusVoid, "no operation was completed within the window"
	case float64(r.Failed) > failedLimit*float64(r.Due):
		t.Status = record.StatusVoid
		t.Reason = fmt.Sprintf("%d of %d operations failed: %v", r.Failed, r.Due, r.Errors)
	case len(r.Cost.Gone) > 0:
		t.Status, t.Reason = record.StatusVoid, "a process of the system ended"
	}
	return t
}

// failedLimit is how many operations may fail in a trial that counts: errors cost less than work.
const failedLimit = 0.001

func costs(t *record.StoreTrial, c *kv.Cost) {
	t.SharedProcess, t.StealRatio = c.SharedProcess, c.StealRatio
	t.CPUNSSystem, t.CPUNSGenerator = float64(c.TargetCPUNS), float64(c.GeneratorCPUNS)
	t.CPUUSPerOp, t.CPUUSPerOpSystem = c.CPUPerOp, c.TargetCPUPerOp
	if c.SharedProcess {
		t.CPUUSPerOpSystem = math.NaN()
	}
	t.CPUShare = (t.CPUNSSystem + t.CPUNSGenerator) / float64(c.WallNS) / float64(runtime.NumCPU())
	t.MemPeakBytes = float64(c.TargetPeakBytes)
	for _, p := range c.Processes {
		switch p.Role {
		case "replica":
			add(&t.CPUNSReplicas, float64(p.CPUNS))
		case "proxy":
			add(&t.CPUNSProxy, float64(p.CPUNS))
		}
	}
	ops := t.AchievedOPS * float64(c.WallNS) / 1e9
	t.SenderCPUUSPerItem = t.CPUNSProxy / ops / 1e3
}

// add adds to a figure that may be missing.
func add(to *float64, v float64) {
	if math.IsNaN(*to) {
		*to = 0
	}
	*to += v
}

// inside takes over what the system counts of itself.
func inside(t *record.StoreTrial, c *kv.Cost) {
	from := func(m map[string]float64, names ...string) float64 {
		for _, name := range names {
			if v, ok := m[name]; ok {
				return v
			}
		}
		return math.NaN()
	}
	t.InsideNS = c.CountersNS
	t.CommittedItems, t.Rounds = from(c.Counters, "committed_items"), from(c.Counters, "rounds")
	t.OrderBytes, t.PeerItemBytes = from(c.Counters, "order_bytes"), from(c.Counters, "peer_item_bytes")
	t.RepairedFrames = from(c.Counters, "repaired_frames")
	t.SentBytes = from(c.Counters, "proxy_bytes", "leader_bytes")
	t.SentItems = from(c.Counters, "proxy_items", "leader_items")
	t.BusyAttempts, t.HeldFrames = from(c.Counters, "busy_attempts"), from(c.Gauges, "held_frames")
	t.IngestFrames = from(c.Counters, "ingest_frames")
	t.JournalSyncs, t.JournalBytes = from(c.Counters, "journal_syncs"), from(c.Counters, "journal_bytes")
}
