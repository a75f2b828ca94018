package plot

import (
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"

	"metronome/harness/record"
)

// part is one kind of memory. The fills differ in lightness, for grayscale.
type part struct {
	metric, name string
	fill         color.Color
}

func memoryParts() []part {
	return []part{
		{record.MemVMHWM, "resident (VmHWM)", blue},
		{record.MemHuge, "hugepages", orange},
		{record.MemSocket, "socket buffers", yellow},
		{record.MemUMEM, "UMEM", white},
	}
}

// memory draws the receiver's memory by arm, stacked by kind, with the interval of the sum and the
// bound that the configuration sets.
func memory(v *view) (Figure, error) {
	anywhere := func(metric string) func(string) point {
		return func(arm string) point { return v.anywhere(arm, metric).times(1e-6) }
	}
	total := series{look{color: black, glyph: none}, 0, anywhere(record.MemTotal)}
	bound := series{look{color: black, glyph: bar}, 0, anywhere(record.MemBound)}
	values := spread(v.arms, total, bound)
	for _, arm := range v.arms {
		values = append(values, v.stack(arm))
	}
	if !anyDrawn(values) {
		return Figure{}, noData("memory", "no arm has a memory figure in the primary cell")
	}
	var entries []entry
	for _, k := range memoryParts() {
		entries = append(entries, entry{k.name, func(p pen, at vg.Point) {
			p.rectangle(at.X-3, at.Y-2.5, at.X+3, at.Y+2.5, k.fill, black)
		}})
	}
	entries = append(entries, glyphEntry("configured bound", look{color: black, glyph: bar}))
	f := rowFigure{view: v, legend: entries, columns: []column{{
		label: "receiver memory (MB)", scale: linearScale(values...),
		series: []series{total, bound}, bars: v.drawStack,
	}}, extra: []string{"Largest of each block; the interval is that of the sum."}}
	return f.build("memory", "Memory of the receiver by arm, stacked by kind."), nil
}

// anywhere returns a metric at the first placement that has it: memory does not depend on it.
func (v *view) anywhere(arm, metric string) point {
	for _, placement := range v.placements() {
		if d := v.value(arm, placement, metric); !math.IsNaN(d.v) {
			return d
		}
	}
	return missing()
}

// stack returns the length of an arm's bar in MB.
func (v *view) stack(arm string) float64 {
	sum := 0.0
	for _, k := range memoryParts() {
		if d := v.anywhere(arm, k.metric); !math.IsNaN(d.v) {
			sum += d.v / 1e6
		}
	}
	return sum
}

func (v *view) drawStack(p pen, a panel, arm string, y vg.Length) {
	const half = rowHeight * 0.32
	from := 0.0
	for _, k := range memoryParts() {
		d := v.anywhere(arm, k.metric)
		if !(d.v > 0) {
			continue
		}
		to := from + d.v/1e6
		p.rectangle(a.x.at(from, a.x0, a.x1), y-half, a.x.at(to, a.x0, a.x1), y+half, k.fill, black)
		from = to
	}
}
