package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"metronome/harness/arm"
	"metronome/harness/record"
	"metronome/harness/report"
	"metronome/harness/run"
	"metronome/harness/spec"
	"metronome/harness/testbed"
)

// storeMeasurement is a run of an experiment on stores.
type storeMeasurement struct {
	runFiles
	plan   *spec.StorePlan
	writer *record.Writer[record.StoreTrial]
}

// write takes a row, and the rows of other tables that belong to it.
func (m *storeMeasurement) write(t record.StoreTrial) error {
	m.res.Kills, m.res.Timeline = append(m.res.Kills, t.Kills...), append(m.res.Timeline, t.Timeline...)
	t.Kills, t.Timeline = nil, nil
	m.res.Stores = append(m.res.Stores, t)
	return m.writer.Write(t)
}

// killed writes the tables of an experiment that kills.
func (m *storeMeasurement) killed() error {
	if len(m.res.Kills) == 0 {
		return nil
	}
	return errors.Join(record.WriteFile(m.dir.Path(record.Kills().File), record.Kills(), m.res.Kills),
		record.WriteFile(m.dir.Path(record.Timeline().File), record.Timeline(), m.res.Timeline))
}

func runStore(ctx context.Context, name string, o runOptions) error {
	e, err := spec.LoadStore(experimentsDir, name)
	if err != nil {
		return err
	}
	o.seedFrom(e.Hash())
	plan, err := e.Plan(o.Selection)
	if err != nil {
		return err
	}
	printStorePlan(plan)
	if o.dry {
		fmt.Println("changes to this host while it runs, all undone at its end, whatever happens:")
		fmt.Println("  servers on free ports of 127.0.0.1, their data in /dev/shm/metronome-peer-*, or on disk")
		fmt.Println("changes by make setup: see ansible/README.md; make restore-host undoes them")
		return nil
	}
	m := &storeMeasurement{plan: plan}
	if m.runFiles, err = newRun(e.Name, e.Hash()); err != nil {
		return err
	}
	if err := m.describe(record.Manifest{Experiment: e.Name, Profile: plan.ProfileAs, Conditions: e.Conditions,
		SpecHash: e.Hash(), Seed: plan.Seed, Blocks: plan.Profile.Blocks, Kind: record.ExperimentStore,
		Figures: e.Figures}); err != nil {
		return err
	}
	if m.writer, err = record.OpenWriter(m.dir.Path("trials.csv"), record.StoreTrials()); err != nil {
		return err
	}
	if err := m.writeManifest("running"); err != nil {
		return err
	}
	runErr := m.trials(ctx)
	if err := m.writer.Close(); err != nil {
		return err
	}
	return m.ended(runErr, m.finish)
}

func printStorePlan(p *spec.StorePlan) {
	fmt.Printf("%s, profile %s: %s\n", p.Experiment.Name, p.ProfileAs, p.Profile.Explanation)
	fmt.Printf("%d systems and setups, %d blocks, %d trials of %s, %d keys: about %.1f minutes\n\n",
		len(p.Groups), len(p.Blocks), p.TrialsInBlock()*len(p.Blocks), p.Profile.Window(), p.Workload.Keys,
		p.Estimate().Minutes())
}

func (m *storeMeasurement) trials(ctx context.Context) (err error) {
	if err := sweep(); err != nil {
		m.res.Manifest.Warnings = append(m.res.Manifest.Warnings, "sweep: "+err.Error())
	}
	bed, err := testbed.Open(shortID(m.dir.ID))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.Close()) }()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	env := arm.StoreEnv{Bed: bed, Bin: filepath.Dir(self), Logs: m.dir.Path("logs")}
	m.res.Manifest.SetupNS = time.Since(m.start).Nanoseconds()
	bar := newProgress(os.Stderr)
	defer bar.done()
	r := run.StoreRunner{Plan: m.plan, RunID: m.dir.ID, Tell: bar.show,
		Open: func(ctx context.Context, g spec.StoreGroup) (run.StoreSession, error) {
			if m.plan.Experiment.Kills() {
				return env.OpenCrash(ctx, g)
			}
			return env.Open(g)
		}, Write: m.write}
	return r.Run(ctx)
}

// finish judges, writes the tables and the figures, and prints the run.
func (m *storeMeasurement) finish(status string) error {
	if err := run.JudgeStore(m.plan.Experiment, &m.res, m.plan.Profile.NotJudged); err != nil {
		return err
	}
	if err := errors.Join(m.writeManifest(status), m.killed(),
		record.WriteFile(m.dir.Path("summary.csv"), record.Summaries(), m.res.Summaries),
		record.WriteFile(m.dir.Path("claims.csv"), record.Claims(), m.res.Claims),
		m.dir.PointLatest()); err != nil {
		return err
	}
	return m.tell(func() error { return report.Store(os.Stdout, m.res) })
}
