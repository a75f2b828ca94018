package arm

import (
	"fmt"
	"os"
	"path/filepath"
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
	startLimit  = 2 * time.Minute
	answerLimit = time.Minute
)

// ours is metronome bench ingest.
type ours struct {
	*process
	info bench.Ready
}

func (s *Session) startOurs(w starter) (device, error) {
	f := s.factors
	argv, err := s.program()
	if err != nil {
		return nil, err
	}
	argv = append(argv, "--digest", f.Mode.String(), "--lanes", strconv.Itoa(f.Lanes),
		"--burst", strconv.Itoa(f.Burst))
	argv = append(argv, s.arm.Flags(f)...)
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

// program is what runs the arm's device under test.
func (s *Session) program() ([]string, error) {
	if s.arm.Program == "" {
		return []string{s.env.Metronome, "bench", "ingest"}, nil
	}
	path := filepath.Join(filepath.Dir(s.env.Metronome), s.arm.Program)
	if _, err := os.Stat(path); err != nil {
		return nil, &packet.ErrUnavailable{What: s.arm.Name, Why: "it is not built: " + err.Error(),
			Next: s.arm.Build}
	}
	return []string{path}, nil
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

var _ = []device{(*ours)(nil), (*testpmd)(nil)}

// socketPath is short: a path of a UNIX socket holds 107 bytes.
func socketPath(run string, n int, f spec.Factors) string {
	kind := "n"
	if f.Hugepages {
		kind = "h"
	}
	return filepath.Join("/tmp", fmt.Sprintf("mtn-%s-%s%d.sock", strings.ToLower(run), kind, n))
}
