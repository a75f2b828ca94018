package sim

import "testing"

// storeSeeds is how many seeds of each profile a plain `go test` runs; `make sim` runs more.
const storeSeeds = 6

// TestTheStoreSurvives is the simulator's everyday use, on fixed seeds.
func TestTheStoreSurvives(t *testing.T) {
	for _, profile := range Profiles {
		t.Run(profile.Name, func(t *testing.T) {
			answered := 0
			for seed := range uint64(storeSeeds) {
				r := runStore(t, seed, profile.Name)
				for _, v := range r.Violations {
					t.Errorf("%v\nreplay: %s", v, r.Replay())
				}
				answered += r.Answered
			}
			if answered == 0 {
				t.Errorf("%d seeds answered nothing", storeSeeds)
			}
		})
	}
}

// TestOneSeedOfTheStoreTwiceIsTheSameRun is R18 for the real cores: nothing in them may follow from
// anything but what they are given.
func TestOneSeedOfTheStoreTwiceIsTheSameRun(t *testing.T) {
	for seed := range uint64(len(Profiles)) {
		profile := Profiles[seed%uint64(len(Profiles))].Name
		first, second := runStore(t, seed, profile), runStore(t, seed, profile)
		if first.Trace != second.Trace || first.Events != second.Events {
			t.Errorf("seed %#x, profile %s: %d events with trace %x, then %d with %x", seed, profile, first.Events,
				first.Trace, second.Events, second.Trace)
		}
	}
}

func runStore(t *testing.T, seed uint64, profile string) *Report {
	t.Helper()
	r, err := Run(Config{Seed: seed, Profile: profile, System: Store()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
