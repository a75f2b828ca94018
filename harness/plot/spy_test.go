package plot

import (
	"image"
	"image/color"
	"testing"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// textSpy is a canvas that checks where text lands.
type textSpy struct {
	vg.Canvas
	t      *testing.T
	f      Figure
	texts  int
	turned int
}

// Push implements vg.Canvas: turned text is drawn between Push and Pop and not checked.
func (s *textSpy) Push() { s.turned++ }

// Pop implements vg.Canvas.
func (s *textSpy) Pop() { s.turned-- }

// FillString implements vg.Canvas.
func (s *textSpy) FillString(face font.Face, at vg.Point, text string) {
	s.texts++
	w := face.Width(text)
	off := at.X < 0 || at.X+w > s.f.width || at.Y < 0 || at.Y+face.Font.Size > s.f.height
	if off && s.turned == 0 {
		s.t.Errorf("%s: %q leaves the paper: %v + %v of %v × %v",
			s.f.Name, text, at, w, s.f.width, s.f.height)
	}
}

// nopCanvas draws nothing.
type nopCanvas struct{}

func (nopCanvas) SetLineWidth(vg.Length)                 {}
func (nopCanvas) SetLineDash([]vg.Length, vg.Length)     {}
func (nopCanvas) SetColor(color.Color)                   {}
func (nopCanvas) Rotate(float64)                         {}
func (nopCanvas) Translate(vg.Point)                     {}
func (nopCanvas) Scale(float64, float64)                 {}
func (nopCanvas) Push()                                  {}
func (nopCanvas) Pop()                                   {}
func (nopCanvas) Stroke(vg.Path)                         {}
func (nopCanvas) Fill(vg.Path)                           {}
func (nopCanvas) FillString(font.Face, vg.Point, string) {}
func (nopCanvas) DrawImage(vg.Rectangle, image.Image)    {}
