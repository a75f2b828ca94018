package factorial_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"metronome/harness/factorial"
	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/system/packet"
)

const experiment = `
name: x
kind: factorial
driver: fake
question: y
conditions: made up
claims:
  - {name: fast, words: fast, metric: ops, bound: 90, arm: plain, cell: {batch: 4}}
  - {name: never, words: losses, metric: lost, at: most, bound: 0, always: true, arm: plain}
  - {name: gain, words: batches over singles, metric: ops, bound: 2, arm: plain, cell: {batch: 4},
     rungs: [plain], rung_cell: {batch: 1}}
  - {name: beside, words: latency beside the better of two, metric: ms, at: most, bound: 2, arm: plain,
     rungs: [slow, slower]}
  - {name: absent, words: gone, metric: ops, bound: 1, arm: gone}
arms:
  - {name: plain, what: w}
  - {name: slow, what: v, set: {factor: 2}}
  - {name: slower, what: v, set: {factor: 4}, only: {batch: [1]}}
  - {name: gone, what: u}
  - {name: breaks, what: t, only: {batch: [1]}}
factors: [{name: batch, unit: ops, what: b}]
base: {batch: 1}
metrics:
  - {name: ops, unit: ops/s, better: more, what: o}
  - {name: ms, unit: ms, better: less, what: m}
  - {name: lost, better: less, what: l}
figures: []
profiles:
  p: {what: w, minutes: 1, blocks: 6, trial_ms: 100, vary: {batch: [4, 1]}, noise_pair: plain}
`

// fake is a driver of whom everything is known beforehand.
type fake struct {
	opened, closed int
	open           error
	trial          func(c factorial.Cell) (factorial.Outcome, error)
	cells          []factorial.Cell
	dirs           []string
}

func (f *fake) Open(_ context.Context, env factorial.Env) (factorial.Session, error) {
	f.opened++
	f.dirs = append(f.dirs, env.Dir)
	if f.open != nil {
		return nil, f.open
	}
	return f, nil
}

func (f *fake) Close() error { f.closed++; return nil }

func (f *fake) Trial(_ context.Context, c factorial.Cell) (factorial.Outcome, error) {
	f.cells = append(f.cells, c)
	if f.trial != nil {
		return f.trial(c)
	}
	batch, err := c.Float("batch")
	if err != nil {
		return factorial.Outcome{}, err
	}
	slow := 1.0
	switch c.Arm {
	case "gone":
		return factorial.Outcome{}, &packet.ErrUnavailable{What: "gone", Why: "it is not built", Next: "make peers"}
	case "breaks":
		return factorial.Outcome{}, errors.New("it\nbroke")
	case "slow", "slower":
		if slow, err = c.Float("factor"); err != nil {
			return factorial.Outcome{}, err
		}
	}
	return factorial.Outcome{Values: map[string]float64{"ops": (30*batch + float64(c.Block)) / slow, "ms": slow,
		"lost": 0}}, nil
}

type run struct {
	res  record.Results
	plan *spec.FactorialPlan
	logs string
}

