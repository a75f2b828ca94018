package spec

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Point is a combination of factors. Equal names are equal points.
type Point struct {
	Name   string // "batch=256 value=64": every factor, in the declaration's order
	Values map[string]string
}

// Point is a point that has other values on top of the base's.
func (e *Factorial) Point(base, on map[string]string) Point {
	p := Point{Values: maps.Clone(base)}
	maps.Copy(p.Values, on)
	var parts []string
	for _, f := range e.Factors {
		parts = append(parts, f.Name+"="+p.Values[f.Name])
	}
	p.Name = strings.Join(parts, " ")
	return p
}

// BaseOf is the base as a profile has it.
func (e *Factorial) BaseOf(p FactorialProfile) map[string]string {
	base := map[string]string{}
	maps.Copy(base, e.Base)
	maps.Copy(base, p.Base)
	return base
}

// Points lists the points of a profile: the base, what is varied, further cells, each once.
func (e *Factorial) Points(p FactorialProfile) (points []Point) {
	base := e.BaseOf(p)
	add := func(on map[string]string) {
		at := e.Point(base, on)
		if !slices.ContainsFunc(points, func(q Point) bool { return q.Name == at.Name }) {
			points = append(points, at)
		}
	}
	if p.Product {
		for _, on := range e.product(p.Vary) {
			add(on)
		}
	} else {
		add(nil)
		for _, f := range e.Factors {
			for _, v := range p.Vary[f.Name] {
				add(map[string]string{f.Name: v})
			}
		}
	}
	for _, on := range p.Cells {
		add(on)
	}
	return points
}

// product is every combination of some factors' values.
func (e *Factorial) product(vary map[string][]string) []map[string]string {
	all := []map[string]string{{}}
	for _, f := range e.Factors {
		var next []map[string]string
		for _, on := range all {
			for _, v := range vary[f.Name] {
				with := maps.Clone(on)
				with[f.Name] = v
				next = append(next, with)
			}
		}
		if len(vary[f.Name]) > 0 {
			all = next
		}
	}
	return all
}

// has reports whether an arm has a point.
func (a FactorialArm) has(p Point) bool {
	for f, values := range a.Only {
		if !slices.Contains(values, p.Values[f]) {
			return false
		}
	}
	return true
}

// FactorialTask is one trial to run: an arm at a point.
type FactorialTask struct {
	Arm    FactorialArm
	Point  Point
	Repeat int // 1; 2: the second of two equal trials, for the noise floor
}

// FactorialPlan is everything to run.
type FactorialPlan struct {
	Experiment *Factorial
	Profile    FactorialProfile
	ProfileAs  string
	Seed       uint64
	Points     []Point
	Blocks     [][]FactorialTask // each in an order of its own
}

// Plan lays out the trials of a profile: a pure function of declaration, selection and seed.
func (e *Factorial) Plan(s Selection) (*FactorialPlan, error) {
	p, err := e.Profile(s.Profile)
	if err != nil {
		return nil, err
	}
	if err := known("arm", e.armNames(), s.Arms...); err != nil {
		return nil, err
	}
	if len(s.Arms) > 0 {
		p.Arms = s.Arms
	}
	plan := &FactorialPlan{Experiment: e, Profile: p, ProfileAs: s.Profile, Seed: s.Seed, Points: e.Points(p)}
	tasks := e.tasks(p, plan.Points)
	if len(tasks) == 0 {
		return nil, errors.New("nothing to run: no selected arm has a point of this profile")
	}
	for b := range p.Blocks {
		rng := rand.New(rand.NewPCG(s.Seed, uint64(b+1)))
		plan.Blocks = append(plan.Blocks, shuffled(tasks, e.Order, rng))
	}
	return plan, nil
}

func (e *Factorial) tasks(p FactorialProfile, points []Point) (tasks []FactorialTask) {
	base := e.Point(e.BaseOf(p), nil).Name
	for _, a := range e.Arms {
		for _, at := range points {
			if !selects(p.Arms, a.Name) || !a.has(at) {
				continue
			}
			tasks = append(tasks, FactorialTask{a, at, 1})
			if p.NoisePair == a.Name && at.Name == base {
				tasks = append(tasks, FactorialTask{a, at, 2})
			}
		}
	}
	return tasks
}

// shuffled is tasks in a random order; the second of two equal ones comes after the first.
func shuffled(tasks []FactorialTask, order string, rng *rand.Rand) []FactorialTask {
	tasks = slices.Clone(tasks)
	rng.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	if order == OrderArms {
		var arms []string
		for _, t := range tasks {
			if !slices.Contains(arms, t.Arm.Name) {
				arms = append(arms, t.Arm.Name)
			}
		}
		rank := func(t FactorialTask) int { return slices.Index(arms, t.Arm.Name) }
		slices.SortStableFunc(tasks, func(a, b FactorialTask) int { return rank(a) - rank(b) })
	}
	second := slices.IndexFunc(tasks, func(t FactorialTask) bool { return t.Repeat == 2 })
	if second < 0 {
		return tasks
	}
	first := slices.IndexFunc(tasks, func(t FactorialTask) bool {
		return t.Repeat == 1 && t.Arm.Name == tasks[second].Arm.Name && t.Point.Name == tasks[second].Point.Name
	})
	if first > second {
		tasks[first], tasks[second] = tasks[second], tasks[first]
	}
	return tasks
}

// TrialSeed is the seed of one trial: hash(seed, arm's point, block). Arms at one point share it, so that
// they are given the same work.
func (p *FactorialPlan) TrialSeed(t FactorialTask, block int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s/%d/%d", p.Seed, t.Point.Name, block, t.Repeat)
	return h.Sum64()
}

// Trials is how many trials there are.
func (p *FactorialPlan) Trials() (n int) {
	for _, b := range p.Blocks {
		n += len(b)
	}
	return n
}

// Estimate is how long the plan's measurements will take.
func (p *FactorialPlan) Estimate() time.Duration {
	each := p.Profile.Length() + time.Duration(p.Profile.OverheadMS)*time.Millisecond
	return time.Duration(p.Trials()) * each
}
