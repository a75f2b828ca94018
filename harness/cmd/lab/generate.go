package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"metronome/harness/load"
	"metronome/harness/load/memif"
	"metronome/harness/load/udp"
	"metronome/harness/load/xdp"
	"metronome/harness/testbed"
	"metronome/system/bench"
	"metronome/system/packet/dpdk"
	"metronome/system/wire"
)

// Where generated frames come from and go to: what metronome bench ingest listens on by default.
var (
	group  = netip.MustParseAddrPort("239.77.0.1:7700")
	source = netip.AddrPortFrom(testbed.GenAddr, 7701) // lane i sends from port 7701 + i
)

// window is how many frames generated lanes announce as repairable.
const window = 4096

// generateCommand is the generators as processes, for trials; not meant to be typed.
func generateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "generate", Short: "Send frames, driven by JSON lines on stdin (used by run)",
		Example: "  lab generate udp --help"}
	g := &generation{}
	var digest string
	f := cmd.PersistentFlags()
	f.IntVar(&g.shape.Items, "items", 1, "items a frame")
	f.IntVar(&g.shape.KeyBytes, "key-bytes", 8, "bytes of an item's key")
	f.IntVar(&g.shape.ValueBytes, "value-bytes", 8, "bytes of an item's value")
	f.IntVar(&g.shape.Lanes, "lanes", 1, "lanes, each from its own UDP port")
	f.StringVar(&digest, "digest", "xxh3", "integrity of frames: xxh3, crc32c, mac, aead, none")
	f.StringVar(&g.device, "interface", testbed.GenDevice, "xdp, udp: kernel device to send on")
	f.StringVar(&g.socket, "socket", "/tmp/metronome-ingest.sock", "memif: socket path to connect to")
	f.IntVar(&g.ringLog2, "ring-log2", 12, "memif: log2 of the ring's slots")
	f.IntVar(&g.burst, "burst", 256, "memif, udp: frames a send call")
	f.BoolVar(&g.hugepages, "hugepages", false, "memif: memory from hugepages")
	cmd.PersistentPreRunE = func(*cobra.Command, []string) (err error) {
		g.shape.ClusterKey, g.shape.Cluster, g.shape.Proxy = []byte("metronome test key"), 1, 1
		g.shape.Window = window
		g.shape.Mode, err = wire.ParseMode(digest)
		return err
	}
	for name, run := range map[string]func() error{"xdp": g.xdp, "memif": g.memif, "udp": g.udp} {
		cmd.AddCommand(&cobra.Command{Use: name, Short: "By " + name, Args: cobra.NoArgs,
			Example: "  lab generate " + name + " --help   its orders, in JSON, are those of harness/arm",
			RunE: func(*cobra.Command, []string) error {
				// One thread, pinned by who started us, in the namespace it started us in.
				runtime.LockOSThread()
				err := run()
				bench.TellUnavailable(json.NewEncoder(os.Stdout), err)
				return err
			}})
	}
	return cmd
}

type generation struct {
	shape          load.Shape
	device, socket string
	ringLog2       int
	burst          int
	hugepages      bool
}

func (g *generation) xdp() error {
	frames, err := g.shape.New(0)
	if err != nil {
		return err
	}
	gen, err := xdp.Open(xdp.Config{Device: g.device, Src: source.Addr(),
		Dst: group.Addr(), SrcPort: source.Port(), DstPort: group.Port(), Lanes: g.shape.Lanes,
		Header: frames.Header(), Payload: frames.Payload(), HeaderSeed: frames.HeaderSeed(), Window: window})
	if err != nil {
		return err
	}
	defer gen.Close()
	return load.Serve(os.Stdin, os.Stdout, func(ctx context.Context, c load.Run) (load.Done, error) {
		r, err := gen.Run(ctx, xdp.Trial{Rate: c.RateFPS, Start: c.StartNS,
			Duration: time.Duration(c.DurationNS), Incarnation: c.Incarnation})
		return load.Done{Emitted: r.Emitted, RingFull: r.RingFull, SlotsMissed: r.Missed}, err
	})
}

func (g *generation) memif() (err error) {
	m := dpdk.Memif{Socket: g.socket, RingLog2: g.ringLog2}
	eal := dpdk.EAL{Vdevs: []string{m.Vdev()}, Hugepages: g.hugepages}
	if err := dpdk.Init(eal.Args()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dpdk.Shutdown()) }()
	detach, err := dpdk.Attach()
	if err != nil {
		return err
	}
	defer detach()
	dev, err := dpdk.Open(dpdk.Config{Device: m.Name(), Source: source, Destination: group,
		TxRing: 1 << g.ringLog2, NoIGMP: true})
	if err != nil {
		return err
	}
	defer dev.Close()
	ctx, cancel := context.WithTimeout(context.Background(), linkLimit)
	defer cancel()
	if err := dev.WaitLink(ctx); err != nil {
		return fmt.Errorf("memif peer at %s: %w; next: start the receiver first", g.socket, err)
	}
	return g.serve(dev.Port(0))
}

// linkLimit bounds the wait for memif's peer.
const linkLimit = 10 * time.Second

func (g *generation) udp() error {
	port, err := udp.Open(g.device, source, group, g.burst)
	if err != nil {
		return err
	}
	defer port.Close()
	return g.serve(port)
}

// serve sends paced frames on a port.
func (g *generation) serve(port memif.Port) error {
	clock, err := memif.NewClock()
	if err != nil {
		return err
	}
	sender, err := memif.NewSender(port, clock, g.shape.Lanes, g.burst)
	if err != nil {
		return err
	}
	return load.Serve(os.Stdin, os.Stdout, func(ctx context.Context, c load.Run) (load.Done, error) {
		frames, err := g.shape.New(c.Incarnation)
		if err != nil {
			return load.Done{}, err
		}
		r, err := sender.Run(ctx, frames, memif.Trial{Rate: c.RateFPS, Start: c.StartNS,
			Duration: time.Duration(c.DurationNS)})
		return load.Done{Emitted: r.Emitted, RingFull: r.RingFull, SlotsMissed: r.Missed}, err
	})
}
