package sim

import (
	"testing"

	"metronome/system/order/orderers"
)

// storeSeeds is how many seeds of each profile a plain `go test` runs; `make sim` runs more.
const storeSeeds = 6

// TestTheStoreSurvives is the simulator's everyday use, on fixed seeds.
func TestTheStoreSurvives(t *testing.T) { survives(t, "raft", storeSeeds) }

// TestTheStoreSurvivesMultipaxos is the same, ordered by our own algorithm.
func TestTheStoreSurvivesMultipaxos(t *testing.T) { survives(t, "multipaxos", storeSeeds/2) }

// TestTheStoreSurvivesMencius is the same without a leader.
func TestTheStoreSurvivesMencius(t *testing.T) { survives(t, "mencius", storeSeeds/2) }

// TestTheStoreSurvivesBaxos is the same where all contend.
func TestTheStoreSurvivesBaxos(t *testing.T) { survives(t, "baxos", storeSeeds/2) }

// TestTheStoreSurvivesRabia is the same where all propose, and a coin is thrown.
func TestTheStoreSurvivesRabia(t *testing.T) { survives(t, "rabia", storeSeeds/2) }

// TestTheStoreSurvivesRacs is the same with a leader that a coin draws.
func TestTheStoreSurvivesRacs(t *testing.T) { survives(t, "racs", storeSeeds/2) }

func survives(t *testing.T, orderer string, seeds uint64) {
	for _, profile := range ProfilesFor(storeBy(t, orderer)) {
		t.Run(profile.Name, func(t *testing.T) {
			answered := 0
			for seed := range seeds {
				r := runStoreBy(t, orderer, seed, profile.Name)
				for _, v := range r.Violations {
					t.Errorf("%v\nreplay: %s", v, r.Replay())
				}
				answered += r.Answered
			}
			if answered == 0 {
				t.Errorf("%d seeds answered nothing", seeds)
			}
		})
	}
}

// TestOneSeedOfTheStoreTwiceIsTheSameRun is R18 for the real cores: nothing in them may follow from
// anything but what they are given.
func TestOneSeedOfTheStoreTwiceIsTheSameRun(t *testing.T) {
	all := orderers.Names()
	for seed := range uint64(len(Profiles)) {
		profile := Profiles[seed%uint64(len(Profiles))].Name
		run := func() *Report { return runStore(t, seed, profile) }
		if by := all[seed%uint64(len(all))]; profile != "disk-damage" {
			run = func() *Report { return runStoreBy(t, by, seed, profile) }
		}
		first, second := run(), run()
		if first.Trace != second.Trace || first.Events != second.Events {
			t.Errorf("seed %#x, profile %s: %d events with trace %x, then %d with %x", seed, profile, first.Events,
				first.Trace, second.Events, second.Trace)
		}
	}
}

func runStore(t *testing.T, seed uint64, profile string) *Report {
	t.Helper()
	return runStoreBy(t, "", seed, profile)
}

func storeBy(t *testing.T, orderer string) System {
	t.Helper()
	s, err := StoreBy(orderer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func runStoreBy(t *testing.T, orderer string, seed uint64, profile string) *Report {
	t.Helper()
	r, err := Run(Config{Seed: seed, Profile: profile, System: storeBy(t, orderer)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
