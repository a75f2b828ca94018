package record

import (
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

func TestFactorialColumns(t *testing.T) {
	distinct(t, FactorialRows())
	distinct(t, FactorialPoints())
}

// A factorial run is read back as it was written, its design included.
func TestFactorialRoundTrip(t *testing.T) {
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	m := Manifest{Kind: ExperimentFactorial, Design: &Design{Driver: "d", Base: map[string]string{"n": "1"},
		Metrics: []DesignName{{Name: "ms", Unit: "ms", What: "w"}},
		Figures: []DesignFigure{{Name: "f", Kind: "lines", Y: []string{"ms"}}}}}
	rows := []FactorialRow{randomise(FactorialRows(), rng), NewFactorialRow()}
	rows[0].Arm, rows[0].Flags, rows[0].Reason = "a, b", "one;two", `"why"`
	points := []FactorialPoint{{Block: 2, Arm: "a", Series: "ops/s", X: 0.5, Y: math.Inf(1)}}
	if err := errors.Join(WriteManifest(filepath.Join(dir, "manifest.json"), m),
		WriteFile(filepath.Join(dir, "trials.csv"), FactorialRows(), rows),
		WriteFile(filepath.Join(dir, "timeline.csv"), FactorialPoints(), points)); err != nil {
		t.Fatal(err)
	}
	r, err := ReadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	table := FactorialRows()
	for i := range rows {
		if !slices.Equal(table.Strings(&rows[i]), table.Strings(&r.Factorials[i])) {
			t.Errorf("row %d: %+v, want %+v", i, r.Factorials[i], rows[i])
		}
	}
	if !slices.Equal(r.Points, points) || r.Manifest.Design.Figures[0].Y[0] != "ms" || len(r.Timeline) != 0 {
		t.Errorf("%+v, %+v", r.Points, r.Manifest.Design)
	}
}

func TestCellsAreOrdered(t *testing.T) {
	cells := []string{"a=put n=10", "a=get n=2", "a=put n=9", "a=put n=x", "a=put n=100ms", "a=put n=2s"}
	slices.SortFunc(cells, CompareCells)
	want := []string{"a=get n=2", "a=put n=100ms", "a=put n=2s", "a=put n=9", "a=put n=10", "a=put n=x"}
	if !slices.Equal(cells, want) {
		t.Error(cells)
	}
	if FactorOf("a=put n=9", "n") != "9" || FactorOf("a=put", "n") != "" || FactorOf("", "") != "" {
		t.Error("values of factors")
	}
}
