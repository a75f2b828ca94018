package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"metronome/harness/arm"
	"metronome/harness/plot"
	"metronome/harness/record"
	"metronome/harness/report"
	"metronome/harness/run"
	"metronome/harness/spec"
	"metronome/harness/testbed"
	"metronome/internal/version"
)

type runOptions struct {
	spec.Selection
	inventory string
	dry       bool
}

func runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run EXPERIMENT",
		Short: "Measure an experiment and judge its claims",
		Long: `Measure an experiment and judge its claims. Exits 0 when the run completed and its rows are
valid, whatever the verdict; see check --strict for the verdict as a status. Ctrl-C keeps what was
measured, marked partial.`,
		Example: `  lab run ingest-11x                                   the quick profile
  lab run ingest-11x --profile=full
  lab run ingest-11x --arms=dpdk-memif,socket-recv
  lab run ingest-11x --dry-run                         plan, minutes, changes to this host`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExperiment(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Profile, "profile", "quick", "how much to run: smoke, quick, full")
	f.StringSliceVar(&o.Arms, "arms", nil, "only these arms, comma-separated")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of the order of trials; 0: from the declaration")
	f.StringVar(&o.inventory, "inventory", "", "hosts to run on (only this machine is supported yet)")
	f.BoolVar(&o.dry, "dry-run", false,
		"print the plan, its minutes and the changes to this host; change nothing")
	return cmd
}

func runExperiment(ctx context.Context, name string, o runOptions) error {
	if o.inventory != "" {
		return fmt.Errorf("inventory %s: experiments run on this machine only, so far; next: leave INVENTORY out",
			o.inventory)
	}
	kind, err := spec.KindOf(experimentsDir, name)
	if err != nil {
		return err
	}
	switch kind {
	case spec.KindStore:
		return runStore(ctx, name, o)
	case spec.KindSim:
		return runSim(ctx, name, o)
	case spec.KindFactorial:
		return runFactorial(ctx, name, o)
	}
	e, err := spec.Load(experimentsDir, name)
	if err != nil {
		return err
	}
	o.seedFrom(e.Hash())
	plan, err := e.Plan(o.Selection)
	if err != nil {
		return err
	}
	printPlan(plan)
	if o.dry {
		printHostChanges()
		return nil
	}
	m, err := begin(plan)
	if err != nil {
		return err
	}
	return m.measure(ctx)
}

// seedFrom gives the order of trials the declaration's seed, unless one was asked for.
func (o *runOptions) seedFrom(hash string) {
	if o.Seed == 0 {
		h := fnv.New64a()
		h.Write([]byte(hash))
		o.Seed = h.Sum64()
	}
}

func printPlan(p *spec.Plan) {
	trials := 0
	for _, b := range p.Blocks {
		trials += b.TrialsInBlock()
	}
	fmt.Printf("%s, profile %s: %s\n", p.Experiment.Name, p.ProfileAs, p.Profile.Explanation)
	fmt.Printf("%d cells of arms, %d blocks, %d trials of %s and a search: about %.1f minutes\n\n",
		len(p.Groups), len(p.Blocks), trials, p.Profile.Trial(), p.Estimate().Minutes())
}

func printHostChanges() {
	fmt.Println("changes to this host while it runs, all undone at its end, whatever happens:")
	fmt.Println("  network namespaces mtn-gen-*, mtn-dut-* with a veth pair, NAPI threaded, GRO on")
	fmt.Println("  sockets /tmp/mtn-*.sock, state /run/metronome/*.json")
	fmt.Println("  2-MiB hugepages, only for cells with hugepages, as many as are missing")
	fmt.Println("changes by make setup: see ansible/README.md; make restore-host undoes them")
}

// measurement is a run in progress.
type measurement struct {
	runFiles
	plan   *spec.Plan
	writer *record.Writer[record.Trial]
}

// runFiles is a run's folder and what is known of the run, of whatever kind.
type runFiles struct {
	dir   *record.Run
	res   record.Results
	begun testbed.Counters
	start time.Time
}

// newRun makes a run's folder.
func newRun(experiment, specHash string) (f runFiles, err error) {
	f.start, f.begun = time.Now().UTC(), testbed.ReadCounters()
	f.dir, err = record.CreateRun(resultsDir, experiment, f.start, version.Commit, specHash)
	return f, err
}

func begin(p *spec.Plan) (*measurement, error) {
	e := p.Experiment
	files, err := newRun(e.Name, e.Hash())
	if err != nil {
		return nil, err
	}
	m := &measurement{runFiles: files, plan: p}
	about := record.Manifest{Experiment: e.Name, Profile: p.ProfileAs, Conditions: e.Conditions,
		SpecHash: e.Hash(), Seed: p.Seed, Blocks: p.Profile.Blocks}
	if err = m.describe(about); err != nil {
		return nil, err
	}
	if m.writer, err = record.OpenWriter(m.dir.Path("trials.csv"), record.Trials()); err != nil {
		return nil, err
	}
	return m, m.writeManifest("running")
}

