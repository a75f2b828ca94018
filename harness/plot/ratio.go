package plot

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"

	"metronome/harness/check"
	"metronome/harness/record"
)

// sliceCell is a cell of the slice over items a frame.
type sliceCell struct {
	items int
	ref   check.Ref
}

// itemSlice returns the primary arm's cells that differ from the primary cell in items a frame
// only.
func (v *view) itemSlice() []sliceCell {
	want, ok := v.index.Factors(v.primary)
	if !ok {
		return nil
	}
	var cells []sliceCell
	for _, ref := range v.index.Refs() {
		f, _ := v.index.Factors(ref)
		if f.ItemsPerFrame > 0 &&
			ref.Arm == v.primary.Arm && ref.Placement == v.primary.Placement &&
			f.ItemBytes == want.ItemBytes && f.Burst == want.Burst && f.Digest == want.Digest &&
			f.Hugepages == want.Hugepages && f.Lanes == want.Lanes {
			cells = append(cells, sliceCell{f.ItemsPerFrame, ref})
		}
	}
	slices.SortFunc(cells, func(a, b sliceCell) int { return cmp.Compare(a.items, b.items) })
	return cells
}

// ratio draws the claim's arm over each socket rung against items a frame, with the line of the
// claim.
func ratio(v *view) (Figure, error) {
	bound, rung := v.ratioClaim()
	values := []float64{bound}
	var items []float64
	var ticks []tick
	for _, c := range v.itemSlice() {
		items = append(items, float64(c.items))
		ticks = append(ticks, tick{float64(c.items), strconv.Itoa(c.items)})
	}
	var panels []linePanel
	for i, placement := range v.placements() {
		curves := v.ratioCurves(placement, rung)
		if len(curves) == 0 || (len(panels) > 0 && i > 0 && !slices.ContainsFunc(curves, curve.bends)) {
			continue // a panel of single points would only repeat the table
		}
		for _, c := range curves {
			for _, d := range c.points {
				values = append(values, d.y.v, d.y.lo, d.y.hi)
			}
		}
		panels = append(panels, linePanel{title: placementWords(placement), curves: curves,
			rule: claimLine(bound, 0, math.Inf(1))})
	}
	if len(panels) == 0 {
		return Figure{}, noData("ratio", "no ratio of loss-free rates between "+
			cmp.Or(v.primary.Arm, "any arm")+" and a socket arm")
	}
	x := logScale(items...)
	x.min, x.max = slices.Min(items)/1.25, slices.Max(items)*1.25
	f := lineFigure{view: v, panels: panels, x: x, y: logScale(values...), xTicks: ticks,
		xLabel: "items a frame", yLabel: "ratio of loss-free rates", panelHeight: 118, dodge: 0.7,
		extra: append([]string{fmt.Sprintf(
			"Loss-free rate of %s ÷ that of each socket arm, paired by block.", v.primary.Arm)},
			v.rateNotes()...)}
	return f.build("ratio", "Ratio of loss-free rates against items a frame."), nil
}

// ratioClaim returns the bound and the rung of the primary ratio claim; 11 and none without one.
func (v *view) ratioClaim() (bound float64, rung string) {
	for _, c := range v.Claims {
		if c.Primary && c.Rung != "" && c.Expected > 0 && c.Arm == v.primary.Arm {
			return c.Expected, c.Rung
		}
	}
	return 11, ""
}

func (v *view) ratioCurves(placement, rung string) []curve {
	var curves []curve
	for i, arm := range v.named(groupSocket) {
		c := curve{name: arm, look: lookOf(i), thick: arm == rung}
		for _, cell := range v.itemSlice() {
			at := check.Ref{Arm: v.primary.Arm, Placement: placement, Cell: cell.ref.Cell}
			d := v.at(at, record.RatioPrefix+arm)
			if d.drawn(scale{log: true}) {
				c.points = append(c.points, place{x: float64(cell.items), y: d})
			}
		}
		if len(c.points) > 0 {
			curves = append(curves, c)
		}
	}
	return curves
}

// named returns the arms of a group in the order of their names, so that each keeps its look from
// figure to figure.
func (v *view) named(group int) []string {
	var arms []string
	for _, arm := range v.arms {
		if groupOf(arm) == group {
			arms = append(arms, arm)
		}
	}
	slices.Sort(arms)
	return arms
}

// bends reports whether a curve has more than one point.
func (c curve) bends() bool { return len(c.points) > 1 }

// claimLine returns the horizontal line of a claim.
func claimLine(bound, from, to float64) curve {
	at := point{v: bound}
	return curve{name: "claim: " + si(bound) + "×", look: look{color: black, glyph: none,
		dashes: []vg.Length{4, 2}}, points: []place{{x: from, y: at}, {x: to, y: at}}}
}
