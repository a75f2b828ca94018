package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"metronome/harness/check"
	"metronome/harness/record"
	"metronome/harness/sim"
	"metronome/harness/spec"
	"metronome/system/packet"
)

// SimRunner carries out the tasks of an experiment on the simulator, several at a time.
type SimRunner struct {
	Experiment *spec.Sim
	RunID      string
	Tasks      []spec.SimTask
	Workers    int
	// Do does a task in a process of its own, from several goroutines at once.
	Do    func(ctx context.Context, task spec.SimTask) (SimResult, error)
	Write func(record.SimTrial) error // takes each row as its task is done
	Tell  func(Progress)

	mu       sync.Mutex
	done     int
	coverage map[string]uint64
	failed   error
}

// Run does all tasks, or those that were done when ctx ended.
func (r *SimRunner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.coverage = map[string]uint64{}
	tasks := make(chan spec.SimTask)
	var workers sync.WaitGroup
	for range max(r.Workers, 1) {
		workers.Go(func() {
			for task := range tasks {
				result, err := r.Do(ctx, task)
				if ctx.Err() == nil && r.take(task, &result, err) != nil {
					cancel()
				}
			}
		})
	}
	for _, task := range r.Tasks {
		select {
		case tasks <- task:
		case <-ctx.Done():
		}
	}
	close(tasks)
	workers.Wait()
	if r.failed != nil {
		return r.failed
	}
	return ctx.Err()
}

// take writes the row of a task.
func (r *SimRunner) take(task spec.SimTask, result *SimResult, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	if r.Tell != nil {
		r.Tell(Progress{Stage: fmt.Sprintf("block %d", task.Block), Doing: task.Family + task.Mutation,
			Done: r.done, Total: len(r.Tasks)})
	}
	if err == nil && task.Mutation == "" {
		sim.Coverage(r.coverage).Merge(result.Coverage)
	}
	if err := r.Write(r.row(task, result, err)); err != nil {
		r.failed = fmt.Errorf("%w: %w", errWrite, err)
	}
	return r.failed
}

func (r *SimRunner) row(task spec.SimTask, a *SimResult, err error) record.SimTrial {
	_, families := SimFamilies()
	_, mutations := SimMutations()
	t := record.SimTrial{Experiment: r.Experiment.Name, RunID: r.RunID, Block: task.Block, Family: task.Family,
		Mutation: task.Mutation, What: families[task.Family] + mutations[task.Mutation], FirstSeed: task.First,
		Seeds: a.Seeds, Violations: a.Violations, Caught: a.Caught, Violation: a.Violation, Replay: a.Replay,
		Operations: a.Operations, Answered: a.Answered, Items: a.Items, Events: a.Events,
		Judged: a.Coverage[judgedBranch], Passed: a.Coverage[passedBranch],
		VirtualNS: a.VirtualNS, CPUNS: a.CPUNS, Status: record.StatusOK}
	if task.Family == "" {
		t.Family = "all"
	}
	if err != nil {
		t.Status, t.Reason = record.StatusVoid, strings.ReplaceAll(err.Error(), "\n", " ")
	}
	if un := (*packet.ErrUnavailable)(nil); errors.As(err, &un) {
		t.Status = record.StatusUnavailable
	}
	return t
}

// What the simulator calls the searches of porcupine in its coverage.
const (
	judgedBranch = "history or key judged by porcupine"
	passedBranch = "history or key with too much overlap for porcupine"
)

// Coverage is how often each rare branch was reached, by name.
func (r *SimRunner) Coverage() (rows []record.Covered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, branch := range slices.Sorted(maps.Keys(r.coverage)) {
		rows = append(rows, record.Covered{Branch: branch, Count: r.coverage[branch]})
	}
	return rows
}

// JudgeSim turns a run's trials into its other tables, as its experiment declares.
func JudgeSim(e *spec.Sim, res *record.Results, notJudged bool) error {
	x := check.NewSims(res.Sims)
	res.Summaries, res.Claims = x.Summarise(), nil
	for _, c := range e.Claims {
		row, err := x.Judge(check.StoreClaim{Name: c.Name, Source: c.Source, Words: c.Words, Metric: c.Metric,
			AtMost: c.At == "most", Bound: c.Bound}, check.Options{NotJudged: notJudged, Conditions: e.Conditions})
		if err != nil {
			return fmt.Errorf("judge claim %s: %w", c.Name, err)
		}
		res.Claims = append(res.Claims, row)
	}
	return nil
}
