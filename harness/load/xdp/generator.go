package xdp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"metronome/harness/probe"
	"metronome/system/packet"
)

// Generator is a loaded program and its map. It belongs to one goroutine.
type Generator struct {
	cfg     Config
	ifindex int
	device  *probe.Device
	frame   []byte // a whole packet; the kernel copies it into each page it uses, once
	val     value
	vals    *ebpf.Map
	prog    *ebpf.Program
}

// Open loads the program for a config and runs it once with the window shut, so that nothing is left
// to be found out at the start of a trial. The calling thread must be in the network namespace of
// the sending device. The error is a *packet.ErrUnavailable if this machine cannot do it, or if the
// header asks for digest mode mac.
func Open(c Config) (*Generator, error) {
	dev, err := net.InterfaceByName(c.Device)
	if err != nil {
		return nil, fmt.Errorf("device %q of XDP generator: %w", c.Device, err)
	}
	if c.SrcMAC == nil {
		c.SrcMAC = dev.HardwareAddr
	}
	g, err := prepare(c, false)
	if err != nil {
		return nil, err
	}
	g.ifindex = dev.Index
	if err := g.open(); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Generator) open() (err error) {
	if g.device, err = probe.OpenDevice(g.cfg.Device); err != nil {
		return fmt.Errorf("XDP generator: %w", err)
	}
	if err := liveRun(g.prog.FD(), g.frame, g.ifindex, 1); err != nil {
		return unavailable("XDP live frames", err, "use a kernel of 5.18 or newer")
	}
	return nil
}

// prepare is Open without a device; testClock makes the program take the time from the map.
func prepare(c Config, testClock bool) (*Generator, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("configure XDP generator: %w", err)
	}
	c.Header, c.Payload = slices.Clone(c.Header), slices.Clone(c.Payload)
	g := &Generator{cfg: c, val: make(value, valueSize)}
	fillCRCTables(g.val)
	c.fillLane(g.val.lane(0), 0, 0)
	g.frame = append(slices.Clone(g.val.lane(0)[laneImage:][:imageSize]), c.Payload...)

	var err error
	g.vals, err = ebpf.NewMap(&ebpf.MapSpec{Name: "mtn_generate", Type: ebpf.Array,
		KeySize: 4, ValueSize: valueSize, MaxEntries: 1})
	if err != nil {
		return nil, unavailable("bpf", fmt.Errorf("make map: %w", err), "run as root")
	}
	if g.prog, err = newProgram(&c, g.vals, testClock); err != nil {
		g.Close()
		return nil, unavailable("bpf", err, "run as root on a kernel with CONFIG_BPF_SYSCALL")
	}
	return g, nil
}

