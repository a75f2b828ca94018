package plot

import (
	"fmt"

	"metronome/harness/check"
	"metronome/harness/record"
)

// saturation draws what every arm did as fast as it can, and what an operation cost.
func saturation(v *storeView) (Figure, error) {
	of := func(metric string) func(string) point {
		return func(arm string) point {
			ref, _ := v.closed(arm)
			return v.at(ref, metric)
		}
	}
	l := look{color: blue, glyph: circle}
	ops, cpu := series{l, 0, of(record.StoreOPS)}, series{l, 0, of(record.StoreCPU)}
	if !anyDrawn(spread(v.arms, ops)) {
		return Figure{}, noData("saturation", "no arm was saturated")
	}
	f := rowFigure{view: v, columns: []column{
		{label: "puts/s at saturation", scale: logScale(spread(v.arms, ops)...), series: []series{ops}},
		{label: "CPU µs/put, all processes", scale: logScale(spread(v.arms, cpu)...), series: []series{cpu}},
	}, extra: append([]string{"Closed loop, each arm in its best shape. CPU: all processes and the generator."},
		v.promises()...)}
	return f.build("saturation", "Puts a second and CPU time a put by arm, at saturation."), nil
}

// latencyCurve draws latency against the rate achieved, for every arm that was offered rates.
func latencyCurve(v *storeView) (Figure, error) {
	var panels []linePanel
	var all []curve
	for _, metric := range []struct{ name, title string }{
		{record.StoreP50, "median"}, {record.StoreP99, "99th percentile"},
		{record.StoreP999, "99.9th percentile"}} {
		var curves []curve
		for i, arm := range v.arms {
			if c := v.curve(arm, metric.name); len(c) > 1 {
				curves = append(curves, curve{name: arm, look: lookOf(len(v.arms) - 1 - i), points: c,
					thick: v.group(arm) > 0})
			}
		}
		if len(curves) > 0 {
			panels = append(panels, linePanel{title: metric.title, curves: curves})
			all = append(all, curves...)
		}
	}
	if len(panels) == 0 {
		return Figure{}, noData("latency-curve", "no arm was offered two rates")
	}
	xs, ys := valuesOf(all)
	f := lineFigure{view: v, panels: panels, x: logScale(xs...), y: logScale(ys...), panelHeight: 95,
		xLabel: "puts/s achieved", yLabel: "latency, µs",
		extra: append([]string{"Open loop: latency counts from the intended time; rates are fractions of the " +
			"arm's own saturation in the same block."}, v.promises()...)}
	return f.build("latency-curve", "Latency against the rate achieved, by arm."), nil
}

// curve is a latency of an arm at the rates it was offered.
func (v *storeView) curve(arm, metric string) []place {
	var points []place
	for _, ref := range v.refs(arm, record.RoleOpen) {
		points = append(points, place{x: v.at(ref, record.StoreOPS).v, y: v.at(ref, metric)})
	}
	return drawnPlaces(points)
}

// inside are the panels of what rounds do.
func inside() []quantity {
	return []quantity{{record.StoreRounds, "rounds/s", logScale},
		{record.StoreItemsPerRound, "items/round", logScale},
		{record.StoreOrderBytes, "B of ordering/round", linearScale}}
}

// quantity is a metric and its axis.
type quantity struct {
	metric, label string
	scale         func(values ...float64) scale
}

// roundsLoad draws rounds, items a round and bytes a round against the load, for each time between rounds.
func roundsLoad(v *storeView) (Figure, error) {
	var panels []linePanel
	for _, m := range inside() {
		var curves []curve
		for i, setup := range v.setups() {
			var points []place
			for _, ref := range v.index.Refs() {
				if ref.Placement == setup && ref.Arm == v.arms[0] {
					points = append(points, place{x: v.at(ref, record.StoreOPS).v, y: v.at(ref, m.metric)})
				}
			}
			if points = drawnPlaces(points); len(points) > 1 {
				curves = append(curves, curve{name: setup, look: lookOf(i), points: points})
			}
		}
		if len(curves) == 0 {
			return Figure{}, noData("rounds-load", "no setup has two loads")
		}
		xs, ys := valuesOf(curves)
		panels = append(panels, linePanel{curves: curves,
			own: &axes{x: logScale(xs...), y: m.scale(ys...), xLabel: "items/s", yLabel: m.label}})
	}
	f := lineFigure{view: v, panels: panels, panelHeight: 80, extra: []string{"Rounds are agreements of " +
		"consensus. \"every-\" setups force a time between rounds; else a round begins as soon as there is " +
		"something to agree on. Right end of each curve: saturation."}}
	return f.build("rounds-load", "Rounds a second, items and bytes a round against the load."), nil
}

// roundsInterval draws what the time between rounds does to throughput and to rounds, at saturation.
func roundsInterval(v *storeView) (Figure, error) {
	var panels []linePanel
	l := lookOf(0)
	for _, m := range append([]quantity{{record.StoreOPS, "items/s", linearScale}}, inside()[1:]...) {
		var points []place
		for _, arm := range v.arms {
			for _, ref := range v.refs(arm, record.RoleClosed) {
				if t := v.factors(ref); t.RoundIntervalForced {
					points = append(points, place{x: float64(t.RoundIntervalNS) / 1e6, y: v.at(ref, m.metric)})
				}
			}
		}
		if points = drawnPlaces(points); len(points) < 2 {
			return Figure{}, noData("rounds-interval", "saturation was measured at fewer than two intervals")
		}
		curves := []curve{{look: l, points: points}}
		xs, ys := valuesOf(curves)
		panels = append(panels, linePanel{curves: curves,
			own: &axes{x: logScale(xs...), y: m.scale(ys...), xLabel: "ms between rounds, forced", yLabel: m.label}})
	}
	f := lineFigure{view: v, panels: panels, panelHeight: 70, extra: []string{"Saturation: half a million " +
		"operations outstanding."}}
	return f.build("rounds-interval",
		"Throughput, items and bytes a round against a forced time between rounds."), nil
}

