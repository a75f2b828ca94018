//go:build mutation

package sim

import (
	"flag"
	"testing"

	"metronome/internal/mutate"
)

// mutationSeeds is how many seeds a mutation may survive.
var mutationSeeds = flag.Uint64("sim.mutation-seeds", 400, "seeds that a mutation may survive")

// TestEveryMutationIsCaught breaks the protocol in one way after another. The simulator must notice
// each by something that the unbroken store does not do under the same seed; the table says within
// how many seeds.
func TestEveryMutationIsCaught(t *testing.T) {
	for _, m := range mutate.All() {
		t.Run(m.String(), func(t *testing.T) {
			before := mutate.Asked()
			profiles := FamiliesFor(m)
			for n := range *mutationSeeds {
				if caught(t, storeBy(t, m.Orderer()), m, n, profiles[n%uint64(len(profiles))]) {
					return
				}
			}
			if mutate.Asked() == before {
				t.Errorf("no core places %v: %s", m, m.Doc())
				return
			}
			t.Errorf("%v survived %d seeds: %s", m, *mutationSeeds, m.Doc())
		})
	}
}

func caught(t *testing.T, s System, m mutate.Mutation, seed uint64, profile string) bool {
	t.Helper()
	run := func(m mutate.Mutation) *Report {
		r, err := Run(Config{Seed: seed, Profile: profile, System: s, Mutation: m})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	broken := run(m)
	if len(broken.Violations) == 0 || len(run(mutate.None).Violations) > 0 {
		return false
	}
	t.Logf("%-22s killed by seed %d (%s): %v", m, seed, profile, broken.Violations[0])
	return true
}
