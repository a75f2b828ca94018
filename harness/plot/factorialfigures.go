package plot

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"

	"metronome/harness/record"
)

// lines draws metrics against a factor, one panel each: a curve an arm, or one an arm and value of another
// factor.
func (v *factorialView) lines(d record.DesignFigure) (Figure, error) {
	x := v.positions(d)
	var panels []linePanel
	for _, metric := range d.Y {
		curves := v.curvesAgainst(d, metric, x.at)
		if len(curves) == 0 {
			continue
		}
		_, ys := valuesOf(curves)
		own := &axes{x: x.scale, xTicks: x.ticks, y: scaleOf(d, "y", ys), xLabel: label(v.design.Factors, d.X),
			yLabel: label(v.design.Metrics, metric)}
		panels = append(panels, linePanel{curves: curves, own: own})
	}
	if len(panels) == 0 {
		return Figure{}, noData(d.Name, "no trial at its points told its metrics")
	}
	f := lineFigure{view: v, panels: panels, panelHeight: 95, dodge: 1.5, extra: v.where(d, d.X, d.By)}
	return f.build(d.Name, d.What), nil
}

// positions is where the values of a factor lie on an axis.
type positions struct {
	scale scale
	ticks []tick // nil: the scale's own
	at    func(value string) float64
}

// positions finds places for the values of a figure's x: by size if all are numbers or durations, else one
// beside the other.
func (v *factorialView) positions(d record.DesignFigure) positions {
	var values []string
	for _, arm := range v.armsOf(d) {
		for _, cell := range v.cellsOf(d, arm, d.X, d.By) {
			if x := record.FactorOf(cell, d.X); !slices.Contains(values, x) {
				values = append(values, x)
			}
		}
	}
	slices.SortFunc(values, record.CompareValues)
	var numbers []float64
	for _, x := range values {
		numbers = append(numbers, record.FactorNumber(x))
	}
	logarithmic := slices.Contains(d.Log, "x")
	placeless := func(n float64) bool { return math.IsNaN(n) || n < 0 || logarithmic && n == 0 }
	if !slices.ContainsFunc(numbers, placeless) {
		return positions{scale: scaleOf(d, "x", numbers), at: record.FactorNumber}
	}
	p := positions{scale: scale{max: float64(len(values) + 1)}, at: func(x string) float64 {
		return float64(slices.Index(values, x) + 1)
	}}
	for i, x := range values {
		p.ticks = append(p.ticks, tick{float64(i + 1), x})
	}
	return p
}

// curvesAgainst are the curves of a metric. A curve of one point is a mark.
func (v *factorialView) curvesAgainst(d record.DesignFigure, metric string, x func(string) float64) []curve {
	type line struct{ arm, by string }
	points := map[line][]place{}
	var order []line
	for _, arm := range v.armsOf(d) {
		for _, cell := range v.cellsOf(d, arm, d.X, d.By) {
			l := line{arm, record.FactorOf(cell, d.By)}
			if !slices.Contains(order, l) {
				order = append(order, l)
			}
			points[l] = append(points[l], place{x: x(record.FactorOf(cell, d.X)), y: v.at(arm, cell, metric)})
		}
	}
	slices.SortStableFunc(order, func(a, b line) int { return record.CompareValues(a.by, b.by) })
	arms := len(v.armsOf(d))
	var curves []curve
	for i, l := range order {
		c := curve{name: l.arm, look: v.lookOfArm(l.arm)}
		if d.By != "" {
			c.look, c.name = lookOf(i), l.arm+" "+l.by
		}
		if d.By != "" && arms == 1 {
			c.name = strings.ReplaceAll(d.By, "_", " ") + " " + l.by
		}
		c.points = kept(points[l], scale{log: slices.Contains(d.Log, "x")}, scale{log: slices.Contains(d.Log, "y")})
		if len(c.points) > 0 {
			curves = append(curves, c)
		}
	}
	return curves
}

// barRows is a factorial run of which some arms are rows.
type barRows struct {
	*factorialView
	arms []string
}

func (b barRows) names() []string        { return b.arms }
func (b barRows) group(string) int       { return 0 }
func (b barRows) absent(arm string) bool { return !b.index.Ran(arm) }