// unavailable sorts an error of the kernel's: a machine that cannot, or a fault of ours.
func unavailable(what string, err error, next string) error {
	for _, e := range []error{unix.EPERM, unix.EACCES, unix.ENOSYS, ebpf.ErrNotSupported} {
		if errors.Is(err, e) {
			return &packet.ErrUnavailable{What: what,
				Why: err.Error() + " (euid " + strconv.Itoa(os.Geteuid()) + ")", Next: next}
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Trial is one run of the generator.
type Trial struct {
	Rate        float64       // frames a second over all lanes; 0 = as many as can be
	Start       int64         // CLOCK_MONOTONIC ns; set-up needs some 50 ms before it
	Duration    time.Duration // frames are sent in [Start, Start+Duration)
	Incarnation uint32
}

// Report is what a trial did. Times are CLOCK_MONOTONIC ns.
type Report struct {
	Emitted  uint64 // frames handed to the device
	RingFull uint64 // of these: dropped because the peer's ring was full; veth devices only
	Missed   uint64 // slots in which nothing was sent: too far behind, or never reached
	Due      uint64 // slots of the trial: Emitted + Missed; equal to Emitted at rate 0
	Polls    uint64 // runs of the program within the trial

	First, Last int64 // when the first and the last frame were sent, 0 if none was
	Returned    int64 // when the thread came back from the kernel
	Runs        int   // times the kernel was entered; above 1, something interrupted the trial
}

// Headroom is how often the program ran for each frame it sent. Close to 1, the generator was at its
// own ceiling; 0 if nothing was sent.
func (r Report) Headroom() float64 {
	if r.Emitted == 0 {
		return 0
	}
	return float64(r.Polls) / float64(r.Emitted)
}

// interval converts a rate to the distance of slots; 0 means no pacing.
func (t Trial) interval() (uint64, error) {
	if t.Rate == 0 {
		return 0, nil
	}
	iv := math.Round(1e9 / t.Rate * (1 << fracBits))
	if !(t.Rate > 0) || iv < 1 || iv*MaxBehind >= math.MaxInt64 {
		return 0, fmt.Errorf("rate of %g frames/s cannot be paced", t.Rate)
	}
	return uint64(iv), nil
}

// due is the number of slots in a trial: those the program could still find time for.
func (t Trial) due(interval uint64) uint64 {
	return (uint64(t.Duration)-1)<<fracBits/interval + 1
}

// maxDuration keeps slots within the fixed-point range.
const maxDuration = time.Duration(1) << (63 - fracBits)

// Run sends one trial's frames from the calling thread, which must be in the device's namespace and
// should be pinned and call runtime.LockOSThread; it is busy from now to the end. Frames are numbered
// from 0 in every lane. Cancelling ctx ends the trial early, with its report and the context's error.
// Run comes back within some 50 ms of the end.
func (g *Generator) Run(ctx context.Context, t Trial) (Report, error) {
	if t.Duration <= 0 || t.Duration > maxDuration || t.Start <= 0 {
		return Report{}, fmt.Errorf("run XDP generator: trial of %v from %d ns", t.Duration, t.Start)
	}
	interval, err := t.interval()
	if err != nil {
		return Report{}, fmt.Errorf("run XDP generator: %w", err)
	}
	if err := g.arm(t, interval); err != nil {
		return Report{}, err
	}
	before, err := g.device.Read()
	if err != nil {
		return Report{}, fmt.Errorf("run XDP generator: %w", err)
	}
	runs, err := g.runUntil(ctx, t.Start+int64(t.Duration))
	rep, readErr := g.report(t, interval)
	after, devErr := g.device.Read()
	rep.RingFull = after.Sub(before).Veth().RingFull
	rep.Runs, rep.Returned = runs, monotonic()
	return rep, errors.Join(err, readErr, devErr, ctx.Err())
}

// arm writes the trial into the map.
func (g *Generator) arm(t Trial, interval uint64) error {
	clear(g.val[:stateSize])
	g.val.put(stateStart, uint64(t.Start))
	g.val.put(stateDuration, uint64(t.Duration))
	g.val.put(stateInterval, interval)
	g.val.put(stateSlack, interval*MaxBehind)
	g.val.put(stateLanes, uint64(g.cfg.Lanes))
	for i := range g.cfg.Lanes {
		g.cfg.fillLane(g.val.lane(i), i, t.Incarnation)
	}
	return g.write()
}

func (g *Generator) write() error {
	if err := g.vals.Put(uint32(0), []byte(g.val)); err != nil {
		return fmt.Errorf("write generator's map: %w", err)
	}
	return nil
}

func (g *Generator) read() error {
	if err := g.vals.Lookup(uint32(0), []byte(g.val)); err != nil {
		return fmt.Errorf("read generator's map: %w", err)
	}
	return nil
}

// report reads the counters back and adds the slots at the end that were never reached.
func (g *Generator) report(t Trial, interval uint64) (Report, error) {
	if err := g.read(); err != nil {
		return Report{}, err
	}
	r := Report{
		Emitted: g.val.get(stateEmitted), Polls: g.val.get(statePolls),
		First: int64(g.val.get(stateFirst)), Last: int64(g.val.get(stateLast)),
	}
	if interval == 0 {
		r.Due = r.Emitted
		return r, nil
	}
	r.Due = t.due(interval)
	seen := r.Emitted + g.val.get(stateMissed)
	if seen > r.Due {
		return r, fmt.Errorf("XDP generator counted %d slots of %d", seen, r.Due)
	}
	r.Missed = r.Due - r.Emitted
	return r, nil
}

// Close unloads the program.
func (g *Generator) Close() {
	_ = g.vals.Close()
	_ = g.prog.Close()
	if g.device != nil {
		g.device.Close()
	}
}
