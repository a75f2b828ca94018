package vswitchd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/ops"
	"metronome/system/proxy/resp"
	"metronome/system/wire"
)

// childEnv makes the test binary another program: the switch, a node of a cluster, or one of the
// tests that start DPDK, which starts once per process.
const childEnv = "METRONOME_VSWITCH_TEST_CHILD"

func TestMain(m *testing.M) {
	var program func(context.Context) error
	switch os.Getenv(childEnv) {
	case "switch":
		program = runSwitch
	case "node":
		program = runNode
	default:
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := program(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runSwitch(ctx context.Context) error {
	cmd := Command()
	cmd.SetArgs(os.Args[1:])
	return cmd.ExecuteContext(ctx)
}

// runNode is what "metronome replica" and "metronome proxy" do: a cluster file, and a name.
func runNode(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	c, err := cluster.Load(os.Args[1])
	if err != nil {
		return err
	}
	self, err := wire.ParsePeer(os.Args[2])
	if err != nil {
		return err
	}
	if self.IsReplica() {
		r, err := daemon.NewReplica(daemon.ReplicaConfig{Cluster: c, Self: self, Log: log})
		if err != nil {
			return err
		}
		s := ops.New(log)
		if err := r.Register(s); err != nil {
			return err
		}
		if _, err := s.Listen(c.Replica(self).Ops); err != nil {
			return err
		}
		admin := make(chan error, 1)
		go func() { admin <- r.Admin(ctx) }()
		return errors.Join(r.Run(ctx), <-admin)
	}
	p, err := daemon.NewProxy(daemon.ProxyConfig{Cluster: c, Self: self, Log: log})
	if err != nil {
		return err
	}
	s := resp.NewServer(p.Backend(), resp.Options{Limits: resp.Limits{Connections: 16}, Logger: log, Info: p})
	if err := s.Listen(c.Proxy(self).Resp); err != nil {
		return err
	}
	clients := make(chan error, 1)
	go func() { clients <- s.Serve(ctx) }()
	return errors.Join(p.Run(ctx), <-clients)
}
