package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"metronome/harness/record"
)

// Factorial prints the results of a run of a factorial experiment.
func Factorial(w io.Writer, res record.Results) error {
	m := res.Manifest
	fmt.Fprintf(w, "%s  run %s  profile %s  %d blocks  (%s)\n\n", m.Experiment, m.RunID, m.Profile, m.Blocks,
		m.Conditions)
	if m.Design == nil {
		return fmt.Errorf("run %s: its manifest has no design: it was written by another version of this program; "+
			"read it with commit %s", m.RunID, m.Commit)
	}
	if err := cells(w, res); err != nil {
		return err
	}
	claims(w, res)
	told := map[string]bool{}
	for _, r := range res.Factorials {
		if r.Status != record.StatusOK && !told[r.Arm+r.Reason] {
			told[r.Arm+r.Reason] = true
			fmt.Fprintf(w, "%s: %s (%s): %s\n", r.Status, r.Arm, r.Cell, r.Reason)
		}
	}
	hints(w, res)
	for _, warning := range m.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	return nil
}

// cells is the table: a line for each point and arm, the factors that differ at its left, every metric.
func cells(w io.Writer, res record.Results) error {
	d := res.Manifest.Design
	values := map[row]map[string]record.Summary{}
	for _, s := range res.Summaries {
		r := row{arm: s.Arm, cell: s.Cell}
		if values[r] == nil {
			values[r] = map[string]record.Summary{}
		}
		values[r][s.Metric] = s
	}
	factors := varied(d, res.Factorials)
	head := append(slices.Clone(factors), "arm")
	for _, m := range d.Metrics {
		head = append(head, strings.TrimRight(m.Name+" "+m.Unit, " "))
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "%s\tflags\t\n", strings.Join(head, "\t"))
	for _, r := range order(d, res.Factorials) {
		var line []string
		for _, f := range factors {
			line = append(line, record.FactorOf(r.cell, f))
		}
		line = append(line, r.arm)
		for _, m := range d.Metrics {
			line = append(line, interval(values[r][m.Name]))
		}
		fmt.Fprintf(tw, "%s\t%s\t\n", strings.Join(line, "\t"), remarks(res.Factorials, r))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	fmt.Fprintln(w)
	return nil
}

// varied are the factors that have more than one value.
func varied(d *record.Design, rows []record.FactorialRow) (names []string) {
	for _, f := range d.Factors {
		seen := map[string]bool{}
		for _, r := range rows {
			seen[record.FactorOf(r.Cell, f.Name)] = true
		}
		if len(seen) > 1 {
			names = append(names, f.Name)
		}
	}
	return names
}

// order is what was tried: by cell, in the order of their values, then by arm, in the declaration's.
func order(d *record.Design, rows []record.FactorialRow) (all []row) {
	for _, t := range rows {
		if r := (row{arm: t.Arm, cell: t.Cell}); !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	rank := func(arm string) int {
		return slices.IndexFunc(d.Arms, func(a record.DesignName) bool { return a.Name == arm })
	}
	slices.SortFunc(all, func(a, b row) int {
		if c := record.CompareCells(a.cell, b.cell); c != 0 {
			return c
		}
		return rank(a.arm) - rank(b.arm)
	})
	return all
}

// remarks collects what the trials of a line are marked with.
func remarks(rows []record.FactorialRow, at row) string {
	var all []string
	void := map[[3]int]bool{}
	for _, r := range rows {
		if r.Arm != at.arm || r.Cell != at.cell {
			continue
		}
		for f := range strings.SplitSeq(r.Flags, ";") {
			if f != "" && !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
		if r.Status == record.StatusUnavailable && !slices.Contains(all, r.Status) {
			all = append(all, r.Status)
		}
		if r.Status == record.StatusVoid {
			void[[3]int{r.Block, r.Repeat, r.Attempt}] = true
		}
	}
	if len(void) > 0 {
		all = append(all, fmt.Sprintf("%d void", len(void)))
	}
	return strings.Join(all, ",")
}