// carryOut runs the declaration.
func carryOut(ctx context.Context, t *testing.T, f factorial.Driver, steal float64,
	edit func(*spec.Factorial)) (*run, error) {
	t.Helper()
	e, err := spec.ParseFactorial([]byte(experiment))
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(e)
	}
	plan, err := e.Plan(spec.Selection{Profile: "p", Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	out := &run{plan: plan, logs: t.TempDir()}
	trials := 0
	r := factorial.Runner{Plan: plan, RunID: "id", Driver: f, Logs: out.logs,
		Steal: func() (func() float64, error) {
			trials++
			if trials == 1 {
				return func() float64 { return steal }, nil
			}
			return func() float64 { return 0 }, nil
		},
		Write: func(rows []record.FactorialRow, points []record.FactorialPoint) error {
			out.res.Factorials = append(out.res.Factorials, rows...)
			out.res.Points = append(out.res.Points, points...)
			return nil
		}}
	return out, r.Run(ctx)
}

// trials counts trials by arm, status and attempt.
func (r *run) trials() map[string]int {
	n, seen := map[string]int{}, map[string]bool{}
	for _, row := range r.res.Factorials {
		id := fmt.Sprint(row.Arm, row.Cell, row.Block, row.Repeat, row.Attempt)
		if !seen[id] {
			n[fmt.Sprint(row.Arm, " ", row.Status, " ", row.Attempt)]++
		}
		seen[id] = true
	}
	return n
}

func TestRunner(t *testing.T) {
	f := &fake{}
	r, err := carryOut(t.Context(), t, f, 0.5, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := r.trials()
	for want, n := range map[string]int{
		"slow ok 1": 12, "slower ok 1": 6, "gone unavailable 1": 2, "breaks void 1": 6, "breaks void 2": 6,
	} {
		if got[want] != n {
			t.Errorf("%d trials %q, want %d: %v", got[want], want, n, got)
		}
	}
	// Whichever came first was stolen from and repeated: both attempts are kept.
	stolen := slices.IndexFunc(r.res.Factorials, func(r record.FactorialRow) bool { return r.Flags == "steal" })
	if stolen != 0 || r.res.Factorials[0].StealRatio != 0.5 {
		t.Errorf("row %d was stolen from: %+v", stolen, r.res.Factorials[0])
	}
	// A session a block, and another after each break.
	if f.opened != f.closed || f.opened < 6+6 {
		t.Errorf("opened %d times, closed %d times", f.opened, f.closed)
	}
	for _, dir := range f.dirs {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
	i := slices.IndexFunc(r.res.Factorials, func(r record.FactorialRow) bool { return r.Arm == "breaks" })
	if row := r.res.Factorials[i]; row.Reason != "it broke" || row.Metric != "" || row.Value == row.Value {
		t.Errorf("row %+v", row)
	}
}

// All arms at one point of a block get the same seed; other blocks and points another.
func TestSeeds(t *testing.T) {
	f := &fake{}
	if _, err := carryOut(t.Context(), t, f, 0, nil); err != nil {
		t.Fatal(err)
	}
	of := map[string]uint64{}
	owners := map[uint64]string{}
	for _, c := range f.cells {
		point := fmt.Sprint(c.Block, c.Factors, c.Repeat)
		if seed, ok := of[point]; ok && seed != c.Seed {
			t.Errorf("%s: seeds %d and %d", point, seed, c.Seed)
		}
		if owner, ok := owners[c.Seed]; ok && owner != point {
			t.Errorf("seed %d at %s and %s", c.Seed, owner, point)
		}
		of[point], owners[c.Seed] = c.Seed, point
	}
	if len(of) != 6*3 { // two points and the noise pair
		t.Errorf("%d seeds", len(of))
	}
}

func TestSessionOfARun(t *testing.T) {
	f := &fake{}
	_, err := carryOut(t.Context(), t, f, 0, func(e *spec.Factorial) {
		e.Session, e.Arms = spec.SessionRun, e.Arms[:2]
	})
	if err != nil || f.opened != 1 || f.closed != 1 {
		t.Errorf("opened %d, closed %d: %v", f.opened, f.closed, err)
	}
}

// What this machine lacks is said once for each arm and point, and Open is not tried again.
func TestNothingCanRun(t *testing.T) {
	f := &fake{open: &packet.ErrUnavailable{What: "edge", Why: "it is not built", Next: "make build"}}
	r, err := carryOut(t.Context(), t, f, 0, nil)
	if err != nil || f.opened != 1 || len(r.res.Factorials) != 8 {
		t.Errorf("opened %d times, %d rows: %v", f.opened, len(r.res.Factorials), err)
	}
	for _, row := range r.res.Factorials {
		if row.Status != record.StatusUnavailable || !strings.Contains(row.Reason, "make build") {
			t.Errorf("row %+v", row)
		}
	}
}

// What a driver says of a trial besides values: void, censored, flags, files, a timeline too long; a metric
// that nobody declared.
func TestOutcomes(t *testing.T) {
	f := &fake{trial: func(c factorial.Cell) (factorial.Outcome, error) {
		o := factorial.Outcome{Values: map[string]float64{"ops": 1, "ms": 2}, AtLeast: []string{"ms"},
			AtMost: []string{"ops"}, Flags: []string{"odd"}, Files: map[string][]byte{"log.txt": []byte("text")},
			Timeline: make([]factorial.Point, factorial.MaxPoints+1)}
		switch c.Arm {
		case "slow":
			o.Void = "it lost count"
		case "gone":
			o.Values["opps"] = 3
		}
		return o, nil
	}}
	r, err := carryOut(t.Context(), t, f, 0, func(e *spec.Factorial) {
		p := e.Profiles["p"]
		p.Blocks = 1
		e.Profiles["p"] = p
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.res.Factorials {
		switch {
		case row.Arm == "slow" && (row.Status != record.StatusVoid || row.Reason != "it lost count"),
			row.Arm == "gone" && !strings.Contains(row.Reason, `"opps", which is no metric`),
			row.Metric == "ms" && row.Censor != "lower", row.Metric == "ops" && row.Censor != "upper",
			!strings.HasPrefix(row.Flags, "odd;20000 of 20001"):
			t.Errorf("row %+v", row)
		}
	}
	if got := r.trials(); got["slow void 3"] != 2 || got["plain ok 1"] != 3 {
		t.Errorf("%v", got)
	}
	files, _ := filepath.Glob(filepath.Join(r.logs, "1-plain-batch=4-1.1-log.txt"))
	if len(files) != 1 {
		all, _ := filepath.Glob(filepath.Join(r.logs, "*"))
		t.Errorf("files %v", all)
	}
}

// An interrupted run keeps the rows it has and closes what it opened; a trial that was cut short is none.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{}
	n := 0
	f.trial = func(factorial.Cell) (factorial.Outcome, error) {
		if n++; n == 3 {
			cancel()
			return factorial.Outcome{}, ctx.Err()
		}
		return factorial.Outcome{Values: map[string]float64{"ops": 1}}, nil
	}
	r, err := carryOut(ctx, t, f, 0, nil)
	if !errors.Is(err, context.Canceled) || len(r.res.Factorials) != 2 || f.opened != f.closed {
		t.Errorf("%v: %d rows, opened %d, closed %d", err, len(r.res.Factorials), f.opened, f.closed)
	}
}

// A trial that takes too long is given up and says so.
func TestLimit(t *testing.T) {
	d := driver(func(ctx context.Context, _ factorial.Env) (factorial.Session, error) { return stuck{}, nil })
	r, err := carryOut(t.Context(), t, d, 0, func(e *spec.Factorial) {
		p := e.Profiles["p"]
		p.LimitMS, p.Arms, p.Blocks, p.Vary, p.NoisePair = 1, []string{"plain"}, 1, nil, ""
		e.Profiles["p"] = p
	})
	if err != nil || len(r.res.Factorials) != 2 ||
		!strings.Contains(r.res.Factorials[1].Reason, "given up after 1ms") {
		t.Errorf("%v: %+v", err, r.res.Factorials)
	}
}

type driver func(context.Context, factorial.Env) (factorial.Session, error)

func (d driver) Open(ctx context.Context, env factorial.Env) (factorial.Session, error) {
	return d(ctx, env)
}

type stuck struct{}

func (stuck) Trial(ctx context.Context, _ factorial.Cell) (factorial.Outcome, error) {
	<-ctx.Done()
	return factorial.Outcome{}, ctx.Err()
}

func (stuck) Close() error { return nil }

// Verdicts are formed by the rules of the other kinds.
func TestJudge(t *testing.T) {
	r, err := carryOut(t.Context(), t, &fake{}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := factorial.Judge(r.plan, &r.res); err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]string{}
	for _, c := range r.res.Claims {
		if c.Primary {
			verdicts[c.Claim] = c.Verdict + " " + c.Sentence
		}
	}
	for name, want := range map[string]string{
		"fast":   "reproduced fast by plain: 124 ops/s [121, 126], n = 6",
		"never":  "reproduced losses by plain: 0",
		"gain":   "reproduced batches over singles: 3.7× [3.5, 3.9]",
		"beside": "reproduced latency beside the better of two vs slow or slower: 0.50× [0.50, 0.50]",
		"absent": "inconclusive gone by gone: no data: inconclusive (gone unavailable: gone is unavailable here",
	} {
		if !strings.HasPrefix(verdicts[name], want) {
			t.Errorf("%s: %q, want %q", name, verdicts[name], want)
		}
	}
	noise := func(s record.Summary) bool { return s.Metric == record.FactorialNoise }
	i := slices.IndexFunc(r.res.Summaries, noise)
	if i < 0 || r.res.Summaries[i].N != 6 || r.res.Summaries[i].Median != 1 {
		t.Error("no noise floor")
	}
}

// Values of the wrong kind say what is wanted and where.
func TestCell(t *testing.T) {
	c := factorial.Cell{Arm: "a", Factors: map[string]string{"n": "x"},
		Set: map[string]string{"d": "20ms", "b": "true"}}
	if d, err := c.Duration("d"); err != nil || d.Milliseconds() != 20 {
		t.Error(d, err)
	}
	if b, err := c.Bool("b"); err != nil || !b {
		t.Error(b, err)
	}
	if _, err := c.Int("n"); err == nil || !strings.Contains(err.Error(), "want a whole number") {
		t.Error(err)
	}
	if _, err := c.Float("m"); err == nil || !strings.Contains(err.Error(), "declare it") {
		t.Error(err)
	}
}
