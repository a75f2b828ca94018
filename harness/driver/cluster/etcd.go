package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"metronome/harness/nemesis"
	"metronome/system/packet"
	"metronome/system/wire"
)

const etcdMembers = 3

// etcd is three members, each in the namespace of the replica that it stands for.
type etcd struct {
	net     *nemesis.Network
	members []*member
}

// member is one member's process and a client of it alone.
type member struct {
	argv   []string
	log    string
	cmd    *exec.Cmd
	client *clientv3.Client
}

func startEtcd(ctx context.Context, t *task) (_ *etcd, err error) {
	binary := etcdBinary(t.Bin)
	if _, err := os.Stat(binary); err != nil {
		return nil, &packet.ErrUnavailable{What: "etcd", Why: "it is not built: " + err.Error(), Next: "make peers"}
	}
	e := &etcd{}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	if e.net, err = nemesis.NewNetwork(ctx, etcdMembers, 0); err != nil {
		return nil, err
	}
	timing, err := t.etcdTiming()
	if err != nil {
		return nil, err
	}
	for i := range etcdMembers {
		e.members = append(e.members, &member{log: filepath.Join(t.Logs, fmt.Sprintf("etcd-%d.log", i)),
			argv: e.net.Inside(wire.ReplicaPeer(i), append([]string{binary}, e.flags(i, t.Dir, timing)...)...)})
		if err := e.members[i].start(); err != nil {
			return nil, err
		}
		if e.members[i].client, err = e.dial(i); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return e, e.Whole(ctx)
}

// etcdTiming is the arm's heartbeat and election timeouts, in ms.
func (t *task) etcdTiming() ([]string, error) {
	var all []string
	for setting, flag := range map[string]string{"heartbeat_ms": "--heartbeat-interval",
		"election_ms": "--election-timeout"} {
		v, err := t.Cell.Get(setting)
		if err != nil {
			return nil, err
		}
		all = append(all, flag, v)
	}
	return all, nil
}

func (e *etcd) url(i, port int) string {
	return fmt.Sprintf("http://%s:%d", e.net.Host(wire.ReplicaPeer(i)), port)
}

const clientPort, peerPort = 2379, 2380

func (e *etcd) flags(i int, dir string, timing []string) []string {
	var all []string
	for j := range etcdMembers {
		all = append(all, fmt.Sprintf("m%d=%s", j, e.url(j, peerPort)))
	}
	name := fmt.Sprintf("m%d", i)
	return append([]string{"--name", name, "--data-dir", filepath.Join(dir, name),
		"--listen-client-urls", e.url(i, clientPort), "--advertise-client-urls", e.url(i, clientPort),
		"--listen-peer-urls", e.url(i, peerPort), "--initial-advertise-peer-urls", e.url(i, peerPort),
		"--initial-cluster", strings.Join(all, ","), "--initial-cluster-state", "new",
		"--quota-backend-bytes", "8589934592", "--log-level", "warn", "--log-outputs", "stderr"}, timing...)
}

func (m *member) start() error {
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("log of etcd: %w", err)
	}
	defer log.Close()
	m.cmd = exec.Command(m.argv[0], m.argv[1:]...)
	m.cmd.Stdout, m.cmd.Stderr = log, log
	if err := m.cmd.Start(); err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	return nil
}

// dial connects to members, the given one first.
func (e *etcd) dial(first ...int) (*clientv3.Client, error) {
	var all []string
	for _, i := range first {
		all = append(all, e.url(i, clientPort))
	}
	return clientv3.New(clientv3.Config{Endpoints: all, Logger: zap.NewNop(), DialTimeout: time.Second,
		DialKeepAliveTime: time.Second, DialKeepAliveTimeout: time.Second})
}

// Leader implements [target].
func (e *etcd) Leader(ctx context.Context) (leader wire.Peer, err error) {
	err = nemesis.Poll(ctx, "etcd's leader", func(ctx context.Context) error {
		for i := range e.members {
			s, err := e.status(ctx, i)
			if err == nil && s.Header.MemberId == s.Leader {
				leader = wire.ReplicaPeer(i)
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return leader, err
}

func (e *etcd) status(ctx context.Context, i int) (*clientv3.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return e.members[i].client.Status(ctx, e.url(i, clientPort))
}

// Whole implements [target]: every member answers and follows one leader.
func (e *etcd) Whole(ctx context.Context) error {
	return nemesis.Poll(ctx, "all members of etcd", func(ctx context.Context) error {
		leader := uint64(0)
		for i := range e.members {
			s, err := e.status(ctx, i)
			if err != nil {
				return err
			}
			if s.Leader == 0 || leader != 0 && s.Leader != leader {
				return fmt.Errorf("member %d follows %x, others %x", i, s.Leader, leader)
			}
			leader = s.Leader
		}
		return nil
	})
}

// Fault implements [target].
func (e *etcd) Fault(name string, leader, follower wire.Peer) (nemesis.Fault, error) {
	return common(name, e, e.net, leader, follower)
}

// Pause implements victims.
func (e *etcd) Pause(p wire.Peer) nemesis.Fault {
	m := e.members[p.Seat()]
	return nemesis.Fault{Name: fmt.Sprintf("pause member %d", p.Seat()),
		Apply: func(context.Context) error { return m.cmd.Process.Signal(syscall.SIGSTOP) },
		Heal:  func(context.Context) error { return m.cmd.Process.Signal(syscall.SIGCONT) }}
}

// Crash implements victims.
func (e *etcd) Crash(p wire.Peer) nemesis.Fault {
	m := e.members[p.Seat()]
	return nemesis.Fault{Name: fmt.Sprintf("crash member %d", p.Seat()),
		Apply: func(context.Context) error { return m.end() },
		Heal:  func(context.Context) error { return m.start() }}
}

// end kills it and waits for its end.
func (m *member) end() error {
	if err := m.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill etcd: %w", err)
	}
	_ = m.cmd.Wait() // a signal ended it
	return nil
}

// Dial implements [target]: a client of all members, a different one first for each writer.
func (e *etcd) Dial(_ context.Context, writer int) (putter, error) {
	c, err := e.dial(writer%etcdMembers, (writer+1)%etcdMembers, (writer+2)%etcdMembers)
	if err != nil {
		return nil, err
	}
	return etcdClient{c}, nil
}

// Close implements [target].
func (e *etcd) Close() {
	for _, m := range e.members {
		if m.client != nil {
			_ = m.client.Close()
		}
		if m.cmd != nil {
			_ = m.end()
		}
	}
	if e.net != nil {
		_ = e.net.Close(context.Background())
	}
}

type etcdClient struct{ c *clientv3.Client }

// Put implements putter.
func (c etcdClient) Put(ctx context.Context, key string, value []byte) error {
	_, err := c.c.Put(ctx, key, string(value))
	return err
}

// Close implements putter.
func (c etcdClient) Close() { _ = c.c.Close() }
