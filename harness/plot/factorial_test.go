package plot

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"metronome/harness/record"
)

// designed is a made-up declaration with a figure of every kind.
func designed() *record.Design {
	return &record.Design{Driver: "made-up",
		Arms:    []record.DesignName{{Name: "edge"}, {Name: "etcd"}, {Name: "redis"}},
		Factors: []record.DesignName{{Name: "batch", Unit: "ops"}, {Name: "op"}, {Name: "pause"}},
		Base:    map[string]string{"batch": "1", "op": "put", "pause": "0s"},
		Metrics: []record.DesignName{{Name: "ops_per_s", Unit: "ops/s"}, {Name: "p99_ms", Unit: "ms"}},
		Figures: []record.DesignFigure{
			{Name: "batches", Kind: "lines", What: "Throughput against the batch.", X: "batch",
				Y: []string{"ops_per_s", "p99_ms"}, Log: []string{"x", "y"}},
			{Name: "operations", Kind: "lines", What: "By kind of operation.", X: "op", Y: []string{"p99_ms"}},
			{Name: "pauses", Kind: "lines", What: "Against a pause, by batch.", X: "pause", By: "batch",
				Y: []string{"ops_per_s"}, Arms: []string{"edge"}},
			{Name: "beside", Kind: "bars", What: "All arms, by kind of operation.", By: "op",
				Y: []string{"ops_per_s", "p99_ms"}},
			{Name: "course", Kind: "timeline", What: "The course of a trial.", Y: []string{"requests/s"}},
			{Name: "shares", Kind: "ecdf", What: "Distribution of the rate.", X: "requests/s",
				Y: []string{"requests/s"}, Log: []string{"x"}},
		}}
}

// syntheticFactorial is a run that has data for every figure. One arm is missing on the machine.
func syntheticFactorial(blocks int) record.Results {
	r := record.Results{Manifest: record.Manifest{Kind: record.ExperimentFactorial, Design: designed(),
		Experiment: "synthetic", RunID: "20260101T000000Z-abcdef0-1234", Conditions: "made up"}}
	row := func(block int, arm, cell, metric, unit string, v float64) {
		t := record.NewFactorialRow()
		t.Block, t.Arm, t.Cell, t.Repeat, t.Attempt = block, arm, cell, 1, 1
		t.Status, t.Metric, t.Unit, t.Value, t.Censor = record.StatusOK, metric, unit, v, "none"
		r.Factorials = append(r.Factorials, t)
	}
	cells := []string{"batch=1 op=put pause=0s", "batch=16 op=put pause=0s", "batch=256 op=put pause=0s",
		"batch=1 op=get pause=0s", "batch=1 op=put pause=20ms", "batch=1 op=put pause=1s",
		"batch=256 op=put pause=1s"}
	for b := 1; b <= blocks; b++ {
		for i, arm := range []string{"edge", "etcd"} {
			for j, cell := range cells {
				wobble := 1 + 0.02*float64(b%3)
				row(b, arm, cell, "ops_per_s", "ops/s", float64((i+1)*(j+1)*1000)*wobble)
				row(b, arm, cell, "p99_ms", "ms", float64(i+j+1)/wobble)
			}
			for n := range 900 {
				r.Points = append(r.Points, record.FactorialPoint{Block: b, Arm: arm, Cell: cells[0], Repeat: 1,
					Attempt: 1, Series: "requests/s", X: float64(n) / 10, Y: 100 + 50*math.Sin(float64(n*(i+1))/90)})
			}
		}
	}
	gone := record.NewFactorialRow()
	gone.Block, gone.Arm, gone.Cell, gone.Repeat, gone.Attempt = 1, "redis", cells[0], 1, 1
	gone.Status, gone.Reason = record.StatusUnavailable, "redis-server is unavailable here: not in PATH"
	r.Factorials = append(r.Factorials, gone)
	return r
}

func TestFactorialFigures(t *testing.T) {
	for _, blocks := range []int{1, 10} {
		figures, err := All(syntheticFactorial(blocks))
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range figures {
			if f.Name != designed().Figures[i].Name {
				t.Errorf("figure %d is %s", i, f.Name)
			}
			if *save != "" {
				if _, err := f.Save(filepath.Join(*save, fmt.Sprint(blocks))); err != nil {
					t.Fatal(err)
				}
			}
			spy := &textSpy{Canvas: nopCanvas{}, t: t, f: f}
			f.on(spy)
			if spy.texts == 0 {
				t.Errorf("%s has no text", f.Name)
			}
			svg := bytesOf(t, f.SVG)
			wellFormed(t, f.Name, svg)
			for _, want := range []string{"made up", "redis unavailable"} {
				if !bytes.Contains(svg, []byte(want)) {
					t.Errorf("%s does not say %q", f.Name, want)
				}
			}
		}
		if len(figures) != len(designed().Figures) {
			t.Errorf("%d figures", len(figures))
		}
	}
}

