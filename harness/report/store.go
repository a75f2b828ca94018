package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"metronome/harness/record"
)

// Store prints the results of a run of an experiment on stores.
func Store(w io.Writer, res record.Results) error {
	m := res.Manifest
	fmt.Fprintf(w, "%s  run %s  profile %s  %d blocks  (%s)\n\n", m.Experiment, m.RunID, m.Profile, m.Blocks,
		m.Conditions)
	if err := stores(w, res); err != nil {
		return err
	}
	if err := kills(w, res); err != nil {
		return err
	}
	claims(w, res)
	seen := map[string]bool{}
	for _, t := range res.Stores {
		if t.Status != record.StatusOK && !seen[t.Arm+t.Reason] {
			seen[t.Arm+t.Reason] = true
			fmt.Fprintf(w, "%s: %s: %s\n", t.Status, t.Arm, t.Reason)
		}
	}
	hints(w, res)
	for _, warning := range m.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	return nil
}

// stores is the table: a line for each arm, setup and load, in the order in which they are summarised.
func stores(w io.Writer, res record.Results) error {
	var all []row
	values := map[row]map[string]record.Summary{}
	for _, s := range res.Summaries {
		r := row{s.Arm, s.Placement, s.Cell}
		if values[r] == nil {
			values[r] = map[string]record.Summary{}
			all = append(all, r)
		}
		values[r][s.Metric] = s
	}
	binding := map[row]string{}
	for _, t := range res.Stores {
		if t.Status == record.StatusOK {
			binding[row{t.Arm, t.Setup, t.Load}] = t.Binding
		}
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "arm\tsetup\tload\tk ops/s\tp50 µs\tp99 µs\tp99.9 µs\tCPU µs/op\tMB\t"+
		"rounds/s\titems/round\tB/round\tbound by\t")
	for _, r := range all {
		v := values[r]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.arm, r.placement, r.cell,
			scaled(v[record.StoreOPS], 1e-3), scaled(v[record.StoreP50], 1), scaled(v[record.StoreP99], 1),
			scaled(v[record.StoreP999], 1), scaled(v[record.StoreCPU], 1), scaled(v["mem_peak_bytes"], 1e-6),
			scaled(v[record.StoreRounds], 1), scaled(v[record.StoreItemsPerRound], 1),
			scaled(v[record.StoreOrderBytes], 1), binding[r])
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	fmt.Fprintln(w)
	return nil
}
