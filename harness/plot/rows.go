package plot

import (
	"image/color"

	"gonum.org/v1/plot/vg"
)

// series is one kind of mark in the rows of a figure.
type series struct {
	look  look
	lift  vg.Length // above the middle of the row
	value func(arm string) point
}

// column is one panel of a row figure.
type column struct {
	label  string // axis label with unit
	scale  scale
	series []series
	bars   func(p pen, a panel, arm string, y vg.Length) // drawn under the marks; may be nil
}

// listed is a run whose arms are the rows of a figure.
type listed interface {
	footed
	names() []string
	group(arm string) int   // rows of different groups are set apart
	absent(arm string) bool // no usable trial
}

// rowFigure has a row an arm and one or more panels beside each other.
type rowFigure struct {
	view    listed
	columns []column
	legend  []entry
	extra   []string // lines of conditions that only this figure needs
}

const (
	rowHeight  = vg.Length(13)
	groupGap   = vg.Length(5)
	columnGap  = vg.Length(16)
	mostName   = vg.Length(90) // of an arm
	footerLine = sizeSmall + 1.5
)

// build lays the figure out.
func (f rowFigure) build(name, alt string) Figure {
	width := columnWidth
	inner := width - 2*margin
	footer := f.view.footer(inner, f.extra)
	head := legend(nil, f.legend, 0, 0, inner) + 3
	foot := vg.Length(len(footer))*footerLine + tickLength + tickRoom + labelRoom + 3
	body := f.bodyHeight()
	height := 2*margin + head + body + foot
	return Figure{Name: name, Alt: alt, width: width, height: height, paint: func(p pen) {
		legend(&p, f.legend, margin, height-margin, inner)
		drawFooter(p, footer)
		f.drawBody(p, margin+foot, margin+foot+body)
	}}
}

// footer returns the lines of conditions, broken to a width.
func (v *view) footer(width vg.Length, extra []string) []string {
	var lines []string
	for _, l := range v.conditions(extra...) {
		lines = append(lines, wrap(l, sizeSmall, width)...)
	}
	return lines
}

// drawFooter writes lines at the lower edge.
func drawFooter(p pen, lines []string) {
	for i, l := range lines {
		y := margin + vg.Length(len(lines)-1-i)*footerLine + 1
		p.text(margin, y, l, sizeSmall, left, quietGray)
	}
}

func (f rowFigure) bodyHeight() vg.Length {
	return -f.rowY(0, len(f.view.names())) + rowHeight/2
}

// rowY returns the middle of row i, counted down from top; groups are set apart.
func (f rowFigure) rowY(top vg.Length, i int) vg.Length {
	y := top - rowHeight/2
	for j := 1; j <= i; j++ {
		if arms := f.view.names(); j < len(arms) {
			y -= rowHeight
			if f.view.group(arms[j]) != f.view.group(arms[j-1]) {
				y -= groupGap
			}
		}
	}
	return y
}

func (f rowFigure) drawBody(p pen, bottom, top vg.Length) {
	names := vg.Length(0)
	for _, arm := range f.view.names() {
		names = max(names, textWidth(clip(arm, sizeText, mostName), sizeText))
	}
	x0 := margin + names + 4
	n := vg.Length(len(f.columns))
	width := (columnWidth - margin - 6 - x0 - (n-1)*columnGap) / n
	for i, c := range f.columns {
		x := x0 + vg.Length(i)*(width+columnGap)
		a := panel{x0: x, x1: x + width, y0: bottom, y1: top, x: c.scale}
		a.xAxis(p, c.label, c.scale.ticks(width, 17))
		f.drawRows(p, a, c)
		a.frame(p)
	}
	for i, arm := range f.view.names() {
		ink, y := color.Color(black), f.rowY(top, i)
		if f.view.absent(arm) {
			ink = quietGray
			p.textMiddle(x0+4, y, "unavailable", sizeSmall, left, quietGray)
		}
		p.textMiddle(x0-4, y, clip(arm, sizeText, mostName), sizeText, right, ink)
	}
}

func (f rowFigure) drawRows(p pen, a panel, c column) {
	for i, arm := range f.view.names() {
		y := f.rowY(a.y1, i)
		p.line(widthGrid, gridGray, nil, vg.Point{X: a.x0, Y: y}, vg.Point{X: a.x1, Y: y})
		if c.bars != nil {
			c.bars(p, a, arm, y)
		}
		for _, s := range c.series {
			d := s.value(arm)
			if !d.drawn(a.x) {
				continue
			}
			place := func(v float64) vg.Point {
				return vg.Point{X: a.x.at(v, a.x0, a.x1), Y: y + s.lift}
			}
			p.interval(d, s.look, vg.Point{Y: capLength}, place)
			p.mark(place(d.v), s.look)
		}
	}
}

// spread returns every value and interval end of some series, for a scale.
func spread(arms []string, all ...series) []float64 {
	var values []float64
	for _, s := range all {
		for _, arm := range arms {
			d := s.value(arm)
			values = append(values, d.v, d.lo, d.hi)
		}
	}
	return values
}

// anyDrawn reports whether some value can be drawn on a logarithmic scale.
func anyDrawn(values []float64) bool {
	for _, v := range values {
		if (point{v: v}).drawn(scale{log: true}) {
			return true
		}
	}
	return false
}