// The same tables, read from files in another order of rows, give the same bytes.
func TestFactorialFiguresAreReproducible(t *testing.T) {
	r := syntheticFactorial(6)
	dir := t.TempDir()
	err := errors.Join(
		record.WriteManifest(filepath.Join(dir, "manifest.json"), r.Manifest),
		record.WriteFile(filepath.Join(dir, "trials.csv"), record.FactorialRows(), r.Factorials),
		record.WriteFile(filepath.Join(dir, "timeline.csv"), record.FactorialPoints(), r.Points))
	if err != nil {
		t.Fatal(err)
	}
	again, err := record.ReadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(again.Factorials)
	first, err1 := All(r)
	second, err2 := All(again)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for i := range first {
		for _, encode := range []func(Figure) ([]byte, error){Figure.PDF, Figure.SVG, Figure.PNG} {
			a, err1 := encode(first[i])
			b, err2 := encode(second[i])
			if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, b) {
				t.Errorf("%s differs from itself: %v", first[i].Name, err)
			}
		}
	}
}

// A run without the data says of each figure what it lacks.
func TestFactorialFiguresWithoutData(t *testing.T) {
	r := syntheticFactorial(1)
	r.Factorials, r.Points = nil, nil
	spirals := record.DesignFigure{Name: "x", Kind: "spirals"}
	r.Manifest.Design.Figures = append(r.Manifest.Design.Figures, spirals)
	figures, err := All(r)
	if len(figures) != 0 || !errors.Is(err, ErrNoData) || !strings.Contains(err.Error(), "spirals") {
		t.Errorf("%d figures: %v", len(figures), err)
	}
	for _, f := range designed().Figures {
		if !strings.Contains(err.Error(), f.Name) {
			t.Errorf("nothing is said of %s", f.Name)
		}
	}
	r.Manifest.Design = nil
	if _, err := All(r); !errors.Is(err, ErrNoData) {
		t.Error(err)
	}
}

// A figure takes the points that it is about, and no others.
func TestFactorialCurves(t *testing.T) {
	v := newFactorialView(syntheticFactorial(6))
	d := v.design.Figures
	curves := v.curvesAgainst(d[0], "ops_per_s", v.positions(d[0]).at)
	if len(curves) != 2 || curves[0].name != "edge" || len(curves[0].points) != 3 ||
		curves[0].points[2].x != 256 {
		t.Errorf("against the batch: %+v", curves)
	}
	curves = v.curvesAgainst(d[2], "ops_per_s", v.positions(d[2]).at)
	if len(curves) != 3 || curves[0].name != "batch 1" || len(curves[0].points) != 3 ||
		curves[0].points[1].x != 0.02 {
		t.Errorf("against the pause, by batch: %+v", curves)
	}
	if p := v.positions(d[1]); len(p.ticks) != 2 || p.ticks[0].label != "get" || p.at("put") != 2 {
		t.Errorf("words on an axis: %+v", p)
	}
	if n := len(v.pointsOf(d[4], "edge", "requests/s")); n != 900 {
		t.Errorf("a course of %d points", n)
	}
	if n := len(v.pointsOf(d[5], "edge", "requests/s")); n != 6*900 {
		t.Errorf("a distribution of %d points", n)
	}
}

// A caption says a unit once.
func TestFactorWords(t *testing.T) {
	for _, c := range []struct{ name, value, unit, want string }{
		{"lasts", "1s", "s", "lasts 1s"}, {"rate", "500", "puts/s", "rate 500 puts/s"},
		{"cut", "none", "ms", "cut none"}, {"replicas", "3", "replicas", "replicas 3"},
		{"value_bytes", "3", "bytes", "value bytes 3"}, {"n", "3", "", "n 3"},
	} {
		if got := factorWords(record.DesignName{Name: c.name, Unit: c.unit}, c.value); got != c.want {
			t.Errorf("%s=%s in %q: %q", c.name, c.value, c.unit, got)
		}
	}
}
