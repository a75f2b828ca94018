package worker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"metronome/harness/load"
	"metronome/harness/load/memif"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/socket"
)

// Setup is how a process is started.
type Setup struct {
	Wire     string // memif, socket or replay
	Socket   string // memif: path of the switch's port
	Cores    int    // receive: of these with Software the first hands on
	Software bool
	Burst    int
	Shape    load.Shape
	Groups   int      // send, socket: UDP ports that lanes are dealt out to
	Ports    []uint16 // send, memif: source port of each lane
}

// Wires.
const (
	Memif  = "memif"
	Socket = "socket"
	Replay = "replay"
)

// Where frames come from and go to.
var (
	Group  = netip.MustParseAddrPort("239.77.0.77:7760") // sockets: and the ports after it
	Source = netip.MustParseAddrPort("10.77.0.1:49152")  // memif; of sockets: loopback, and any port
)

const (
	linkLimit  = 2 * time.Minute
	eachMB     = 24 // of DPDK's memory, a queue
	besidesMB  = 40
	queueMbufs = 2047
	bufferSize = 4 << 20
	maxCores   = 64
)

// Result is what receive prints.
type Result struct {
	Cores []Core `json:"cores"`
	Lost  uint64 `json:"lost"` // that the ports counted as dropped for want of a buffer
}

// queues is how many ports the setup polls.
func (s *Setup) queues() int {
	if s.Software {
		return 1
	}
	return s.Cores
}

func (s *Setup) check() error {
	switch {
	case s.Cores < 1 || s.Cores > maxCores:
		return fmt.Errorf("%d cores: use 1 to %d", s.Cores, maxCores)
	case s.Software && s.Cores < 2:
		return fmt.Errorf("software distribution on %d core: use 2, of which the first hands on", s.Cores)
	case s.Software && s.Wire == Replay:
		return errors.New("replay has no queue to hand on from: use hardware distribution")
	}
	return nil
}

// open opens the ports that are polled; end closes them.
func (s *Setup) open() (ports []packet.Port, end func() error, err error) {
	switch s.Wire {
	case Memif:
		return s.openMemif(true)
	case Socket:
		return s.openSockets()
	case Replay:
		return nil, func() error { return nil }, nil
	}
	return nil, nil, fmt.Errorf("wire %q: use %s, %s or %s", s.Wire, Memif, Socket, Replay)
}

// openMemif connects to the switch with as many queues as are polled.
func (s *Setup) openMemif(receive bool) (ports []packet.Port, end func() error, err error) {
	m, n := dpdk.Memif{Socket: s.Socket}, s.queues()
	if err := dpdk.Init(dpdk.EAL{Vdevs: []string{m.Vdev()}, MemoryMB: besidesMB + eachMB*n}.Args()); err != nil {
		return nil, nil, err
	}
	cfg := dpdk.Config{Device: m.Name(), Queues: n, NoIGMP: true, Mbufs: queueMbufs, Listen: Group,
		MAC: [6]byte{2, 'm', 't', 'n', 'r', 'x'}}
	if !receive {
		cfg.Source, cfg.Destination, cfg.MAC = Source, Group, [6]byte{2, 'm', 't', 'n', 't', 'x'}
	}
	dev, err := dpdk.Open(cfg)
	if err != nil {
		return nil, nil, errors.Join(err, dpdk.Shutdown())
	}
	end = func() error { return errors.Join(dev.Close(), dpdk.Shutdown()) }
	ctx, cancel := context.WithTimeout(context.Background(), linkLimit)
	defer cancel()
	if err := dev.WaitLink(ctx); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("the switch at %s: %w", s.Socket, err), end())
	}
	for q := range dev.Ports() {
		ports = append(ports, dev.Port(q))
	}
	return ports, end, nil
}

// openSockets opens a socket for every UDP port of the group.
func (s *Setup) openSockets() (ports []packet.Port, end func() error, err error) {
	end = func() (err error) {
		for _, p := range ports {
			err = errors.Join(err, p.Close())
		}
		return err
	}
	for g := range s.queues() {
		p, err := socket.Open(socket.Config{Mode: socket.Recvmmsg, Interface: "lo", Listen: groupPort(g),
			Batch: s.Burst, ReceiveBuffer: bufferSize, Wait: time.Millisecond})
		if err != nil {
			return nil, nil, errors.Join(err, end())
		}
		ports = append(ports, p)
	}
	return ports, end, nil
}

// groupPort is the group with the g-th of its ports.
func groupPort(g int) netip.AddrPort {
	return netip.AddrPortFrom(Group.Addr(), Group.Port()+uint16(g))
}

// runners puts cores behind the ports.
func (s *Setup) runners(ports []packet.Port, incarnation uint32) (all []*runner, err error) {
	var rings []*ring
	if s.Software {
		for range s.Cores - 1 {
			rings = append(rings, newRing())
		}
		first := s.handing(ports[0], rings)
		first.attach = s.Wire == Memif
		all = append(all, first)
		for _, r := range rings {
			c, err := s.ingesting(len(all), r, incarnation)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		return all, nil
	}
	for i := range s.Cores {
		var r *runner
		if s.Wire == Replay {
			r, err = s.replaying(i)
		} else if r, err = s.ingesting(i, ports[i], incarnation); err == nil {
			r.attach = s.Wire == Memif
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// receive polls the ports with all cores until the run's end.
func (s *Setup) receive(ports []packet.Port, run load.Run) (Result, error) {
	clock, err := memif.NewClock()
	if err != nil {
		return Result{}, err
	}
	all, err := s.runners(ports, run.Incarnation)
	if err != nil {
		return Result{}, err
	}
	w := window{start: run.StartNS, end: run.StartNS + run.DurationNS, clock: clock, stop: &atomic.Bool{}}
	done, errs := make([]Core, len(all)), make([]error, len(all))
	var cores sync.WaitGroup
	for i, r := range all {
		cores.Go(func() { done[i], errs[i] = r.run(w) })
	}
	cores.Wait()
	result := Result{Cores: done}
	for _, p := range ports {
		result.Lost += p.Stats().RxDropped
	}
	return result, errors.Join(errs...)
}
