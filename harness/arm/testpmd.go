package arm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"metronome/harness/load"
	"metronome/system/bench"
	"metronome/system/packet"
	"metronome/system/packet/ethernet"
)

// testpmd is DPDK's own test program, receiving and dropping: the physical limit of the wire.
type testpmd struct {
	*process
	info     bench.Ready
	rxBefore uint64
	items    uint64
}

func (s *Session) startTestpmd(w starter) (device, error) {
	p, args, err := s.testpmd(w, s.env.RxCore, "server", "rxonly", fmt.Sprintf("--rxd=%d", 1<<ringLog2))
	if err != nil {
		return nil, err
	}
	d := &testpmd{process: p, items: uint64(s.factors.Items),
		info: bench.Ready{RingFrames: 1 << ringLog2, TID: p.pid(), PID: p.pid(), EALArgs: args}}
	if err := d.say("start"); err != nil {
		return nil, err
	}
	if _, err := d.received(startLimit); err != nil {
		p.stop("quit")
		return nil, err
	}
	return d, nil
}

// testpmd starts dpdk-testpmd at one end of the session's memif and returns EAL's arguments too.
func (s *Session) testpmd(w starter, core int, role, mode string, more ...string) (*process, string, error) {
	path, err := exec.LookPath("dpdk-testpmd")
	if err != nil {
		return nil, "", &packet.ErrUnavailable{What: "testpmd", Why: err.Error(), Next: "make setup"}
	}
	prefix := role + "-" + filepath.Base(s.socket)
	args := []string{"--lcores", fmt.Sprintf("0@%d,1@%d", core, core), "--no-pci", "--no-telemetry",
		"--no-shconf", "--file-prefix", prefix,
		fmt.Sprintf("--vdev=net_memif0,role=%s,socket=%s,socket-abstract=no,rsize=%d", role, s.socket, ringLog2)}
	if s.factors.Hugepages {
		args = append(args, "--in-memory")
	} else {
		args = append(args, "--no-huge", "-m", "256")
	}
	// On a pipe its output would wait for a full buffer, and so would whoever asked.
	argv := slices.Concat([]string{"stdbuf", "-oL", path}, args, []string{"--", "-i", "--no-mlockall",
		"--forward-mode=" + mode, "--total-num-mbufs=16384", fmt.Sprintf("--burst=%d", s.factors.Burst)}, more)
	if err := s.env.bed.Track(filepath.Join(eal(), prefix)); err != nil {
		return nil, "", err
	}
	p, err := start(w, core, s.env.Logs, "testpmd-"+role, argv...)
	return p, strings.Join(args, " "), err
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
	m, err := d.find(rxPackets, limit)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(m[1], 10, 64)
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

// txonly is testpmd sending as fast as it can: the reference for our own sender. It starts and
// stops when told, not at a time agreed on, so its window is good to a few milliseconds.
type txonly struct{ *process }

func (s *Session) startTxonly() (generator, error) {
	bytes := s.factors.Shape().FrameBytes() + ethernet.HeaderBytes
	p, _, err := s.testpmd(s.env.bed, s.env.GenCore, "client", "txonly", fmt.Sprintf("--txd=%d", 1<<ringLog2),
		fmt.Sprintf("--txpkts=%d", bytes))
	if err != nil {
		return nil, err
	}
	g := txonly{p}
	if err := g.waitLink(); err != nil {
		p.stop("quit")
		return nil, err
	}
	return g, nil
}

var linkUp = regexp.MustCompile(`Link status: (up|down)`)

func (g txonly) waitLink() error {
	for range 50 {
		if err := g.say("show port info 0"); err != nil {
			return err
		}
		m, err := g.find(linkUp, startLimit)
		if err != nil {
			return err
		}
		if m[1] == "up" {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s: its memif does not connect", g.name)
}

func (g txonly) run(c load.Run) error {
	go func() {
		// What goes wrong here shows in done: no statistics are printed.
		_ = sleepUntil(context.Background(), c.StartNS)
		_ = g.say("start")
		_ = sleepUntil(context.Background(), c.StartNS+c.DurationNS)
		_ = g.say("stop")
	}()
	return nil
}

var txPackets = regexp.MustCompile(`TX-packets:\s*(\d+)\s+TX-dropped:\s*(\d+)`)

func (g txonly) done(limit time.Duration) (d load.Done, err error) {
	m, err := g.find(txPackets, limit)
	if err == nil {
		_, err = g.find(txPackets, limit) // the same again, as the sum over all its ports
	}
	if err != nil {
		return d, err
	}
	sent, err1 := strconv.ParseUint(m[1], 10, 64)
	dropped, err2 := strconv.ParseUint(m[2], 10, 64)
	if err1 != nil || err2 != nil {
		return d, fmt.Errorf("%s printed %q", g.name, m[0])
	}
	return load.Done{Emitted: sent + dropped, RingFull: dropped}, nil
}

func (g txonly) close() { g.stop("quit") }
