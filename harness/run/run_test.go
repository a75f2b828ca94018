package run

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"metronome/harness/arm"
	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/system/packet"
)

const declaration = `
name: made-up
question: does the runner do as it is told?
conditions: made up
claims:
  - {name: faster, words: 2x, source: test, kind: ratio, bound: 2, arm: fast, rung: slow}
primary: {item_bytes: 16, items: "1", burst: 32, digest: xxh3, lanes: 1}
arms:
  - {name: slow, kernel_half: true, what: w}
  - {name: fast, what: w}
  - {name: reference, ceiling: true, what: w}
search: {loss_limit: 0.005, precision: 0.05, bracket: [0.85, 0.95, 1.05, 1.15], overload: 1.5}
profiles:
  p: {minutes: 1, blocks: 6, trial_ms: 100, search_ms: 100, placements: [same, other],
    overload_blocks: 2, noise_pairs: true}
`

// model is a receiver that takes frames up to a capacity and collapses beyond it, behind a
// generator with a ceiling.
type model struct {
	capacity, ceiling float64
	noise             *rand.Rand
	steal             func() float64
	group             spec.Group
}

func (m *model) Describe(*record.Trial) {}
func (m *model) Close()                 {}

func (m *model) Trial(_ context.Context, ask arm.Ask) (record.Trial, error) {
	t := record.NewTrial()
	t.Arm, t.Placement, t.Status = m.group.Arm.Name, m.group.Placement, record.StatusOK
	t.ItemBytes, t.ItemsPerFrame, t.Digest = 16, 1, "xxh3"
	t.WindowNS, t.OfferedFPS = int64(ask.Window), ask.FPS
	t.GenCPUNS, t.CPUNSRxThreads, t.CPUNSNAPI = float64(t.WindowNS), float64(t.WindowNS), 0
	offered := ask.FPS
	if offered == 0 || offered > m.ceiling {
		offered = m.ceiling
	}
	capacity := m.capacity * (1 + 0.02*(m.noise.Float64()-0.5))
	taken := offered
	if offered > capacity {
		taken = math.Max(0, capacity-0.3*(offered-capacity))
	}
	t.EmittedFrames = uint64(offered * ask.Window.Seconds())
	t.AcceptedFrames = min(t.EmittedFrames, uint64(taken*ask.Window.Seconds()))
	t.AcceptedItems = t.AcceptedFrames
	t.RingFullFrames = t.EmittedFrames - t.AcceptedFrames
	if m.steal != nil {
		t.StealRatio = m.steal()
	}
	t.Derive()
	return t, nil
}

type outcome struct {
	rows []record.Trial
	err  error
}

