package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/load"
	"metronome/system/wire"
)

func loadCommand() *cobra.Command {
	var cfg load.Config
	var config, name, cpuProfile string
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Be a proxy of a running cluster and load it from within: what the store itself can do",
		Long: `Run the proxy of the given name in this process and submit operations to it directly. Without --rate it is a
closed loop of --outstanding operations; with --rate each operation is due at its time, and its latency counts from there.
The result is one line of JSON on standard output. A proxy of that name that runs already is fenced and ends.`,
		Example: `  metronome dev --dir d --proxies 2 &
  metronome bench load --config d/cluster.yaml --name proxy-2 --length 5s
  metronome bench load --config d/cluster.yaml --name proxy-2 --outstanding 1 --length 2s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stop, err := profile(cpuProfile)
			if err != nil {
				return err
			}
			defer stop()
			r, err := runLoad(config, name, cfg)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&config, "config", "c", cluster.FileName, "the cluster file")
	f.StringVarP(&name, "name", "n", "proxy-2", "which proxy of the cluster file to be")
	f.IntVar(&cfg.Keys, "keys", 1_000_000, "distinct keys")
	f.IntVar(&cfg.KeyBytes, "key-bytes", 16, "bytes a key")
	f.IntVar(&cfg.ValueBytes, "value-bytes", 64, "bytes a value")
	f.Float64Var(&cfg.Reads, "reads", 0, "share of reads, 0 to 1")
	f.BoolVar(&cfg.Barrier, "barrier", false, "reads at a barrier instead of as items")
	f.IntVar(&cfg.Outstanding, "outstanding", 16384, "operations not answered at any time")
	f.Float64Var(&cfg.Rate, "rate", 0, "operations a second, each due at its time; 0 = as fast as answers come")
	f.DurationVar(&cfg.Warmup, "warmup", time.Second, "before measuring")
	f.DurationVar(&cfg.Length, "length", 5*time.Second, "of the measurement")
	f.Uint64Var(&cfg.Seed, "seed", 1, "of the keys")
	f.StringVar(&cpuProfile, "cpuprofile", "", "write a CPU profile of this process, for go tool pprof")
	return cmd
}

func runLoad(config, name string, cfg load.Config) (*load.Result, error) {
	c, err := cluster.Load(config)
	if err != nil {
		return nil, err
	}
	self, err := wire.ParsePeer(name)
	if err != nil {
		return nil, err
	}
	if c.Proxy(self) == nil {
		have := make([]string, len(c.Proxies))
		for i := range c.Proxies {
			have[i] = c.Proxies[i].Peer().String()
		}
		return nil, fmt.Errorf("%s has no %s: use one of %s", config, name, strings.Join(have, ", "))
	}
	g, err := load.New(cfg)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p, err := daemon.NewProxy(daemon.ProxyConfig{Cluster: c, Self: self, Log: log, Drive: g.Drive, Complete: g.Complete})
	if err != nil {
		return nil, err
	}
	ctx, stop := signals()
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	go func() {
		<-g.Begun()
		fmt.Fprintln(os.Stderr, "measuring for", cfg.Length)
	}()
	select {
	case r := <-g.Finished():
		stop()
		return &r, <-ended
	case err := <-ended:
		if err == nil {
			err = fmt.Errorf("interrupted before the measurement ended")
		}
		return nil, err
	}
}
