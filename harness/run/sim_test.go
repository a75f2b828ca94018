package run

import (
	"context"
	"errors"
	"testing"

	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/internal/mutate"
	"metronome/system/packet"
)

// Tasks are spread over workers, each has its row, and what cannot be done says so.
func TestSimRunner(t *testing.T) {
	e := &spec.Sim{Head: spec.Head{Name: "x"}, Claims: []spec.SimClaim{
		{Said: spec.Said{Name: "safe", Words: "violations"}, Metric: "violations", At: "most"},
		{Said: spec.Said{Name: "controls", Words: "missed"}, Metric: "missed_mutations", At: "most"}}}
	p := spec.SimProfile{Effort: spec.Effort{Blocks: 6}, Seeds: 8, MutationSeeds: 5}
	var rows []record.SimTrial
	r := SimRunner{Experiment: e, RunID: "id", Workers: 3, Tasks: p.Tasks([]string{"calm", "crash"},
		[]string{"skip-gate"}, 100), Write: func(t record.SimTrial) error { rows = append(rows, t); return nil },
		Do: func(_ context.Context, task spec.SimTask) (SimResult, error) {
			if task.Mutation != "" && task.Block == 6 {
				return SimResult{}, &packet.ErrUnavailable{What: "mutations", Why: "not built", Next: "make build"}
			}
			return SimResult{Seeds: task.Seeds, Caught: task.Mutation != "",
				Coverage: map[string]uint64{judgedBranch: 2, "rare": 1}}, nil
		}}
	if err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 18 {
		t.Fatalf("%d rows", len(rows))
	}
	seeds, unavailable := 0, 0
	for _, row := range rows {
		switch {
		case row.Status == record.StatusUnavailable:
			unavailable++
		case row.Mutation == "":
			seeds += row.Seeds
		}
		if row.What == "" || row.Mutation == "" && row.Judged != 2 {
			t.Errorf("row %+v", row)
		}
	}
	if seeds != 48 || unavailable != 1 {
		t.Errorf("%d seeds, %d unavailable", seeds, unavailable)
	}
	if c := r.Coverage(); len(c) != 2 || c[1].Branch != "rare" || c[1].Count != 12 {
		t.Errorf("coverage %+v: of families only", c)
	}
	res := record.Results{Sims: rows}
	if err := JudgeSim(e, &res, false); err != nil {
		t.Fatal(err)
	}
	if res.Claims[0].Verdict != record.Inconclusive || res.Claims[1].Verdict != record.Inconclusive {
		t.Errorf("something was not run: %+v", res.Claims)
	}
}

// A row that cannot be written ends the run, and so does a context that ends.
func TestSimRunnerEnds(t *testing.T) {
	tasks := spec.SimProfile{Effort: spec.Effort{Blocks: 50}, Seeds: 1}.Tasks([]string{"calm"}, nil, 0)
	full := errors.New("disk full")
	did := 0
	r := SimRunner{Experiment: &spec.Sim{}, Tasks: tasks, Workers: 1,
		Write: func(record.SimTrial) error { return full },
		Do:    func(context.Context, spec.SimTask) (SimResult, error) { did++; return SimResult{}, nil }}
	if err := r.Run(t.Context()); !errors.Is(err, full) || did > 2 {
		t.Errorf("%v after %d tasks", err, did)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r = SimRunner{Experiment: &spec.Sim{}, Tasks: tasks, Workers: 2,
		Write: func(record.SimTrial) error { return nil },
		Do:    func(context.Context, spec.SimTask) (SimResult, error) { cancel(); return SimResult{}, ctx.Err() }}
	if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The simulator does what a task says, and the same task again finds the same.
func TestSimulate(t *testing.T) {
	families, docs := SimFamilies()
	mutations, all := SimMutations()
	if len(families) == 0 || docs[families[0]] == "" || all[mutations[0]] == "" {
		t.Fatal("families and mutations have names and meanings")
	}
	task := spec.SimTask{Family: families[0], First: 7, Seeds: 3}
	a, err := Simulate(task)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Simulate(task)
	if err != nil {
		t.Fatal(err)
	}
	if a.Seeds != 3 || a.Operations == 0 || a.Events != b.Events || a.Items != b.Items || a.Violations > 0 {
		t.Errorf("%+v, then %+v", a, b)
	}
	if _, err := Simulate(spec.SimTask{Mutation: "no-such", Seeds: 1}); err == nil {
		t.Error("an unknown mutation was simulated")
	}
	for _, name := range []string{"apply-twice", "paxos-minority"} { // of every algorithm, of one
		caught, err := Simulate(spec.SimTask{Mutation: name, Seeds: 40})
		if mutate.Enabled != (err == nil) || mutate.Enabled != caught.Caught {
			t.Errorf("mutation %s: %+v, %v", name, caught, err)
		}
	}
}
