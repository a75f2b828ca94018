package arm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/probe"
	"metronome/harness/spec"
	"metronome/harness/testbed"
)

// Env is what all sessions of a run share. It belongs to one goroutine.
type Env struct {
	Metronome, Lab  string // paths of the binaries
	Logs            string // directory for what processes say on stderr
	RxCore, GenCore int

	// EALArgs is what DPDK was started with, by arm; it fills as sessions open.
	EALArgs map[string][]string

	bed         *testbed.Testbed
	link        *testbed.Link // nil without root
	linkErr     error
	rxDevice    *probe.Device
	incarnation uint32
	sessions    int
}

// NewEnv prepares the machine. A machine without root or namespaces still gets an Env: arms that
// need the link are then unavailable. The binaries lab and metronome lie in folder bin.
func NewEnv(bed *testbed.Testbed, bin, logs string) (_ *Env, err error) {
	e := &Env{Lab: filepath.Join(bin, "lab"), Metronome: filepath.Join(bin, "metronome"), Logs: logs, bed: bed,
		EALArgs: map[string][]string{}, RxCore: runtime.NumCPU() - 1, GenCore: max(0, runtime.NumCPU()-2)}
	if _, err := os.Stat(e.Metronome); err != nil {
		return nil, fmt.Errorf("the device under test is not built: %w; next: make build", err)
	}
	if e.link, e.linkErr = bed.Link(); e.linkErr == nil {
		e.linkErr = e.link.Dut.Netns.Do(func() (err error) {
			e.rxDevice, err = probe.OpenDevice(e.link.Dut.Device)
			return err
		})
	}
	return e, nil
}

// Session is one arm in one placement and cell, with its processes running.
type Session struct {
	env       *Env
	arm       Arm
	placement string
	factors   spec.Factors
	socket    string
	dut       device
	gen       generator
	napi      testbed.NAPI
	hasNAPI   bool
	behind    time.Duration // by which trials are announced earlier, for one was late
}

// hugepages for the two ends of a memif: what each maps, and EAL's own needs.
const memifHugepages = 2 * (256 + 8) / 2

// Open starts a session. The error is a *packet.ErrUnavailable, or wraps one, if this machine
// cannot run the arm.
func (e *Env) Open(ctx context.Context, name, placement string, f spec.Factors) (_ *Session, err error) {
	a, err := Find(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a.Single {
		f.Burst = 1
	}
	e.sessions++
	s := &Session{env: e, arm: a, placement: placement, factors: f,
		socket: socketPath(e.bed.ID(), e.sessions, f)}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if f.Hugepages {
		if err := e.bed.Hugepages(memifHugepages); err != nil {
			return nil, err
		}
	}
	if err := e.bed.Track(s.socket); err != nil {
		return nil, err
	}
	where, err := s.where()
	if err != nil {
		return nil, err
	}
	if a.Testpmd {
		s.dut, err = s.startTestpmd(where)
	} else {
		s.dut, err = s.startOurs(where)
	}
	if err != nil {
		return nil, err
	}
	if args := s.dut.ready().EALArgs; args != "" {
		e.EALArgs[a.Name] = strings.Fields(args)
	}
	if s.gen, err = s.startGenerator(); err != nil {
		return nil, err
	}
	return s, s.place()
}

// where is the place the device under test runs in.
func (s *Session) where() (starter, error) {
	if s.arm.Wire == Memif {
		return s.env.bed, nil
	}
	if s.env.linkErr != nil {
		return nil, s.env.linkErr
	}
	return s.env.link.Dut.Netns, nil
}

func (s *Session) place() (err error) {
	if s.arm.Wire != Veth {
		return nil
	}
	s.hasNAPI = true
	s.napi, err = s.env.link.Place(testbed.Placement(s.placement), s.env.RxCore, s.env.GenCore)
	return err
}

// Close ends the session's processes: first the one that polls, since memif takes the ring away
// from under a peer that is still inside a burst.
func (s *Session) Close() {
	if s.dut != nil {
		s.dut.close()
	}
	if s.gen != nil {
		s.gen.close()
	}
	_ = os.Remove(s.socket)
}

// settle lets processes that were just told something get back to waiting.
const settle = 2 * time.Millisecond

// YieldCores keeps this process, the harness, off the receiver's core.
func (e *Env) YieldCores() error {
	var set unix.CPUSet
	for cpu := range runtime.NumCPU() {
		if cpu != e.RxCore {
			set.Set(cpu)
		}
	}
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list this process's threads: %w", err)
	}
	for _, entry := range entries {
		tid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("keep the harness off core %d: %w", e.RxCore, err)
		}
	}
	return nil
}
