package plot

import (
	"math"

	"gonum.org/v1/plot/vg"
)

// panel is one pair of axes on a rectangle of paper.
type panel struct {
	x0, y0, x1, y1 vg.Length
	x, y           scale
}

// at returns where a point of data lies.
func (a panel) at(x, y float64) vg.Point {
	return vg.Point{X: a.x.at(x, a.x0, a.x1), Y: a.y.at(y, a.y0, a.y1)}
}

const (
	tickLength = vg.Length(2.5)
	tickRoom   = sizeSmall + 3 // below an axis, for tick labels
	labelRoom  = sizeText + 2  // below those, for the axis label
)

// frame draws the left and lower edge.
func (a panel) frame(p pen) {
	p.line(widthAxis, black, nil, vg.Point{X: a.x0, Y: a.y1}, vg.Point{X: a.x0, Y: a.y0},
		vg.Point{X: a.x1, Y: a.y0})
}

// xAxis draws grid, ticks and label of the horizontal axis.
func (a panel) xAxis(p pen, label string, ticks []tick) {
	free := vg.Length(math.Inf(-1)) // labels may not touch
	for _, t := range ticks {
		x := a.x.at(t.value, a.x0, a.x1)
		length := tickLength / 2
		if t.label != "" {
			length = tickLength
			p.line(widthGrid, gridGray, nil, vg.Point{X: x, Y: a.y0}, vg.Point{X: x, Y: a.y1})
			if w := textWidth(t.label, sizeSmall); x-w/2 >= free {
				p.text(x, a.y0-tickLength-sizeSmall, t.label, sizeSmall, center, black)
				free = x + w/2 + 2
			}
		}
		p.line(widthAxis, black, nil, vg.Point{X: x, Y: a.y0 - length}, vg.Point{X: x, Y: a.y0})
	}
	p.text((a.x0+a.x1)/2, a.y0-tickLength-tickRoom-sizeText+1, label, sizeText, center, black)
}

// yAxis draws grid, ticks and label of the vertical axis.
func (a panel) yAxis(p pen, label string, ticks []tick) {
	for _, t := range ticks {
		y := a.y.at(t.value, a.y0, a.y1)
		length := tickLength / 2
		if t.label != "" {
			length = tickLength
			p.line(widthGrid, gridGray, nil, vg.Point{X: a.x0, Y: y}, vg.Point{X: a.x1, Y: y})
			p.textMiddle(a.x0-tickLength-1.5, y, t.label, sizeSmall, right, black)
		}
		p.line(widthAxis, black, nil, vg.Point{X: a.x0 - length, Y: y}, vg.Point{X: a.x0, Y: y})
	}
	p.textUp(margin+sizeText-1, (a.y0+a.y1)/2, label, sizeText)
}

// point is a value with its interval; lo and hi are NaN without one and infinite where it is open.
type point struct {
	v, lo, hi float64
}

// drawn reports whether the point has a place on a scale.
func (d point) drawn(s scale) bool {
	return !math.IsNaN(d.v) && !math.IsInf(d.v, 0) && (!s.log || d.v > 0)
}

// openLength is how far the arrow of an open interval reaches.
const openLength = vg.Length(9)

// capLength is half the length of the stroke that ends an interval: more than a glyph's radius, so
// that the ends of a narrow interval show above and below its mark.
const capLength = vg.Length(3)

// interval draws the interval of d along an axis: place turns a value into a point of paper,
// across is half of a stroke that ends it.
func (p pen) interval(d point, l look, across vg.Point, place func(float64) vg.Point) {
	here := place(d.v)
	for _, end := range []float64{d.lo, d.hi} {
		there := place(end)
		switch {
		case math.IsNaN(end):
		case math.IsInf(end, 0):
			p.arrow(here, toward(here, there), l.color)
		default:
			p.line(widthData, l.color, nil, here, there)
			p.line(widthAxis, l.color, nil, there.Sub(across), there.Add(across))
		}
	}
}

// toward returns the point openLength from a in the direction of b. An open end without room, at
// the edge of the paper, still shows.
func toward(a, b vg.Point) vg.Point {
	d := b.Sub(a)
	if n := vg.Length(math.Hypot(float64(d.X), float64(d.Y))); n > openLength {
		return a.Add(d.Scale(openLength / n))
	}
	return b
}

// entry is a line of a legend.
type entry struct {
	text string
	draw func(p pen, at vg.Point) // draws a sample around at
}

func glyphEntry(text string, l look) entry {
	return entry{text, func(p pen, at vg.Point) { p.mark(at, l) }}
}

const (
	legendLine   = sizeText + 3
	legendSample = vg.Length(9)
)

// legend lays entries out in lines no longer than width and returns the height that takes; with p
// it also draws them, downwards from y.
func legend(p *pen, entries []entry, x, y, width vg.Length) vg.Length {
	lines, at := vg.Length(0), width
	for _, e := range entries {
		w := legendSample + textWidth(e.text, sizeText) + 9
		if at+w-9 > width && (at > 0 || lines == 0) {
			lines, at = lines+1, 0
		}
		if p != nil {
			middle := y - (lines-0.5)*legendLine
			e.draw(*p, vg.Point{X: x + at + legendSample/2 - 1, Y: middle})
			p.textMiddle(x+at+legendSample, middle, e.text, sizeText, left, black)
		}
		at += w
	}
	return lines * legendLine
}
