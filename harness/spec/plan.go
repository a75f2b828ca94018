package spec

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// Group is what is measured together: one arm in one placement and cell, started once a block.
type Group struct {
	Arm       Arm
	Placement string
	Factors   Factors
	Bracket   []float64 // multiples of the loss-free rate found by the search; none for a ceiling
	Primary   bool      // the primary cell
	Noise     bool      // one half of a block's A/A pair: measured a second time
}

// Key names the group: equal keys are searched once.
func (g Group) Key() string { return g.Arm.Name + "/" + g.Placement + "/" + g.Factors.String() }

// Plan is everything to run.
type Plan struct {
	Experiment *Experiment
	Profile    Profile
	ProfileAs  string
	Seed       uint64
	Groups     []Group // in the declaration's order: for the search
	Blocks     []Block
}

// Block is one pass over all groups, in random order.
type Block struct {
	Number   int // from 1
	Groups   []Group
	Overload bool // trials beyond the loss-free rate too
}

// Selection narrows a plan.
type Selection struct {
	Profile string
	Arms    []string // empty: the profile's
	Seed    uint64
}

// Plan lays out the trials of a profile.
func (e *Experiment) Plan(s Selection) (*Plan, error) {
	p, err := e.Profile(s.Profile)
	if err != nil {
		return nil, err
	}
	if len(s.Arms) > 0 {
		if err := e.checkArms(s.Arms); err != nil {
			return nil, err
		}
		p.Arms = s.Arms
	}
	plan := &Plan{Experiment: e, Profile: p, ProfileAs: s.Profile, Seed: s.Seed}
	if plan.Groups, err = e.groups(p); err != nil {
		return nil, err
	}
	for b := 1; b <= p.Blocks; b++ {
		block := Block{Number: b, Groups: slices.Clone(plan.Groups), Overload: b <= p.OverloadIn}
		rng := rand.New(rand.NewPCG(s.Seed, uint64(b)))
		rng.Shuffle(len(block.Groups), func(i, j int) {
			block.Groups[i], block.Groups[j] = block.Groups[j], block.Groups[i]
		})
		plan.Blocks = append(plan.Blocks, block)
	}
	return plan, nil
}

func (p Profile) selects(arm string) bool { return len(p.Arms) == 0 || slices.Contains(p.Arms, arm) }

func (e *Experiment) groups(p Profile) ([]Group, error) {
	primary, err := e.Primary.Resolve()
	if err != nil {
		return nil, err
	}
	var groups []Group
	for _, a := range e.Arms {
		if !p.selects(a.Name) {
			continue
		}
		for _, placement := range p.placementsOf(a) {
			g := Group{Arm: a, Placement: placement, Factors: primary, Primary: true}
			g.Bracket = e.bracket(a, p.OtherRates)
			g.Noise = p.NoisePairs && placement == "same" && e.isPrimaryRung(a.Name)
			groups = append(groups, g)
		}
	}
	for _, s := range e.Slices {
		if !slices.Contains(p.Slices, s.Factor) {
			continue
		}
		more, err := e.sliceGroups(s, p, primary)
		if err != nil {
			return nil, err
		}
		groups = append(groups, more...)
	}
	return groups, nil
}

// placementsOf is where an arm runs: an arm without a kernel half has nothing to place.
func (p Profile) placementsOf(a Arm) []string {
	if !a.KernelHalf {
		return []string{"same"}
	}
	return p.Placements
}

func (e *Experiment) isPrimaryRung(arm string) bool {
	return len(e.Claims) > 0 && e.Claims[0].Rung == arm
}

// bracket is the rates of an arm in a block: what the first claim names gets all of them, other
// arms may do with fewer, and a ceiling is measured at the maximum only.
func (e *Experiment) bracket(a Arm, others []float64) []float64 {
	named := len(e.Claims) > 0 && (e.Claims[0].Arm == a.Name || e.Claims[0].Rung == a.Name)
	switch {
	case a.Ceiling:
		return nil
	case named || len(others) == 0:
		return e.Search.Bracket
	}
	return others
}

func (e *Experiment) sliceGroups(s Slice, p Profile, primary Factors) (groups []Group, err error) {
	cells, err := e.cells(s)
	if err != nil {
		return nil, err
	}
	bracket := p.SliceRates
	if len(bracket) == 0 {
		bracket = e.Search.Bracket
	}
	for _, f := range cells {
		for _, name := range s.Arms {
			a, err := e.Arm(name)
			if err != nil {
				return nil, err
			}
			if f == primary || !p.selects(name) || len(p.SliceArms) > 0 && !slices.Contains(p.SliceArms, name) {
				continue
			}
			g := Group{Arm: a, Placement: "same", Factors: f, Bracket: bracket}
			if a.Ceiling {
				g.Bracket = nil
			}
			groups = append(groups, g)
		}
	}
	return groups, nil
}

// TrialSeed is the seed of one trial: hash(seed, cell, repeat), so that a trial's randomness does
// not depend on what ran before it.
func (p *Plan) TrialSeed(g Group, repeat int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s/%d", p.Seed, g.Key(), repeat)
	return h.Sum64()
}

// searchTrials is about how many trials a search takes: bracketing, then halving to the precision.
const searchTrials = 11

// Overheads of a trial and of starting a group, as seen on the machines this was built on.
const (
	trialOverhead = 110 * time.Millisecond
	startOverhead = 250 * time.Millisecond
)

// TrialsInBlock is how many trials a block runs.
func (b Block) TrialsInBlock() int {
	n := 0
	for _, g := range b.Groups {
		switch {
		case g.Arm.Ceiling:
			n++
		case b.Overload && g.Primary:
			n += len(g.Bracket) + 2
		default:
			n += len(g.Bracket)
		}
		if g.Noise {
			n += 2
		}
	}
	return n
}

// Estimate is how long the plan's measurements will take.
func (p *Plan) Estimate() time.Duration {
	var d time.Duration
	for _, g := range p.Groups {
		d += startOverhead
		if !g.Arm.Ceiling {
			d += searchTrials * (p.Profile.SearchTrial() + trialOverhead)
		}
	}
	for _, b := range p.Blocks {
		d += time.Duration(len(b.Groups)) * startOverhead
		d += time.Duration(b.TrialsInBlock()) * (p.Profile.Trial() + trialOverhead)
	}
	return d
}
