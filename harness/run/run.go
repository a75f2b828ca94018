package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"metronome/harness/arm"
	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/system/packet"
)

// Session is one arm's processes: *arm.Session, but for tests.
type Session interface {
	Trial(ctx context.Context, ask arm.Ask) (record.Trial, error)
	Describe(t *record.Trial)
	Close()
}

// Opener starts sessions.
type Opener func(ctx context.Context, g spec.Group) (Session, error)

// Runner carries out one plan. It belongs to one goroutine.
type Runner struct {
	Plan  *spec.Plan
	RunID string
	Open  Opener
	Write func(record.Trial) error // takes each row as it is measured
	Tell  func(Progress)

	rates map[string]rate // by spec.Group.Key
	gone  map[string]bool // groups this machine cannot run
	done  int             // trials
	now   string
}

// rate is what the search found of a group.
type rate struct {
	lossFree float64 // frames/s
	ceiling  float64 // the generator's maximum, frames/s
}

// Progress is how far a run is.
type Progress struct {
	Stage       string // "search", "block 3/10"
	Doing       string // the group
	Done, Total int    // trials, the search's estimated
}

const (
	stealLimit  = 0.01 // of the cores' time, above which a trial is repeated
	leastShare  = 0.95 // of its core, that a spinning generator must have had
	maxAttempts = 3
)

// disturbance names what took the cores away during a trial, or is "": the hypervisor, or other
// processes, which show in the generator, for it spins from the window's beginning to its end. With
// the kernel's half beside it on its core the generator has to give way by design.
func disturbance(t *record.Trial) string {
	if t.StealRatio > stealLimit {
		return "steal"
	}
	if t.NAPICore != t.GenCore && t.GenCPUNS < leastShare*float64(t.WindowNS) {
		return "contended"
	}
	return ""
}

