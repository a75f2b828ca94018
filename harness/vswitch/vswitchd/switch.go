package vswitchd

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/vswitch"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
)

// Port is one port: a memif socket, or a kernel's network device.
type Port struct {
	Name   string
	Socket string // of memif: path to listen on
	// Interface is a device of this process's network namespace, usually the near end of a veth pair whose far
	// end is a node's, in place of Socket. Its packets are taken by AF_PACKET, beside what the kernel here does
	// with them, so it has no address. The far end must hand over whole packets with checksums: ethtool -K tx
	// off.
	Interface string
	Queues    int // queue pairs of the node; 0 means 1; of an Interface, 1
}

// device is the port's device for DPDK: its description and its name.
func (p Port) device(index int) (vdev, name string) {
	if p.Interface != "" {
		d := dpdk.AFPacket{Index: index, Interface: p.Interface, Frames: kernelRing}
		return d.Vdev(), d.Name()
	}
	d := dpdk.Memif{Index: index, Server: true, Socket: p.Socket}
	return d.Vdev(), d.Name()
}

// Config describes a switch process.
type Config struct {
	Ports    []Port
	Seed     uint64
	Flood    bool // multicast to all, instead of those who asked for it
	Held     int  // packets that impairments may hold back; 0: vswitch's default
	MemoryMB int  // bound on DPDK's memory; 0 means enough for the ports
	Empty    int  // empty polls before the loop yields, and again before it sleeps; 0 means DefaultEmpty
	CPU      int  // to poll on; negative: wherever the kernel likes
}

// DefaultEmpty is about as many empty polls of a few ports as fit into ten microseconds.
const DefaultEmpty = 64

// Memory of a port: its buffers, and what DPDK needs besides.
const (
	portMbufs   = 4095
	queueMB     = 12
	reservedMB  = 32
	memifRing   = 1024
	kernelRing  = 4096 // what a switch may be late for, of full packets: 50 ms at 80 k/s
	pollBurst   = 256
	linkEvery   = 20 * time.Millisecond
	shortSleep  = 20 * time.Microsecond
	longSleep   = time.Millisecond
	sleepGrowth = 16 // a sleep lasts this part of the time since something came
)

// Switch is a running switch.
type Switch struct {
	cfg   Config
	core  *vswitch.Core
	devs  []*dpdk.Device
	ports [][]*dpdk.Port
	up    []bool
	calls chan func()
	quit  context.CancelFunc
	start time.Time
	loop  LoopStats
	burst [][]byte
}

// LoopStats counts what the loop did.
type LoopStats struct {
	Loops  uint64 `json:"loops"`
	Yields uint64 `json:"yields"`
	Sleeps uint64 `json:"sleeps"`
	Lost   uint64 `json:"lost"` // packets whose port was full, or without a peer
}

// Open starts DPDK and opens the ports. It may be called once in a process.
func Open(cfg Config) (*Switch, error) {
	core, err := vswitch.New(coreConfig(cfg))
	if err != nil {
		return nil, err
	}
	if cfg.Empty == 0 {
		cfg.Empty = DefaultEmpty
	}
	s := &Switch{cfg: cfg, core: core, calls: make(chan func(), 16), start: time.Now(),
		up: make([]bool, len(cfg.Ports)), burst: make([][]byte, pollBurst)}
	eal := dpdk.EAL{MemoryMB: cfg.MemoryMB}
	queues := 0
	for i, p := range core.Ports() {
		vdev, _ := cfg.Ports[i].device(i)
		eal.Vdevs = append(eal.Vdevs, vdev)
		queues += p.Queues
	}
	if eal.MemoryMB == 0 {
		eal.MemoryMB = reservedMB + queueMB*queues
	}
	if err := dpdk.Init(eal.Args()); err != nil {
		return nil, err
	}
	for i, p := range core.Ports() {
		_, name := cfg.Ports[i].device(i)
		if err := s.openPort(dpdk.Config{Device: name, Queues: p.Queues, Null: true,
			RxRing: memifRing, TxRing: memifRing, Mbufs: portMbufs}); err != nil {
			return nil, errors.Join(err, s.close())
		}
		core.Link(i, false)
	}
	return s, nil
}

func coreConfig(cfg Config) vswitch.Config {
	c := vswitch.Config{Seed: cfg.Seed, Flood: cfg.Flood, Held: cfg.Held}
	for _, p := range cfg.Ports {
		c.Ports = append(c.Ports, vswitch.Port{Name: p.Name, Queues: p.Queues})
	}
	return c
}

