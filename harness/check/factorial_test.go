package check

import (
	"math"
	"testing"

	"metronome/harness/record"
	"metronome/harness/stats"
)

func factorialRow(block, attempt int, arm, metric string, v float64) record.FactorialRow {
	return record.FactorialRow{Block: block, Repeat: 1, Attempt: attempt, Arm: arm, Cell: "n=1",
		Metric: metric, Value: v, Status: record.StatusOK, Censor: "none"}
}

var factorialMetrics = []record.DesignName{{Name: "ops", Unit: "ops/s"}, {Name: "ms", Unit: "ms"}}

// Only the last attempt counts, even if it tells less; void rows and missing values do not.
func TestFactorialsTakeTheLastAttempt(t *testing.T) {
	void := factorialRow(3, 1, "a", "ops", 5)
	void.Status, void.Reason = record.StatusVoid, "it lost count"
	x := NewFactorials([]record.FactorialRow{
		factorialRow(1, 2, "a", "ops", 20), factorialRow(1, 1, "a", "ops", 10), factorialRow(1, 1, "a", "ms", 1),
		factorialRow(2, 1, "a", "ops", math.NaN()), void,
	}, factorialMetrics)
	ref := Ref{Arm: "a", Cell: "n=1"}
	if v := x.Values(ref, "ops"); len(v) != 1 || v[1] != stats.Exactly(20) {
		t.Errorf("%v", v)
	}
	if v := x.Values(ref, "ms"); len(v) != 0 {
		t.Errorf("of an attempt that was repeated: %v", v)
	}
	if x.Why("a") != "void: it lost count" || !x.Ran("a") || x.Ran("b") {
		t.Errorf("why %q", x.Why("a"))
	}
}

// A bound that was seen widens the interval and is named; a ratio takes the best of several rungs, which is
// the lowest where less is better.
func TestFactorialVerdicts(t *testing.T) {
	var rows []record.FactorialRow
	for b := 1; b <= 6; b++ {
		censored := factorialRow(b, 1, "a", "ops", 100)
		censored.Censor = "lower"
		rows = append(rows, censored, factorialRow(b, 1, "a", "ms", 4), factorialRow(b, 1, "b", "ms", 2),
			factorialRow(b, 1, "c", "ms", float64(b)))
		rows = append(rows, factorialRow(b, 1, "d", "ops", 100), factorialRow(b, 1, "e", "ops", 50))
		rows[len(rows)-1].Censor = "lower" // it may be better than d
	}
	x := NewFactorials(rows, factorialMetrics)
	ref := Ref{Arm: "a", Cell: "n=1"}
	for _, c := range []struct {
		claim    StoreClaim
		verdict  string
		measured float64
	}{
		{StoreClaim{Metric: "ops", Bound: 90}, record.Reproduced, 100},
		{StoreClaim{Metric: "ops", Bound: 110}, record.Inconclusive, 100},
		{StoreClaim{Metric: "ms", Bound: 4, AtMost: true}, record.Reproduced, 4},
		{StoreClaim{Metric: "ms", Bound: 5, AtMost: true, Rungs: []string{"b", "c"}, Lowest: true},
			record.Reproduced, 2},
		{StoreClaim{Metric: "ops", Bound: 120, AtMost: true, Always: true}, record.Inconclusive, 100},
		{StoreClaim{Metric: "ops", Bound: 100, Always: true}, record.Reproduced, 100},
		{StoreClaim{Metric: "ops", Bound: 99, AtMost: true, Always: true}, record.NotReproduced, 100},
		{StoreClaim{Metric: "ops", Bound: 0.9, Rungs: []string{"d", "e"}}, record.Inconclusive, 1},
		{StoreClaim{Metric: "ms", Bound: 1.9, AtMost: true, Rungs: []string{"b", "c"}}, record.Inconclusive,
			(4./3 + 1) / 2},
	} {
		c.claim.Ref, c.claim.RungRef = ref, ref
		got, err := x.Judge(c.claim, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Verdict != c.verdict || math.Abs(got[0].Measured-c.measured) > 1e-12 {
			t.Errorf("%+v: %s, %v", c.claim, got[0].Verdict, got[0].Measured)
		}
	}
	if _, err := x.Judge(StoreClaim{Metric: "opps", Bound: 1}, Options{}); err == nil {
		t.Error("there is no such metric")
	}
}
