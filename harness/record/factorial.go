package record

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ExperimentFactorial is [Manifest.Kind] of experiments whose trials are arms at points of a grid of factors.
const ExperimentFactorial = "factorial"

// Design is what a factorial experiment's declaration says that its tables and figures need.
type Design struct {
	Driver  string            `json:"driver"`
	Arms    []DesignName      `json:"arms"`
	Factors []DesignName      `json:"factors"`
	Base    map[string]string `json:"base"` // as the run's profile has it
	Metrics []DesignName      `json:"metrics"`
	Figures []DesignFigure    `json:"figures"`
}

// DesignName is an arm, a factor or a metric.
type DesignName struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	What string `json:"what"`
}

// DesignFigure is a figure as declared: see spec.FactorialFigure for what each field means.
type DesignFigure struct {
	Name  string            `json:"name"`
	Kind  string            `json:"kind"`
	What  string            `json:"what"`
	X     string            `json:"x,omitempty"`
	Y     []string          `json:"y"`
	By    string            `json:"by,omitempty"`
	Log   []string          `json:"log,omitempty"`
	Where map[string]string `json:"where,omitempty"`
	Arms  []string          `json:"arms,omitempty"`
}

// FactorialRow is one row of trials.csv of a factorial experiment: one metric of one trial.
type FactorialRow struct {
	Experiment, RunID     string
	Block                 int
	Arm, Cell             string
	Repeat, Attempt       int
	Seed                  uint64
	StartMS, TookMS       float64
	StealRatio            float64
	Status, Flags, Reason string
	Metric, Unit          string
	Value                 float64
	Censor                string
}

// FactorialRows is the schema of trials.csv of factorial experiments.
func FactorialRows() Table[FactorialRow] {
	return Table[FactorialRow]{
		File: "trials.csv",
		Doc: "In factorial experiments, one row for each metric of each trial: one arm at one point of the " +
			"factors. A trial that told nothing has one row without a metric, which says why.",
		Columns: append(factorialIdentity(), factorialFindings()...),
	}
}

func factorialIdentity() []Column[FactorialRow] {
	return []Column[FactorialRow]{
		{Name: "experiment", Doc: "Name of the experiment.",
			Field: func(r *FactorialRow) any { return &r.Experiment }},
		{Name: "run_id", Doc: "UTC start, commit and declaration of the run, as above.",
			Field: func(r *FactorialRow) any { return &r.RunID }},
		{Name: "block", Doc: "Randomised block; ratios are formed within a block.",
			Field: func(r *FactorialRow) any { return &r.Block }},
		{Name: "arm", Doc: "What is compared.", Field: func(r *FactorialRow) any { return &r.Arm }},
		{Name: "cell", Doc: "Every factor with its value; manifest.json says what they mean.",
			Field: func(r *FactorialRow) any { return &r.Cell }},
		{Name: "repeat", Doc: "2 of the second of two equal trials of a block, which shows the noise floor.",
			Field: func(r *FactorialRow) any { return &r.Repeat }},
		{Name: "attempt", Doc: "Attempts at this trial so far; only the last one counts.",
			Field: func(r *FactorialRow) any { return &r.Attempt }},
		{Name: "seed", Doc: "Seed of the trial's random choices; all arms at a point of a block share it.",
			Field: func(r *FactorialRow) any { return &r.Seed }},
		{Name: "start_ms", Unit: "ms", Doc: "When the trial began, from the first one's beginning.",
			Field: func(r *FactorialRow) any { return &r.StartMS }},
		{Name: "took_ms", Unit: "ms", Doc: "How long it took, everything round it included.",
			Field: func(r *FactorialRow) any { return &r.TookMS }},
	}
}

