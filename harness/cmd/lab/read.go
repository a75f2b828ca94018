package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"metronome/harness/check"
	"metronome/harness/record"
	"metronome/harness/report"
	"metronome/harness/spec"
	"metronome/harness/testbed"
	"metronome/internal/strictyaml"
)

// findRun reads a run by its folder, by EXPERIMENT (its newest run, or else the committed
// reference) or by EXPERIMENT/RUN.
func findRun(what string) (record.Results, error) {
	of := filepath.Join(resultsDir, what)
	for _, dir := range []string{what, of, filepath.Join(of, "latest"), filepath.Join(of, "reference")} {
		if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
			return record.ReadRun(dir)
		}
	}
	known, _ := filepath.Glob(filepath.Join(resultsDir, "*", "*", "manifest.json"))
	for i, k := range known {
		known[i] = filepath.Dir(strings.TrimPrefix(k, resultsDir+"/"))
	}
	if near := strictyaml.Nearest(what, append(known, spec.List(experimentsDir)...)); near != "" {
		return record.Results{}, fmt.Errorf("no run %q: did you mean %s?", what, near)
	}
	return record.Results{}, fmt.Errorf("no run %q under %s; next: make experiment NAME=%s", what,
		resultsDir, what)
}

func listCommand() *cobra.Command {
	var names bool
	cmd := &cobra.Command{Use: "list", Short: "List the experiments: question, claim, minutes",
		Example: "  lab list\n  lab list --names   one a line, for scripts",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, name := range spec.List(experimentsDir) {
				if names {
					fmt.Println(name)
					continue
				}
				e, err := spec.ReadOutline(experimentsDir, name)
				if err != nil {
					return err
				}
				printExperiment(e)
			}
			return nil
		}}
	cmd.Flags().BoolVar(&names, "names", false, "names only")
	return cmd
}

func printExperiment(e spec.Outline) {
	fmt.Printf("%s\n  %s\n", e.Name, e.Question)
	for _, c := range e.Claims {
		if c.Quote != "" {
			fmt.Printf("  claim    %q (%s)\n", c.Quote, c.Source)
		}
	}
	for _, name := range []string{"smoke", "quick", "full"} {
		if p, ok := e.Profiles[name]; ok {
			fmt.Printf("  %-8s %4.1f min  %s\n", name, p.Minutes, p.Explanation)
		}
	}
	fmt.Printf("  make experiment NAME=%s\n", e.Name)
}

func showCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "show RUN", Short: "Print a run again; RUN is an experiment's name or a folder",
		Example: "  lab show ingest-11x                        the newest run\n" +
			"  lab show results/ingest-11x/reference      the committed one\n  lab show ingest-11x --json",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			res, err := findRun(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(res)
			}
			switch res.Manifest.Kind {
			case record.ExperimentStore:
				return report.Store(os.Stdout, res)
			case record.ExperimentSim:
				return report.Sim(os.Stdout, res)
			case record.ExperimentFactorial:
				return report.Factorial(os.Stdout, res)
			}
			e, err := spec.Load(experimentsDir, res.Manifest.Experiment)
			if err != nil {
				return err
			}
			return report.Run(os.Stdout, res, primaryRung(e))
		}}
	cmd.Flags().BoolVar(&asJSON, "json", false, "the manifest, summary and claims as JSON")
	return cmd
}

func printJSON(res record.Results) error {
	summary, err1 := record.Summaries().MarshalRows(res.Summaries)
	claims, err2 := record.Claims().MarshalRows(res.Claims)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"manifest": res.Manifest, "summary": json.RawMessage(summary),
		"claims": json.RawMessage(claims)})
}

func checkCommand() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{Use: "check RUN|HISTORY.jsonl", Short: "Print a run's verdicts, or judge a history file again",
		Example: "  lab check --strict ingest-11x   exits 0 reproduced, 1 not reproduced, 2 undecided",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if strings.HasSuffix(args[0], historySuffix) {
				return checkHistory(args[0])
			}
			res, err := findRun(args[0])
			if err != nil {
				return err
			}
			for _, c := range res.Claims {
				fmt.Println(c.Sentence)
			}
			if status := check.Strict(res.Claims); strict && status != check.ExitReproduced {
				return exitStatus(status)
			}
			return nil
		}}
	cmd.Flags().BoolVar(&strict, "strict", false,
		"exit 0, 1 or 2 as the primary claims are reproduced, not, or undecided")
	return cmd
}

