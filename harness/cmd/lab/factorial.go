package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/record"
	"metronome/harness/report"
	"metronome/harness/run"
	"metronome/harness/spec"
)

// factorialMeasurement is a run of a factorial experiment.
type factorialMeasurement struct {
	runFiles
	plan   *spec.FactorialPlan
	driver factorial.Driver
	writer *record.Writer[record.FactorialRow]
	points *record.Writer[record.FactorialPoint] // nil until a trial has some
}

func runFactorial(ctx context.Context, name string, o runOptions) error {
	e, err := spec.LoadFactorial(experimentsDir, name)
	if err != nil {
		return err
	}
	o.seedFrom(e.Hash())
	m := &factorialMeasurement{}
	if m.plan, err = e.Plan(o.Selection); err != nil {
		return err
	}
	if m.driver, err = driverNamed(e.Driver); err != nil {
		return err
	}
	printFactorialPlan(m.plan)
	if o.dry {
		printFactorialChanges(m.driver)
		return nil
	}
	if m.runFiles, err = newRun(e.Name, e.Hash()); err != nil {
		return err
	}
	if err := m.describe(record.Manifest{Experiment: e.Name, Profile: m.plan.ProfileAs, Conditions: e.Conditions,
		SpecHash: e.Hash(), Seed: m.plan.Seed, Blocks: m.plan.Profile.Blocks, Kind: record.ExperimentFactorial,
		Design: factorial.Design(m.plan)}); err != nil {
		return err
	}
	return m.measure(ctx)
}

func printFactorialPlan(p *spec.FactorialPlan) {
	fmt.Printf("%s, profile %s: %s\n", p.Experiment.Name, p.ProfileAs, p.Profile.Explanation)
	fmt.Printf("%d points, %d blocks, %d trials: about %.1f minutes\n", len(p.Points), len(p.Blocks), p.Trials(),
		p.Estimate().Minutes())
	for _, at := range p.Points {
		fmt.Println("  " + at.Name)
	}
	fmt.Println()
}

func printFactorialChanges(d factorial.Driver) {
	fmt.Println("changes to this host while it runs, all undone at its end:")
	fmt.Println("  servers on free ports of 127.0.0.1, their data in folders of TMPDIR named metronome-factorial-*")
	if h, ok := d.(factorial.Host); ok {
		for _, line := range h.Changes() {
			fmt.Println("  " + line)
		}
	}
	fmt.Println("changes by make setup: see ansible/README.md; make restore-host undoes them")
}

func (m *factorialMeasurement) measure(ctx context.Context) (err error) {
	if m.writer, err = record.OpenWriter(m.dir.Path("trials.csv"), record.FactorialRows()); err != nil {
		return err
	}
	if err := m.writeManifest("running"); err != nil {
		return err
	}
	if err := sweep(); err != nil {
		m.res.Manifest.Warnings = append(m.res.Manifest.Warnings, "sweep: "+err.Error())
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	m.res.Manifest.SetupNS = time.Since(m.start).Nanoseconds()
	bar := newProgress(os.Stderr)
	r := factorial.Runner{Plan: m.plan, RunID: m.dir.ID, Driver: m.driver, Bin: filepath.Dir(self),
		Logs: m.dir.Path("logs"), Write: m.write,
		Tell: func(p factorial.Progress) { bar.show(run.Progress(p)) }}
	runErr := r.Run(ctx)
	bar.done()
	if err := m.close(); err != nil {
		return err
	}
	return m.ended(runErr, m.finish)
}

// write takes the rows of a trial.
func (m *factorialMeasurement) write(rows []record.FactorialRow, points []record.FactorialPoint) (err error) {
	m.res.Factorials, m.res.Points = append(m.res.Factorials, rows...), append(m.res.Points, points...)
	if len(points) > 0 && m.points == nil {
		path := m.dir.Path(record.FactorialPoints().File)
		if m.points, err = record.OpenWriter(path, record.FactorialPoints()); err != nil {
			return err
		}
	}
	return errors.Join(writeAll(m.writer, rows), writeAll(m.points, points))
}

func writeAll[R any](w *record.Writer[R], rows []R) error {
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			return err
		}
	}
	return nil
}

func (m *factorialMeasurement) close() error {
	if m.points == nil {
		return m.writer.Close()
	}
	return errors.Join(m.writer.Close(), m.points.Close())
}

// finish judges, writes the tables and the figures, and prints the run.
func (m *factorialMeasurement) finish(status string) error {
	if err := factorial.Judge(m.plan, &m.res); err != nil {
		return err
	}
	if err := errors.Join(m.writeManifest(status),
		record.WriteFile(m.dir.Path("summary.csv"), record.Summaries(), m.res.Summaries),
		record.WriteFile(m.dir.Path("claims.csv"), record.Claims(), m.res.Claims),
		m.dir.PointLatest()); err != nil {
		return err
	}
	return m.tell(func() error { return report.Factorial(os.Stdout, m.res) })
}