// execute runs the declaration on models of the given capacities.
func execute(ctx context.Context, t *testing.T, open func(g spec.Group) (Session, error)) outcome {
	t.Helper()
	e, err := spec.Parse([]byte(declaration))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := e.Plan(spec.Selection{Profile: "p", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out outcome
	r := Runner{Plan: plan, RunID: "run", Write: func(row record.Trial) error {
		out.rows = append(out.rows, row)
		return nil
	}, Open: func(_ context.Context, g spec.Group) (Session, error) { return open(g) }}
	out.err = r.Run(ctx)
	return out
}

func capacities(seed uint64, steal func() float64) func(spec.Group) (Session, error) {
	rng := rand.New(rand.NewPCG(seed, 0))
	return func(g spec.Group) (Session, error) {
		c := map[string]float64{"slow": 3e5, "fast": 6e6, "reference": 2e7}[g.Arm.Name]
		return &model{capacity: c, ceiling: 1.2e7, noise: rng, steal: steal, group: g}, nil
	}
}

func count(rows []record.Trial, match func(record.Trial) bool) (n int) {
	for _, r := range rows {
		if match(r) {
			n++
		}
	}
	return n
}

// The whole chain, from search to verdict: an arm twenty times as fast is found to be so.
func TestRunFindsTheRatio(t *testing.T) {
	out := execute(context.Background(), t, capacities(7, nil))
	if out.err != nil {
		t.Fatal(out.err)
	}
	brackets := count(out.rows, func(r record.Trial) bool {
		return r.Role == record.RoleBracket && r.Arm == "slow" && r.Placement == "other"
	})
	if brackets != 6*4 {
		t.Errorf("%d bracket trials in one group, want 24", brackets)
	}
	for role, want := range map[string]int{record.RoleOverload: 2 * 3, record.RoleMax: 2 * 3,
		record.RoleCeiling: 6, record.RoleAA: 12} {
		if got := count(out.rows, func(r record.Trial) bool { return r.Role == role }); got != want {
			t.Errorf("%d trials of role %s, want %d", got, role, want)
		}
	}
	e, _ := spec.Parse([]byte(declaration))
	res := record.Results{Trials: out.rows}
	if err := Judge(e, &res, false); err != nil {
		t.Fatal(err)
	}
	c := res.Claims[0]
	if c.Verdict != record.Reproduced || c.Measured < 15 || c.Measured > 25 || c.N != 6 {
		t.Errorf("%+v", c)
	}
}

func TestStolenTrialsAreRepeatedAtMostTwice(t *testing.T) {
	out := execute(context.Background(), t, capacities(7, func() float64 { return 0.5 }))
	if out.err != nil {
		t.Fatal(out.err)
	}
	for _, r := range out.rows {
		if !strings.Contains(r.Flags, "steal") || r.Attempt > 3 {
			t.Fatalf("attempt %d, flags %q", r.Attempt, r.Flags)
		}
	}
	third := count(out.rows, func(r record.Trial) bool { return r.Attempt == 3 })
	if third*3 != len(out.rows) {
		t.Errorf("%d of %d rows are third attempts", third, len(out.rows))
	}
}

func TestWhatCannotRunIsARow(t *testing.T) {
	open := capacities(7, nil)
	out := execute(context.Background(), t, func(g spec.Group) (Session, error) {
		if g.Arm.Name == "fast" {
			return nil, fmt.Errorf("open: %w", &packet.ErrUnavailable{What: "dpdk", Why: "not\ninstalled"})
		}
		return open(g)
	})
	if out.err != nil {
		t.Fatal(out.err)
	}
	if n := count(out.rows, func(r record.Trial) bool { return r.Arm == "fast" }); n != 1 {
		t.Fatalf("%d rows of an arm that cannot run", n)
	}
	for _, r := range out.rows {
		if r.Arm == "fast" && (r.Status != record.StatusUnavailable || !strings.Contains(r.Reason, "dpdk")) {
			t.Errorf("%s: %q", r.Status, r.Reason)
		}
	}
}

func TestABrokenSessionIsStartedOnceMore(t *testing.T) {
	open, opened := capacities(7, nil), 0
	out := execute(context.Background(), t, func(g spec.Group) (Session, error) {
		if g.Arm.Name == "slow" && g.Placement == "same" {
			if opened++; opened == 1 {
				return nil, errors.New("it crashed")
			}
		}
		return open(g)
	})
	void := func(r record.Trial) bool { return r.Status == record.StatusVoid }
	if out.err != nil || count(out.rows, void) > 0 {
		t.Errorf("one crash: %v", out.err)
	}
	out = execute(context.Background(), t, func(g spec.Group) (Session, error) {
		if g.Arm.Name == "slow" {
			return nil, errors.New("it always crashes")
		}
		return open(g)
	})
	if n := count(out.rows, void); out.err != nil || n != 2 {
		t.Errorf("crashes for ever: %v, %d void rows", out.err, n)
	}
}

func TestInterruptionStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	open, opened := capacities(7, nil), 0
	out := execute(ctx, t, func(g spec.Group) (Session, error) {
		if opened++; opened == 5 {
			cancel()
		}
		return open(g)
	})
	if !errors.Is(out.err, context.Canceled) || len(out.rows) == 0 || opened > 6 {
		t.Errorf("%v after %d rows and %d sessions", out.err, len(out.rows), opened)
	}
}

func TestUnmergedGROIsVoid(t *testing.T) {
	r := Runner{rates: map[string]rate{}}
	row := record.Trial{Status: record.StatusOK, Role: record.RoleBracket, Flags: arm.FlagUnmerged}
	r.guard(&row, spec.Group{})
	if row.Status != record.StatusVoid {
		t.Error("a trial in which GRO merged nothing counts")
	}
}

// The search ends within its precision below the capacity, wherever it starts and whatever the
// generator can do.
func TestSearchConverges(t *testing.T) {
	for _, c := range []struct{ capacity, goodput, ceiling float64 }{
		{3e5, 6e5, 6e6}, {3e5, 1e3, 6e6}, {3e5, 0, 6e6}, {7e6, 6.5e6, 2.5e7}, {2e7, 1.2e7, 1.2e7}, {1e5, 5e6, 6e6},
	} {
		s := newSearch(c.goodput, c.ceiling, 0.05)
		for {
			rate, more := s.next()
			if !more {
				break
			}
			s.observe(rate, rate <= c.capacity)
		}
		want := math.Min(c.capacity, c.ceiling*nearCeiling)
		if got := s.found(); got > c.capacity || got < want/1.06 || s.trials > searchLimit {
			t.Errorf("%+v: found %g in %d trials", c, got, s.trials)
		}
	}
}

func TestSearchSurvivesContradictions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		s := newSearch(1e5, 1e7, 0.05)
		for {
			rate, more := s.next()
			if !more {
				break
			}
			s.observe(rate, rng.IntN(2) == 0)
		}
		if got := s.found(); !(got >= slowestFPS && got <= 1e7) || s.trials > searchLimit {
			t.Fatalf("found %g in %d trials", got, s.trials)
		}
	}
}
