package record

import "math"

// ExperimentSim is [Manifest.Kind] of experiments on the simulator.
const ExperimentSim = "sim"

// SimTrial is one row of trials.csv of an experiment on the simulator: a family of faults for so many seeds,
// or a mutation until it was caught.
type SimTrial struct {
	Experiment, RunID      string
	Block                  int
	Family, Mutation, What string
	FirstSeed              uint64
	Seeds                  int
	Violations             int
	Caught                 bool
	Violation, Replay      string
	Operations, Answered   uint64
	Items, Events          uint64
	Judged, Passed         uint64
	VirtualNS, CPUNS       int64
	Status, Reason         string
}

// SimTrials is the schema of trials.csv of experiments on the simulator.
func SimTrials() Table[SimTrial] {
	return Table[SimTrial]{
		File: "trials.csv",
		Doc: "In experiments on the simulator, one row for each block and family of faults, and for each block " +
			"and mutation.",
		Columns: append(simIdentity(), simFindings()...),
		ran:     func(t *SimTrial) bool { return t.Status != StatusUnavailable },
	}
}

func simIdentity() []Column[SimTrial] {
	return []Column[SimTrial]{
		{Name: "experiment", Doc: "Name of the experiment.",
			Field: func(t *SimTrial) any { return &t.Experiment }},
		{Name: "run_id", Doc: "UTC start, commit and declaration of the run, as above.",
			Field: func(t *SimTrial) any { return &t.RunID }},
		{Name: "block", Doc: "Batch of seeds.", Field: func(t *SimTrial) any { return &t.Block }},
		{Name: "family", Doc: "Family of faults; all, if a mutation met them in turn.",
			Field: func(t *SimTrial) any { return &t.Family }},
		{Name: "mutation", Doc: "The way in which the protocol was broken on purpose; empty: not at all.",
			Field: func(t *SimTrial) any { return &t.Mutation }},
		{Name: "what", Doc: "What family or mutation mean.", Field: func(t *SimTrial) any { return &t.What }},
		{Name: "first_seed", Doc: "The first; the others count up.",
			Field: func(t *SimTrial) any { return &t.FirstSeed }},
		{Name: "seeds", Doc: "Simulations run; of a mutation, up to the one that caught it, or those it survived.",
			Measured: true, Field: func(t *SimTrial) any { return &t.Seeds }},
	}
}

func simFindings() []Column[SimTrial] {
	m := func(name, unit, doc string, field func(*SimTrial) any) Column[SimTrial] {
		return Column[SimTrial]{Name: name, Unit: unit, Doc: doc, Field: field, Measured: true}
	}
	return []Column[SimTrial]{
		m("violations", "", "Seeds with a violation of the protocol as it is; a mutation's are not counted.",
			func(t *SimTrial) any { return &t.Violations }),
		m("caught", "", "Of a mutation: a seed showed a violation that the protocol as it is does not show.",
			func(t *SimTrial) any { return &t.Caught }),
		m("violation", "", "The first violation.", func(t *SimTrial) any { return &t.Violation }),
		m("replay", "", "The command that shows it again.", func(t *SimTrial) any { return &t.Replay }),
		m("operations", "ops", "Operations of clients.", func(t *SimTrial) any { return &t.Operations }),
		m("answered", "ops", "Of those, answered.", func(t *SimTrial) any { return &t.Answered }),
		m("items", "items", "Items agreed on.", func(t *SimTrial) any { return &t.Items }),
		m("events", "", "Events of the simulation: deliveries, ticks, faults.",
			func(t *SimTrial) any { return &t.Events }),
		m("judged", "", "Histories, or keys of one, also judged by porcupine with the index hidden.",
			func(t *SimTrial) any { return &t.Judged }),
		m("passed_over", "", "Those with too much overlap for that.",
			func(t *SimTrial) any { return &t.Passed }),
		m("virtual_ns", "ns", "Virtual time simulated.", func(t *SimTrial) any { return &t.VirtualNS }),
		m("cpu_ns", "ns", "CPU time it took.", func(t *SimTrial) any { return &t.CPUNS }),
		{Name: "status", Doc: "ok; void (it could not be finished); unavailable (could not run here).",
			Field: func(t *SimTrial) any { return &t.Status }},
		{Name: "reason", Doc: "Why the status is not ok.", Field: func(t *SimTrial) any { return &t.Reason }},
	}
}

