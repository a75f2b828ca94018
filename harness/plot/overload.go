package plot

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// overload draws what each arm takes against what it is offered, up to the generator's maximum, in
// the primary workload.
func overload(v *view) (Figure, error) {
	var panels []linePanel
	var xs, ys []float64
	for _, placement := range v.placements() {
		var curves []curve
		for _, arm := range v.comparable() {
			c := v.armCurve(arm)
			c.points = v.offeredPoints(arm, placement)
			if len(c.points) == 0 {
				continue
			}
			curves = append(curves, c)
			for _, d := range c.points {
				xs, ys = append(xs, d.x), append(ys, d.y.v, d.y.lo, d.y.hi)
			}
		}
		if len(curves) > 0 {
			panels = append(panels, linePanel{title: placementWords(placement), curves: curves})
		}
	}
	if len(panels) == 0 {
		return Figure{}, noData("overload", "no trial of the primary cell was offered more than a search")
	}
	x, y := logScale(xs...), logScale(ys...)
	for i := range panels {
		panels[i].rule = equalLine(x, y)
	}
	f := lineFigure{view: v, panels: panels, x: x, y: y,
		xLabel: "frames/s offered", yLabel: "frames/s accepted", panelHeight: 112,
		extra: []string{"Dashed: nothing lost. Offered = emitted ÷ time; " +
			"a curve ends where its generator does."}}
	return f.build("overload", "Accepted against offered frames a second by arm."), nil
}

// comparable returns the arms without the references.
func (v *view) comparable() []string {
	var arms []string
	for _, arm := range v.arms {
		if groupOf(arm) != groupReference {
			arms = append(arms, arm)
		}
	}
	return arms
}

// armCurve returns an empty curve with an arm's look: bypass arms are thick and hollow.
func (v *view) armCurve(arm string) curve {
	if i := slices.Index(v.named(groupSocket), arm); i >= 0 {
		return curve{name: arm, look: lookOf(i)}
	}
	l := lookOf(max(0, slices.Index(v.named(groupBypass), arm)))
	l.hollow = true
	return curve{name: arm, look: l, thick: true}
}

// step is a rate that was asked for.
type step struct {
	role string
	fps  float64
}

// offeredPoints returns an arm's points: for each rate that was asked for, the medians over blocks
// of what was offered and of what was accepted.
func (v *view) offeredPoints(arm, placement string) []place {
	ref, ok := v.index.Partner(v.primary, arm, placement)
	if !ok {
		return nil
	}
	offered, accepted := map[step][]float64{}, map[step][]stats.Value{}
	for _, t := range v.index.Trials(ref) {
		if t.Role == record.RoleAA || t.Role == record.RoleCeiling ||
			math.IsNaN(t.OfferedFPS) || !(t.OfferedActualFPS > 0) || !(t.GoodputFPS > 0) {
			continue
		}
		s := step{t.Role, t.OfferedFPS}
		offered[s] = append(offered[s], t.OfferedActualFPS)
		accepted[s] = append(accepted[s], stats.Exactly(t.GoodputFPS))
	}
	var points []place
	for _, s := range slices.SortedFunc(maps.Keys(offered), compareSteps) {
		e := stats.Estimated(accepted[s])
		points = append(points, place{x: stats.Median(offered[s]),
			y: point{e.Median.Point(), e.Low, e.High}, quiet: s.role == record.RoleBracket})
	}
	slices.SortStableFunc(points, func(a, b place) int { return cmp.Compare(a.x, b.x) })
	return points
}

func compareSteps(a, b step) int {
	return cmp.Or(cmp.Compare(a.role, b.role), cmp.Compare(a.fps, b.fps))
}

// equalLine returns the line on which everything offered is accepted.
func equalLine(x, y scale) curve {
	lo, hi := max(x.min, y.min), min(x.max, y.max)
	return curve{look: look{color: quietGray, dashes: []vg.Length{3, 2}},
		points: []place{{x: lo, y: point{v: lo}}, {x: hi, y: point{v: hi}}}}
}
