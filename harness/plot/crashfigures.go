package plot

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"

	"metronome/harness/record"
)

// How the timeline of a block is cut into pairs of panels.
const (
	stripSeconds = 40.
	mostStrips   = 2
)

// roleNames are the roles of what is killed, in drawing order, as figures name them.
var roleNames = []struct{ role, name string }{{"leader", "leader"}, {"follower", "follower"},
	{"proxy", "proxy"}, {"replicas", "all replicas"}, {record.RoleCalm, "nobody"}}

// ownLook is how what a killed proxy's own clients felt is drawn.
func ownLook(l look) look {
	l.hollow, l.dashes = true, []vg.Length{3, 2}
	return l
}

// blockOf is the kills of the timeline's first block, and the writes acknowledged a second in it, by ms.
func (v *storeView) blockOf() (kills []record.Kill, perS map[int]float64, last int) {
	first := v.Timeline[0]
	perS = map[int]float64{}
	for _, m := range v.Timeline {
		if m.Block == first.Block && m.Arm == first.Arm && m.Setup == first.Setup && m.Load == first.Load {
			perS[m.AtMS] += float64(m.Acked) * 1000 / record.MomentMS
			last = max(last, m.AtMS)
		}
	}
	for _, k := range v.Kills {
		if k.Block == first.Block && k.Arm == first.Arm && k.Setup == first.Setup && k.Load == first.Load {
			kills = append(kills, k)
		}
	}
	return kills, perS, last
}

// crashTimeline draws the writes acknowledged in one block, and the outage of each kill under it.
func crashTimeline(v *storeView) (Figure, error) {
	if len(v.Timeline) == 0 {
		return Figure{}, noData("crash-timeline", "nothing was killed")
	}
	kills, perS, last := v.blockOf()
	top, outages := 0., []float64{}
	for _, n := range perS {
		top = max(top, n)
	}
	for _, k := range kills {
		outages = append(outages, math.Max(k.OutageMS, 1), k.OwnOutageMS)
	}
	var panels []linePanel
	long := math.Min(stripSeconds, math.Ceil(float64(last)/4000)*4) // a short block fills the width too
	for n := range mostStrips {
		from := float64(n) * long
		if from*1000 >= float64(last) {
			break
		}
		x := axes{x: scale{min: from, max: from + long}, xLabel: "s"}
		for i := 0.; i <= 4; i++ {
			t := from + i*long/4
			x.xTicks = append(x.xTicks, tick{t, strconv.Itoa(int(t))})
		}
		writes, felt := x, x
		writes.y, writes.yLabel = scale{min: 0, max: 1.05 * top}, "writes/s"
		felt.y, felt.yLabel = logScale(outages...), "outage, ms"
		panels = append(panels, throughputStrip(perS, kills, writes), outageStrip(kills, felt))
	}
	drawn := math.Min(stripSeconds*mostStrips, math.Ceil(float64(last)/1000))
	f := lineFigure{view: v, panels: panels, panelHeight: 52, extra: []string{fmt.Sprintf("Block %d, its first "+
		"%.0f s. Above: writes/s at both proxies, in steps of %d ms, a dashed line at each kill. Below: its "+
		"outage, the longest time without an acknowledgement at a proxy that was not killed. A killed proxy's own "+
		"clients have no other, and wait until it is back.", v.Timeline[0].Block, drawn, record.MomentMS)}}
	return f.build("crash-timeline",
		"Writes acknowledged a second while processes are killed, and each kill's outage."), nil
}

// within reports whether a time in ms lies in a strip.
func (a *axes) within(ms float64) bool { return ms >= a.x.min*1000 && ms < a.x.max*1000 }

// throughputStrip is the throughput, with a line at each kill.
func throughputStrip(perS map[int]float64, kills []record.Kill, a axes) linePanel {
	line := curve{look: look{color: quietGray, glyph: none}}
	for _, ms := range slices.Sorted(maps.Keys(perS)) {
		if a.within(float64(ms)) {
			line.points = append(line.points, place{x: float64(ms) / 1000, y: bare(perS[ms])})
		}
	}
	p := linePanel{rule: line, own: &a}
	for i, role := range roleNames {
		for _, k := range kills {
			if k.Role == role.role && role.role != record.RoleCalm && a.within(k.AtMS) {
				at := k.AtMS / 1000
				dashed := look{color: lookOf(i).color, glyph: none, dashes: []vg.Length{2, 1.5}}
				p.curves = append(p.curves, curve{look: dashed,
					points: []place{{x: at, y: bare(0)}, {x: at, y: bare(a.y.max)}}})
			}
		}
	}
	return p
}

