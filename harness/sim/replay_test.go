package sim

import (
	"flag"
	"os"
	"testing"
)

var (
	replaySeed    = flag.String("sim.seed", "", "replay this seed")
	replayProfile = flag.String("sim.profile", "", "of this family")
	replayVerbose = flag.String("sim.v", "1", "0, 1 or 2")
)

// TestReplay replays one seed on demand, for debuggers:
//
//	go test -run TestReplay ./harness/sim -sim.seed 0x1f -sim.profile crash -sim.v 2
func TestReplay(t *testing.T) {
	if *replaySeed == "" {
		return
	}
	args := []string{"--seed", *replaySeed, "--profile", *replayProfile, "-v", *replayVerbose}
	if Main(args, os.Stdout) != 0 {
		t.Error("a violation")
	}
}