// Run measures until the plan is done or ctx ends.
func (r *Runner) Run(ctx context.Context) error {
	r.rates, r.gone = map[string]rate{}, map[string]bool{}
	for _, g := range r.Plan.Groups {
		if err := r.group(ctx, g, "search", func(s Session) error { return r.search(ctx, g, s) }); err != nil {
			return err
		}
	}
	for _, b := range r.Plan.Blocks {
		stage := fmt.Sprintf("block %d/%d", b.Number, len(r.Plan.Blocks))
		for _, g := range b.Groups {
			if r.gone[g.Key()] {
				continue
			}
			if err := r.group(ctx, g, stage, func(s Session) error { return r.block(ctx, b, g, s) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// group runs f on a session of the group. A session that breaks is started once more; a group that
// cannot run here, or breaks twice, gets a row that says so.
func (r *Runner) group(ctx context.Context, g spec.Group, stage string, f func(Session) error) error {
	r.now = stage
	r.tell(g)
	var err error
	for range 2 {
		if err = ctx.Err(); err != nil {
			return err
		}
		var s Session
		if s, err = r.Open(ctx, g); err == nil {
			err = f(s)
			s.Close()
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, errWrite) {
			return err
		}
		if un := (*packet.ErrUnavailable)(nil); errors.As(err, &un) {
			break
		}
	}
	return r.lost(g, err)
}

// lost writes the row of a group that could not be measured.
func (r *Runner) lost(g spec.Group, err error) error {
	r.gone[g.Key()] = true
	t := record.NewTrial()
	t.Status = record.StatusVoid
	if un := (*packet.ErrUnavailable)(nil); errors.As(err, &un) {
		t.Status = record.StatusUnavailable
	}
	t.Arm, t.Placement, t.Digest, t.NAPIPolicy = g.Arm.Name, g.Placement, g.Factors.Mode.String(), "none"
	t.ItemBytes, t.ItemsPerFrame = g.Factors.KeyBytes+g.Factors.ValueBytes, g.Factors.Items
	t.Burst, t.Lanes, t.Hugepages = g.Factors.Burst, g.Factors.Lanes, g.Factors.Hugepages
	t.Reason = strings.ReplaceAll(err.Error(), "\n", " ")
	t.Role = record.RoleBracket
	return r.write(g, &t, 0, 1, 1)
}

// trial runs one trial, repeats it if the hypervisor interfered, and writes every attempt.
func (r *Runner) trial(ctx context.Context, g spec.Group, s Session, role string, block, repeat int,
	ask arm.Ask) (t record.Trial, err error) {
	for attempt := 1; attempt <= maxAttempts; attempt++ {
		if t, err = s.Trial(ctx, ask); err != nil {
			return t, err
		}
		t.Role = role
		r.guard(&t, g)
		disturbed := disturbance(&t)
		if disturbed != "" {
			t.Flags = strings.TrimPrefix(t.Flags+";"+disturbed, ";")
		}
		if err := r.write(g, &t, block, repeat, attempt); err != nil {
			return t, err
		}
		if disturbed == "" {
			break
		}
	}
	r.done++
	r.tell(g)
	return t, nil
}

// guard marks rows that mean less than they seem to.
func (r *Runner) guard(t *record.Trial, g spec.Group) {
	found := r.rates[g.Key()]
	t.GeneratorLimited = found.ceiling > 0 && found.ceiling < 1.5*t.GoodputFPS
	if t.Role != record.RoleSearch && t.Status == record.StatusOK &&
		strings.Contains(t.Flags, arm.FlagUnmerged) {
		t.Status = record.StatusVoid
		t.Reason = fmt.Sprintf("GRO merged only %.2f datagrams a buffer", t.SegmentsPerSKB)
	}
}

var errWrite = errors.New("write the row")

func (r *Runner) write(g spec.Group, t *record.Trial, block, repeat, attempt int) error {
	t.Experiment, t.RunID, t.Cell = r.Plan.Experiment.Name, r.RunID, g.Factors.String()
	t.Block, t.Repeat, t.Attempt = block, repeat, attempt
	t.Seed = r.Plan.TrialSeed(g, block*1000+repeat)
	if err := r.Write(*t); err != nil {
		return fmt.Errorf("%w: %w", errWrite, err)
	}
	return nil
}

func (r *Runner) search(ctx context.Context, g spec.Group, s Session) error {
	if g.Arm.Ceiling {
		return nil
	}
	window := r.Plan.Profile.SearchTrial()
	most, err := r.trial(ctx, g, s, record.RoleSearch, 0, 1, arm.Ask{Window: window})
	if err != nil {
		return err
	}
	limits := r.Plan.Experiment.Search
	find := newSearch(most.GoodputFPS, most.OfferedActualFPS, cmp.Or(r.Plan.Profile.Precision, limits.Precision))
	if most.LossRatio <= limits.LossLimit {
		find.observe(most.OfferedActualFPS, true)
	}
	for {
		fps, more := find.next()
		if !more {
			break
		}
		votes := find.votes()
		var offered float64
		var passed int
		for vote := range votes {
			t, err := r.trial(ctx, g, s, record.RoleSearch, 0, 10*find.trials+vote+2,
				arm.Ask{FPS: fps, Window: window})
			if err != nil {
				return err
			}
			// What counts is the rate that was offered: a generator that was held up says nothing
			// about the rest.
			offered += t.OfferedActualFPS
			if t.Status == record.StatusOK && t.LossRatio <= limits.LossLimit {
				passed++
			}
		}
		find.observe(offered/float64(votes), 2*passed > votes)
	}
	r.rates[g.Key()] = rate{lossFree: find.found(), ceiling: most.OfferedActualFPS}
	return nil
}

func (r *Runner) block(ctx context.Context, b spec.Block, g spec.Group, s Session) error {
	window := r.Plan.Profile.Trial()
	if g.Arm.Ceiling {
		_, err := r.trial(ctx, g, s, record.RoleCeiling, b.Number, 1, arm.Ask{Window: window})
		return err
	}
	type ask struct {
		role   string
		repeat int
		fps    float64
	}
	lossFree := r.rates[g.Key()].lossFree
	overload := lossFree * r.Plan.Experiment.Search.Overload
	var asks []ask
	for _, m := range g.Bracket {
		asks = append(asks, ask{record.RoleBracket, 1, lossFree * m})
	}
	if b.Overload && g.Primary {
		asks = append(asks, ask{record.RoleOverload, 1, overload}, ask{record.RoleMax, 1, 0})
	}
	rng := rand.New(rand.NewPCG(r.Plan.TrialSeed(g, b.Number), 0))
	rng.Shuffle(len(asks), func(i, j int) { asks[i], asks[j] = asks[j], asks[i] })
	if g.Noise {
		asks = append(asks, ask{record.RoleAA, 1, overload}, ask{record.RoleAA, 2, overload})
	}
	for _, a := range asks {
		offer := arm.Ask{FPS: a.fps, Window: window}
		if _, err := r.trial(ctx, g, s, a.role, b.Number, a.repeat, offer); err != nil {
			return err
		}
	}
	return nil
}

// searchTrials is how many trials a search is announced as.
const searchTrials = 11

func (r *Runner) tell(g spec.Group) {
	if r.Tell == nil {
		return
	}
	total := 0
	for _, b := range r.Plan.Blocks {
		total += b.TrialsInBlock()
	}
	for _, g := range r.Plan.Groups {
		if !g.Arm.Ceiling {
			total += searchTrials
		}
	}
	r.Tell(Progress{Stage: r.now, Doing: g.Arm.Name + " " + g.Placement + " " + g.Factors.String(),
		Done: min(r.done, total), Total: total})
}
