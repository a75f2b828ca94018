package spec

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"metronome/internal/strictyaml"
)

// Factorial declares an experiment whose trials are arms at points of a grid of factors. A driver carries
// them out; everything else, from the order of trials to the figures, follows from the declaration.
type Factorial struct {
	Head     `yaml:",inline"`
	Driver   string                      `yaml:"driver"` // a name of harness/cmd/lab/drivers.go
	Session  string                      `yaml:"session"`
	Order    string                      `yaml:"order"`
	Claims   []FactorialClaim            `yaml:"claims"`
	Arms     []FactorialArm              `yaml:"arms"`
	Factors  []Factor                    `yaml:"factors"`
	Base     map[string]string           `yaml:"base"` // a value of every factor
	Metrics  []FactorialMetric           `yaml:"metrics"`
	Figures  []FactorialFigure           `yaml:"figures"`
	Profiles map[string]FactorialProfile `yaml:"profiles"`
}

// How long what a driver opened stays up, and what is shuffled within a block.
const (
	SessionBlock = "block" // opened anew for every block; the default
	SessionRun   = "run"   // opened once
	OrderTrials  = "trials"
	OrderArms    = "arms" // an arm's trials stay together, for drivers that start something for an arm
)

// FactorialArm is one of the implementations compared.
type FactorialArm struct {
	Name string              `yaml:"name"`
	What string              `yaml:"what"`
	Set  map[string]string   `yaml:"set"`  // what the driver is told of it
	Only map[string][]string `yaml:"only"` // values of factors that it has; a factor not named: all
}

// Factor is what is varied.
type Factor struct {
	Name string `yaml:"name"`
	Unit string `yaml:"unit"` // s, if its values are durations: axes count them in seconds
	What string `yaml:"what"`
}

// FactorialMetric is what a trial tells.
type FactorialMetric struct {
	Name   string `yaml:"name"`
	Unit   string `yaml:"unit"`
	Better string `yaml:"better"` // less or more: which of several rungs is the best
	What   string `yaml:"what"`
}

// FactorialClaim is what somebody said, in terms of arms, points and metrics.
type FactorialClaim struct {
	Said   `yaml:",inline"`
	Metric string            `yaml:"metric"`
	At     string            `yaml:"at"` // least (the default), or most
	Bound  float64           `yaml:"bound"`
	Always bool              `yaml:"always"` // it holds in every block: one that breaks it refutes the claim
	Arm    string            `yaml:"arm"`
	Cell   map[string]string `yaml:"cell"` // where it differs from the base

	// Of a ratio: what is divided by. Of several rungs, the best of each block counts.
	Rungs      []string          `yaml:"rungs"`
	RungCell   map[string]string `yaml:"rung_cell"`   // where theirs differs from the claim's
	RungMetric string            `yaml:"rung_metric"` // empty: the claim's
	Others     []string          `yaml:"others"`      // further rungs, exploratory
}

// Kinds of figures.
const (
	FigureLines    = "lines"    // metrics against a factor, a line an arm (or a value of another factor)
	FigureBars     = "bars"     // metrics by arm, in groups by a factor
	FigureECDF     = "ecdf"     // shares of all points of a series that are at most x, a line an arm
	FigureTimeline = "timeline" // the points of a series in the first block, a line an arm
)

// FactorialFigure is a picture of the metrics, or of the points, of trials.
type FactorialFigure struct {
	Name  string            `yaml:"name"`
	Kind  string            `yaml:"kind"`
	What  string            `yaml:"what"` // in a sentence
	X     string            `yaml:"x"`    // lines: a factor; timeline, ecdf: the axis' label
	Y     []string          `yaml:"y"`    // lines, bars: metrics, one panel each; timeline, ecdf: series
	By    string            `yaml:"by"`   // lines, bars: a factor whose values are told apart
	Log   []string          `yaml:"log"`  // axes with a logarithmic scale: x, y
	Where map[string]string `yaml:"where"`
	Arms  []string          `yaml:"arms"` // empty: all
}

