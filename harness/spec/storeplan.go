package spec

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// StoreGroup is what is measured together: one arm in one setup, started once a block.
type StoreGroup struct {
	Arm   StoreArm
	Setup Setup
	Set   Settings    // the arm's with the setup's on top
	Loads []StoreLoad // saturation first, the rest in the declaration's order
	Noise bool        // saturation is measured a second time
}

// Key names the group.
func (g StoreGroup) Key() string { return g.Arm.Name + "/" + g.Setup.Name }

// StorePlan is everything to run.
type StorePlan struct {
	Experiment *Store
	Profile    StoreProfile
	ProfileAs  string
	Seed       uint64
	Workload   Workload
	Groups     []StoreGroup
	Blocks     [][]StoreGroup // each in an order of its own
}

// Plan lays out the trials of a profile: a pure function of declaration, selection and seed.
func (e *Store) Plan(s Selection) (*StorePlan, error) {
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
	plan := &StorePlan{Experiment: e, Profile: p, ProfileAs: s.Profile, Seed: s.Seed, Workload: e.Workload}
	if p.Keys > 0 {
		plan.Workload.Keys = p.Keys
	}
	for _, a := range e.Arms {
		for _, setup := range e.Setups {
			if g, ok := e.group(a, setup, p); ok {
				plan.Groups = append(plan.Groups, g)
			}
		}
	}
	if len(plan.Groups) == 0 {
		return nil, errors.New("nothing to run: no selected arm has a setup and a load in this profile")
	}
	for b := range p.Blocks {
		groups := slices.Clone(plan.Groups)
		rng := rand.New(rand.NewPCG(s.Seed, uint64(b+1)))
		rng.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		plan.Blocks = append(plan.Blocks, groups)
	}
	return plan, nil
}

// selects reports whether a list names x; an empty one names everything.
func selects(list []string, x string) bool { return len(list) == 0 || slices.Contains(list, x) }

func (e *Store) group(a StoreArm, s Setup, p StoreProfile) (StoreGroup, bool) {
	g := StoreGroup{Arm: a, Setup: s, Set: a.Set.with(s.Set)}
	if !selects(p.Arms, a.Name) || !selects(p.Setups, s.Name) || !selects(s.Arms, a.Name) {
		return g, false
	}
	for _, l := range e.Loads {
		if selects(p.Loads, l.Name) && selects(s.Loads, l.Name) && selects(l.Arms, a.Name) {
			g.Loads = append(g.Loads, l)
		}
	}
	slices.SortStableFunc(g.Loads, func(a, b StoreLoad) int { return later(a) - later(b) })
	g.Noise = p.NoisePair == a.Name && len(g.Loads) > 0 && g.Loads[0].Saturation() &&
		s.Name == e.Setups[0].Name
	return g, len(g.Loads) > 0
}

func later(l StoreLoad) int {
	if l.Saturation() {
		return 0
	}
	return 1
}

// with is settings with others on top.
func (s Settings) with(o Settings) Settings {
	set(&s.Replicas, o.Replicas)
	set(&s.Lanes, o.Lanes)
	set(&s.Multicast, o.Multicast)
	set(&s.RoundInterval, o.RoundInterval)
	set(&s.ForceRoundInterval, o.ForceRoundInterval)
	set(&s.ApplyPerItem, o.ApplyPerItem)
	set(&s.FramesPerSecond, o.FramesPerSecond)
	set(&s.LaneWindowFrames, o.LaneWindowFrames)
	set(&s.LaneArenaBytes, o.LaneArenaBytes)
	set(&s.ReceiveBuffer, o.ReceiveBuffer)
	set(&s.ValueBytes, o.ValueBytes)
	set(&s.Durability, o.Durability)
	set(&s.FsyncEachFrame, o.FsyncEachFrame)
	return s
}

func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

// String is the settings as lab peers takes them: name=value, with commas between.
func (s Settings) String() string {
	var all []string
	add := func(name, value string, given bool) {
		if given {
			all = append(all, name+"="+value)
		}
	}
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	add("replicas", n(int64(s.Replicas)), s.Replicas != 0)
	add("lanes", n(int64(s.Lanes)), s.Lanes != 0)
	add("multicast", s.Multicast, s.Multicast != "")
	add("round_interval", s.RoundInterval.String(), s.RoundInterval != 0)
	add("force_round_interval", "true", s.ForceRoundInterval)
	add("apply_per_item", s.ApplyPerItem.String(), s.ApplyPerItem != 0)
	add("frames_per_second", n(s.FramesPerSecond), s.FramesPerSecond != 0)
	add("lane_window_frames", n(int64(s.LaneWindowFrames)), s.LaneWindowFrames != 0)
	add("lane_arena_bytes", n(s.LaneArenaBytes), s.LaneArenaBytes != 0)
	add("receive_buffer", n(s.ReceiveBuffer), s.ReceiveBuffer != 0)
	add("value_bytes", n(int64(s.ValueBytes)), s.ValueBytes != 0)
	add("durability", s.Durability, s.Durability != "")
	add("fsync_each_frame", "true", s.FsyncEachFrame)
	return strings.Join(all, ",")
}

// TrialSeed is the seed of one trial: hash(seed, group, load, block).
func (p *StorePlan) TrialSeed(g StoreGroup, l StoreLoad, block int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s/%s/%d", p.Seed, g.Key(), l.Name, block)
	return h.Sum64()
}

// Overheads as seen on the machines this was built on.
const (
	storeStart  = 2500 * time.Millisecond // to start and stop a system, its check included
	storeTrial  = 300 * time.Millisecond
	preloadRate = 150_000                 // keys/s; etcd takes longer, most take less
	killTime    = 3500 * time.Millisecond // to kill, restart, and be whole again
	judgeTime   = 15 * time.Second        // to read everything back and judge the history
)

// TrialsInBlock is how many trials a block runs.
func (p *StorePlan) TrialsInBlock() (n int) {
	for _, g := range p.Groups {
		n += len(g.Loads)
		if g.Noise {
			n++
		}
	}
	return n
}

// Estimate is how long the plan's measurements will take.
func (p *StorePlan) Estimate() time.Duration {
	trial := p.Profile.Warmup() + p.Profile.Window() + storeTrial
	if p.Profile.Kills > 0 {
		trial += time.Duration(p.Profile.Kills)*killTime + judgeTime
	}
	d := time.Duration(p.TrialsInBlock())*trial + time.Duration(len(p.Groups))*storeStart
	if p.Profile.Preload {
		d += time.Duration(len(p.Groups)) * time.Duration(float64(p.Workload.Keys)/preloadRate*float64(time.Second))
	}
	return d * time.Duration(len(p.Blocks))
}
