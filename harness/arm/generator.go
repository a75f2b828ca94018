package arm

import (
	"fmt"
	"strconv"
	"time"

	"metronome/harness/load"
	"metronome/harness/testbed"
)

// ringLog2 is the size of memif's ring: 4096 slots, under 1 % of what a bypass arm takes in a
// trial.
const ringLog2 = 12

// generator sends the frames of a session.
type generator interface {
	run(c load.Run) error // announces a trial
	done(limit time.Duration) (load.Done, error)
	pid() int
	close()
}

// sender is lab generate: it is told when to begin and when to end, and does so to the microsecond.
type sender struct{ *process }

func (s *Session) startGenerator() (generator, error) {
	if s.arm.Txonly {
		return s.startTxonly()
	}
	f := s.factors
	argv := []string{s.env.Lab, "generate"}
	var where starter = s.env.bed
	switch s.arm.Wire {
	case Veth:
		where = s.env.link.Gen.Netns
		argv = append(argv, "xdp", "--interface", testbed.GenDevice)
	case Loopback:
		where = s.env.link.Dut.Netns
		argv = append(argv, "udp", "--interface", "lo")
	case Memif:
		argv = append(argv, "memif", "--socket", s.socket, "--ring-log2", strconv.Itoa(ringLog2),
			fmt.Sprintf("--hugepages=%t", f.Hugepages))
	}
	argv = append(argv, "--items", strconv.Itoa(f.Items), "--key-bytes", strconv.Itoa(f.KeyBytes),
		"--value-bytes", strconv.Itoa(f.ValueBytes), "--lanes", strconv.Itoa(f.Lanes),
		"--digest", f.Mode.String())
	p, err := start(where, s.env.GenCore, s.env.Logs, "generate-"+string(s.arm.Wire), argv...)
	if err != nil {
		return nil, err
	}
	if err := p.hear("ready", &load.Ready{}, startLimit); err != nil {
		p.stop("")
		return nil, err
	}
	return sender{p}, nil
}

func (g sender) run(c load.Run) error {
	return g.say(`{"cmd":"run","rate_fps":%g,"start_ns":%d,"duration_ns":%d,"incarnation":%d}`,
		c.RateFPS, c.StartNS, c.DurationNS, c.Incarnation)
}

func (g sender) done(limit time.Duration) (d load.Done, err error) {
	return d, g.hear("done", &d, limit)
}

func (g sender) close() { g.stop(`{"cmd":"stop"}`) }