// FactorialProfile says how much to run.
type FactorialProfile struct {
	Effort     `yaml:",inline"`
	TrialMS    int                 `yaml:"trial_ms"`    // what a trial is to last; 0: until its work is done
	OverheadMS int                 `yaml:"overhead_ms"` // what it takes besides, about
	LimitMS    int                 `yaml:"limit_ms"`    // when it is given up; 0: ten lengths and a minute
	Arms       []string            `yaml:"arms"`        // empty: all
	Base       map[string]string   `yaml:"base"`        // where it differs from the experiment's
	Vary       map[string][]string `yaml:"vary"`        // values of factors, each round the base by itself
	Product    bool                `yaml:"product"`     // all combinations of what is varied instead
	Cells      []map[string]string `yaml:"cells"`       // further points: where they differ from the base
	NoisePair  string              `yaml:"noise_pair"`  // the arm measured twice at the base in every block
}

// Length is what a trial is asked to last.
func (p FactorialProfile) Length() time.Duration { return time.Duration(p.TrialMS) * time.Millisecond }

// Limit is when a trial is given up.
func (p FactorialProfile) Limit() time.Duration {
	if p.LimitMS > 0 {
		return time.Duration(p.LimitMS) * time.Millisecond
	}
	return 10*p.Length() + time.Minute
}

// LoadFactorial reads experiments/<name>/experiment.yaml under root, which must be of kind factorial.
func LoadFactorial(root, name string) (*Factorial, error) {
	return loadAs(root, name, ParseFactorial, func(e *Factorial) string { return e.Name })
}

// ParseFactorial reads a declaration of kind factorial and checks it.
func ParseFactorial(b []byte) (*Factorial, error) {
	var e Factorial
	if _, err := strictyaml.Decode(b, &e); err != nil {
		return nil, err
	}
	e.hash = hashOf(b)
	e.Session, e.Order = cmp.Or(e.Session, SessionBlock), cmp.Or(e.Order, OrderTrials)
	return &e, e.check()
}

// Profile finds a profile by name.
func (e *Factorial) Profile(name string) (FactorialProfile, error) {
	return profileNamed(e.Profiles, name)
}

func (e *Factorial) armNames() []string {
	return namesOf(e.Arms, func(a FactorialArm) string { return a.Name })
}

func (e *Factorial) factorNames() []string {
	return namesOf(e.Factors, func(f Factor) string { return f.Name })
}

func (e *Factorial) metricNames() []string {
	return namesOf(e.Metrics, func(m FactorialMetric) string { return m.Name })
}

// Metric finds a metric by name.
func (e *Factorial) Metric(name string) (FactorialMetric, bool) {
	i := slices.Index(e.metricNames(), name)
	if i < 0 {
		return FactorialMetric{}, false
	}
	return e.Metrics[i], true
}

func (e *Factorial) check() error {
	switch {
	case e.Kind != KindFactorial:
		return fmt.Errorf("kind %q: use %s", e.Kind, KindFactorial)
	case e.Name == "" || e.Question == "" || e.Driver == "":
		return errors.New("name, question and driver must be given")
	case len(e.Arms) == 0 || len(e.Metrics) == 0:
		return errors.New("arms and metrics must be given")
	}
	if err := cmp.Or(oneOf("session", e.Session, SessionBlock, SessionRun),
		oneOf("order", e.Order, OrderTrials, OrderArms),
		names("arm", e.armNames()), names("factor", e.factorNames()),
		names("metric", e.metricNames())); err != nil {
		return err
	}
	for _, m := range e.Metrics {
		if err := oneOf("better", m.Better, "less", "more"); err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
	}
	if err := e.checkBase(); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	for _, a := range e.Arms {
		if err := e.checkArm(a); err != nil {
			return fmt.Errorf("arm %s: %w", a.Name, err)
		}
	}
	return e.checkUses()
}

