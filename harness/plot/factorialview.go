package plot

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"gonum.org/v1/plot/vg"

	"metronome/harness/check"
	"metronome/harness/record"
	"metronome/harness/stats"
)

// factorialView is a run of a factorial experiment as figures see it.
type factorialView struct {
	record.Results
	design record.Design
	index  *check.Factorials
	rows   map[check.Ref]map[string]record.Summary
	used   map[record.FactorialPoint]bool // trials that may be used, by what identifies them
}

func allFactorials(r record.Results) (figures []Figure, err error) {
	if r.Manifest.Design == nil {
		return nil, fmt.Errorf("figures: %w: the manifest has no design", ErrNoData)
	}
	v := newFactorialView(r)
	var errs []error
	for _, d := range v.design.Figures {
		f, err := v.draw(d)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		figures = append(figures, f)
	}
	return figures, errors.Join(errs...)
}

func newFactorialView(r record.Results) *factorialView {
	v := &factorialView{Results: r, design: *r.Manifest.Design, used: map[record.FactorialPoint]bool{},
		rows: map[check.Ref]map[string]record.Summary{}}
	v.index = check.NewFactorials(r.Factorials, v.design.Metrics)
	if len(v.Summaries) == 0 {
		v.Summaries = v.index.Summarise()
	}
	for _, s := range v.Summaries {
		ref := check.Ref{Arm: s.Arm, Placement: s.Placement, Cell: s.Cell}
		if v.rows[ref] == nil {
			v.rows[ref] = map[string]record.Summary{}
		}
		v.rows[ref][s.Metric] = s
	}
	for _, t := range r.Factorials {
		if t.Status == record.StatusOK {
			v.used[record.FactorialPoint{Block: t.Block, Arm: t.Arm, Cell: t.Cell, Repeat: t.Repeat,
				Attempt: t.Attempt}] = true
		}
	}
	return v
}

func (v *factorialView) draw(d record.DesignFigure) (Figure, error) {
	switch d.Kind {
	case "lines":
		return v.lines(d)
	case "bars":
		return v.bars(d)
	case "ecdf":
		return v.series(d, ecdfCurve)
	case "timeline":
		return v.series(d, courseCurve)
	}
	return Figure{}, fmt.Errorf("figure %s: there is no kind %q", d.Name, d.Kind)
}

// armsOf are the arms of a figure, with their looks, which are the same in every figure.
func (v *factorialView) armsOf(d record.DesignFigure) (names []string) {
	for _, a := range v.design.Arms {
		if len(d.Arms) == 0 || slices.Contains(d.Arms, a.Name) {
			names = append(names, a.Name)
		}
	}
	return names
}

func (v *factorialView) lookOfArm(arm string) look {
	return lookOf(slices.IndexFunc(v.design.Arms, func(a record.DesignName) bool { return a.Name == arm }))
}

// cellsOf are the cells of an arm that a figure is about: where the factors that it leaves free may have any
// value, and the others have those that it names, or the base's.
func (v *factorialView) cellsOf(d record.DesignFigure, arm string, free ...string) (cells []string) {
	for _, ref := range v.index.Refs() {
		if ref.Arm == arm && v.matches(d, ref.Cell, free) {
			cells = append(cells, ref.Cell)
		}
	}
	slices.SortFunc(cells, record.CompareCells)
	return cells
}

func (v *factorialView) matches(d record.DesignFigure, cell string, free []string) bool {
	for _, f := range v.design.Factors {
		want := cmp.Or(d.Where[f.Name], v.design.Base[f.Name])
		if !slices.Contains(free, f.Name) && record.FactorOf(cell, f.Name) != want {
			return false
		}
	}
	return true
}

func (v *factorialView) at(arm, cell, metric string) point {
	s, ok := v.rows[check.Ref{Arm: arm, Cell: cell}][metric]
	if !ok {
		return missing()
	}
	return pointOf(s)
}

// label names an axis: a factor's or metric's name with its unit, which is not said twice.
func label(all []record.DesignName, name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	for _, n := range all {
		if n.Name != name || n.Unit == "" {
			continue
		}
		words = strings.TrimSuffix(words, " "+n.Unit)
		if what, ok := strings.CutSuffix(words, " per s"); ok && strings.HasSuffix(n.Unit, "/s") {
			words = what
		}
		if strings.HasPrefix(n.Unit, words) {
			return n.Unit
		}
		if strings.HasPrefix(words, n.Unit+" ") {
			return words // messages per round
		}
		return words + ", " + n.Unit
	}
	return words
}

// scaleOf is an axis' scale, as the figure declares it.
func scaleOf(d record.DesignFigure, axis string, values []float64) scale {
	if slices.Contains(d.Log, axis) {
		return logScale(values...)
	}
	return linearScale(values...)
}

// footer returns the lines of conditions, broken to a width.
func (v *factorialView) footer(width vg.Length, extra []string) (lines []string) {
	for _, l := range v.conditions(extra) {
		lines = append(lines, wrap(l, sizeSmall, width)...)
	}
	return lines
}

func (v *factorialView) conditions(extra []string) []string {
	m := v.Manifest
	lines := append([]string{pathWords(m) + "; " + v.blocks() + "."}, extra...)
	for _, a := range v.design.Arms {
		if !v.index.Ran(a.Name) && v.index.Why(a.Name) != "" {
			lines = append(lines, absenceWords(a.Name, v.index.Why(a.Name)))
		}
	}
	return append(lines, hostWords(m))
}

func (v *factorialView) blocks() string {
	most := 0
	for _, s := range v.Summaries {
		most = max(most, s.N)
	}
	n := fmt.Sprintf("n = %d", most)
	d, coverage := stats.Ranks(most, stats.Level)
	if d == 0 {
		return n + " blocks, no intervals"
	}
	return fmt.Sprintf("medians of %s blocks, bars: %.1f\u00a0%% intervals", n, 100*coverage)
}

// where says at which point a figure stands.
func (v *factorialView) where(d record.DesignFigure, free ...string) []string {
	var parts []string
	for _, f := range v.design.Factors {
		if !slices.Contains(free, f.Name) {
			parts = append(parts, factorWords(f, cmp.Or(d.Where[f.Name], v.design.Base[f.Name])))
		}
	}
	if len(parts) == 0 {
		return []string{d.What}
	}
	return []string{strings.TrimSuffix(d.What, ".") + ". At " + strings.Join(parts, ", ") + "."}
}

// factorWords is a factor with its value and unit, unless the value (1s) or the name (replicas) says the unit
// itself, or the value is a word (none).
func factorWords(f record.DesignName, value string) string {
	words := strings.ReplaceAll(f.Name, "_", " ")
	said := words + " " + value
	number := value != "" && unicode.IsDigit(rune(value[len(value)-1]))
	if !number || f.Unit == "" || strings.HasSuffix(" "+words, " "+f.Unit) {
		return said
	}
	return said + " " + f.Unit
}

// kept are the places that a figure's scales can show, in order of x.
func kept(all []place, x, y scale) (places []place) {
	for _, p := range all {
		if p.y.drawn(y) && !math.IsNaN(p.x) && (!x.log || p.x > 0) {
			places = append(places, p)
		}
	}
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(a.x, b.x) })
	return places
}
