package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"metronome/harness/record"
)

// Sim prints the results of a run of an experiment on the simulator.
func Sim(w io.Writer, res record.Results) error {
	m := res.Manifest
	fmt.Fprintf(w, "%s  run %s  profile %s  %d blocks from seed %#x  (%s)\n\n", m.Experiment, m.RunID, m.Profile,
		m.Blocks, m.Seed, m.Conditions)
	if err := families(w, res.Sims); err != nil {
		return err
	}
	if err := mutations(w, res.Sims); err != nil {
		return err
	}
	claims(w, res)
	told := map[string]bool{}
	for _, t := range res.Sims {
		if t.Mutation == "" && t.Violations > 0 {
			fmt.Fprintf(w, "VIOLATION %s\nreplay: %s\n", t.Violation, t.Replay)
		}
		if t.Status != record.StatusOK && !told[t.Reason] {
			told[t.Reason] = true
			fmt.Fprintf(w, "%s: %s: %s\n", t.Status, cmp.Or(t.Mutation, t.Family), t.Reason)
		}
	}
	for _, warning := range m.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	return nil
}

// simRows sums rows up by a name, in the order in which the names first come in the sorted rows.
func simRows(all []record.SimTrial, name func(*record.SimTrial) string) (names []string,
	of map[string][]record.SimTrial) {
	of = map[string][]record.SimTrial{}
	for i := range all {
		if n := name(&all[i]); n != "" && all[i].Status == record.StatusOK {
			of[n] = append(of[n], all[i])
		}
	}
	for n := range of {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, of
}

func families(w io.Writer, all []record.SimTrial) error {
	names, of := simRows(all, func(t *record.SimTrial) string {
		if t.Mutation != "" {
			return ""
		}
		return t.Family
	})
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "faults\tseeds\tviolations\toperations\tanswered\titems\tevents\tjudged\tvirtual s\t"+
		"CPU s\t")
	line := func(name string, rows []record.SimTrial) (sum record.SimTrial) {
		for _, t := range rows {
			sum.Seeds, sum.Violations = sum.Seeds+t.Seeds, sum.Violations+t.Violations
			sum.Operations, sum.Answered = sum.Operations+t.Operations, sum.Answered+t.Answered
			sum.Items, sum.Events, sum.Judged = sum.Items+t.Items, sum.Events+t.Events, sum.Judged+t.Judged
			sum.VirtualNS, sum.CPUNS = sum.VirtualNS+t.VirtualNS, sum.CPUNS+t.CPUNS
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.0f\t%.0f\t\n", name, sum.Seeds, sum.Violations,
			sum.Operations, sum.Answered, sum.Items, sum.Events, sum.Judged, float64(sum.VirtualNS)/1e9,
			float64(sum.CPUNS)/1e9)
		return sum
	}
	var sums []record.SimTrial
	for _, n := range names {
		sums = append(sums, line(n, of[n]))
	}
	line("all", sums)
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	fmt.Fprintln(w)
	return nil
}

func mutations(w io.Writer, all []record.SimTrial) error {
	names, of := simRows(all, func(t *record.SimTrial) string { return t.Mutation })
	if len(names) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "broken on purpose\tcaught\tafter seeds\tmeaning\tby, for one")
	for _, n := range names {
		caught, seeds, by := 0, []int{}, ""
		for _, t := range of[n] {
			if t.Caught {
				caught++
				seeds, by = append(seeds, t.Seeds), cmp.Or(by, t.Violation)
			}
		}
		slices.Sort(seeds)
		after := "-"
		if k := len(seeds); k > 0 {
			after = fmt.Sprintf("%d, at most %d", seeds[(k-1)/2], seeds[k-1])
		}
		fmt.Fprintf(tw, "%s\t%d of %d\t%s\t%s\t%.60s\n", n, caught, len(of[n]), after, of[n][0].What, by)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	fmt.Fprintln(w)
	return nil
}