// Covered is one row of coverage.csv.
type Covered struct {
	Branch string
	Count  uint64
}

// Coverage is the schema of coverage.csv.
func Coverage() Table[Covered] {
	return Table[Covered]{
		File: "coverage.csv",
		Doc:  "In experiments on the simulator, how often each rare branch was reached, all families together.",
		Columns: []Column[Covered]{
			{Name: "branch", Doc: "What was reached.", Field: func(c *Covered) any { return &c.Branch }},
			{Name: "count", Doc: "How often.", Field: func(c *Covered) any { return &c.Count }},
		},
	}
}

// SimMetric is a quantity of a block of an experiment on the simulator.
type SimMetric struct {
	Metric
	// of sums up rows of one block.
	of func(block []SimTrial) float64
}

// Value is the metric of the rows of a block; what no row tells is missing.
func (m SimMetric) Value(block []SimTrial) float64 { return m.of(block) }

// SimSeedsToCatch is the metric that figures look up.
const SimSeedsToCatch = "seeds_to_catch"

// SimMetrics lists what summary.csv may hold in experiments on the simulator, in the order of its rows.
func SimMetrics() []SimMetric {
	sum := func(name, unit, doc string, of func(*SimTrial) float64) SimMetric {
		return SimMetric{Metric{name, unit, doc}, func(block []SimTrial) float64 { return fold(block, of, plus) }}
	}
	family := func(of func(*SimTrial) float64) func(*SimTrial) float64 {
		return func(t *SimTrial) float64 {
			if t.Mutation != "" {
				return math.NaN()
			}
			return of(t)
		}
	}
	seeds := family(func(t *SimTrial) float64 { return float64(t.Seeds) })
	return []SimMetric{
		sum("seeds", "", "Simulations of the protocol as it is.", seeds),
		sum("violations", "", "Of those, with a violation.",
			family(func(t *SimTrial) float64 { return float64(t.Violations) })),
		sum("operations", "ops", "Operations checked.",
			family(func(t *SimTrial) float64 { return float64(t.Operations) })),
		sum("events", "", "Events simulated.", family(func(t *SimTrial) float64 { return float64(t.Events) })),
		sum("judged", "", "Histories, or keys of one, judged by porcupine too.",
			family(func(t *SimTrial) float64 { return float64(t.Judged) })),
		{Metric{"cpu_ms_per_seed", "ms", "CPU time a simulation."}, func(block []SimTrial) float64 {
			ns := fold(block, family(func(t *SimTrial) float64 { return float64(t.CPUNS) }), plus)
			return quotient(ns/1e6, fold(block, seeds, plus))
		}},
		sum("missed_mutations", "", "Mutations that no seed caught.", mutated(func(t *SimTrial) float64 {
			if t.Caught {
				return 0
			}
			return 1
		})),
		{Metric{SimSeedsToCatch, "", "Seeds until a mutation was caught; of several, the most."},
			func(block []SimTrial) float64 {
				return fold(block, mutated(func(t *SimTrial) float64 {
					if !t.Caught {
						return math.NaN() // it takes more
					}
					return float64(t.Seeds)
				}), math.Max)
			}},
	}
}

// mutated is a quantity of rows of mutations only.
func mutated(of func(*SimTrial) float64) func(*SimTrial) float64 {
	return func(t *SimTrial) float64 {
		if t.Mutation == "" {
			return math.NaN()
		}
		return of(t)
	}
}

func plus(a, b float64) float64 { return a + b }

// fold joins what the rows that ran tell; missing if none does.
func fold(block []SimTrial, of func(*SimTrial) float64, join func(a, b float64) float64) float64 {
	all := math.NaN()
	for i := range block {
		v := of(&block[i])
		switch {
		case math.IsNaN(v) || block[i].Status != StatusOK:
		case math.IsNaN(all):
			all = v
		default:
			all = join(all, v)
		}
	}
	return all
}
