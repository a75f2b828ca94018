package plot

import (
	"image/color"
	"math"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"
)

// faces holds the fonts; it is filled once and only read.
var faces = sync.OnceValue(func() *font.Cache { return font.NewCache(liberation.Collection()) })

func faceOf(size vg.Length) font.Face {
	return faces().Lookup(font.Font{Typeface: "Liberation", Variant: "Sans"}, size)
}

func textWidth(s string, size vg.Length) vg.Length {
	f := faceOf(size)
	return f.Width(s)
}

// Where a text stands relative to its point.
const (
	left   = vg.Length(0)
	center = vg.Length(0.5)
	right  = vg.Length(1)
)

// pen draws lines, areas and text on any canvas. Lengths are in points from the lower left corner.
type pen struct {
	vg.Canvas
}

// text writes s with its baseline at (x, y).
func (p pen) text(x, y vg.Length, s string, size, align vg.Length, c color.Color) {
	if s == "" {
		return
	}
	s = printable(s)
	p.SetColor(c)
	p.FillString(faceOf(size), vg.Point{X: x - align*textWidth(s, size), Y: y}, s)
}

// printable replaces what has no place in a line of text, or in SVG.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) && r != '\u00a0' {
			return '?'
		}
		return r
	}, s)
}

// clip shortens s to a width.
func clip(s string, size, width vg.Length) string {
	if textWidth(s, size) <= width {
		return s
	}
	runes := []rune(s)
	for len(runes) > 0 && textWidth(string(runes)+"…", size) > width {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// textMiddle writes s so that small letters are centred on the height y.
func (p pen) textMiddle(x, y vg.Length, s string, size, align vg.Length, c color.Color) {
	p.text(x, y-0.26*size-0.1, s, size, align, c)
}

// textUp writes s upwards, centred on the height y.
func (p pen) textUp(x, y vg.Length, s string, size vg.Length) {
	p.Push()
	p.Translate(vg.Point{X: x, Y: y})
	p.Rotate(math.Pi / 2)
	p.text(0, 0, s, size, center, black)
	p.Pop()
}

// line draws a polyline; fewer than two points draw nothing.
func (p pen) line(width vg.Length, c color.Color, dashes []vg.Length, points ...vg.Point) {
	if len(points) < 2 {
		return
	}
	p.SetColor(c)
	p.SetLineWidth(width)
	p.SetLineDash(dashes, 0)
	p.Stroke(polygon(false, points...))
}

// rectangle fills an area and outlines it; nil leaves either out.
func (p pen) rectangle(x0, y0, x1, y1 vg.Length, fill, outline color.Color) {
	path := polygon(true, vg.Point{X: x0, Y: y0}, vg.Point{X: x1, Y: y0},
		vg.Point{X: x1, Y: y1}, vg.Point{X: x0, Y: y1})
	if fill != nil {
		p.SetColor(fill)
		p.Fill(path)
	}
	if outline != nil {
		p.SetColor(outline)
		p.SetLineWidth(widthAxis)
		p.SetLineDash(nil, 0)
		p.Stroke(path)
	}
}

func polygon(closed bool, points ...vg.Point) vg.Path {
	var path vg.Path
	for i, at := range points {
		if i == 0 {
			path.Move(at)
		} else {
			path.Line(at)
		}
	}
	if closed {
		path.Close()
	}
	return path
}

// glyph is the shape of a data point.
type glyph int

const (
	circle glyph = iota
	triangle
	square
	diamond
	down
	cross
	plus
	bar  // an upright stroke
	none // nothing: the interval speaks alone
)

// mark draws a data point.
func (p pen) mark(at vg.Point, l look) {
	switch l.glyph {
	case none:
		return
	case bar:
		up := vg.Point{Y: 2 * glyphRadius}
		p.line(1.2, l.color, nil, at.Sub(up), at.Add(up))
		return
	case cross, plus:
		p.strokes(at, l)
		return
	}
	path := shape(l.glyph, at, glyphRadius)
	p.SetColor(l.color)
	if l.hollow {
		p.SetColor(white)
	}
	p.Fill(path)
	p.SetColor(l.color)
	p.SetLineWidth(0.7)
	p.SetLineDash(nil, 0)
	p.Stroke(path)
}

func shape(g glyph, at vg.Point, r vg.Length) vg.Path {
	corners := func(n int, first float64, r vg.Length) vg.Path {
		points := make([]vg.Point, n)
		for i := range points {
			sin, cos := math.Sincos(first + 2*math.Pi*float64(i)/float64(n))
			points[i] = at.Add(vg.Point{X: r * vg.Length(cos), Y: r * vg.Length(sin)})
		}
		return polygon(true, points...)
	}
	switch g {
	case triangle:
		return corners(3, math.Pi/2, 1.25*r)
	case down:
		return corners(3, -math.Pi/2, 1.25*r)
	case square:
		return corners(4, math.Pi/4, 1.2*r)
	case diamond:
		return corners(4, 0, 1.35*r)
	}
	var path vg.Path
	path.Move(at.Add(vg.Point{X: r}))
	path.Arc(at, r, 0, 2*math.Pi)
	path.Close()
	return path
}

func (p pen) strokes(at vg.Point, l look) {
	turn := 0.0
	if l.glyph == cross {
		turn = math.Pi / 4
	}
	for i := range 2 {
		sin, cos := math.Sincos(turn + float64(i)*math.Pi/2)
		d := vg.Point{X: 1.2 * glyphRadius * vg.Length(cos), Y: 1.2 * glyphRadius * vg.Length(sin)}
		p.line(1, l.color, nil, at.Sub(d), at.Add(d))
	}
}

// arrow draws a line with a head at its end.
func (p pen) arrow(from, to vg.Point, c color.Color) {
	p.line(widthData, c, nil, from, to)
	d := to.Sub(from)
	n := vg.Length(math.Hypot(float64(d.X), float64(d.Y)))
	if n == 0 {
		return
	}
	along := d.Scale(2.2 / n)
	aside := vg.Point{X: -along.Y * 0.6, Y: along.X * 0.6}
	p.SetColor(c)
	p.Fill(polygon(true, to, to.Sub(along).Add(aside), to.Sub(along).Sub(aside)))
}

// wrap breaks s at spaces into lines of at most the given width; a longer word is cut short. A
// no-break space keeps its neighbours together.
func wrap(s string, size, width vg.Length) []string {
	var lines []string
	for word := range strings.SplitSeq(s, " ") {
		last := len(lines) - 1
		if last >= 0 && textWidth(lines[last]+" "+word, size) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, clip(word, size, width))
		}
	}
	return lines
}
