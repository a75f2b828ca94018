package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"metronome/harness/load/kv"
	"metronome/harness/load/kv/resp"
	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/packet"
	"metronome/system/wire"
)

// Ours lists the store under test, in the ways it is driven.
func Ours() []Peer {
	durable := "an acknowledged write is in the memory of a majority of replicas; it does not survive the " +
		"loss of a majority. With the setting durability=fsync it is fsynced by a majority of replicas: it " +
		"survives the machine's restart"
	return []Peer{
		ours(Peer{Name: "metronome", Durable: durable,
			What:  "replica processes and one proxy process, operations submitted from within the proxy",
			Modes: []Mode{{"32k", 8, 32, 128}, {"16k", 8, 16, 128}, {"512k", 64, 64, 128}, {"1", 1, 1, 1}}}, true),
		ours(Peer{Name: "metronome-resp", Durable: durable,
			What:  "replica processes and one proxy process, by the Redis protocol",
			Modes: []Mode{{"p64", 8, 4, 64}, {"p64-1", 8, 1, 64}, {"p1-50", 50, 1, 1}, {"p1", 1, 1, 1}}}, false),
	}
}

func ours(p Peer, embedded bool) Peer {
	p.Start = func(ctx context.Context, h *Host, _ kv.Load) (Instance, error) {
		return startMetronome(ctx, h, h.set, embedded)
	}
	p.settings = SettingNames()
	return p
}

// metronomeInstance is a cluster whose proxy is a process that serves the Redis protocol.
type metronomeInstance struct {
	*group
	resp.Target
	host    *Host
	binary  string
	config  *cluster.Config
	path    string // of the cluster file
	founded bool
	client  *redis.Client
	roles   []string // of the processes
	metrics metricsClient
}

func startMetronome(ctx context.Context, h *Host, set Settings, embedded bool) (_ Instance, err error) {
	replicas, err := set.Replicas()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(h.metronome); err != nil {
		return nil, &packet.ErrUnavailable{What: "metronome", Why: "it is not built: " + err.Error(),
			Next: "make build"}
	}
	m := &metronomeInstance{host: h, binary: h.metronome}
	start := func(g *group) error { return m.start(h, g, replicas, set, !embedded) }
	ready := func(ctx context.Context) error { return m.ready(ctx, !embedded) }
	if m.group, err = h.bringUp(ctx, set.place(), start, ready); err != nil {
		m.disconnect()
		return nil, fmt.Errorf("metronome: %w", err)
	}
	if embedded {
		return &embeddedInstance{metronomeInstance: m}, nil
	}
	return m, nil
}

func (m *metronomeInstance) start(h *Host, g *group, replicas int, set Settings, proxy bool) (err error) {
	m.disconnect()
	m.founded, m.roles = false, nil
	var failed error
	m.config, err = cluster.Dev(g.dir.path, cluster.DevOptions{Replicas: replicas, Change: set.Change(&failed)})
	if err := errors.Join(failed, err); err != nil {
		return err
	}
	m.path = filepath.Join(g.dir.path, cluster.FileName)
	m.Target = resp.Target{Addr: m.config.Proxies[0].Resp}
	peers := m.config.Peers()
	if !proxy {
		peers = peers[:replicas]
	}
	for _, p := range peers {
		role := "replica"
		if p.IsProxy() {
			role = "proxy"
		}
		c, err := h.start(p.String(), m.binary, role, "--config", m.path, "--name", p.String())
		if err != nil {
			return err
		}
		g.children, m.roles = append(g.children, c), append(m.roles, role)
	}
	m.client = redis.NewClient(&redis.Options{Addr: m.Addr, MaxRetries: -1, DisableIdentity: true})
	return nil
}

// ready is nil once the cluster has a leader and, if it has a proxy, executes operations.
func (m *metronomeInstance) ready(ctx context.Context, proxy bool) error {
	if !m.founded {
		q := daemon.AdminRequest{Cmd: "init"}
		if _, err := daemon.Ask(ctx, m.config, wire.ReplicaPeer(0), q); err != nil {
			return err
		}
		m.founded = true
	}
	if s, err := m.status(ctx, 0); err != nil || s.Leader == "" {
		return errors.Join(err, errors.New("the cluster has no leader yet"))
	}
	if !proxy {
		return nil
	}
	return m.client.DBSize(ctx).Err()
}

func (m *metronomeInstance) status(ctx context.Context, seat int) (*daemon.ClusterStatus, error) {
	a, err := daemon.Ask(ctx, m.config, wire.ReplicaPeer(seat), daemon.AdminRequest{Cmd: "status"})
	if err != nil {
		return nil, err
	}
	return a.Status, nil
}

// Info implements [Instance].
func (m *metronomeInstance) Info() Info {
	return Info{Version: firstLine(context.Background(), m.binary, "--version"), PIDs: m.pids(), Roles: m.roles,
		DataFS: m.dir.kind}
}

// Get implements [Instance].
func (m *metronomeInstance) Get(ctx context.Context, key []byte) ([]byte, error) {
	b, err := m.client.Get(ctx, string(key)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, ErrNoKey
	}
	return b, err
}

// Check implements [Instance]: all replicas have applied the same.
func (m *metronomeInstance) Check(ctx context.Context) error { return m.await(ctx, m.inStep) }

func (m *metronomeInstance) inStep(ctx context.Context) error {
	var first *daemon.ClusterStatus
	for seat := range m.config.Replicas {
		s, err := m.status(ctx, seat)
		switch {
		case err != nil:
			return err
		case first == nil:
			first = s
		case s.Index != first.Index || s.StateHash != first.StateHash:
			return fmt.Errorf("%s is at %d with state %s, %s at %d with %s", s.Replica, s.Index, s.StateHash,
				first.Replica, first.Index, first.StateHash)
		}
	}
	return nil
}

// Stop implements [Instance].
func (m *metronomeInstance) Stop() error {
	m.disconnect()
	return m.stop()
}

func (m *metronomeInstance) disconnect() {
	if m.client != nil {
		_ = m.client.Close() // it has nothing left to say
		m.client = nil
	}
}