func factorialFindings() []Column[FactorialRow] {
	return []Column[FactorialRow]{
		{Name: "steal_ratio", Doc: "Share of all cores' time that the hypervisor took meanwhile.",
			Field: func(r *FactorialRow) any { return &r.StealRatio }},
		{Name: "status", Doc: "ok; void (ran, and may not be used); unavailable (could not run here).",
			Field: func(r *FactorialRow) any { return &r.Status }},
		{Name: "flags", Doc: "Remarks, joined by semicolons; steal: the hypervisor interfered.",
			Field: func(r *FactorialRow) any { return &r.Flags }},
		{Name: "reason", Doc: "Why the status is not ok.",
			Field: func(r *FactorialRow) any { return &r.Reason }},
		{Name: "metric", Doc: "What the row is about; manifest.json lists them. Empty: the trial told nothing.",
			Field: func(r *FactorialRow) any { return &r.Metric }},
		{Name: "unit", Doc: "Unit of value.", Field: func(r *FactorialRow) any { return &r.Unit }},
		{Name: "value", Doc: "As measured.", Field: func(r *FactorialRow) any { return &r.Value }},
		{Name: "censor", Doc: "none: the value was seen; lower: it is at least that; upper: at most.",
			Field: func(r *FactorialRow) any { return &r.Censor }},
	}
}

// NewFactorialRow returns a row in which every measurement is missing.
func NewFactorialRow() FactorialRow { return FactorialRows().New() }

// FactorialPoint is one row of timeline.csv of a factorial experiment.
type FactorialPoint struct {
	Block           int
	Arm, Cell       string
	Repeat, Attempt int
	Series          string
	X, Y            float64
}

// FactorialPoints is the schema of timeline.csv of factorial experiments.
func FactorialPoints() Table[FactorialPoint] {
	return Table[FactorialPoint]{
		File: "timeline.csv",
		Doc: "In factorial experiments, one row for each point of a trial's series, where its driver keeps some: " +
			"a course of time, or single values.",
		Columns: []Column[FactorialPoint]{
			{Name: "block", Doc: "As in trials.csv.", Field: func(p *FactorialPoint) any { return &p.Block }},
			{Name: "arm", Doc: "As in trials.csv.", Field: func(p *FactorialPoint) any { return &p.Arm }},
			{Name: "cell", Doc: "As in trials.csv.", Field: func(p *FactorialPoint) any { return &p.Cell }},
			{Name: "repeat", Doc: "As in trials.csv.", Field: func(p *FactorialPoint) any { return &p.Repeat }},
			{Name: "attempt", Doc: "As in trials.csv.", Field: func(p *FactorialPoint) any { return &p.Attempt }},
			{Name: "series", Doc: "What the point belongs to, with its unit.",
				Field: func(p *FactorialPoint) any { return &p.Series }},
			{Name: "x", Doc: "Where, as a rule seconds from the trial's beginning.",
				Field: func(p *FactorialPoint) any { return &p.X }},
			{Name: "y", Doc: "The value there.", Field: func(p *FactorialPoint) any { return &p.Y }},
		},
	}
}

// FactorialNoise is the metric of a pair of equal trials: second over first, of the first metric declared.
const FactorialNoise = "aa_ratio"

// FactorOf is the value of a factor in a cell, or "".
func FactorOf(cell, factor string) string {
	for part := range strings.SplitSeq(cell, " ") {
		if name, value, _ := strings.Cut(part, "="); name == factor {
			return value
		}
	}
	return ""
}

// CompareCells orders cells factor by factor: by number where both are one, else by text.
func CompareCells(a, b string) int {
	return slices.CompareFunc(strings.Split(a, " "), strings.Split(b, " "), func(x, y string) int {
		_, v, _ := strings.Cut(x, "=")
		_, w, _ := strings.Cut(y, "=")
		return CompareValues(v, w)
	})
}

// CompareValues orders values of a factor: numbers and durations by size, before other text.
func CompareValues(v, w string) int {
	m, n := FactorNumber(v), FactorNumber(w)
	switch {
	case !math.IsNaN(m) && !math.IsNaN(n):
		return cmp.Or(cmp.Compare(m, n), cmp.Compare(v, w))
	case math.IsNaN(m) != math.IsNaN(n):
		return cmp.Compare(n, m) // cmp.Compare puts NaN first
	}
	return cmp.Compare(v, w)
}

// FactorNumber is a factor's value as a number, a duration in seconds; NaN if it is neither.
func FactorNumber(v string) float64 {
	if n, err := strconv.ParseFloat(v, 64); err == nil {
		return n
	}
	if d, err := time.ParseDuration(v); err == nil {
		return d.Seconds()
	}
	return math.NaN()
}