// throttle is one way in which a store is held back.
type throttle struct {
	title, label string
	of           func(*record.StoreTrial) float64
}

func throttles() []throttle {
	return []throttle{
		{"storing: frames held until they are agreed on", "frames a lane",
			func(t *record.StoreTrial) float64 { return float64(t.LaneWindowFrames) }},
		{"processing: CPU time wasted on each item", "µs/item",
			func(t *record.StoreTrial) float64 { return float64(t.ApplyNSPerItem) / 1e3 }},
		{"ingesting: bound of the frames", "frames/s",
			func(t *record.StoreTrial) float64 { return float64(t.FramesPerSecondLimit) }},
	}
}

// limits draws throughput against each throttle, each point marked by what limited it.
func limits(v *storeView) (Figure, error) {
	var panels []linePanel
	for _, way := range throttles() {
		curves, line := v.bound(way)
		if len(line.points) == 0 {
			continue
		}
		xs, ys := valuesOf([]curve{line})
		panels = append(panels, linePanel{title: way.title, curves: curves, rule: line,
			own: &axes{x: logScale(xs...), y: logScale(ys...), xLabel: way.label, yLabel: "items/s"}})
	}
	if len(panels) == 0 {
		return Figure{}, noData("limits", "nothing was throttled")
	}
	f := lineFigure{view: v, panels: panels, panelHeight: 80, extra: []string{"The name beside each mark is " +
		"what limited the throughput there; the rules are in results/README.md. Saturation, closed loop."}}
	return f.build("limits", "Throughput under three throttles, and what limited it at each point."), nil
}

// bound returns the points of a throttle by what limited them, and the line through all.
func (v *storeView) bound(way throttle) (curves []curve, line curve) {
	line = curve{look: look{color: quietGray, glyph: none}}
	points := map[string][]place{}
	for _, arm := range v.arms {
		for _, ref := range v.refs(arm, record.RoleClosed) {
			t := v.factors(ref)
			if x := way.of(&t); x > 0 && t.RoundIntervalNS == 0 {
				p := place{x: x, y: v.at(ref, record.StoreOPS)}
				binding := v.binding(ref)
				points[binding] = append(points[binding], p)
				line.points = append(line.points, p)
			}
		}
	}
	for i, name := range []string{record.BindStoring, record.BindProcessing, record.BindIngesting,
		record.BindCores, record.BindRounds, record.BindUnknown} {
		if places := drawnPlaces(points[name]); len(places) > 0 {
			curves = append(curves, curve{name: name, look: lookOf(i), points: places, bare: true})
		}
	}
	line.points = drawnPlaces(line.points)
	return curves, line
}

// binding is what limited most of a cell's trials.
func (v *storeView) binding(ref check.Ref) string {
	count := map[string]int{}
	best := record.BindUnknown
	for _, t := range v.index.Trials(ref) {
		count[t.Binding]++
		if n := count[t.Binding]; n > count[best] || n == count[best] && t.Binding < best {
			best = t.Binding
		}
	}
	return best
}

// bytesPerItem draws what a proxy or a leader sends and spends for an item, against the replicas.
func bytesPerItem(v *storeView) (Figure, error) {
	var panels []linePanel
	for _, m := range []struct{ metric, label string }{
		{record.StoreSentBytes, "B sent/item"}, {record.StoreSenderCPU, "proxy's CPU, µs/item"},
		{record.StoreCPU, "all CPU, µs/item"}} {
		var curves []curve
		for i, arm := range v.arms {
			var points []place
			for _, ref := range v.refs(arm, record.RoleClosed) {
				points = append(points, place{x: float64(v.factors(ref).Replicas), y: v.at(ref, m.metric)})
			}
			if points = drawnPlaces(points); len(points) > 0 {
				curves = append(curves, curve{name: arm, look: lookOf(i), points: points})
			}
		}
		if len(curves) == 0 {
			continue
		}
		_, ys := valuesOf(curves)
		var ticks []tick
		for n := 3; n <= 7; n += 2 {
			ticks = append(ticks, tick{float64(n), fmt.Sprint(n)})
		}
		panels = append(panels, linePanel{curves: curves, own: &axes{x: scale{min: 2, max: 8}, xTicks: ticks,
			y: linearScale(ys...), xLabel: "replicas", yLabel: m.label}})
	}
	if len(panels) == 0 {
		return Figure{}, noData("bytes-per-item", "nobody sent anything")
	}
	f := lineFigure{view: v, panels: panels, panelHeight: 80, extra: []string{"Sent: UDP payloads of the " +
		"proxy, or everything the leader writes to TCP. The leader shares a process with its followers: its " +
		"own CPU time cannot be told apart."}}
	return f.build("bytes-per-item",
		"Bytes sent and CPU time spent for an item against the number of replicas."), nil
}
