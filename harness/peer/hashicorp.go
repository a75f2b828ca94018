package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"metronome/harness/load/kv"
)

func hashicorpPeer() Peer {
	return Peer{Name: "hashicorp-raft",
		What: "hashicorp/raft, three nodes in the generator's process, loopback TCP between them, a map each",
		Durable: "an acknowledged write is in the memory of a majority of the nodes, all of one process, and " +
			"dies with it",
		Modes: []Mode{{"1024", 4, 4, 1024}, {"64", 4, 16, 64}, {"1-1024", 1, 1024, 1}, {"1-64", 1, 64, 1},
			{"1-1", 1, 1, 1}},
		Start: func(ctx context.Context, h *Host, l kv.Load) (Instance, error) {
			nodes, err := h.set.Replicas()
			if err != nil {
				return nil, err
			}
			return startHashicorp(ctx, nodes, l)
		},
		settings: []string{"replicas"},
	}
}

// trailingBytes is about how much of the log a node keeps for stragglers: one that falls off it never
// comes back, and Check says so.
const trailingBytes = 256 << 20

// trailing is the same in entries of a load.
func trailing(l kv.Load) int {
	entry := commandBytes([]kv.Op{{Key: make([]byte, l.KeyBytes), Value: make([]byte, l.ValueBytes)}}) * l.Batch
	return min(max(trailingBytes/entry, 1024), 200_000)
}

type hashicorpInstance struct {
	nodes        []*raft.Raft
	transports   []*raft.NetworkTransport
	layers       []*countedLayer // what the transports lie on
	tables       []*table
	acknowledged atomic.Uint64
}

func startHashicorp(ctx context.Context, nodes int, l kv.Load) (_ Instance, err error) {
	c := &hashicorpInstance{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("hashicorp/raft: %w", err), c.Stop())
		}
	}()
	var members raft.Configuration
	for i := range nodes {
		layer, err := newCountedLayer()
		if err != nil {
			return nil, err
		}
		t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: layer, MaxPool: nodes,
			Timeout: 10 * time.Second, Logger: hclog.NewNullLogger()})
		c.transports, c.layers = append(c.transports, t), append(c.layers, layer)
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(strconv.Itoa(i)),
			Address: t.LocalAddr()})
	}
	for i, t := range c.transports {
		if err := c.startNode(i, t, members, l); err != nil {
			return nil, err
		}
	}
	return c, c.awaitLeader(ctx)
}

func (c *hashicorpInstance) startNode(i int, t raft.Transport, members raft.Configuration, l kv.Load) error {
	conf := raft.DefaultConfig()
	conf.LocalID = members.Servers[i].ID
	conf.Logger = hclog.NewNullLogger()
	conf.NoLegacyTelemetry = true
	// Tuned for throughput: as much an append and an application as there is, and patience where
	// all nodes share a core or two.
	conf.MaxAppendEntries, conf.BatchApplyCh = 1024, true
	conf.HeartbeatTimeout, conf.ElectionTimeout = 3*time.Second, 3*time.Second
	conf.LeaderLeaseTimeout = 3 * time.Second
	// The log is cut without a snapshot worth the name: an honest one would cost more.
	conf.TrailingLogs = uint64(trailing(l))
	conf.SnapshotThreshold, conf.SnapshotInterval = conf.TrailingLogs/2, time.Second
	logs, fsm := raft.NewInmemStore(), &tableFSM{newTable()}
	node, err := raft.NewRaft(conf, fsm, logs, logs, raft.NewDiscardSnapshotStore(), t)
	if err != nil {
		return err
	}
	c.nodes, c.tables = append(c.nodes, node), append(c.tables, fsm.table)
	if i == 0 {
		return node.BootstrapCluster(members).Error()
	}
	return nil
}

func (c *hashicorpInstance) leader() *raft.Raft {
	for _, n := range c.nodes {
		if n.State() == raft.Leader {
			return n
		}
	}
	return nil
}

