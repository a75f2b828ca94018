package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"metronome/harness/arm"
	"metronome/harness/check"
	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/system/packet"
)

// StoreSession is one system that runs: *arm.Store, but for tests.
type StoreSession interface {
	Trial(ctx context.Context, ask arm.StoreAsk) (record.StoreTrial, error)
	Close()
}

// StoreRunner carries out one plan of an experiment on stores. It belongs to one goroutine.
type StoreRunner struct {
	Plan  *spec.StorePlan
	RunID string
	Open  func(ctx context.Context, g spec.StoreGroup) (StoreSession, error)
	Write func(record.StoreTrial) error // takes each row as it is measured
	Tell  func(Progress)

	gone map[string]bool // groups this machine cannot run
	done int
}

// Run measures until the plan is done or ctx ends.
func (r *StoreRunner) Run(ctx context.Context) error {
	r.gone = map[string]bool{}
	for i, groups := range r.Plan.Blocks {
		for _, g := range groups {
			if r.gone[g.Key()] {
				r.done += len(g.Loads)
				continue
			}
			r.tell(i+1, g)
			if err := r.group(ctx, g, i+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// group measures one system in one block. What breaks is started once more; what this machine cannot run,
// or breaks twice, gets a row that says so.
func (r *StoreRunner) group(ctx context.Context, g spec.StoreGroup, block int) error {
	var err error
	for range 2 {
		if err = ctx.Err(); err != nil {
			return err
		}
		before := r.done
		if err = r.once(ctx, g, block); err == nil || ctx.Err() != nil || errors.Is(err, errWrite) {
			return err
		}
		r.done = before
		if un := (*packet.ErrUnavailable)(nil); errors.As(err, &un) {
			break
		}
	}
	return r.lost(g, block, err)
}

// lost writes the row of a group that could not be measured. One that is missing is not tried again.
func (r *StoreRunner) lost(g spec.StoreGroup, block int, err error) error {
	t := record.NewStoreTrial()
	t.Status = record.StatusVoid
	if un := (*packet.ErrUnavailable)(nil); errors.As(err, &un) {
		t.Status = record.StatusUnavailable
		r.gone[g.Key()] = true
	}
	t.Reason = strings.ReplaceAll(err.Error(), "\n", " ")
	r.done += len(g.Loads)
	return r.write(g, g.Loads[0], &t, block, 1, 1)
}

func (r *StoreRunner) once(ctx context.Context, g spec.StoreGroup, block int) error {
	s, err := r.Open(ctx, g)
	if err != nil {
		return err
	}
	defer s.Close()
	first := true
	var saturation float64
	trial := func(l spec.StoreLoad, role string, repeat int) error {
		ask := r.ask(g, l, block, repeat)
		ask.Preload, first = first && r.Plan.Profile.Preload, false
		ask.RateOPS = cmp.Or(l.RateOPS, l.Fraction*saturation)
		t, err := r.trial(ctx, g, l, s, role, block, repeat, ask)
		if l.Saturation() && role == record.RoleClosed {
			saturation = t.AchievedOPS
		}
		return err
	}
	for _, l := range g.Loads {
		if l.Fraction > 0 && saturation == 0 {
			continue // the closed loop was void: there is nothing to take a fraction of
		}
		if err := trial(l, roleOf(l), 1); err != nil {
			return err
		}
		if g.Noise && l.Saturation() {
			if err := trial(l, record.RoleAA, 2); err != nil {
				return err
			}
		}
	}
	return nil
}

func roleOf(l spec.StoreLoad) string {
	switch {
	case l.Kills():
		return record.RoleKills
	case l.Outstanding > 0:
		return record.RoleUnloaded
	case l.Fraction > 0 || l.RateOPS > 0:
		return record.RoleOpen
	}
	return record.RoleClosed
}

func (r *StoreRunner) workload(l spec.StoreLoad) spec.Workload {
	w := r.Plan.Workload
	w.ReadRatio = cmp.Or(l.ReadRatio, w.ReadRatio)
	return w
}

func (r *StoreRunner) ask(g spec.StoreGroup, l spec.StoreLoad, block, repeat int) arm.StoreAsk {
	return arm.StoreAsk{Workload: r.workload(l), Outstanding: l.Outstanding,
		Warmup: r.Plan.Profile.Warmup(), Window: r.Plan.Profile.Window(),
		Seed: r.Plan.TrialSeed(g, l, block*1000+repeat), Kill: l.Kill, Kills: r.Plan.Profile.Kills}
}

// trial runs one trial, repeats it if the hypervisor interfered, and writes every attempt.
func (r *StoreRunner) trial(ctx context.Context, g spec.StoreGroup, l spec.StoreLoad, s StoreSession,
	role string, block, repeat int, ask arm.StoreAsk) (t record.StoreTrial, err error) {
	for attempt := 1; attempt <= maxAttempts; attempt++ {
		if t, err = s.Trial(ctx, ask); err != nil {
			return t, err
		}
		t.Role, ask.Preload = role, false
		stolen := t.StealRatio > stealLimit
		if stolen {
			t.Flags = strings.TrimPrefix(t.Flags+";steal", ";")
		}
		if err := r.write(g, l, &t, block, repeat, attempt); err != nil {
			return t, err
		}
		if !stolen {
			break
		}
	}
	r.done++
	r.tell(block, g)
	return t, nil
}

func (r *StoreRunner) write(g spec.StoreGroup, l spec.StoreLoad, t *record.StoreTrial,
	block, repeat, attempt int) error {
	t.Experiment, t.RunID = r.Plan.Experiment.Name, r.RunID
	t.Arm, t.Setup, t.Load = g.Arm.Name, g.Setup.Name, l.Name
	t.Block, t.Repeat, t.Attempt = block, repeat, attempt
	t.Seed = r.Plan.TrialSeed(g, l, block*1000+repeat)
	t.Peer, t.Mode, t.Settings = g.Arm.Peer, g.Arm.Mode, strings.ReplaceAll(g.Set.String(), ",", " ")
	t.Durable = g.Arm.Durable
	t.Replicas, t.Multicast = g.Set.Replicas, g.Set.Multicast
	t.RoundIntervalNS, t.RoundIntervalForced = g.Set.RoundInterval.Nanoseconds(), g.Set.ForceRoundInterval
	t.ApplyNSPerItem, t.FramesPerSecondLimit = g.Set.ApplyPerItem.Nanoseconds(), g.Set.FramesPerSecond
	t.LaneWindowFrames, t.LaneArenaBytes = g.Set.LaneWindowFrames, g.Set.LaneArenaBytes
	w := r.workload(l)
	t.Keys, t.KeyBytes, t.ValueBytes, t.ReadRatio = w.Keys, w.KeyBytes, w.ValueBytes, w.ReadRatio
	if t.Role == "" {
		t.Role = roleOf(l)
	}
	for i := range t.Kills {
		k := &t.Kills[i]
		k.Block, k.Arm, k.Setup, k.Load = block, g.Arm.Name, g.Setup.Name, l.Name
	}
	for i := range t.Timeline {
		m := &t.Timeline[i]
		m.Block, m.Arm, m.Setup, m.Load = block, g.Arm.Name, g.Setup.Name, l.Name
	}
	t.Derive()
	if err := r.Write(*t); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}

func (r *StoreRunner) tell(block int, g spec.StoreGroup) {
	if r.Tell == nil {
		return
	}
	total := r.Plan.TrialsInBlock() * len(r.Plan.Blocks)
	r.Tell(Progress{Stage: fmt.Sprintf("block %d/%d", block, len(r.Plan.Blocks)),
		Doing: g.Arm.Name + " " + g.Setup.Name, Done: min(r.done, total), Total: total})
}

// JudgeStore turns a run's trials into its other tables, as its experiment declares.
func JudgeStore(e *spec.Store, res *record.Results, notJudged bool) error {
	x := check.NewStores(res.Stores)
	res.Summaries, res.Claims = x.Summarise(), nil
	first := e.Setups[0].Name
	for _, c := range e.Claims {
		setup := cmp.Or(c.Setup, first)
		claim := check.StoreClaim{Name: c.Name, Source: c.Source, Words: c.Words, Metric: c.Metric,
			AtMost: c.At == "most", Always: c.Always, Bound: c.Bound,
			Ref:   check.Ref{Arm: c.Arm, Placement: setup, Cell: c.Load},
			Rungs: c.Rungs, RungMetric: c.RungMetric, Others: c.Others,
			RungRef: check.Ref{Placement: cmp.Or(c.RungSetup, setup), Cell: cmp.Or(c.RungLoad, c.Load)}}
		rows, err := x.Judge(claim, check.Options{NotJudged: notJudged, Conditions: e.Conditions})
		if err != nil {
			return fmt.Errorf("judge claim %s: %w", c.Name, err)
		}
		res.Claims = append(res.Claims, rows...)
	}
	return nil
}