// checkUses checks what refers to arms, factors and metrics.
func (e *Factorial) checkUses() error {
	for _, c := range e.Claims {
		if err := e.checkClaim(c); err != nil {
			return fmt.Errorf("claim %s: %w", c.Name, err)
		}
	}
	figures := namesOf(e.Figures, func(f FactorialFigure) string { return f.Name })
	if err := unique("figure", figures); err != nil {
		return err
	}
	for _, f := range e.Figures {
		if err := e.checkFigure(f); err != nil {
			return fmt.Errorf("figure %s: %w", f.Name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Profiles)) {
		if err := e.checkProfile(e.Profiles[name]); err != nil {
			return fmt.Errorf("profile %s: %w", name, err)
		}
	}
	return nil
}

// word is what a name or a value of a factor may look like: it stands between spaces and an equals sign.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/+%-]*$`)

// names is an error for a name that is empty, there twice, or no word.
func names(what string, all []string) error {
	for _, n := range all {
		if n != "" && !word.MatchString(n) {
			return fmt.Errorf("%s %q: use letters, digits and any of . _ : / + %% -", what, n)
		}
	}
	return unique(what, all)
}

// oneOf is an error for a value that is none of known.
func oneOf(what, value string, known ...string) error {
	if !slices.Contains(known, value) {
		return unknownName(what, value, known)
	}
	return nil
}

func (e *Factorial) checkBase() error {
	for _, f := range e.factorNames() {
		if e.Base[f] == "" {
			return fmt.Errorf("a value of %s must be given", f)
		}
	}
	return e.checkCell(e.Base)
}

// checkCell checks that a point's factors exist and that their values are words.
func (e *Factorial) checkCell(cell map[string]string) error {
	for _, f := range slices.Sorted(maps.Keys(cell)) {
		if err := known("factor", e.factorNames(), f); err != nil {
			return err
		}
		if !word.MatchString(cell[f]) {
			return fmt.Errorf("%s %q: use letters, digits and any of . _ : / + %% -", f, cell[f])
		}
	}
	return nil
}

func (e *Factorial) checkLists(lists map[string][]string) error {
	for _, f := range slices.Sorted(maps.Keys(lists)) {
		if len(lists[f]) == 0 {
			return fmt.Errorf("%s: give at least one value", f)
		}
		for _, v := range lists[f] {
			if err := e.checkCell(map[string]string{f: v}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Factorial) checkArm(a FactorialArm) error {
	if a.What == "" {
		return errors.New("what must be given: what it is, in a line")
	}
	return e.checkLists(a.Only)
}

func (e *Factorial) checkClaim(c FactorialClaim) error {
	if err := checkAt(c.At); err != nil {
		return err
	}
	switch {
	case c.Name == "" || c.Words == "" || c.Metric == "" || c.Arm == "":
		return errors.New("name, words, metric and arm must be given")
	case len(c.Rungs) == 0 && len(c.Others)+len(c.RungCell)+len(c.RungMetric) > 0:
		return errors.New("rungs must be given: what is divided by")
	case !(c.Bound >= 0) || c.Bound == 0 && c.At != "most":
		return fmt.Errorf("bound %v must be above 0", c.Bound)
	}
	return cmp.Or(known("arm", e.armNames(), append(slices.Concat(c.Rungs, c.Others), c.Arm)...),
		known("metric", e.metricNames(), c.Metric, c.RungMetric), e.checkCell(c.Cell), e.checkCell(c.RungCell))
}

func (e *Factorial) checkFigure(f FactorialFigure) error {
	if f.What == "" || len(f.Y) == 0 {
		return errors.New("what and y must be given")
	}
	err := cmp.Or(oneOf("kind", f.Kind, FigureLines, FigureBars, FigureECDF, FigureTimeline),
		known("arm", e.armNames(), f.Arms...), known("log", []string{"x", "y"}, f.Log...),
		known("factor", e.factorNames(), f.By), e.checkCell(f.Where))
	switch {
	case err != nil:
		return err
	case f.Kind == FigureLines && f.X == "":
		return errors.New("x must be given: a factor")
	case f.Kind == FigureLines:
		return cmp.Or(known("factor", e.factorNames(), f.X), known("metric", e.metricNames(), f.Y...))
	case f.Kind == FigureBars:
		return known("metric", e.metricNames(), f.Y...)
	}
	return nil
}

func (e *Factorial) checkProfile(p FactorialProfile) error {
	if p.Blocks < 1 || p.TrialMS < 0 || p.OverheadMS < 0 || p.LimitMS < 0 {
		return errors.New("blocks must be at least 1, trial_ms, overhead_ms and limit_ms not negative")
	}
	for _, c := range p.Cells {
		if err := e.checkCell(c); err != nil {
			return err
		}
	}
	return cmp.Or(known("arm", e.armNames(), append(slices.Clone(p.Arms), p.NoisePair)...), e.checkCell(p.Base),
		e.checkLists(p.Vary))
}
