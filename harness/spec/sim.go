package spec

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"metronome/internal/strictyaml"
)

// Sim declares an experiment on the simulator: every family of faults, and every way of breaking the
// protocol on purpose, for so many seeds a block.
type Sim struct {
	Head     `yaml:",inline"`
	Figures  []string              `yaml:"figures"`
	Claims   []SimClaim            `yaml:"claims"`
	Profiles map[string]SimProfile `yaml:"profiles"`
}

// SimClaim is what must hold of every block.
type SimClaim struct {
	Said   `yaml:",inline"`
	Metric string  `yaml:"metric"` // of record.SimMetrics
	At     string  `yaml:"at"`     // least (the default), or most
	Bound  float64 `yaml:"bound"`
}

// SimProfile says how much to run.
type SimProfile struct {
	Effort        `yaml:",inline"`
	Seeds         int `yaml:"seeds"`          // of each block, over all families
	MutationSeeds int `yaml:"mutation_seeds"` // that a mutation may survive in a block; 0: no mutations
}

// LoadSim reads experiments/<name>/experiment.yaml under root, which must be of kind sim.
func LoadSim(root, name string) (*Sim, error) {
	return loadAs(root, name, ParseSim, func(e *Sim) string { return e.Name })
}

// ParseSim reads a declaration of kind sim and checks it.
func ParseSim(b []byte) (*Sim, error) {
	var e Sim
	if _, err := strictyaml.Decode(b, &e); err != nil {
		return nil, err
	}
	e.hash = hashOf(b)
	return &e, e.check()
}

// Profile finds a profile by name.
func (e *Sim) Profile(name string) (SimProfile, error) { return profileNamed(e.Profiles, name) }

func (e *Sim) check() error {
	switch {
	case e.Kind != KindSim:
		return fmt.Errorf("kind %q: use %s", e.Kind, KindSim)
	case e.Name == "" || e.Question == "":
		return errors.New("name and question must be given")
	}
	for _, c := range e.Claims {
		if c.Name == "" || c.Words == "" || c.Metric == "" {
			return fmt.Errorf("claim %q: name, words and metric must be given", c.Name)
		}
		if err := checkAt(c.At); err != nil {
			return fmt.Errorf("claim %s: %w", c.Name, err)
		}
	}
	for name, p := range e.Profiles {
		if p.Blocks < 1 || p.Seeds < 1 || p.MutationSeeds < 0 {
			return fmt.Errorf("profile %s: blocks and seeds must be at least 1, mutation_seeds not negative", name)
		}
	}
	return nil
}

// SimTask is one piece of work: a family of faults, or a mutation, from one seed on.
type SimTask struct {
	Block    int
	Family   string // empty: all in turn
	Mutation string // empty: none
	First    uint64 // seed
	Seeds    int    // at most, if a mutation is to be caught
}

// Tasks lays a profile out over the simulator's families and mutations: a pure function of its arguments. A
// block's seeds follow those of the block before; a mutation meets the families in turn.
func (p SimProfile) Tasks(families, mutations []string, seed uint64) (all []SimTask) {
	for b := range p.Blocks {
		next := seed + uint64(b)*uint64(p.Seeds+p.MutationSeeds)
		for i, family := range families {
			n := (p.Seeds*(i+1))/len(families) - (p.Seeds*i)/len(families)
			if n > 0 {
				all = append(all, SimTask{Block: b + 1, Family: family, First: next, Seeds: n})
			}
			next += uint64(n)
		}
		for _, m := range mutations {
			if p.MutationSeeds > 0 {
				all = append(all, SimTask{Block: b + 1, Mutation: m, First: next, Seeds: p.MutationSeeds})
			}
		}
	}
	return all
}

// Speeds as seen on the machines this was built on.
const (
	simSeedTime    = 60 * time.Millisecond // on one core
	simSeedsToKill = 40                    // of a mutation, on average
)

// Estimate is how long the profile will take on so many cores.
func (p SimProfile) Estimate(mutations, cores int) time.Duration {
	seeds := p.Seeds + mutations*int(math.Min(simSeedsToKill, float64(p.MutationSeeds)))
	return simSeedTime * time.Duration(p.Blocks*seeds/cmp.Or(cores, 1))
}