// measure runs the plan and finishes the run, also when it was cut short.
func (m *measurement) measure(ctx context.Context) error {
	runErr := m.trials(ctx)
	if err := m.writer.Close(); err != nil {
		return err
	}
	return m.ended(runErr, m.finish)
}

// ended finishes a run that its plan's end or an error ended.
func (r *runFiles) ended(runErr error, finish func(status string) error) error {
	status := "ok"
	if runErr != nil {
		status = "partial"
	}
	if err := finish(status); err != nil {
		return errors.Join(runErr, err)
	}
	if errors.Is(runErr, context.Canceled) {
		fmt.Fprintf(os.Stderr, "interrupted: what was measured is in %s, marked partial\n", r.dir.Dir)
		return exitStatus(130)
	}
	return runErr
}

func (m *measurement) trials(ctx context.Context) (err error) {
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
	env, err := arm.NewEnv(bed, filepath.Dir(self), m.dir.Path("logs"))
	if err != nil {
		return err
	}
	if err := env.YieldCores(); err != nil {
		m.res.Manifest.Warnings = append(m.res.Manifest.Warnings, err.Error())
	}
	m.res.Manifest.EALArgs = env.EALArgs
	m.res.Manifest.SetupNS = time.Since(m.start).Nanoseconds()
	bar := newProgress(os.Stderr)
	defer bar.done()
	r := run.Runner{Plan: m.plan, RunID: m.dir.ID, Tell: bar.show,
		Open: func(ctx context.Context, g spec.Group) (run.Session, error) {
			return env.Open(ctx, g.Arm.Name, g.Placement, g.Factors)
		},
		Write: func(t record.Trial) error {
			m.res.Trials = append(m.res.Trials, t)
			return m.writer.Write(t)
		}}
	return r.Run(ctx)
}

// shortID names the testbed: interface and namespace names are short.
func shortID(runID string) string {
	h := fnv.New32a()
	h.Write([]byte(runID))
	return fmt.Sprintf("%08x", h.Sum32())
}

// finish judges, writes the tables and the figures, and prints the run.
func (m *measurement) finish(status string) error {
	e, p := m.plan.Experiment, m.plan.Profile
	if err := run.Judge(e, &m.res, p.NotJudged); err != nil {
		return err
	}
	if err := errors.Join(m.writeManifest(status),
		record.WriteFile(m.dir.Path("summary.csv"), record.Summaries(), m.res.Summaries),
		record.WriteFile(m.dir.Path("claims.csv"), record.Claims(), m.res.Claims),
		record.WriteFile(m.dir.Path("offloads.csv"), record.Offloads(), m.res.Offloads),
		m.dir.PointLatest()); err != nil {
		return err
	}
	return m.tell(func() error { return report.Run(os.Stdout, m.res, primaryRung(e)) })
}

// tell draws the figures, prints the run and says where everything is.
func (r *runFiles) tell(report func() error) error {
	drawn, missing := drawInto(r.dir.Path("figures"), r.res)
	if err := record.Compress(r.dir.Dir); err != nil {
		return err
	}
	if err := report(); err != nil {
		return err
	}
	fmt.Printf("\nrows     %s\nclaims   %s\n", record.Stored(r.dir.Path("trials.csv")), r.dir.Path("claims.csv"))
	for _, f := range drawn {
		if strings.HasSuffix(f, ".png") {
			fmt.Println("figure  ", f)
		}
	}
	for _, why := range missing {
		fmt.Println("no figure:", why)
	}
	mf := r.res.Manifest
	fmt.Printf("took %.1f minutes, %.1f s of it setting up (and the build before)\n",
		time.Duration(mf.MeasuredNS).Minutes(), time.Duration(mf.SetupNS).Seconds())
	fmt.Println("how to read them: docs/reading-results.md")
	return nil
}

func primaryRung(e *spec.Experiment) string {
	if len(e.Claims) == 0 {
		return ""
	}
	return e.Claims[0].Rung
}

// drawInto saves every figure there is data for, and says which there is none for.
func drawInto(dir string, res record.Results) (paths, missing []string) {
	figures, err := plot.All(res)
	if err != nil {
		missing = strings.Split(err.Error(), "\n")
	}
	for _, f := range figures {
		saved, err := f.Save(dir)
		paths = append(paths, saved...)
		if err != nil {
			missing = append(missing, err.Error())
		}
	}
	return paths, missing
}
