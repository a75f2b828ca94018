package plot

import (
	"gonum.org/v1/plot/vg"

	"metronome/harness/record"
)

func lengthOf(points float64) vg.Length { return vg.Length(points) }

// cpu draws the CPU time an item costs, at the loss-free rate and at overload.
func cpu(v *view) (Figure, error) {
	var calm, over []series
	var entries []entry
	for i, placement := range v.placements() {
		mark := placementLook(placement)
		lift := lengthOf(2.6 * (1 - 2*float64(i)))
		of := func(metric string) func(string) point {
			return func(arm string) point { return v.value(arm, placement, metric) }
		}
		calm = append(calm, series{mark, lift, of(record.CPUItemLossFree)})
		over = append(over, series{mark, lift, of(record.CPUItemOverload)})
		entries = append(entries, glyphEntry(placementWords(placement), mark))
	}
	values := spread(v.arms, append(append([]series(nil), calm...), over...)...)
	if !anyDrawn(values) {
		return Figure{}, noData("cpu", "no arm has a CPU time in the primary cell")
	}
	s := logScale(values...)
	f := rowFigure{view: v, legend: entries, columns: []column{
		{label: "ns/item, loss-free", scale: s, series: calm},
		{label: "ns/item, overload", scale: s, series: over},
	}, extra: []string{"CPU of all receive-side threads, kernel thread included, ÷ items accepted; " +
		"overload: offered 1.5 × the loss-free rate. A polling arm uses its whole core at any rate."}}
	return f.build("cpu", "CPU time per item by arm, at the loss-free rate and at overload."), nil
}
