package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/replica"
	"metronome/system/wire"
)

// IngestConfig describes a device under test.
type IngestConfig struct {
	Open       func() (packet.Port, Ready, error) // called on the polling thread
	Polling    bool                               // the port never waits
	Yield      bool                               // give the core away after an empty poll
	Null       bool                               // skip the pipeline: count frames only
	NullItems  uint64                             // items counted a frame then
	Burst      int                                // frames a poll
	Mode       wire.Mode
	ClusterKey []byte
	Cluster    uint32
	Proxy      uint32
	Lanes      int
	Lane       lane.Config
	Now        func() int64 // CLOCK_MONOTONIC in nanoseconds; nil: the real one
}

const (
	clockEvery  = 64                     // polls between two looks at the clock and at the commands
	sampleEvery = time.Millisecond       // between two looks at the memory the port holds
	quiet       = 20 * time.Millisecond  // a port that stays empty this long is empty
	drainLimit  = 500 * time.Millisecond // a port that never stays empty is left at this
)

// RunIngest serves commands from in and writes events to out until told to stop.
func RunIngest(c IngestConfig, in io.Reader, out io.Writer) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// One processor for the polling goroutine, one for the reader of commands: on a pinned process Go
	// would run a single one, and every command would have to preempt the poll loop.
	runtime.GOMAXPROCS(2)
	// The loop allocates nothing; a collection in the middle of a trial would only be noise.
	debug.SetGCPercent(-1)
	events := json.NewEncoder(out)
	d, err := newDUT(c)
	if err != nil {
		TellUnavailable(events, err)
		return err
	}
	defer d.core.Port.Close()
	d.out = events
	if err := d.out.Encode(d.ready); err != nil {
		return fmt.Errorf("tell that the port is ready: %w", err)
	}
	return d.loop(commands(in))
}

// TellUnavailable says on stdout what this machine lacks, if that is what err is about: whoever
// started the process cannot see its error's type.
func TellUnavailable(events *json.Encoder, err error) {
	if un := (*packet.ErrUnavailable)(nil); errors.As(err, &un) {
		// The error itself is on its way to stderr.
		_ = events.Encode(Unavailable{Event: "unavailable", What: un.What, Why: un.Why, Next: un.Next})
	}
}

// commands parses lines in the background; the channel closes at the end of input.
func commands(in io.Reader) <-chan Command {
	ch := make(chan Command)
	go func() {
		defer close(ch)
		for s := bufio.NewScanner(in); s.Scan(); {
			var c Command
			if err := json.Unmarshal(s.Bytes(), &c); err != nil {
				c.Cmd = "unreadable command: " + err.Error()
			}
			ch <- c
		}
	}()
	return ch
}

// dut is a device under test in motion.
type dut struct {
	cfg    IngestConfig
	digest *wire.Digester
	core   *replica.IngestCore
	ready  Ready
	out    *json.Encoder
	poll   func() (int, error)
	now    func() int64

	nullFrames uint64
	base       snapshot
	frozen     snapshot // at the deadline
	deadline   int64    // 0: none, or passed
	held       uint64   // most memory seen held
	sampled    int64    // when it was last looked at
}

func newDUT(c IngestConfig) (*dut, error) {
	digest, err := wire.NewDigester(c.Mode, c.ClusterKey)
	if err != nil {
		return nil, err
	}
	lanes, err := lane.NewIngest(c.Cluster, digest, c.Lane)
	if err != nil {
		return nil, err
	}
	port, ready, err := c.Open()
	if err != nil {
		return nil, err
	}
	d := &dut{cfg: c, digest: digest, ready: ready, now: c.Now}
	if d.core, err = replica.NewIngestCore(port, lanes, c.Burst); err != nil {
		return nil, err
	}
	if d.now == nil {
		d.now = monotonic()
	}
	d.poll = d.core.Poll
	if c.Null {
		d.poll = d.discard
	}
	d.ready.Event, d.ready.PID, d.ready.TID = "ready", os.Getpid(), unix.Gettid()
	d.ready.BoundBytes += int64(c.Lanes * c.Lane.Bytes())
	return d, nil
}

func (d *dut) discard() (int, error) {
	n, err := d.core.Discard()
	d.nullFrames += uint64(n)
	return n, err
}

