package plot

import (
	"fmt"
	"math"
	"slices"

	"metronome/harness/check"
	"metronome/harness/record"
	"metronome/harness/stats"
)

// throughput draws the loss-free rate of every arm, in frames and in items, with one item a frame
// (filled) and with full frames (hollow), at both placements.
func throughput(v *view) (Figure, error) {
	full := v.fullFrames()
	var fps, ips []series
	var entries []entry
	for i, placement := range v.placements() {
		mark := placementLook(placement)
		lift := 2.6 * (1 - 2*float64(i))
		fps = append(fps, v.rateSeries(mark, lift, placement, v.primary, record.LossFreeFPS)...)
		ips = append(ips, v.rateSeries(mark, lift, placement, v.primary, record.LossFreeIPS)...)
		entries = append(entries, glyphEntry(placementWords(placement), mark))
		if full != v.primary {
			mark.hollow = true
			fps = append(fps, v.rateSeries(mark, lift, placement, full, record.LossFreeFPS)...)
			ips = append(ips, v.rateSeries(mark, lift, placement, full, record.LossFreeIPS)...)
		}
	}
	frames, items := spread(v.arms, fps...), spread(v.arms, ips...)
	if !anyDrawn(frames) {
		return Figure{}, noData("throughput", "no arm has a loss-free rate in the primary cell")
	}
	f := rowFigure{view: v, legend: append(entries, v.fillEntries(full)...), columns: []column{
		{label: "loss-free frames/s", scale: logScale(frames...), series: fps},
		{label: "loss-free items/s", scale: logScale(items...), series: ips},
	}, extra: v.rateNotes()}
	return f.build("throughput", "Loss-free frames and items a second by arm."), nil
}

// rateSeries returns the series of a rate in the workload of a cell. The diamond of reference
// programs shows what they took at most, since they are not searched.
func (v *view) rateSeries(
	l look, lift float64, placement string, cell check.Ref, metric string,
) []series {
	searched := func(arm string) point {
		ref, ok := v.index.Partner(cell, arm, placement)
		if !ok {
			return missing()
		}
		return v.at(ref, metric)
	}
	ceiling := func(arm string) point {
		ref, ok := v.index.Partner(cell, arm, placement)
		if !ok {
			return missing()
		}
		f, _ := v.index.Factors(ref)
		d := v.at(ref, record.CeilingFPS)
		if metric == record.LossFreeIPS {
			d = d.times(float64(f.ItemsPerFrame))
		}
		return d
	}
	reference := look{color: black, glyph: diamond, hollow: l.hollow}
	return []series{{l, lengthOf(lift), searched}, {reference, 0, ceiling}}
}

func (d point) times(f float64) point { return point{d.v * f, d.lo * f, d.hi * f} }

// fullFrames returns the primary arm's cell with the most items a frame and all else equal.
func (v *view) fullFrames() check.Ref {
	best := v.primary
	for _, s := range v.itemSlice() {
		if s.items > v.itemsOf(best) {
			best = s.ref
		}
	}
	return best
}

func (v *view) itemsOf(ref check.Ref) int {
	f, _ := v.index.Factors(ref)
	return f.ItemsPerFrame
}

func (v *view) fillEntries(full check.Ref) []entry {
	var entries []entry
	if full != v.primary {
		filled := look{color: quietGray, glyph: square}
		hollow := look{color: quietGray, glyph: square, hollow: true}
		entries = append(entries, glyphEntry(itemWords(v.itemsOf(v.primary))+" (filled)", filled),
			glyphEntry(itemWords(v.itemsOf(full))+" (hollow)", hollow))
	}
	ceiling := func(s record.Summary) bool { return s.Metric == record.CeilingFPS }
	if slices.ContainsFunc(v.Summaries, ceiling) {
		diamonds := look{color: black, glyph: diamond}
		entries = append(entries, glyphEntry("reference, at its maximum", diamonds))
	}
	return entries
}

func itemWords(n int) string {
	if n == 1 {
		return "1 item a frame"
	}
	return fmt.Sprintf("%d items a frame", n)
}

func placementWords(placement string) string {
	switch placement {
	case record.PlacementSame:
		return "same: kernel half on the receiver's core"
	case record.PlacementOther:
		return "other: kernel half shares the generator's core"
	}
	return placement
}

// rateNotes explains loss-free, and arrows where there are any.
func (v *view) rateNotes() []string {
	note := "Loss-free: at most 0.5\u00a0% of the frames offered are lost."
	if slices.ContainsFunc(v.Summaries, open) {
		note += " Arrow: only a bound was seen (generator-limited, or at the end of the rates tried)."
	}
	return []string{note}
}

// open reports whether an end of a row's interval was not seen.
func open(s record.Summary) bool {
	return math.IsInf(s.CILow, 0) || math.IsInf(s.CIHigh, 0) ||
		s.Censor == stats.LowerBound.String() || s.Censor == stats.UpperBound.String()
}
