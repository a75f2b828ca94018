package plot

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"
)

// pngDPI makes a column-wide figure 1000 pixels wide.
const pngDPI = 300

// fixPDF makes documents independent of the clock and of map order. The library keeps these
// settings for the process and offers no other way; nothing else here writes PDF.
var fixPDF = sync.OnceFunc(func() {
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	fpdf.SetDefaultCreationDate(epoch)
	fpdf.SetDefaultModificationDate(epoch)
	fpdf.SetDefaultCatalogSort(true)
})

// encodePDF returns a drawing as a PDF page.
func encodePDF(w, h vg.Length, paint func(vg.Canvas)) ([]byte, error) {
	fixPDF()
	page := vgpdf.New(w, h)
	paint(outlined{page})
	return encode(page)
}

// encodeSVG returns a drawing as SVG. Its text stays text, for searching and for readable
// differences; fonts of the same metrics stand in where Liberation Sans is not installed.
func encodeSVG(w, h vg.Length, paint func(vg.Canvas)) ([]byte, error) {
	page := vgsvg.NewWith(vgsvg.UseWH(w, h))
	paint(page)
	b, err := encode(page)
	const family = "font-family:Liberation Sans"
	return bytes.ReplaceAll(b, []byte(family+";"),
		[]byte(family+",Arimo,Arial,Helvetica,sans-serif;")), err
}

// encodePNG returns a drawing as pixels.
func encodePNG(w, h vg.Length, paint func(vg.Canvas)) ([]byte, error) {
	page := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(pngDPI))}
	paint(page)
	return encode(page)
}

func encode(page io.WriterTo) ([]byte, error) {
	var b bytes.Buffer
	if _, err := page.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("encode the figure: %w", err)
	}
	return b.Bytes(), nil
}

// outlined draws text as filled glyph outlines. The PDF canvas would write it in Windows-1252, in
// which µ, × and ≥ come out garbled, and embed the whole font.
type outlined struct {
	vg.Canvas
}

// FillString implements vg.Canvas. Each glyph is drawn from its own origin: equal glyphs are then
// equal bytes, which compress away.
func (c outlined) FillString(face font.Face, at vg.Point, s string) {
	var buf sfnt.Buffer
	em := fixed.Int26_6(face.Face.UnitsPerEm()) // glyphs come in font units at this size
	scale := face.Font.Size / vg.Length(em)
	var pen fixed.Int26_6
	var before sfnt.GlyphIndex
	for i, r := range s {
		glyph, err := face.Face.GlyphIndex(&buf, r)
		if err != nil {
			continue // an unreadable glyph leaves a gap
		}
		if i > 0 {
			if kern, err := face.Face.Kern(&buf, before, glyph, em, 0); err == nil {
				pen += kern
			}
		}
		segments, err := face.Face.LoadGlyph(&buf, glyph, em, nil)
		if err == nil && len(segments) > 0 {
			c.Push()
			c.Translate(vg.Point{X: hundredth(at.X + vg.Length(pen)*scale), Y: hundredth(at.Y)})
			c.Fill(outline(segments, scale))
			c.Pop()
		}
		if advance, err := face.Face.GlyphAdvance(&buf, glyph, em, 0); err == nil {
			pen += advance
		}
		before = glyph
	}
}

// outline returns a glyph's outline as a path. Quadratic curves are raised to cubic ones, which is
// what PDF has.
func outline(segments sfnt.Segments, scale vg.Length) vg.Path {
	point := func(p fixed.Point26_6) vg.Point {
		return vg.Point{X: hundredth(vg.Length(p.X) * scale), Y: hundredth(-vg.Length(p.Y) * scale)}
	}
	var path vg.Path
	var from vg.Point
	for i, s := range segments {
		to := point(s.Args[0])
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			if i > 0 {
				path.Close()
			}
			path.Move(to)
		case sfnt.SegmentOpLineTo:
			path.Line(to)
		case sfnt.SegmentOpQuadTo:
			bend := to
			to = point(s.Args[1])
			path.CubeTo(between(from, bend), between(to, bend), to)
		case sfnt.SegmentOpCubeTo:
			to = point(s.Args[2])
			path.CubeTo(point(s.Args[0]), point(s.Args[1]), to)
		}
		from = to
	}
	path.Close()
	return path
}

// between returns the point two thirds of the way from a to b.
func between(a, b vg.Point) vg.Point {
	return vg.Point{X: hundredth(a.X + (b.X-a.X)*2/3), Y: hundredth(a.Y + (b.Y-a.Y)*2/3)}
}

// hundredth rounds to a hundredth of a point: finer is invisible, and does not compress.
func hundredth(v vg.Length) vg.Length { return vg.Length(math.Round(float64(v)*100) / 100) }
