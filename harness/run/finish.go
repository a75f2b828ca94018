package run

import (
	"fmt"
	"slices"

	"metronome/harness/arm"
	"metronome/harness/check"
	"metronome/harness/record"
	"metronome/harness/spec"
)

// Judge turns a run's trials into its other tables, as its experiment declares.
func Judge(e *spec.Experiment, res *record.Results, notJudged bool) error {
	x := check.NewIndex(res.Trials)
	res.Summaries = x.Summarise(rungs(e))
	res.Offloads = offloads(res.Trials)
	res.Claims = nil
	for _, c := range e.Claims {
		claim, err := declared(e, c)
		if err != nil {
			return err
		}
		rows, err := x.Judge(claim, res.Offloads, check.Options{NotJudged: notJudged, Conditions: e.Conditions})
		if err != nil {
			return fmt.Errorf("judge claim %s: %w", c.Name, err)
		}
		res.Claims = append(res.Claims, rows...)
	}
	return nil
}

// rungs is every arm that a claim compares with.
func rungs(e *spec.Experiment) (names []string) {
	for _, c := range e.Claims {
		for _, n := range append([]string{c.Rung}, c.Others...) {
			if n != "" && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// declared resolves a claim's cell.
func declared(e *spec.Experiment, c spec.Claim) (check.Claim, error) {
	cell := e.Primary
	if c.Items != "" {
		cell.Items = c.Items
	}
	if c.Burst != 0 {
		cell.Burst = c.Burst
	}
	f, err := cell.Resolve()
	if err != nil {
		return check.Claim{}, fmt.Errorf("claim %s: %w", c.Name, err)
	}
	return check.Claim{Name: c.Name, Source: c.Source, Words: c.Words, Kind: check.Kind(c.Kind), Bound: c.Bound,
		Metric: c.Metric, RungMetric: c.RungMetric, Arm: c.Arm, Placement: record.PlacementSame,
		Cell: f.String(), Rung: c.Rung, Others: c.Others}, nil
}

// offloads is the offload ledger of the arms that have rows.
func offloads(trials []record.Trial) (rows []record.Offload) {
	seen := map[string]bool{}
	for i := range trials {
		name := trials[i].Arm
		if seen[name] {
			continue
		}
		seen[name] = true
		if a, err := arm.Find(name); err == nil {
			rows = append(rows, a.Offloads(check.Offloads())...)
		}
	}
	return rows
}