func (s *Switch) openPort(cfg dpdk.Config) error {
	d, err := dpdk.Open(cfg)
	if err != nil {
		return err
	}
	s.devs = append(s.devs, d)
	var ports []*dpdk.Port
	for q := range d.Ports() {
		ports = append(ports, d.Port(q))
	}
	s.ports = append(s.ports, ports)
	return nil
}

// Run polls until ctx ends or a command ends it, and closes everything.
func (s *Switch) Run(ctx context.Context) (err error) {
	ctx, s.quit = context.WithCancel(ctx)
	defer s.quit()
	detach, err := dpdk.Attach()
	if err != nil {
		return errors.Join(err, s.close())
	}
	defer detach()
	if err := errors.Join(s.pin(), onTime()); err != nil {
		return errors.Join(err, s.close())
	}
	defer func() { err = errors.Join(err, s.close()) }()
	links, last := int64(0), s.now()
	for empty := 0; ctx.Err() == nil; {
		now := s.now()
		busy, err := s.turn(now)
		if err != nil {
			return err
		}
		if now >= links {
			links = now + int64(linkEvery)
			s.checkLinks()
		}
		if busy {
			empty, last = 0, now
			continue
		}
		empty++
		s.rest(empty, now-last)
	}
	return nil
}

func (s *Switch) now() int64 { return int64(time.Since(s.start)) + 1 }

func (s *Switch) pin() error {
	if s.cfg.CPU < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(s.cfg.CPU)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("vswitch: pin to CPU %d: %w", s.cfg.CPU, err)
	}
	return nil
}

// onTime has the kernel end this thread's sleeps when they are over, not up to 50 µs later as it likes to: a
// packet passes the switch up to six times on its way from a client to an answer.
func onTime() error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("vswitch: timer slack: %w", err)
	}
	return nil
}

// turn polls every queue once and sends what is due; busy reports whether there was anything.
func (s *Switch) turn(now int64) (busy bool, err error) {
	s.loop.Loops++
	select {
	case call := <-s.calls:
		call()
		busy = true
	default:
	}
	for from := range s.ports {
		for _, p := range s.ports[from] {
			n, err := p.Recv(s.burst)
			if err != nil {
				return busy, err
			}
			if n == 0 {
				continue
			}
			busy = true
			if err := s.send(p, s.core.Step(now, from, s.burst[:n])); err != nil {
				return busy, err
			}
		}
	}
	if now < s.core.Next() {
		return busy, nil
	}
	return busy, s.send(nil, s.core.Due(now))
}

// send hands out what the core decided. What a port does not take is lost: this is a switch.
func (s *Switch) send(from *dpdk.Port, outs []*vswitch.Out) error {
	for _, o := range outs {
		to := s.ports[o.Port][o.Queue]
		if len(o.Refs) > 0 {
			n, err := from.Relay(to, o.Refs)
			if err != nil {
				return err
			}
			s.loop.Lost += uint64(len(o.Refs) - n)
		}
		for rest := o.Copies; len(rest) > 0; {
			k := min(len(rest), packet.MaxBurst)
			n, err := to.SendPackets(rest[:k])
			if err != nil {
				return err
			}
			s.loop.Lost += uint64(k - n)
			rest = rest[k:]
		}
	}
	return nil
}

func (s *Switch) checkLinks() {
	for i, d := range s.devs {
		s.up[i] = d.LinkUp()
		s.core.Link(i, s.up[i])
	}
}

// rest is what the loop does after so many empty polls in a row, idle ns after the last packet.
func (s *Switch) rest(empty int, idle int64) {
	switch {
	case empty < s.cfg.Empty:
	case empty < 2*s.cfg.Empty:
		s.loop.Yields++
		runtime.Gosched()
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	default:
		s.loop.Sleeps++
		due := max(s.core.Next()-s.now(), 0)
		d := min(shortSleep+time.Duration(idle)/sleepGrowth, longSleep, time.Duration(due))
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&ts, nil) // a signal ends it sooner
	}
}

// do has the loop do something, between two polls.
func (s *Switch) do(ctx context.Context, what func()) error {
	done := make(chan struct{})
	select {
	case s.calls <- func() { what(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Switch) close() error {
	var errs []error
	for _, d := range s.devs {
		errs = append(errs, d.Close())
	}
	s.devs = nil
	return errors.Join(append(errs, dpdk.Shutdown())...)
}