func diffCommand() *cobra.Command {
	return &cobra.Command{Use: "diff RUN RUN", Short: "Compare two runs, row by row of their summaries",
		Example: "  lab diff results/ingest-11x/reference ingest-11x   the committed run, then the newest",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := findRun(args[0])
			if err != nil {
				return err
			}
			b, err := findRun(args[1])
			if err != nil {
				return err
			}
			warnDifferences(a.Manifest, b.Manifest)
			return printDiff(a, b)
		}}
}

func warnDifferences(a, b record.Manifest) {
	if a.Commit != b.Commit || a.DiffHash != b.DiffHash {
		fmt.Printf("note: built from %.7s and %.7s\n", a.Commit, b.Commit)
	}
	if a.SpecHash != b.SpecHash {
		fmt.Println("warning: the experiment was declared differently")
	}
	if len(a.Hosts) == 0 || len(b.Hosts) == 0 {
		return
	}
	for _, f := range testbed.FactList() {
		x, y := a.Hosts[0].Facts[f.Name], b.Hosts[0].Facts[f.Name]
		if x != y && !slices.Contains(volatile, f.Name) {
			fmt.Printf("warning: hosts differ: %s is %q and %q\n", f.Name, x, y)
		}
	}
}

// volatile facts differ between any two runs.
var volatile = []string{"load_1m", "hugepages_2mib", "hugepages_2mib_free", "cpu_mhz"}

func printDiff(a, b record.Results) error {
	type key struct{ arm, placement, cell, metric string }
	first := map[key]record.Summary{}
	for _, s := range a.Summaries {
		first[key{s.Arm, s.Placement, s.Cell, s.Metric}] = s
	}
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "arm\tplacement\tmetric\tfirst\tsecond\tsecond/first\tcell")
	for _, s := range b.Summaries {
		was, ok := first[key{s.Arm, s.Placement, s.Cell, s.Metric}]
		if !ok || was.Median == 0 {
			continue
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%.4g\t%.4g\t%.3f\t%s\n", s.Arm, s.Placement, s.Metric, was.Median, s.Median,
			s.Median/was.Median, s.Cell)
	}
	return tw.Flush()
}

func figuresCommand() *cobra.Command {
	return &cobra.Command{Use: "figures", Args: cobra.NoArgs,
		Short:   "Redraw every figure from the committed reference, or else the newest run",
		Example: "  lab figures && git diff --stat figures/",
		RunE: func(*cobra.Command, []string) error {
			for _, name := range spec.List(experimentsDir) {
				if err := drawFigures(name); err != nil {
					return err
				}
			}
			return nil
		}}
}

func drawFigures(name string) error {
	for _, from := range []string{"reference", "latest"} {
		dir := filepath.Join(resultsDir, name, from)
		if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
			continue
		}
		res, err := record.ReadRun(dir)
		if err != nil {
			return err
		}
		paths, missing := drawInto(filepath.Join(figuresDir, name), res)
		for _, p := range paths {
			fmt.Println(p)
		}
		for _, why := range missing {
			fmt.Println("no figure:", why)
		}
		return nil
	}
	fmt.Printf("%s: no run yet; next: make experiment NAME=%s\n", name, name)
	return nil
}

func readmeCommand() *cobra.Command {
	return &cobra.Command{Use: "columns", Short: "Print results/README.md: every file and column of a run",
		Example: "  lab columns > results/README.md",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Print(record.Readme())
			return nil
		}}
}

func doctorCommand() *cobra.Command {
	return &cobra.Command{Use: "doctor", Short: "Say what this machine can run, and what would mend the rest",
		Example: "  lab doctor",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			bad := 0
			for _, c := range testbed.Preflight(resultsDir) {
				mark := "ok  "
				if !c.OK {
					mark = "MISS"
					bad++
				}
				fmt.Printf("%s  %-10s %s\n", mark, c.Name, c.Why)
				if !c.OK && c.Next != "" {
					fmt.Printf("      next: %s\n", c.Next)
				}
			}
			if bad > 0 {
				fmt.Printf("\n%d missing: arms that need them will be marked unavailable, the rest runs\n", bad)
			}
			return nil
		}}
}
