package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/ops"
	"metronome/system/proxy/resp"
	"metronome/system/wire"
)

// serverFlags are common to replica and proxy.
type serverFlags struct {
	config, name, level string
	profile             bool
}

func (f *serverFlags) add(cmd *cobra.Command, name string) {
	cmd.Flags().StringVarP(&f.config, "config", "c", cluster.FileName, "the cluster file")
	cmd.Flags().StringVarP(&f.name, "name", "n", name, "who this process is in the cluster file")
	cmd.Flags().StringVar(&f.level, "log", "info", "log level: debug, info, warn, error")
	cmd.Flags().BoolVar(&f.profile, "pprof", false, "serve Go profiles on the ops address")
}

func (f *serverFlags) load() (*cluster.Config, wire.Peer, *slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, 0, nil, fmt.Errorf("--log %s: use debug, info, warn or error", f.level)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	c, err := cluster.Load(f.config)
	if err != nil {
		return nil, 0, nil, err
	}
	self, err := wire.ParsePeer(f.name)
	return c, self, log, err
}

// signals ends a process in order at the first SIGINT or SIGTERM.
func signals() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// onHangup reads the cluster file again at each SIGHUP until ctx ends.
func onHangup(ctx context.Context, file string, log *slog.Logger, reload func(context.Context, *cluster.Config) error) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-hangups:
			case <-ctx.Done():
				return
			}
			c, err := cluster.Load(file)
			if err == nil {
				err = reload(ctx, c)
			}
			if err != nil {
				log.Error("the cluster file was read again and not taken", "file", file, "error", err)
				continue
			}
			log.Info("the cluster file was read again", "replicas", len(c.Replicas), "proxies", len(c.Proxies))
		}
	}()
}

func replicaCommand() *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "replica",
		Short: "Run a replica: a database server",
		Long: `Run a replica. It takes frames from proxies, agrees with the other replicas, applies and answers.

A replica that belongs to no cluster waits: for "metronome cluster init", which founds one, or for a running
cluster, which it joins by itself if its seat is admitted ("metronome cluster add"). With durability fsync it goes on
with what its data directory holds; if that is damaged, or gone, it joins as a new life. With durability memory every
start is a new life: the replica comes back empty, catches up as a learner, and votes again when it has everything.

SIGHUP makes it read the cluster file again and take up replicas and proxies that are new in it, and its secrets:
certificate, CA, keys of frames ("metronome cluster rotate-key").`,
		Example: `  metronome replica --config cluster.yaml --name replica-0`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, self, log, err := f.load()
			if err != nil {
				return err
			}
			return runReplica(c, self, log, &f)
		},
	}
	f.add(cmd, "replica-0")
	return cmd
}

func runReplica(c *cluster.Config, self wire.Peer, log *slog.Logger, f *serverFlags) error {
	ctx, stop := signals()
	defer stop()
	r, err := daemon.NewReplica(daemon.ReplicaConfig{Cluster: c, Self: self, Log: log})
	if err != nil {
		return err
	}
	addr := c.Replica(self).Ops
	if err := serveOps(ctx, addr, log, f.profile, r.Register); err != nil {
		return err
	}
	onHangup(ctx, f.config, log, r.Reload)
	admin := make(chan error, 1)
	go func() { admin <- r.Admin(ctx) }()
	log.Info("replica started", "name", self.String(), "durability", c.Durability, "ops", addr)
	err = r.Run(ctx)
	stop()
	if err == nil {
		log.Info("replica stopped", "name", self.String())
	}
	return errors.Join(err, <-admin)
}

func serveOps(ctx context.Context, addr string, log *slog.Logger, profile bool, register func(*ops.Server) error) error {
	if addr == "" {
		return nil
	}
	s := ops.New(log)
	if profile {
		s.Profile()
	}
	if err := register(s); err != nil {
		return err
	}
	if _, err := s.Listen(addr); err != nil {
		return err
	}
	context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(end)
	})
	return nil
}

func proxyCommand() *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Run a proxy: it takes clients' operations and multicasts them to all replicas",
		Long: `Run a proxy. Clients speak the Redis protocol to it. It needs no disk and keeps no state: a new
instance with the same number fences the old one, which then ends. SIGHUP makes it read the cluster file and its
secrets again, as a replica does.`,
		Example: `  metronome proxy --config cluster.yaml --name proxy-1
  redis-cli -p 6379 set greeting hello`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, self, log, err := f.load()
			if err != nil {
				return err
			}
			return runProxy(c, self, log, &f)
		},
	}
	f.add(cmd, "proxy-1")
	return cmd
}

func runProxy(c *cluster.Config, self wire.Peer, log *slog.Logger, f *serverFlags) error {
	ctx, stop := signals()
	defer stop()
	p, err := daemon.NewProxy(daemon.ProxyConfig{Cluster: c, Self: self, Log: log})
	if err != nil {
		return err
	}
	me := c.Proxy(self)
	if err := serveOps(ctx, me.Ops, log, f.profile, p.Register); err != nil {
		return err
	}
	onHangup(ctx, f.config, log, p.Reload)
	clients := make(chan error, 1)
	if me.Resp != "" {
		s := resp.NewServer(p.Backend(), resp.Options{Limits: resp.Limits{Connections: c.Limits.Clients}, Logger: log,
			Info: p})
		if err := s.Listen(me.Resp); err != nil {
			return err
		}
		go func() { clients <- s.Serve(ctx) }()
	} else {
		clients <- nil
	}
	log.Info("proxy started", "name", self.String(), "resp", me.Resp, "ops", me.Ops)
	err = p.Run(ctx)
	stop()
	if err == nil {
		log.Info("proxy stopped", "name", self.String())
	}
	return errors.Join(err, <-clients)
}
