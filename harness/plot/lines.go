package plot

import (
	"cmp"
	"slices"

	"gonum.org/v1/plot/vg"
)

// curve is one line of a line figure, named at its right end.
type curve struct {
	name   string
	look   look
	thick  bool
	points []place
	bare   bool // marks without a line
}

// place is a point of a curve: x, and y with its interval. A quiet one only bends the line.
type place struct {
	x     float64
	y     point
	quiet bool
}

// linePanel is one pair of axes of a line figure.
type linePanel struct {
	title  string
	curves []curve
	rule   curve // a line without marks under the curves; named too if it has a name

	own *axes // nil: the figure's
}

// axes are a panel's own.
type axes struct {
	x, y           scale
	xLabel, yLabel string
	xTicks         []tick
}

// footed is a run that states its conditions under a figure.
type footed interface {
	footer(width vg.Length, extra []string) []string
}

// lineFigure has panels below each other that share their axes, with curves named at the right.
type lineFigure struct {
	view           footed
	panels         []linePanel
	xLabel, yLabel string
	x, y           scale
	xTicks         []tick // nil: the scale's own
	panelHeight    vg.Length
	dodge          vg.Length // between curves at the same x, so that their intervals show
	extra          []string
}

const (
	leftRoom   = vg.Length(32)
	titleRoom  = sizeText + 4
	nameSample = vg.Length(11)
)

func (f lineFigure) build(name, alt string) Figure {
	inner := columnWidth - 2*margin
	footer := f.view.footer(inner, f.extra)
	axis := tickLength + tickRoom + labelRoom + 3
	n := vg.Length(len(f.panels))
	foot := vg.Length(len(footer)) * footerLine
	height := 2*margin + foot + n*(f.panelHeight+titleRoom+axis)
	return Figure{Name: name, Alt: alt, width: columnWidth, height: height, paint: func(p pen) {
		drawFooter(p, footer)
		for i, panel := range f.panels {
			top := height - margin - titleRoom - vg.Length(i)*(f.panelHeight+titleRoom+axis)
			f.drawPanel(p, panel, top)
		}
	}}
}

// nameRoom returns the width that the names at the right take.
func (f lineFigure) nameRoom() vg.Length {
	room := vg.Length(0)
	for _, panel := range f.panels {
		for _, c := range append(panel.curves[:len(panel.curves):len(panel.curves)], panel.rule) {
			room = max(room, textWidth(clip(c.name, sizeSmall, mostName), sizeSmall))
		}
	}
	return room + nameSample + 6
}

func (f lineFigure) drawPanel(p pen, l linePanel, top vg.Length) {
	of := axes{f.x, f.y, f.xLabel, f.yLabel, f.xTicks}
	if l.own != nil {
		of = *l.own
	}
	a := panel{x0: margin + leftRoom, x1: columnWidth - margin - f.nameRoom(),
		y0: top - f.panelHeight, y1: top, x: of.x, y: of.y}
	ticks := of.xTicks
	if ticks == nil {
		ticks = a.x.ticks(a.x1-a.x0, 20)
	}
	a.xAxis(p, of.xLabel, ticks)
	a.yAxis(p, of.yLabel, a.y.ticks(a.y1-a.y0, 14))
	p.text(a.x0, top+3.5, l.title, sizeText, left, black)
	a.drawRule(p, l.rule)
	for i, c := range l.curves {
		shift := (vg.Length(i) - vg.Length(len(l.curves)-1)/2) * f.dodge
		a.drawCurve(p, c, shift)
	}
	a.frame(p)
	if l.rule.name != "" {
		a.drawNames(p, append(l.curves[:len(l.curves):len(l.curves)], l.rule))
		return
	}
	a.drawNames(p, l.curves)
}

// drawRule draws a curve as a bare line.
func (a panel) drawRule(p pen, c curve) {
	var path []vg.Point
	for _, d := range c.points {
		path = append(path, a.at(d.x, d.y.v))
	}
	p.line(widthData, c.look.color, c.look.dashes, path...)
}

func (a panel) drawCurve(p pen, c curve, shift vg.Length) {
	where := func(x, y float64) vg.Point { return a.at(x, y).Add(vg.Point{X: shift}) }
	var path []vg.Point
	for _, d := range c.points {
		path = append(path, where(d.x, d.y.v))
	}
	width := widthData
	if c.thick {
		width *= 1.8
	}
	if !c.bare {
		p.line(width, c.look.color, c.look.dashes, path...)
	}
	for i, d := range c.points {
		if d.quiet {
			continue
		}
		p.interval(d.y, c.look, vg.Point{X: capLength},
			func(y float64) vg.Point { return where(d.x, y) })
		p.mark(path[i], c.look)
	}
}

// drawNames writes each curve's name at the right, as near to its end as the others allow, with its
// mark and a thin leader.
func (a panel) drawNames(p pen, curves []curve) {
	curves = slices.DeleteFunc(slices.Clone(curves), func(c curve) bool { return c.name == "" })
	ends := make([]vg.Point, len(curves))
	order := make([]int, len(curves))
	for i, c := range curves {
		last := c.points[len(c.points)-1]
		ends[i], order[i] = a.at(last.x, last.y.v), i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(ends[j].Y, ends[i].Y) })
	wanted := make([]vg.Length, len(order))
	for k, i := range order {
		wanted[k] = ends[i].Y
	}
	for k, y := range apart(wanted, sizeSmall+1.2, a.y0, a.y1) {
		c := curves[order[k]]
		x := a.x1 + 8
		p.line(widthGrid, c.look.color, []vg.Length{1, 1.5}, ends[order[k]], vg.Point{X: x - 3, Y: y})
		p.mark(vg.Point{X: x, Y: y}, c.look)
		p.textMiddle(x+4, y, clip(c.name, sizeSmall, mostName), sizeSmall, left, black)
	}
}

// apart moves descending heights so that neighbours keep a distance and all stay within [low, high]
// if they fit, each as near to its place as a single pass down and one up allow.
func apart(heights []vg.Length, distance, low, high vg.Length) []vg.Length {
	moved := slices.Clone(heights)
	ceiling := high
	for i := range moved {
		moved[i] = min(moved[i], ceiling)
		ceiling = moved[i] - distance
	}
	floor := low
	for i := len(moved) - 1; i >= 0; i-- {
		moved[i] = max(moved[i], floor)
		floor = moved[i] + distance
	}
	return moved
}
