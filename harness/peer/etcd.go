package peer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"metronome/harness/load/kv"
)

// etcdMembers is how many members the cluster has.
const etcdMembers = 3

func etcdPeer(place string) Peer {
	p := Peer{Name: "etcd", What: "etcd, three members, data on tmpfs",
		Durable: "an acknowledged write is in the log of two of three members, on tmpfs: it survives their " +
			"restart, not the machine's",
		Modes: []Mode{{"txn-128", 4, 8, 128}, {"put-1024", 16, 64, 1}, {"put-64", 4, 16, 1}, {"put-1", 1, 1, 1}},
		Start: func(ctx context.Context, h *Host, _ kv.Load) (Instance, error) { return startEtcd(ctx, h, place) },
	}
	if place == diskDir {
		p.Name, p.What = "etcd-disk", "etcd, three members, data on disk"
		p.Durable = "an acknowledged write is fsynced by two of three members: it survives the machine's restart"
	}
	return p
}

type etcdInstance struct {
	*group
	version   string
	endpoints []string
	clients   []*clientv3.Client // one a member
	leader    string             // the endpoint that is loaded
}

func startEtcd(ctx context.Context, h *Host, place string) (_ Instance, err error) {
	binary, err := h.built("etcd", "etcd")
	if err != nil {
		return nil, err
	}
	e := &etcdInstance{version: firstLine(ctx, binary, "--version")}
	start := func(g *group) error { return e.start(h, g, binary) }
	if e.group, err = h.bringUp(ctx, place, start, e.inStep); err != nil {
		e.closeClients()
		return nil, fmt.Errorf("etcd: %w", err)
	}
	return e, nil
}

func (e *etcdInstance) start(h *Host, g *group, binary string) error {
	e.closeClients()
	ports, err := freePorts(2 * etcdMembers)
	if err != nil {
		return err
	}
	url := func(i int) string { return "http://" + local(ports[i]) }
	var members []string
	for i := range etcdMembers {
		members = append(members, fmt.Sprintf("m%d=%s", i, url(etcdMembers+i)))
	}
	for i := range etcdMembers {
		name := "m" + strconv.Itoa(i)
		dir, err := g.dir.sub(name)
		if err != nil {
			return err
		}
		c, err := h.start("etcd-"+name, binary, "--name", name, "--data-dir", dir,
			"--listen-client-urls", url(i), "--advertise-client-urls", url(i),
			"--listen-peer-urls", url(etcdMembers+i), "--initial-advertise-peer-urls", url(etcdMembers+i),
			"--initial-cluster", strings.Join(members, ","), "--initial-cluster-state", "new",
			// The defaults expect a core each; where all share two, a late heartbeat is no dead leader.
			"--heartbeat-interval", "500", "--election-timeout", "5000",
			"--quota-backend-bytes", "8589934592", "--log-level", "warn", "--log-outputs", "stderr")
		if err != nil {
			return err
		}
		g.children = append(g.children, c)
		e.endpoints = append(e.endpoints, url(i))
		client, err := dialEtcd(url(i))
		if err != nil {
			return err
		}
		e.clients = append(e.clients, client)
	}
	return nil
}

func dialEtcd(endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop(),
		DialTimeout: 5 * time.Second})
}

// inStep is nil if all members follow one leader and have applied the same.
func (e *etcdInstance) inStep(ctx context.Context) error {
	var leader, applied uint64
	for i, c := range e.clients {
		s, err := c.Status(ctx, e.endpoints[i])
		switch {
		case err != nil:
			return fmt.Errorf("member %d: %w", i, err)
		case s.Leader == 0:
			return fmt.Errorf("member %d knows no leader", i)
		case i == 0:
			leader, applied = s.Leader, s.RaftAppliedIndex
		}
		if s.Leader != leader || s.RaftAppliedIndex != applied {
			return fmt.Errorf("member %d follows %x at %d, member 0 %x at %d", i, s.Leader,
				s.RaftAppliedIndex, leader, applied)
		}
		if s.Header.MemberId == leader {
			e.leader = e.endpoints[i]
		}
	}
	return nil
}

// Connect implements [kv.Target]: every connection is one to the leader, which spares a hop.
func (e *etcdInstance) Connect(_ context.Context, _ int, l kv.Load) (kv.Conn, error) {
	c, err := dialEtcd(e.leader)
	if err != nil {
		return nil, err
	}
	do := func(ctx context.Context, b *kv.Batch) (int, error) { return etcdBatch(ctx, c, b) }
	return closing{kv.Sync(l.Outstanding, do), c.Close}, nil
}

// etcdBatch is one transaction, or one plain request if the batch is one operation.
func etcdBatch(ctx context.Context, c *clientv3.Client, b *kv.Batch) (int, error) {
	ops := etcdOps(b.Ops)
	var err error
	if len(ops) == 1 {
		_, err = c.Do(ctx, ops[0])
	} else {
		_, err = c.Txn(ctx).Then(ops...).Commit()
	}
	if err != nil {
		return 0, err
	}
	return len(b.Ops), nil
}

// etcdOps translates a batch. A transaction may not put a key twice: as all of it happens at once, the
// last put is the one that counts.
func etcdOps(ops []kv.Op) []clientv3.Op {
	list := make([]clientv3.Op, 0, len(ops))
	puts := make(map[string]int, len(ops))
	for i := range ops {
		key := string(ops[i].Key)
		if ops[i].Read {
			list = append(list, clientv3.OpGet(key))
			continue
		}
		put := clientv3.OpPut(key, string(ops[i].Value))
		if at, again := puts[key]; again {
			list[at] = put
			continue
		}
		puts[key] = len(list)
		list = append(list, put)
	}
	return list
}

// closing is a connection that ends something of its own too.
type closing struct {
	kv.Conn
	close func() error
}

// Close implements [kv.Conn].
func (c closing) Close() error { return errors.Join(c.Conn.Close(), c.close()) }

// Info implements [Instance].
func (e *etcdInstance) Info() Info {
	return Info{Version: e.version, PIDs: e.pids(), DataFS: e.dir.kind}
}

// Get implements [Instance].
func (e *etcdInstance) Get(ctx context.Context, key []byte) ([]byte, error) {
	r, err := e.clients[0].Get(ctx, string(key))
	if err != nil {
		return nil, err
	}
	if len(r.Kvs) == 0 {
		return nil, ErrNoKey
	}
	return r.Kvs[0].Value, nil
}

// Check implements [Instance].
func (e *etcdInstance) Check(ctx context.Context) error { return e.await(ctx, e.inStep) }

// Stop implements [Instance].
func (e *etcdInstance) Stop() error {
	e.closeClients()
	return e.stop()
}

func (e *etcdInstance) closeClients() {
	for _, c := range e.clients {
		_ = c.Close() // it has nothing left to say
	}
	e.clients, e.endpoints = nil, nil
}
