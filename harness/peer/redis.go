package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"metronome/harness/load/kv"
	"metronome/harness/load/kv/resp"
)

func redisPeer() Peer {
	return Peer{Name: "redis", What: "Redis, one server, no persistence",
		Durable: "an acknowledged write is in the memory of one process and dies with it",
		Modes: []Mode{{"p64", 8, 1, 64}, {"p16", 8, 1, 16}, {"p1-50", 50, 1, 1}, {"p1", 1, 1, 1},
			{"p256", 8, 1, 256}},
		Start: func(ctx context.Context, h *Host, _ kv.Load) (Instance, error) { return startRedis(ctx, h, 0, 0) },
	}
}

func redisWaitPeer() Peer {
	return Peer{Name: "redis-wait", What: "Redis, a primary and two replicas, WAIT 1 after each pipeline",
		Durable: "an acknowledged write is in the memory of two of three processes; Redis still loses it if " +
			"the replica that has it is not the one promoted",
		Modes: []Mode{{"p1024", 8, 1, 1024}, {"p64", 32, 1, 64}, {"p1", 1, 1, 1}},
		Start: func(ctx context.Context, h *Host, _ kv.Load) (Instance, error) { return startRedis(ctx, h, 2, 1) },
	}
}

// waitLimit is WAIT's: a pipeline whose replicas take longer has failed.
const waitLimit = 5 * time.Second

type redisInstance struct {
	*group
	resp.Target
	version string
	nodes   []*redis.Client // the primary first
}

func startRedis(ctx context.Context, h *Host, replicas, wait int) (_ Instance, err error) {
	binary, err := installed("redis", "redis-server")
	if err != nil {
		return nil, err
	}
	r := &redisInstance{version: firstLine(ctx, binary, "--version")}
	start := func(g *group) error {
		r.closeClients()
		ports, err := freePorts(1 + replicas)
		if err != nil {
			return err
		}
		r.Target = resp.Target{Addr: local(ports[0]), Wait: wait, WaitTimeout: waitLimit}
		for i, port := range ports {
			if err := r.startNode(h, g, binary, i, port, ports[0]); err != nil {
				return err
			}
		}
		return nil
	}
	if r.group, err = h.bringUp(ctx, memoryDir, start, r.inStep); err != nil {
		r.closeClients()
		return nil, fmt.Errorf("redis: %w", err)
	}
	if err := r.firstWait(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("redis: %w", err), r.Stop())
	}
	return r, nil
}

// firstWait passes the second in which fresh replicas have not acknowledged anything yet, for which WAIT
// waits whatever was written: loads should not begin with it.
func (r *redisInstance) firstWait(ctx context.Context) error {
	if r.Wait == 0 {
		return nil
	}
	c := r.nodes[0].Conn()
	defer c.Close()
	return errors.Join(c.Set(ctx, "first", "1", 0).Err(), c.Wait(ctx, r.Wait, waitLimit).Err(),
		c.Del(ctx, "first").Err(), c.Wait(ctx, r.Wait, waitLimit).Err())
}

func (r *redisInstance) startNode(h *Host, g *group, binary string, i, port, primary int) error {
	dir, err := g.dir.sub("redis" + strconv.Itoa(i))
	if err != nil {
		return err
	}
	argv := []string{binary, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
		"--daemonize", "no", "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
		// A replica that falls behind under load is to catch up, not to be thrown out and copied anew.
		"--repl-backlog-size", "64mb", "--client-output-buffer-limit", "replica", "1gb", "512mb", "60"}
	if i > 0 {
		argv = append(argv, "--replicaof", "127.0.0.1", strconv.Itoa(primary))
	}
	c, err := h.start(fmt.Sprintf("redis-%d", i), argv...)
	if err != nil {
		return err
	}
	g.children = append(g.children, c)
	r.nodes = append(r.nodes, redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1",
		strconv.Itoa(port)), MaxRetries: -1, DisableIdentity: true}))
	return nil
}

// inStep is nil if all replicas are connected and have everything the primary has.
func (r *redisInstance) inStep(ctx context.Context) error {
	var primary string
	for i, n := range r.nodes {
		text, err := n.Info(ctx, "replication").Result()
		if err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
		info := parseInfo(text)
		if i == 0 {
			primary = info["master_repl_offset"]
			continue
		}
		if info["master_link_status"] != "up" || info["slave_repl_offset"] != primary {
			return fmt.Errorf("replica %d: link is %s, at %s of %s", i, info["master_link_status"],
				info["slave_repl_offset"], primary)
		}
	}
	return nil
}

func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[key] = value
		}
	}
	return info
}

// Info implements [Instance].
func (r *redisInstance) Info() Info {
	return Info{Version: r.version, PIDs: r.pids(), DataFS: r.dir.kind}
}

// Get implements [Instance].
func (r *redisInstance) Get(ctx context.Context, key []byte) ([]byte, error) {
	b, err := r.nodes[0].Get(ctx, string(key)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, ErrNoKey
	}
	return b, err
}

// Check implements [Instance].
func (r *redisInstance) Check(ctx context.Context) error { return r.await(ctx, r.inStep) }

// Stop implements [Instance].
func (r *redisInstance) Stop() error {
	r.closeClients()
	return r.stop()
}

func (r *redisInstance) closeClients() {
	for _, n := range r.nodes {
		_ = n.Close() // it has nothing left to say
	}
	r.nodes = nil
}
