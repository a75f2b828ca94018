package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"metronome/harness/record"
	"metronome/harness/report"
	"metronome/harness/run"
	"metronome/harness/spec"
	"metronome/system/packet"
)

// simulateCommand is a piece of the simulator's work as a process, for experiments; not meant to be typed.
func simulateCommand() *cobra.Command {
	return &cobra.Command{Use: "simulate", Hidden: true, Args: cobra.NoArgs,
		Short: "Do the task in JSON on stdin (used by run)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var task spec.SimTask
			if err := json.NewDecoder(cmd.InOrStdin()).Decode(&task); err != nil {
				return fmt.Errorf("task: %w", err)
			}
			r, err := run.Simulate(task)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
		}}
}

// mutationLab is this program built so that the protocol can be broken.
const mutationLab = "lab-mutation"

// simulate does a task in a process of its own.
func simulate(ctx context.Context, bin string, task spec.SimTask) (r run.SimResult, err error) {
	program := filepath.Join(bin, "lab")
	if task.Mutation != "" {
		program = filepath.Join(bin, mutationLab)
		if _, err := os.Stat(program); err != nil {
			return r, &packet.ErrUnavailable{What: "mutations", Why: mutationLab + " is not built: " + err.Error(),
				Next: "go build -tags mutation -o " + program + " ./harness/cmd/lab"}
		}
	}
	in, err := json.Marshal(task)
	if err != nil {
		return r, fmt.Errorf("encode a task: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, "simulate")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &errs
	runtime.LockOSThread() // the child dies with the thread that started it
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("simulate: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	return r, json.Unmarshal(out.Bytes(), &r)
}

// simMeasurement is a run of an experiment on the simulator.
type simMeasurement struct {
	runFiles
	spec    *spec.Sim
	profile spec.SimProfile
	tasks   []spec.SimTask
	writer  *record.Writer[record.SimTrial]
}

func runSim(ctx context.Context, name string, o runOptions) error {
	e, err := spec.LoadSim(experimentsDir, name)
	if err != nil {
		return err
	}
	if len(o.Arms) > 0 {
		return fmt.Errorf("arms %s: %s has none; next: leave ARMS out", strings.Join(o.Arms, ","), name)
	}
	m := &simMeasurement{spec: e}
	if m.profile, err = e.Profile(o.Profile); err != nil {
		return err
	}
	o.seedFrom(e.Hash())
	families, _ := run.SimFamilies()
	mutations, _ := run.SimMutations()
	m.tasks = m.profile.Tasks(families, mutations, o.Seed)
	fmt.Printf("%s, profile %s: %s\n%d families of faults, %d seeds from %#x, %d mutations, %d blocks: about %.1f minutes\n\n",
		e.Name, o.Profile, m.profile.Explanation, len(families), m.profile.Seeds*m.profile.Blocks, o.Seed,
		len(mutations), m.profile.Blocks, m.profile.Estimate(len(mutations), runtime.NumCPU()).Minutes())
	if o.dry {
		fmt.Println("changes to this host while it runs: none")
		return nil
	}
	if m.runFiles, err = newRun(e.Name, e.Hash()); err != nil {
		return err
	}
	if err := m.describe(record.Manifest{Experiment: e.Name, Profile: o.Profile, Conditions: e.Conditions,
		SpecHash: e.Hash(), Seed: o.Seed, Blocks: m.profile.Blocks, Kind: record.ExperimentSim,
		Figures: e.Figures}); err != nil {
		return err
	}
	return m.measure(ctx)
}

func (m *simMeasurement) measure(ctx context.Context) (err error) {
	if m.writer, err = record.OpenWriter(m.dir.Path("trials.csv"), record.SimTrials()); err != nil {
		return err
	}
	if err := m.writeManifest("running"); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	m.res.Manifest.SetupNS = time.Since(m.start).Nanoseconds()
	bar := newProgress(os.Stderr)
	r := run.SimRunner{Experiment: m.spec, RunID: m.dir.ID, Tasks: m.tasks, Workers: runtime.NumCPU(),
		Tell: bar.show, Do: func(ctx context.Context, task spec.SimTask) (run.SimResult, error) {
			return simulate(ctx, filepath.Dir(self), task)
		}, Write: func(t record.SimTrial) error {
			m.res.Sims = append(m.res.Sims, t)
			return m.writer.Write(t)
		}}
	runErr := r.Run(ctx)
	bar.done()
	m.res.Coverage = r.Coverage()
	if err := m.writer.Close(); err != nil {
		return err
	}
	return m.ended(runErr, m.finish)
}

// finish judges, writes the tables and the figures, and prints the run.
func (m *simMeasurement) finish(status string) error {
	if err := run.JudgeSim(m.spec, &m.res, m.profile.NotJudged); err != nil {
		return err
	}
	if err := errors.Join(m.writeManifest(status),
		record.WriteFile(m.dir.Path("summary.csv"), record.Summaries(), m.res.Summaries),
		record.WriteFile(m.dir.Path("claims.csv"), record.Claims(), m.res.Claims),
		record.WriteFile(m.dir.Path("coverage.csv"), record.Coverage(), m.res.Coverage),
		m.dir.PointLatest()); err != nil {
		return err
	}
	return m.tell(func() error { return report.Sim(os.Stdout, m.res) })
}
