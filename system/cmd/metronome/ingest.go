package main

import (
	"fmt"
	"net/netip"
	"os"
	"runtime/pprof"
	"strings"

	"github.com/spf13/cobra"

	"metronome/system/bench"
	"metronome/system/wire"
)

func ingestCommand() *cobra.Command {
	var port bench.PortConfig
	var cfg bench.IngestConfig
	var group, digest, key, cpuProfile string
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Run one ingest core behind one port, driven by JSON lines on stdin",
		Long: `Run one ingest core behind one port. Commands are JSON lines on stdin, events JSON lines on stdout
(see system/bench). The harness starts this; by hand it is good for a look at a port.`,
		Example: `  # a kernel socket on the loopback interface, ten seconds, one report
  ( echo '{"cmd":"arm","incarnation":1,"deadline_ns":1}'; sleep 10; echo '{"cmd":"report"}' ) |
    metronome bench ingest --port recv --interface lo --group 239.77.0.1:7700

  # DPDK's shared-memory interface, without root or hugepages
  metronome bench ingest --port memif --socket /tmp/ingest.sock`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) (err error) {
			if port.Group, err = netip.ParseAddrPort(group); err != nil {
				return err
			}
			if cfg.Mode, err = wire.ParseMode(digest); err != nil {
				return err
			}
			cfg.Open, cfg.Polling, cfg.ClusterKey = port.Open, port.Polling(), []byte(key)
			stop, err := profile(cpuProfile)
			if err != nil {
				return err
			}
			defer stop()
			return bench.RunIngest(cfg, os.Stdin, os.Stdout)
		},
	}
	f := cmd.Flags()
	f.StringVar(&port.Kind, "port", "recv", "how to receive: "+strings.Join(bench.PortKinds(), ", "))
	f.StringVar(&port.Interface, "interface", "", "kernel device to receive on (not for memif)")
	f.StringVar(&group, "group", "239.77.0.1:7700", "multicast group and UDP port")
	f.IntVar(&port.Batch, "batch", 32, "datagrams a system call (recvmmsg, gro)")
	f.IntVar(&port.ReceiveBuffer, "receive-buffer", 4<<20, "socket buffer in bytes")
	f.DurationVar(&port.BusyPoll, "busy-poll", 0, "busy-poll the device this long (sockets)")
	f.StringVar(&port.SocketPath, "socket", "/tmp/metronome-ingest.sock", "memif: socket path to listen on")
	f.IntVar(&port.RingLog2, "ring-log2", 12, "memif: log2 of the ring's slots")
	f.IntVar(&port.MemoryMB, "memory-mb", 256, "DPDK: bound on its memory")
	f.BoolVar(&port.Hugepages, "hugepages", false, "DPDK: memory from hugepages")
	f.IntVar(&port.Queue, "queue", 0, "dpdk-af_xdp: the device's receive queue")
	f.IntVar(&cfg.Burst, "burst", 32, "frames a poll, 1 to 512")
	f.BoolVar(&cfg.Yield, "yield", false, "give the core away after an empty poll")
	f.BoolVar(&cfg.Null, "null", false, "count frames only, skip the pipeline")
	f.Uint64Var(&cfg.NullItems, "null-items", 1, "with --null: items counted a frame")
	f.StringVar(&digest, "digest", "xxh3", "integrity of frames: xxh3, crc32c, mac, aead, none")
	f.StringVar(&key, "cluster-key", "metronome test key", "key of the digests; this process is for tests only")
	f.Uint32Var(&cfg.Cluster, "cluster", 1, "cluster tag of accepted frames")
	f.Uint32Var(&cfg.Proxy, "proxy", 1, "proxy whose lanes are open")
	f.IntVar(&cfg.Lanes, "lanes", 1, "open lanes")
	f.IntVar(&cfg.Lane.Window, "window", 4096, "frames a lane holds, a power of two")
	f.IntVar(&cfg.Lane.Arena, "arena", 1<<20, "bytes a lane holds")
	f.IntVar(&cfg.Lane.GiveUp, "give-up", 64, "declare a gap lost after so many later frames; 0 = never")
	f.StringVar(&cpuProfile, "cpuprofile", "", "write a CPU profile to this file, for go tool pprof")
	return cmd
}

// profile starts a CPU profile if a file is named, and returns what ends it.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
