package arm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"metronome/harness/spec"
	"metronome/system/bench"
	"metronome/system/packet"
)

// device is a device under test.
type device interface {
	ready() bench.Ready
	// arm prepares for frames of an incarnation, to be through by the deadline (CLOCK_MONOTONIC ns).
	arm(incarnation uint32, deadlineNS int64) error
	// report is called after the deadline.
	report() (bench.Report, error)
	pid() int
	close()
}

const (
	startLimit  = 20 * time.Second
	answerLimit = 5 * time.Second
)

// ours is metronome bench ingest.
type ours struct {
	*process
	info bench.Ready
}

func (s *Session) startOurs(w starter) (device, error) {
	f := s.factors
	argv := append([]string{s.env.Metronome, "bench", "ingest", "--digest", f.Mode.String(),
		"--lanes", strconv.Itoa(f.Lanes), "--burst", strconv.Itoa(f.Burst)}, s.arm.Flags(f)...)
	switch s.arm.Wire {
	case Veth:
		argv = append(argv, "--interface", s.env.link.Dut.Device)
	case Loopback:
		argv = append(argv, "--interface", "lo")
	case Memif:
		argv = append(argv, "--socket", s.socket, fmt.Sprintf("--hugepages=%t", f.Hugepages))
	}
	p, err := start(w, s.env.RxCore, s.env.Logs, s.arm.Name, argv...)
	if err != nil {
		return nil, err
	}
	d := &ours{process: p}
	if err := p.hear("ready", &d.info, startLimit); err != nil {
		p.stop("")
		return nil, err
	}
	return d, nil
}

func (d *ours) ready() bench.Ready { return d.info }

func (d *ours) arm(incarnation uint32, deadlineNS int64) error {
	if err := d.say(`{"cmd":"arm","incarnation":%d,"deadline_ns":%d}`, incarnation, deadlineNS); err != nil {
		return err
	}
	return d.hear("armed", &bench.Armed{}, answerLimit)
}

func (d *ours) report() (r bench.Report, err error) {
	if err := d.say(`{"cmd":"report"}`); err != nil {
		return r, err
	}
	return r, d.hear("report", &r, answerLimit)
}

func (d *ours) close() { d.stop(`{"cmd":"stop"}`) }

// testpmd is DPDK's own test program, receiving and dropping: the physical limit of the wire.
type testpmd struct {
	*process
	info     bench.Ready
	rxBefore uint64
	items    uint64
}

func (s *Session) startTestpmd(w starter) (device, error) {
	path, err := exec.LookPath("dpdk-testpmd")
	if err != nil {
		return nil, &packet.ErrUnavailable{What: "testpmd", Why: err.Error(), Next: "apt-get install dpdk-dev"}
	}
	core := s.env.RxCore
	// On a pipe its output would wait for a full buffer, and so would whoever asked.
	argv := []string{"stdbuf", "-oL", path, "--lcores", fmt.Sprintf("0@%d,1@%d", core, core),
		"--no-pci", "--no-telemetry", "--no-shconf", "--file-prefix", filepath.Base(s.socket),
		fmt.Sprintf("--vdev=net_memif0,role=server,socket=%s,socket-abstract=no,rsize=%d", s.socket, ringLog2)}
	if s.factors.Hugepages {
		argv = append(argv, "--in-memory")
	} else {
		argv = append(argv, "--no-huge", "-m", "256")
	}
	argv = append(argv, "--", "-i", "--no-mlockall", "--forward-mode=rxonly", "--total-num-mbufs=16384",
		fmt.Sprintf("--burst=%d", s.factors.Burst), fmt.Sprintf("--rxd=%d", 1<<ringLog2))
	if err := s.env.bed.Track(filepath.Join(eal(), filepath.Base(s.socket))); err != nil {
		return nil, err
	}
	p, err := start(w, core, s.env.Logs, s.arm.Name, argv...)
	if err != nil {
		return nil, err
	}
	d := &testpmd{process: p, items: uint64(s.factors.Items),
		info: bench.Ready{RingFrames: 1 << ringLog2, TID: p.pid(), PID: p.pid(),
			EALArgs: strings.Join(argv[3:], " ")}}
	if err := d.say("start"); err != nil {
		return nil, err
	}
	if _, err := d.received(startLimit); err != nil {
		p.stop("quit")
		return nil, err
	}
	return d, nil
}

// eal is where DPDK keeps a folder for each file prefix (EAL's eal_get_runtime_dir).
func eal() string {
	dir := "/var/run"
	if os.Geteuid() != 0 {
		if dir = os.Getenv("XDG_RUNTIME_DIR"); dir == "" {
			dir = "/tmp"
		}
	}
	return filepath.Join(dir, "dpdk")
}

func (d *testpmd) ready() bench.Ready { return d.info }

var rxPackets = regexp.MustCompile(`RX-packets:\s*(\d+)`)

// received asks for the port's statistics.
func (d *testpmd) received(limit time.Duration) (uint64, error) {
	if err := d.say("show port stats 0"); err != nil {
		return 0, err
	}
	for {
		line, err := d.line(limit)
		if err != nil {
			return 0, err
		}
		if m := rxPackets.FindStringSubmatch(string(line)); m != nil {
			return strconv.ParseUint(m[1], 10, 64)
		}
	}
}

func (d *testpmd) arm(uint32, int64) (err error) {
	d.rxBefore, err = d.received(answerLimit)
	return err
}

// report takes everything received for received in time: testpmd keeps no counter of its own to
// freeze, and its ring holds less than a millisecond of frames.
func (d *testpmd) report() (r bench.Report, err error) {
	time.Sleep(20 * time.Millisecond)
	n, err := d.received(answerLimit)
	n -= d.rxBefore
	r.AtDeadline = bench.Counters{Frames: n, Released: n, Items: n * d.items}
	r.Final = r.AtDeadline
	return r, err
}

func (d *testpmd) close() { d.stop("stop\nquit") }

var _ = []device{(*ours)(nil), (*testpmd)(nil)}

// socketPath is short: a path of a UNIX socket holds 107 bytes.
func socketPath(run string, n int, f spec.Factors) string {
	kind := "n"
	if f.Hugepages {
		kind = "h"
	}
	return filepath.Join("/tmp", fmt.Sprintf("mtn-%s-%s%d.sock", strings.ToLower(run), kind, n))
}
