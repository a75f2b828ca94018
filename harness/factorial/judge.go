package factorial

import (
	"fmt"

	"metronome/harness/check"
	"metronome/harness/record"
	"metronome/harness/spec"
)

// Design is what a run's manifest says of its declaration.
func Design(p *spec.FactorialPlan) *record.Design {
	e := p.Experiment
	d := &record.Design{Driver: e.Driver, Base: e.BaseOf(p.Profile)}
	for _, a := range e.Arms {
		d.Arms = append(d.Arms, record.DesignName{Name: a.Name, What: a.What})
	}
	for _, f := range e.Factors {
		d.Factors = append(d.Factors, record.DesignName{Name: f.Name, Unit: f.Unit, What: f.What})
	}
	d.Metrics = metrics(e)
	for _, f := range e.Figures {
		d.Figures = append(d.Figures, record.DesignFigure{Name: f.Name, Kind: f.Kind, What: f.What, X: f.X, Y: f.Y,
			By: f.By, Log: f.Log, Where: f.Where, Arms: f.Arms})
	}
	return d
}

func metrics(e *spec.Factorial) (all []record.DesignName) {
	for _, m := range e.Metrics {
		all = append(all, record.DesignName{Name: m.Name, Unit: m.Unit, What: m.What})
	}
	return all
}

// Judge turns a run's trials into its other tables, as its experiment declares. Claims' cells are those of
// the run's profile.
func Judge(p *spec.FactorialPlan, res *record.Results) error {
	e := p.Experiment
	x := check.NewFactorials(res.Factorials, metrics(e))
	res.Summaries, res.Claims = x.Summarise(), nil
	for _, c := range e.Claims {
		rows, err := x.Judge(declared(p, c), check.Options{NotJudged: p.Profile.NotJudged,
			Conditions: e.Conditions})
		if err != nil {
			return fmt.Errorf("judge claim %s: %w", c.Name, err)
		}
		res.Claims = append(res.Claims, rows...)
	}
	return nil
}

// declared resolves a claim's cells.
func declared(p *spec.FactorialPlan, c spec.FactorialClaim) check.StoreClaim {
	at := p.Experiment.Point(p.Experiment.BaseOf(p.Profile), c.Cell)
	rung := p.Experiment.Point(at.Values, c.RungCell)
	m, _ := p.Experiment.Metric(c.Metric)
	return check.StoreClaim{Name: c.Name, Source: c.Source, Words: c.Words, Metric: c.Metric,
		AtMost: c.At == "most", Always: c.Always, Bound: c.Bound,
		Ref: check.Ref{Arm: c.Arm, Cell: at.Name}, Rungs: c.Rungs, RungMetric: c.RungMetric,
		RungRef: check.Ref{Cell: rung.Name}, Others: c.Others, Lowest: m.Better == "less"}
}
