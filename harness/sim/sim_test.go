package sim

import (
	"bytes"
	"testing"
)

// runToy simulates the toy, which survives what spares its primary's state.
func runToy(t *testing.T, seed uint64, broken string) *Report {
	t.Helper()
	r, err := Run(Config{Seed: seed, System: newToy(broken), adjust: func(p *params) {
		p.faults[faultCrash], p.faults[faultCrashLeader], p.anyQuorum = 0, 0, false
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheToyPasses(t *testing.T) {
	answered := 0
	for seed := range uint64(60) {
		r := runToy(t, seed, "")
		for _, v := range r.Violations {
			t.Errorf("seed %#x: %v", seed, v)
		}
		answered += r.Answered
	}
	if answered < 60*20 {
		t.Errorf("60 seeds answered %d operations", answered)
	}
}

// Each broken toy must be caught within a few seeds: the invariants, the judges and the phases are
// alive.
func TestBrokenToysAreCaught(t *testing.T) {
	for _, broken := range []string{"executes twice", "follower differs", "drops a write", "reads old state",
		"orders what one holds", "sprays a pipeline", "acknowledges early", "has no bound"} {
		t.Run(broken, func(t *testing.T) {
			for seed := range uint64(60) {
				if r := runToy(t, seed, broken); len(r.Violations) > 0 {
					t.Logf("seed %#x: %v", seed, r.Violations[0])
					return
				}
			}
			t.Error("60 seeds found nothing")
		})
	}
}

func TestOneSeedTwiceIsTheSameRun(t *testing.T) {
	for seed := range uint64(10) {
		var a, b bytes.Buffer
		run := func(out *bytes.Buffer) *Report {
			r, err := Run(Config{Seed: seed, System: newToy(""), Trace: out, Verbose: true})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		first, second := run(&a), run(&b)
		if first.Trace != second.Trace || !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("seed %#x: two runs differ: %x and %x", seed, first.Trace, second.Trace)
		}
	}
}
