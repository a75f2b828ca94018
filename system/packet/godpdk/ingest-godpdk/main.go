// Command ingest-godpdk is a device under test of experiment ingest-11x: the ingest core of metronome
// bench ingest, behind a port over github.com/yerden/go-dpdk. It speaks the same JSON lines (package
// metronome/system/bench).
package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"

	"metronome/system/bench"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/godpdk"
	"metronome/system/wire"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ingest-godpdk:", err)
		os.Exit(1)
	}
}

// options are the flags of metronome bench ingest that this arm has.
type options struct {
	cfg           bench.IngestConfig
	group, digest string
	key, socket   string
	ringLog2      int
	memoryMB      int
	hugepages     bool
}

func (o *options) parse(args []string) (err error) {
	f := flag.NewFlagSet("ingest-godpdk", flag.ContinueOnError)
	f.StringVar(&o.group, "group", "239.77.0.1:7700", "multicast group and UDP port")
	f.StringVar(&o.socket, "socket", "/tmp/metronome-ingest.sock", "memif: socket path to listen on")
	f.IntVar(&o.ringLog2, "ring-log2", 12, "memif: log2 of the ring's slots")
	f.IntVar(&o.memoryMB, "memory-mb", 256, "bound on DPDK's memory")
	f.BoolVar(&o.hugepages, "hugepages", false, "memory from hugepages")
	f.IntVar(&o.cfg.Burst, "burst", 32, "frames a poll, 1 to 512")
	f.StringVar(&o.digest, "digest", "xxh3", "integrity of frames: xxh3, crc32c, mac, none")
	f.StringVar(&o.key, "cluster-key", "metronome test key", "key of the digests; this process is for tests only")
	f.IntVar(&o.cfg.Lanes, "lanes", 1, "open lanes")
	f.IntVar(&o.cfg.Lane.Window, "window", 4096, "frames a lane holds, a power of two")
	f.IntVar(&o.cfg.Lane.Arena, "arena", 1<<20, "bytes a lane holds")
	f.IntVar(&o.cfg.Lane.GiveUp, "give-up", 64, "declare a gap lost after so many later frames; 0 = never")
	if err := f.Parse(args); err != nil {
		return err
	}
	o.cfg.Cluster, o.cfg.Proxy = 1, 1
	o.cfg.Polling, o.cfg.ClusterKey = true, []byte(o.key)
	o.cfg.Open = o.open
	o.cfg.Mode, err = wire.ParseMode(o.digest)
	return err
}

const memifMbufs = 1023 // the ring is the buffer, as in package bench

// open opens the memif that the generator connects to.
func (o *options) open() (packet.Port, bench.Ready, error) {
	group, err := netip.ParseAddrPort(o.group)
	if err != nil {
		return nil, bench.Ready{}, fmt.Errorf("--group: %w", err)
	}
	m := dpdk.Memif{Server: true, Socket: o.socket, RingLog2: o.ringLog2}
	e := dpdk.EAL{Vdevs: []string{m.Vdev()}, MemoryMB: o.memoryMB, Hugepages: o.hugepages}
	ready := bench.Ready{RingFrames: 1 << o.ringLog2, UMEMBytes: int64(m.RegionBytes(1)), DPDK: "go-dpdk"}
	ready.BufferBytes = ready.UMEMBytes
	ready.BoundBytes = ready.UMEMBytes + int64(o.memoryMB)<<20
	port, err := godpdk.Open(godpdk.Config{EAL: e, Ring: 1 << o.ringLog2, Mbufs: memifMbufs, Listen: group})
	if err != nil {
		return nil, ready, err
	}
	return port, ready, nil
}

func run() error {
	var o options
	if err := o.parse(os.Args[1:]); err != nil {
		return err
	}
	return bench.RunIngest(o.cfg, os.Stdin, os.Stdout)
}