// outageStrip is a mark a kill.
func outageStrip(kills []record.Kill, a axes) linePanel {
	p := linePanel{own: &a}
	for i, role := range roleNames {
		marks := curve{name: role.name, look: lookOf(i), bare: true}
		own := curve{name: "its clients", look: ownLook(lookOf(i)), bare: true}
		for _, k := range kills {
			if k.Role != role.role || !a.within(k.AtMS) {
				continue
			}
			marks.points = append(marks.points, place{x: k.AtMS / 1000, y: bare(math.Max(k.OutageMS, 1))})
			if !math.IsNaN(k.OwnOutageMS) {
				own.points = append(own.points, place{x: k.AtMS / 1000, y: bare(math.Max(k.OwnOutageMS, 1))})
			}
		}
		for _, c := range []curve{marks, own} {
			if len(c.points) > 0 {
				p.curves = append(p.curves, c)
			}
		}
	}
	return p
}

// bare is a value without an interval.
func bare(v float64) point { return point{v, math.NaN(), math.NaN()} }

// crashOutages draws which share of kills had at most which outage, by who was killed.
func crashOutages(v *storeView) (Figure, error) {
	var curves []curve
	for i, role := range roleNames {
		var outages, own []float64
		for _, k := range v.Kills {
			if k.Role == role.role {
				outages = append(outages, k.OutageMS)
			}
			if k.Role == role.role && !math.IsNaN(k.OwnOutageMS) {
				own = append(own, k.OwnOutageMS)
			}
		}
		curves = append(curves, distribution(role.name, lookOf(i), outages)...)
		curves = append(curves, distribution(role.name+"'s own clients", ownLook(lookOf(i)), own)...)
	}
	if len(curves) == 0 {
		return Figure{}, noData("crash-outages", "nothing was killed")
	}
	xs, _ := valuesOf(curves)
	rule := curve{look: look{color: black, glyph: none, dashes: lookOf(7).dashes}}
	for _, c := range v.Claims {
		if c.Primary && c.Arm != "" && c.Claim == "leader" {
			xs = append(xs, c.Expected)
			rule.points = []place{{x: c.Expected, y: bare(0)}, {x: c.Expected, y: bare(1)}}
		}
	}
	f := lineFigure{view: v, x: logScale(xs...), y: scale{min: 0, max: 1}, xLabel: "outage, ms",
		yLabel: "share of kills", panels: []linePanel{{curves: curves, rule: rule}}, panelHeight: 120,
		extra: []string{"All blocks' kills, by who was killed. Outage: longest time without an acknowledgement, " +
			"from a kill until a moment after the cluster was whole. Dashed: what is claimed of a leader's kill, as " +
			"its 99th percentile. Nobody: what happens by itself."}}
	return f.build("crash-outages", "Distribution of the outage of a kill, by who was killed."), nil
}

// distribution is the steps of a cumulative distribution, marked at the median and at the end.
func distribution(name string, l look, values []float64) []curve {
	if len(values) == 0 {
		return nil
	}
	c := curve{name: name, look: l}
	values = slices.Sorted(slices.Values(values))
	n := float64(len(values))
	for i, x := range values {
		x = math.Max(x, 0.1) // a logarithmic axis has no 0
		c.points = append(c.points, place{x: x, y: bare(float64(i) / n), quiet: true},
			place{x: x, y: bare(float64(i+1) / n), quiet: i != (len(values)-1)/2 && i != len(values)-1})
	}
	return []curve{c}
}

// syncsLoad draws a journal's syncs a second, and what one makes durable, against the load.
func syncsLoad(v *storeView) (Figure, error) {
	var panels []linePanel
	for _, m := range []quantity{{record.StoreSyncs, "syncs/s", logScale},
		{record.StoreItemsPerSync, "puts/sync", logScale}, {record.StoreP50, "median latency, µs", logScale}} {
		var curves []curve
		for i, arm := range v.arms {
			if c := v.synced(arm, m.metric); len(c) > 1 {
				curves = append(curves, curve{name: arm, look: lookOf(i), points: c})
			}
		}
		if len(curves) == 0 {
			return Figure{}, noData("syncs-load", "no arm with a journal was loaded twice")
		}
		xs, ys := valuesOf(curves)
		panels = append(panels, linePanel{curves: curves,
			own: &axes{x: logScale(xs...), y: m.scale(ys...), xLabel: "puts/s", yLabel: m.label}})
	}
	f := lineFigure{view: v, panels: panels, panelHeight: 80, extra: append([]string{"Syncs of the journal of " +
		"the replica with the most. Right end of each curve: saturation, where latency is the queue's."},
		v.promises()...)}
	return f.build("syncs-load", "Syncs of a journal a second, and puts a sync, against the load."), nil
}

// synced is a metric against the rate, of an arm that has a journal.
func (v *storeView) synced(arm, metric string) []place {
	var points []place
	for _, ref := range v.index.Refs() {
		if ref.Arm == arm && v.at(ref, record.StoreSyncs).v > 0 {
			points = append(points, place{x: v.at(ref, record.StoreOPS).v, y: v.at(ref, metric)})
		}
	}
	return drawnPlaces(points)
}
