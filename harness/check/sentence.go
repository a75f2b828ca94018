package check

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"metronome/harness/record"
	"metronome/harness/stats"
)

// finish sets the verdict and the sentence of a row.
func (o Options) finish(row record.Claim, verdict, because, words, measured string) record.Claim {
	if o.NotJudged {
		verdict, because = record.NotJudged, "this profile only shows that everything runs"
	}
	row.Verdict = verdict
	row.Sentence = words + ": " + measured + ": " + verdict
	if because != "" {
		row.Sentence += " (" + because + ")"
	}
	if o.Conditions != "" {
		row.Sentence += "; " + o.Conditions
	}
	return row
}

// times writes a ratio as in "24× [22, 27], n = 6". No number is rounded across the bound.
func times(e stats.Estimate, bound float64) string {
	text := func(v float64) string { return number(v, bound) }
	return written(e, text, "×")
}

// rates writes a rate as in "43 M items/s [41, 44], n = 6".
func rates(e stats.Estimate, unit string) string {
	scale, prefix := 1.0, ""
	switch m := e.Median.Point(); {
	case m >= 1e6:
		scale, prefix = 1e6, "M "
	case m >= 1e3:
		scale, prefix = 1e3, "k "
	}
	text := func(v float64) string { return number(v/scale, math.NaN()) }
	return written(e, text, strings.TrimRight(" "+prefix+unit, " "))
}

func written(e stats.Estimate, text func(float64) string, unit string) string {
	if e.N == 0 {
		return "no data"
	}
	var b strings.Builder
	switch e.Median.Censor() {
	case stats.None:
		b.WriteString(text(e.Median.Point()) + unit)
	case stats.LowerBound:
		b.WriteString("≥ " + text(e.Median.Point()) + unit)
	case stats.UpperBound:
		b.WriteString("≤ " + text(e.Median.Point()) + unit)
	default:
		b.WriteString("unbounded")
	}
	if e.HasInterval() {
		fmt.Fprintf(&b, " [%s, %s]", text(e.Low), text(e.High))
	}
	fmt.Fprintf(&b, ", n = %d", e.N)
	return b.String()
}

// number writes v with two digits or, from ten on, none after the point, and with as many more as
// it takes to stay on v's side of bound.
func number(v, bound float64) string {
	if math.IsInf(v, 1) {
		return "∞"
	}
	digits := 0
	if v != 0 {
		digits = max(0, 1-int(math.Floor(math.Log10(math.Abs(v)))))
	}
	for ; digits < 9; digits++ {
		shown, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', digits, 64), 64)
		if err != nil || math.IsNaN(bound) || (shown < bound) == (v < bound) {
			break
		}
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