func (c *hashicorpInstance) awaitLeader(ctx context.Context) error {
	for end := time.Now().Add(upLimit); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(tryAgain) {
		if n := c.leader(); n != nil && n.Barrier(time.Second).Error() == nil {
			return nil
		}
	}
	return errors.Join(ctx.Err(), fmt.Errorf("no leader within %s", upLimit))
}

// applyLimit is how long a command may wait to be taken by the leader.
const applyLimit = 10 * time.Second

// Connect implements [kv.Target].
func (c *hashicorpInstance) Connect(_ context.Context, _ int, l kv.Load) (kv.Conn, error) {
	leader := c.leader()
	if leader == nil {
		return nil, errors.New("there is no leader")
	}
	return kv.Sync(l.Outstanding, func(_ context.Context, b *kv.Batch) (int, error) {
		// The log keeps the command, so it cannot be used again.
		f := leader.Apply(appendCommand(make([]byte, 0, commandBytes(b.Ops)), b.Ops), applyLimit)
		if err := f.Error(); err != nil {
			return 0, err
		}
		if err, failed := f.Response().(error); failed {
			return 0, err
		}
		c.acknowledged.Add(uint64(len(b.Ops)))
		return len(b.Ops), nil
	}), nil
}

// Info implements [Instance].
func (c *hashicorpInstance) Info() Info {
	return Info{Version: libraryVersion("github.com/hashicorp/raft"), PIDs: []int{os.Getpid()}}
}

// Observe implements [kv.Observer]: the leader's bytes hold its heartbeats, and its answers to nobody.
func (c *hashicorpInstance) Observe(context.Context) (kv.Observation, error) {
	counters := map[string]float64{"committed_items": float64(c.acknowledged.Load())}
	for i, n := range c.nodes {
		if n.State() == raft.Leader {
			counters["leader_bytes"] = float64(c.layers[i].sent.Load())
			counters["leader_items"] = counters["committed_items"]
			counters["rounds"] = float64(n.CommitIndex())
		}
	}
	return kv.Observation{Counters: counters}, nil
}

// Get implements [Instance].
func (c *hashicorpInstance) Get(_ context.Context, key []byte) ([]byte, error) {
	for i, n := range c.nodes {
		if n.State() == raft.Leader {
			return c.tables[i].look(key)
		}
	}
	return nil, errors.New("there is no leader")
}

// Check implements [Instance].
func (c *hashicorpInstance) Check(ctx context.Context) error {
	return sameTables(ctx, c.acknowledged.Load(), c.tables)
}

// Stop implements [Instance].
func (c *hashicorpInstance) Stop() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.Shutdown().Error())
	}
	for _, t := range c.transports {
		errs = append(errs, t.Close())
	}
	c.nodes, c.transports = nil, nil
	return errors.Join(errs...)
}

// tableFSM is a table as the library wants its state machine.
type tableFSM struct{ *table }

// Apply implements [raft.FSM]. What it returns is the future's response.
func (f *tableFSM) Apply(l *raft.Log) any { return f.apply(l.Data) }

// ApplyBatch implements [raft.BatchingFSM].
func (f *tableFSM) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			answers[i] = f.apply(l.Data)
		}
	}
	return answers
}

// Snapshot implements [raft.FSM]: an empty one, so that the log can be cut.
func (f *tableFSM) Snapshot() (raft.FSMSnapshot, error) { return emptySnapshot{}, nil }

// Restore implements [raft.FSM]. No snapshot is worth restoring.
func (f *tableFSM) Restore(io.ReadCloser) error {
	return errors.New("this state machine has no snapshots")
}

type emptySnapshot struct{}

// Persist implements [raft.FSMSnapshot].
func (emptySnapshot) Persist(sink raft.SnapshotSink) error { return sink.Close() }

// Release implements [raft.FSMSnapshot].
func (emptySnapshot) Release() {}