// bars draws metrics by arm, beside each other, in groups by a factor.
func (v *factorialView) bars(d record.DesignFigure) (Figure, error) {
	arms := v.armsOf(d)
	groups := []string{""}
	for _, arm := range arms {
		for _, cell := range v.cellsOf(d, arm, d.By) {
			if g := record.FactorOf(cell, d.By); g != "" && !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
	}
	if len(groups) > 1 {
		groups = groups[1:]
	}
	slices.SortFunc(groups, record.CompareValues)
	f := rowFigure{view: barRows{v, arms}, extra: v.where(d, d.By)}
	for i, g := range groups {
		if g != "" {
			f.legend = append(f.legend, glyphEntry(label(v.design.Factors, d.By)+" "+g, groupLook(i)))
		}
	}
	drawn := false
	for _, metric := range d.Y {
		c := v.barColumn(d, metric, groups, arms)
		drawn = drawn || anyDrawn(spread(arms, c.series...))
		f.columns = append(f.columns, c)
	}
	if !drawn {
		return Figure{}, noData(d.Name, "no trial at its points told its metrics")
	}
	return f.build(d.Name, d.What), nil
}

// groupLook is how a group's bars are marked.
func groupLook(i int) look {
	l := lookOf(i)
	l.glyph = square
	return l
}

// barColumn is one metric: a bar for each arm and group, its end marked with the interval.
func (v *factorialView) barColumn(d record.DesignFigure, metric string, groups, arms []string) column {
	c := column{label: label(v.design.Metrics, metric)}
	height := min(8, (rowHeight-2)/vg.Length(len(groups)))
	for i, g := range groups {
		lift := (vg.Length(len(groups)-1)/2 - vg.Length(i)) * height
		c.series = append(c.series, series{look: look{color: black, glyph: none}, lift: lift,
			value: func(arm string) point { return v.inGroup(d, arm, g, metric) }})
	}
	c.scale = scaleOf(d, "x", spread(arms, c.series...))
	c.bars = func(p pen, a panel, arm string, y vg.Length) {
		for i, s := range c.series {
			if at := s.value(arm); at.drawn(a.x) {
				middle := y + s.lift
				p.rectangle(a.x0, middle-height/2+0.4, a.x.at(at.v, a.x0, a.x1), middle+height/2-0.4,
					groupLook(i).color, nil)
			}
		}
	}
	return c
}

// inGroup is an arm's metric at a figure's point, with a value of the factor that groups.
func (v *factorialView) inGroup(d record.DesignFigure, arm, group, metric string) point {
	for _, cell := range v.cellsOf(d, arm, d.By) {
		if record.FactorOf(cell, d.By) == group {
			return v.at(arm, cell, metric)
		}
	}
	return missing()
}

// mostDrawn bounds the points that are drawn of a series.
const mostDrawn = 400

// series draws the points of trials, a panel a series and a curve an arm.
func (v *factorialView) series(d record.DesignFigure,
	draw func(name string, l look, points []record.FactorialPoint) curve) (Figure, error) {
	var panels []linePanel
	for _, name := range d.Y {
		var curves []curve
		for _, arm := range v.armsOf(d) {
			if points := v.pointsOf(d, arm, name); len(points) > 0 {
				curves = append(curves, draw(arm, v.lookOfArm(arm), points))
			}
		}
		if len(curves) == 0 {
			continue
		}
		xs, ys := valuesOf(curves)
		own := &axes{x: scaleOf(d, "x", xs), y: scaleOf(d, "y", ys), xLabel: cmp.Or(d.X, "s"), yLabel: name}
		if d.Kind == "ecdf" {
			own.y, own.yLabel, own.xLabel = scale{max: 1}, "share", cmp.Or(d.X, name)
		}
		panels = append(panels, linePanel{curves: curves, own: own})
	}
	if len(panels) == 0 {
		return Figure{}, noData(d.Name, "no trial at its point kept such series")
	}
	f := lineFigure{view: v, panels: panels, panelHeight: 95, extra: v.where(d)}
	return f.build(d.Name, d.What), nil
}

// pointsOf are the points of a series of an arm's usable trials at a figure's point: of all blocks for a
// distribution, of the first one for a course.
func (v *factorialView) pointsOf(d record.DesignFigure, arm, series string) (points []record.FactorialPoint) {
	first := 0
	for _, p := range v.Points {
		trial := p
		trial.Series, trial.X, trial.Y = "", 0, 0
		if p.Arm != arm || p.Series != series || p.Repeat > 1 || !v.used[trial] || !v.matches(d, p.Cell, nil) {
			continue
		}
		first = cmp.Or(first, p.Block)
		if d.Kind == "ecdf" || p.Block == first {
			points = append(points, p)
		}
	}
	return points
}

// courseCurve is a series in the order of x, marked at its end.
func courseCurve(name string, l look, points []record.FactorialPoint) curve {
	slices.SortStableFunc(points, func(a, b record.FactorialPoint) int { return cmp.Compare(a.X, b.X) })
	c := curve{name: name, look: l}
	stride := (len(points) + mostDrawn - 1) / mostDrawn
	for i, p := range points {
		if last := i == len(points)-1; last || i%stride == 0 {
			c.points = append(c.points, place{x: p.X, y: bare(p.Y), quiet: !last})
		}
	}
	return c
}

// ecdfCurve is the share of a series' values that are at most x, marked at the median and at the end.
func ecdfCurve(name string, l look, points []record.FactorialPoint) curve {
	var values []float64
	for _, p := range points {
		values = append(values, p.Y)
	}
	slices.Sort(values)
	n := len(values)
	c := curve{name: name, look: l}
	for i := range min(n, mostDrawn) {
		at := (i + 1) * n / min(n, mostDrawn) // values up to here
		c.points = append(c.points, place{x: values[at-1], y: bare(float64(at) / float64(n)),
			quiet: i != (min(n, mostDrawn)-1)/2 && at != n})
	}
	return c
}
