package factorial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"metronome/harness/probe"
	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/system/packet"
)

const (
	stealLimit  = 0.01 // of the cores' time, above which a trial is repeated
	maxAttempts = 3
	maxBroken   = 2 // attempts at a trial that breaks its session
)

// Progress is how far a run is.
type Progress struct {
	Stage       string // "block 3/10"
	Doing       string // arm and point
	Done, Total int    // trials
}

// Runner carries out one plan. It belongs to one goroutine.
type Runner struct {
	Plan   *spec.FactorialPlan
	RunID  string
	Driver Driver
	Bin    string // folder of the programs
	Logs   string // folder that outlives the run
	// Write takes each trial's rows as it is measured.
	Write func([]record.FactorialRow, []record.FactorialPoint) error
	Tell  func(Progress) // may be nil
	// Steal begins to count the share of the cores' time that was taken, 0 to 1; nil: the hypervisor's.
	Steal func() (share func() float64, err error)

	begun   time.Time
	done    int
	gone    map[string]bool // arms' points that this machine cannot run
	missing error           // what this machine lacks for all of them
	session Session
	dir     string
}

// errWrite marks errors after which nothing can be kept.
var errWrite = errors.New("write the row")

// Run measures until the plan is done or ctx ends.
func (r *Runner) Run(ctx context.Context) (err error) {
	r.begun, r.gone = time.Now(), map[string]bool{}
	defer func() { err = errors.Join(err, r.close()) }()
	for i, tasks := range r.Plan.Blocks {
		if err := r.block(ctx, i+1, tasks); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) block(ctx context.Context, block int, tasks []spec.FactorialTask) error {
	if r.Plan.Experiment.Session == spec.SessionBlock {
		if err := r.close(); err != nil {
			return err
		}
	}
	for _, t := range tasks {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.tell(block, t)
		if !r.gone[key(t)] {
			if err := r.task(ctx, block, t); err != nil {
				return err
			}
		}
		r.done++
	}
	return nil
}

// key names an arm at a point.
func key(t spec.FactorialTask) string { return t.Arm.Name + "/" + t.Point.Name }

// task runs a trial until it may be used or was attempted often enough, and writes every attempt.
func (r *Runner) task(ctx context.Context, block int, t spec.FactorialTask) error {
	broken := 0
	for attempt := 1; attempt <= maxAttempts; attempt++ {
		a := r.attempt(ctx, block, attempt, t)
		if err := ctx.Err(); err != nil {
			return err // what was cut short is no trial
		}
		if err := r.keep(&a); err != nil {
			return fmt.Errorf("%w: %w", errWrite, err)
		}
		switch {
		case a.status == record.StatusUnavailable:
			r.gone[key(t)] = true
			return nil
		case a.err != nil:
			if broken++; broken == maxBroken {
				return r.close()
			}
			if err := r.close(); err != nil {
				return err
			}
		case a.status == record.StatusOK && !a.stolen:
			return nil
		}
	}
	return nil
}

// attempt is one attempt at a trial and what came of it.
type attempt struct {
	task           spec.FactorialTask
	cell           Cell
	start          time.Time
	took           time.Duration
	steal          float64
	stolen         bool
	outcome        Outcome
	err            error
	status, reason string
}

func (r *Runner) attempt(ctx context.Context, block, number int, t spec.FactorialTask) (a attempt) {
	a = attempt{task: t, start: time.Now(), status: record.StatusOK, cell: Cell{Arm: t.Arm.Name, Set: t.Arm.Set,
		Factors: t.Point.Values, Block: block, Repeat: t.Repeat, Attempt: number,
		Seed: r.Plan.TrialSeed(t, block), Length: r.Plan.Profile.Length()}}
	limit := r.Plan.Profile.Limit()
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if a.err = r.open(within, block); a.err == nil {
		a.measure(within, r)
	}
	a.took = time.Since(a.start)
	if errors.Is(a.err, context.DeadlineExceeded) && within.Err() != nil {
		a.err = fmt.Errorf("given up after %s: %w; next: a larger limit_ms, or see the logs", limit, a.err)
	}
	a.judge(r.Plan.Experiment)
	return a
}

func (a *attempt) measure(ctx context.Context, r *Runner) {
	count := r.Steal
	if count == nil {
		count = stolen
	}
	stop, err := count()
	if err != nil {
		a.err = err
		return
	}
	a.outcome, a.err = r.session.Trial(ctx, a.cell)
	a.steal = stop()
	a.stolen = a.steal > stealLimit
}

// stolen begins to count the time that the hypervisor takes.
func stolen() (func() float64, error) {
	before, err := probe.Read(probe.Target{})
	if err != nil {
		return nil, fmt.Errorf("read the cores' times: %w", err)
	}
	return func() float64 {
		after, err := probe.Read(probe.Target{})
		if err != nil {
			return 0
		}
		return probe.Between(before, after).Core().StealRatio()
	}, nil
}

// judge says whether an attempt may be used.
func (a *attempt) judge(e *spec.Factorial) {
	un := (*packet.ErrUnavailable)(nil)
	switch {
	case errors.As(a.err, &un):
		a.status, a.reason = record.StatusUnavailable, a.err.Error()
	case a.err != nil:
		a.status, a.reason = record.StatusVoid, a.err.Error()
	case a.outcome.Void != "":
		a.status, a.reason = record.StatusVoid, a.outcome.Void
	default:
		for name := range a.outcome.Values {
			if _, ok := e.Metric(name); !ok {
				a.status = record.StatusVoid
				a.reason = fmt.Sprintf("the driver tells %q, which is no metric of experiment.yaml", name)
			}
		}
	}
	a.reason = strings.ReplaceAll(a.reason, "\n", " ")
	if a.stolen {
		a.outcome.Flags = append(a.outcome.Flags, "steal")
	}
}

// open makes a session if there is none.
func (r *Runner) open(ctx context.Context, block int) error {
	if r.session != nil || r.missing != nil {
		return r.missing
	}
	dir, err := os.MkdirTemp("", "metronome-factorial-")
	if err != nil {
		return fmt.Errorf("create a folder for the trials: %w", err)
	}
	if r.Plan.Experiment.Session == spec.SessionRun {
		block = 0
	}
	s, err := r.Driver.Open(ctx, Env{Bin: r.Bin, Logs: r.Logs, Dir: dir, Block: block, Seed: r.Plan.Seed,
		Arms: r.arms()})
	if err != nil {
		if un := (*packet.ErrUnavailable)(nil); errors.As(err, &un) {
			r.missing = err
		}
		return errors.Join(err, os.RemoveAll(dir))
	}
	r.session, r.dir = s, dir
	return nil
}

// arms are the arms that the plan has.
func (r *Runner) arms() (names []string) {
	for _, t := range r.Plan.Blocks[0] {
		names = append(names, t.Arm.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// close ends the session, if there is one.
func (r *Runner) close() error {
	if r.session == nil {
		return nil
	}
	err := errors.Join(r.session.Close(), os.RemoveAll(r.dir))
	r.session, r.dir = nil, ""
	if err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	return nil
}

// keep writes an attempt's rows, points and files.
func (r *Runner) keep(a *attempt) error {
	points := r.points(a)
	if err := r.files(a); err != nil {
		return err
	}
	return r.Write(r.rows(a), points)
}

func (r *Runner) rows(a *attempt) (rows []record.FactorialRow) {
	row := record.NewFactorialRow()
	row.Experiment, row.RunID, row.Block = r.Plan.Experiment.Name, r.RunID, a.cell.Block
	row.Arm, row.Cell, row.Repeat, row.Attempt = a.cell.Arm, a.task.Point.Name, a.cell.Repeat, a.cell.Attempt
	row.Seed, row.Status, row.Reason = a.cell.Seed, a.status, a.reason
	row.StartMS, row.TookMS = ms(a.start.Sub(r.begun)), ms(a.took)
	row.StealRatio, row.Flags = a.steal, strings.Join(a.outcome.Flags, ";")
	for _, m := range r.Plan.Experiment.Metrics {
		v, ok := a.outcome.Values[m.Name]
		if !ok || v != v { // NaN
			continue
		}
		row.Metric, row.Unit, row.Value, row.Censor = m.Name, m.Unit, v, censor(&a.outcome, m.Name)
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		rows = append(rows, row)
	}
	return rows
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func censor(o *Outcome, metric string) string {
	switch {
	case slices.Contains(o.AtLeast, metric):
		return "lower"
	case slices.Contains(o.AtMost, metric):
		return "upper"
	}
	return "none"
}

func (r *Runner) points(a *attempt) (points []record.FactorialPoint) {
	if all := a.outcome.Timeline; len(all) > MaxPoints {
		a.outcome.Timeline = all[:MaxPoints]
		a.outcome.Flags = append(a.outcome.Flags, fmt.Sprintf("%d of %d points kept", MaxPoints, len(all)))
	}
	for _, p := range a.outcome.Timeline {
		points = append(points, record.FactorialPoint{Block: a.cell.Block, Arm: a.cell.Arm,
			Cell: a.task.Point.Name, Repeat: a.cell.Repeat, Attempt: a.cell.Attempt,
			Series: p.Series, X: p.X, Y: p.Y})
	}
	return points
}

// files keeps an attempt's files under names that say whose they are.
func (r *Runner) files(a *attempt) error {
	for name, content := range a.outcome.Files {
		if !filepath.IsLocal(name) || filepath.Base(name) != name {
			return fmt.Errorf("the driver's file %q: use a name without a folder", name)
		}
		cell := strings.NewReplacer("/", "_", " ", ",").Replace(a.task.Point.Name)
		path := filepath.Join(r.Logs, fmt.Sprintf("%d-%s-%s-%d.%d-%s", a.cell.Block, a.cell.Arm,
			cmp.Or(cell, "all"), a.cell.Repeat, a.cell.Attempt, name))
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fmt.Errorf("keep the driver's file: %w", err)
		}
	}
	return nil
}

func (r *Runner) tell(block int, t spec.FactorialTask) {
	if r.Tell != nil {
		r.Tell(Progress{Stage: fmt.Sprintf("block %d/%d", block, len(r.Plan.Blocks)),
			Doing: t.Arm.Name + " " + t.Point.Name, Done: r.done, Total: r.Plan.Trials()})
	}
}
