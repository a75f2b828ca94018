// Package report prints a run for people: the table of arms, a line a claim, and what would make
// the answer tighter. It reads the same tables as the figures and computes nothing that is not in
// them.
package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"metronome/harness/record"
)

// Run prints a run's results.
func Run(w io.Writer, res record.Results, rung string) error {
	m := res.Manifest
	fmt.Fprintf(w, "%s  run %s  profile %s  %d blocks  (%s)\n\n", m.Experiment, m.RunID, m.Profile, m.Blocks,
		m.Conditions)
	if err := arms(w, res, rung); err != nil {
		return err
	}
	claims(w, res)
	unavailable(w, res)
	hints(w, res)
	for _, warning := range m.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	return nil
}

// row is one line of the table.
type row struct{ arm, placement, cell string }

// rows lists what was measured, in the order of the summary, the primary cell first.
func rows(res record.Results, primary string) (all []row) {
	for _, s := range res.Summaries {
		// A ratio to a rung's other placement alone makes no line of its own.
		rate := s.Metric == record.LossFreeFPS || s.Metric == record.CeilingFPS
		if r := (row{s.Arm, s.Placement, s.Cell}); rate && !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b row) int {
		switch {
		case (a.cell == primary) == (b.cell == primary):
			return strings.Compare(a.cell, b.cell)
		case a.cell == primary:
			return -1
		}
		return 1
	})
	return all
}

func primaryCell(res record.Results) string {
	for _, c := range res.Claims {
		if c.Primary {
			return c.Cell
		}
	}
	return ""
}

func arms(w io.Writer, res record.Results, rung string) error {
	values := map[row]map[string]record.Summary{}
	for _, s := range res.Summaries {
		r := row{s.Arm, s.Placement, s.Cell}
		if values[r] == nil {
			values[r] = map[string]record.Summary{}
		}
		values[r][s.Metric] = s
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "arm\tplacement\tM frames/s\tM items/s\tCPU ns/item\tmemory MB\t"+
		"ratio to %s [CI]\tflags\t\n", rung)
	cell := primaryCell(res)
	for _, r := range rows(res, cell) {
		if r.cell != cell {
			fmt.Fprintf(tw, "\t\t\t\t\t\t\t%s\t\n", r.cell)
			cell = r.cell
		}
		v := values[r]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.arm, r.placement,
			scaled(either(v, record.LossFreeFPS, record.CeilingFPS), 1e-6), scaled(v[record.LossFreeIPS], 1e-6),
			scaled(v[record.CPUItemLossFree], 1), scaled(v[record.MemTotal], 1e-6),
			interval(v[record.RatioPrefix+rung]), flags(res.Trials, r))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	fmt.Fprintln(w)
	return nil
}

func either(v map[string]record.Summary, names ...string) record.Summary {
	for _, n := range names {
		if s, ok := v[n]; ok {
			return s
		}
	}
	return record.Summary{}
}

// scaled prints a median with the sign of its censoring.
func scaled(s record.Summary, by float64) string {
	if s.N == 0 || math.IsNaN(s.Median) {
		return "-"
	}
	return sign(s.Censor) + number(s.Median*by)
}

func sign(censor string) string {
	switch censor {
	case "lower":
		return "≥ "
	case "upper":
		return "≤ "
	}
	return ""
}

// number prints three significant digits without an exponent.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsInf(v, 1):
		return "∞"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func interval(s record.Summary) string {
	if s.N == 0 || math.IsNaN(s.Median) {
		return "-"
	}
	text := sign(s.Censor) + number(s.Median)
	if !math.IsNaN(s.CILow) && !math.IsNaN(s.CIHigh) {
		text += fmt.Sprintf(" [%s, %s]", number(s.CILow), number(s.CIHigh))
	}
	return text
}

// flags collects what the trials of a row are marked with.
func flags(trials []record.Trial, r row) string {
	var all []string
	add := func(f string) {
		if f != "" && !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	void := 0
	for i := range trials {
		t := &trials[i]
		if t.Arm != r.arm || t.Placement != r.placement || t.Cell != r.cell || t.Role == record.RoleSearch {
			continue
		}
		for f := range strings.SplitSeq(t.Flags, ";") {
			add(f)
		}
		if t.GeneratorLimited {
			add("generator-limited")
		}
		if t.Status == record.StatusVoid {
			void++
		}
	}
	if void > 0 {
		add(fmt.Sprintf("%d void", void))
	}
	return strings.Join(all, ",")
}

func claims(w io.Writer, res record.Results) {
	for _, c := range res.Claims {
		if c.Primary {
			fmt.Fprintln(w, c.Sentence)
		}
	}
	fmt.Fprintln(w)
}

func unavailable(w io.Writer, res record.Results) {
	seen := map[string]bool{}
	for _, t := range res.Trials {
		if t.Status == record.StatusUnavailable && !seen[t.Arm+t.Reason] {
			seen[t.Arm+t.Reason] = true
			fmt.Fprintf(w, "unavailable: %s: %s\n", t.Arm, t.Reason)
		}
	}
}

// hints says what would tighten the answer.
func hints(w io.Writer, res record.Results) {
	for _, c := range res.Claims {
		if !c.Primary || c.Verdict != record.Inconclusive {
			continue
		}
		switch {
		case c.N == 0:
			fmt.Fprintf(w, "to decide %q: its cell or arms are not in this run; PROFILE=full, and no ARMS\n", c.Claim)
		case c.N < 6:
			fmt.Fprintf(w, "to decide %q: at least 6 blocks (PROFILE=quick or full); this run has %d\n", c.Claim, c.N)
		case math.IsInf(c.CILow, 0) || math.IsInf(c.CIHigh, 0) || c.CILow == 0:
			fmt.Fprintf(w, "to decide %q: run again, or widen the bracket; only bounds were seen in some blocks\n",
				c.Claim)
		default:
			fmt.Fprintf(w, "to decide %q: more blocks, or a quieter machine; the interval still contains the bound\n",
				c.Claim)
		}
	}
}