// loop polls until it is told to stop.
func (d *dut) loop(cmds <-chan Command) error {
	for i := 0; ; i++ {
		n, err := d.poll()
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if n == 0 && d.cfg.Yield {
			_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		}
		// A blocking port's empty poll has waited long enough to look at the clock every time; a polling
		// port's costs less than the look.
		if i%clockEvery != 0 && (n != 0 || d.cfg.Polling) {
			continue
		}
		d.look()
		select {
		case c, ok := <-cmds:
			if !ok || c.Cmd == "stop" {
				return nil
			}
			if err := d.obey(c); err != nil {
				return err
			}
		default:
		}
	}
}

// look freezes the counters at the deadline, and until then samples the memory the port holds.
func (d *dut) look() {
	if d.deadline == 0 {
		return
	}
	now := d.now()
	if now >= d.deadline {
		d.take(&d.frozen)
		d.deadline = 0
	} else if now-d.sampled >= int64(sampleEvery) {
		d.sampled = now
		d.held = max(d.held, d.core.Port.Stats().RxHeld)
	}
}

func (d *dut) obey(c Command) error {
	switch c.Cmd {
	case "arm":
		return d.arm(c)
	case "report":
		return d.report()
	}
	return fmt.Errorf("unknown command %q: use arm, report or stop", c.Cmd)
}

// arm throws away what the trial before left in the port, and starts a new life of the lanes.
func (d *dut) arm(c Command) error {
	before := d.core.Lanes.Counters().Frames + d.nullFrames
	if err := d.drain(); err != nil {
		return err
	}
	discarded := d.core.Lanes.Counters().Frames + d.nullFrames - before
	lanes, err := lane.NewIngest(d.cfg.Cluster, d.digest, d.cfg.Lane)
	if err != nil {
		return err
	}
	if err := lanes.Open(d.cfg.Proxy, c.Incarnation, d.cfg.Lanes); err != nil {
		return err
	}
	d.core.Lanes = lanes
	runtime.GC() // the lanes of the trial before
	d.deadline, d.held, d.frozen = c.DeadlineNS, 0, snapshot{}
	if err := d.out.Encode(Armed{Event: "armed", Discarded: discarded}); err != nil {
		return fmt.Errorf("tell that the trial is armed: %w", err)
	}
	d.take(&d.base)
	return nil
}

// drain polls until the port stays empty.
func (d *dut) drain() error {
	start := d.now()
	last := start
	for {
		n, err := d.poll()
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		now := d.now()
		if n > 0 {
			last = now
		}
		if now-last >= int64(quiet) || now-start >= int64(drainLimit) {
			return nil
		}
	}
}

func (d *dut) report() error {
	if d.deadline != 0 {
		return errors.New("report was asked for before the deadline passed")
	}
	if err := d.drain(); err != nil {
		return err
	}
	var final snapshot
	d.take(&final)
	r := Report{Event: "report", AtDeadline: d.frozen.since(&d.base), Final: final.since(&d.base),
		FrozenNS: d.frozen.ns, HeldBytes: d.held}
	if d.frozen.mallocs > d.base.mallocs {
		r.Mallocs = d.frozen.mallocs - d.base.mallocs
	}
	if d.cfg.Null {
		r.AtDeadline.Items = r.AtDeadline.Released * d.cfg.NullItems
		r.Final.Items = r.Final.Released * d.cfg.NullItems
	}
	if err := d.out.Encode(r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// take reads every counter.
func (d *dut) take(s *snapshot) {
	s.ns = d.now()
	s.lanes = d.core.Lanes.Counters()
	s.port = d.core.Port.Stats()
	s.polls, s.empty, s.nullFrames = d.core.Polls, d.core.Empty, d.nullFrames
	d.held = max(d.held, s.port.RxHeld)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.mallocs = m.Mallocs
}

// monotonic reads CLOCK_MONOTONIC without a system call: Go's own monotonic clock is the same one,
// from another origin.
func monotonic() func() int64 {
	var ts unix.Timespec
	// CLOCK_MONOTONIC always exists; its error can only be a bad address.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	origin, offset := time.Now(), ts.Nano()
	return func() int64 { return offset + int64(time.Since(origin)) }
}
