package plot

import (
	"image/color"
	"strings"

	"gonum.org/v1/plot/vg"
)

// Lengths are in points.
const (
	columnWidth = 3.33 * vg.Inch

	sizeText  = vg.Length(7)
	sizeSmall = vg.Length(6)

	widthAxis = vg.Length(0.5)
	widthGrid = vg.Length(0.35)
	widthData = vg.Length(0.9)

	glyphRadius = vg.Length(1.9)
	margin      = vg.Length(4)
)

// The colours of Okabe and Ito (2008), which people with any colour vision tell apart; its yellow
// is left to areas, being invisible as a line on white.
var (
	black      = color.NRGBA{A: 255}
	orange     = color.NRGBA{R: 230, G: 159, A: 255}
	skyBlue    = color.NRGBA{R: 86, G: 180, B: 233, A: 255}
	green      = color.NRGBA{G: 158, B: 115, A: 255}
	yellow     = color.NRGBA{R: 240, G: 228, B: 66, A: 255}
	blue       = color.NRGBA{G: 114, B: 178, A: 255}
	vermillion = color.NRGBA{R: 213, G: 94, A: 255}
	purple     = color.NRGBA{R: 204, G: 121, B: 167, A: 255}

	white     = color.NRGBA{R: 255, G: 255, B: 255, A: 255}
	gridGray  = color.NRGBA{R: 225, G: 225, B: 225, A: 255}
	quietGray = color.NRGBA{R: 100, G: 100, B: 100, A: 255}
)

// look is how one series is drawn.
type look struct {
	color  color.Color
	glyph  glyph
	hollow bool
	dashes []vg.Length
}

// lookOf returns the i-th of a series of looks, which differ in colour and glyph, and in dashes
// from the eighth on.
func lookOf(i int) look {
	colors := []color.Color{blue, vermillion, green, black, purple, skyBlue, orange}
	glyphs := []glyph{circle, triangle, square, diamond, cross, down, plus}
	l := look{color: colors[i%len(colors)], glyph: glyphs[i%len(glyphs)]}
	if i >= len(colors) {
		l.dashes = []vg.Length{3, 2}
	}
	return l
}

// placementLook distinguishes the placements of the kernel's half.
func placementLook(placement string) look {
	if placement == "same" {
		return look{color: blue, glyph: circle}
	}
	return look{color: vermillion, glyph: triangle}
}

// The groups that arms are shown in, from top to bottom.
const (
	groupSocket = iota
	groupBypass
	groupReference // not comparable: no pipeline, no wire, or not ours
)

// groupOf sorts an arm by its name.
func groupOf(arm string) int {
	switch {
	case strings.Contains(arm, "loopback"), strings.HasSuffix(arm, "null"),
		strings.HasPrefix(arm, "testpmd"):
		return groupReference
	case strings.HasPrefix(arm, "socket"):
		return groupSocket
	}
	return groupBypass
}
