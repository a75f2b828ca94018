package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"

	"metronome/harness/record"
)

var (
	update = flag.Bool("update", false, "rewrite the golden files")
	save   = flag.String("save", "", "also save the figures in this directory, for looking at them")
)

// names of the figures of ingest-11x, in order.
func figureNames() []string { return []string{"throughput", "ratio", "cpu", "memory", "overload"} }

func drawAll(t *testing.T, r record.Results) []Figure {
	t.Helper()
	figures, err := All(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(figures) != len(figureNames()) {
		t.Fatalf("%d figures", len(figures))
	}
	return figures
}

func bytesOf(t *testing.T, encode func() ([]byte, error)) []byte {
	t.Helper()
	b, err := encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFiguresGolden(t *testing.T) {
	for i, f := range drawAll(t, synthetic(10)) {
		if f.Name != figureNames()[i] {
			t.Errorf("figure %d is %s", i, f.Name)
		}
		if *save != "" {
			if _, err := f.Save(*save); err != nil {
				t.Fatal(err)
			}
		}
		svg := bytesOf(t, f.SVG)
		path := filepath.Join("testdata", f.Name+".svg")
		if *update {
			if err := os.WriteFile(path, svg, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(svg, want) {
			t.Errorf("%s differs: if that is meant, look at it (-save DIR), then run with -update", path)
		}
	}
}

// Drawing twice, the second time from the files of the first, gives the same bytes in all formats.
func TestFiguresAreReproducible(t *testing.T) {
	r := synthetic(6)
	dir := t.TempDir()
	err := errors.Join(
		record.WriteManifest(filepath.Join(dir, "manifest.json"), r.Manifest),
		record.WriteFile(filepath.Join(dir, "trials.csv"), record.Trials(), r.Trials),
		record.WriteFile(filepath.Join(dir, "summary.csv"), record.Summaries(), r.Summaries),
		record.WriteFile(filepath.Join(dir, "claims.csv"), record.Claims(), r.Claims))
	if err != nil {
		t.Fatal(err)
	}
	again, err := record.ReadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, second := drawAll(t, r), drawAll(t, again)
	for i := range first {
		for format, pair := range map[string][2]func() ([]byte, error){
			"PDF": {first[i].PDF, second[i].PDF},
			"SVG": {first[i].SVG, second[i].SVG},
			"PNG": {first[i].PNG, second[i].PNG},
		} {
			if !bytes.Equal(bytesOf(t, pair[0]), bytesOf(t, pair[1])) {
				t.Errorf("%s as %s differs when drawn again", first[i].Name, format)
			}
		}
	}
}

func TestSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	paths, err := drawAll(t, synthetic(2))[0].Save(dir)
	if err != nil || len(paths) != 3 {
		t.Fatal(paths, err)
	}
	for _, p := range paths {
		if fi, err := os.Stat(p); err != nil || fi.Size() == 0 {
			t.Errorf("%s: %v", p, err)
		}
	}
	if _, err := drawAll(t, synthetic(2))[0].Save("/dev/null/x"); err == nil {
		t.Error("saved under a file")
	}
}

// The face of every figure says under which conditions it holds.
func TestConditionsAreOnTheFace(t *testing.T) {
	r := synthetic(10)
	for _, f := range drawAll(t, r) {
		svg := string(bytesOf(t, f.SVG))
		for _, want := range []string{"software path, no NIC", "n = 10", "97.9", "xxh3",
			"8273CL", "20250102T030405Z-abcdef0-1234", "dpdk-ring unavailable"} {
			if !strings.Contains(svg, want) {
				t.Errorf("%s does not say %q", f.Name, want)
			}
		}
	}
	r = synthetic(2)
	r.Manifest.Profile, r.Manifest.Status = "smoke", "partial"
	r.Manifest.Hosts = nil
	for _, f := range drawAll(t, r) {
		svg := string(bytesOf(t, f.SVG))
		for _, want := range []string{"SMOKE RUN", "PARTIAL RUN", "no intervals", "host unknown"} {
			if !strings.Contains(svg, want) {
				t.Errorf("%s does not say %q", f.Name, want)
			}
		}
	}
}

// All text must lie on the paper and no label may be cut: the canvas records where text goes.
func TestTextStaysOnThePaper(t *testing.T) {
	long := synthetic(6)
	for i := range long.Trials {
		long.Trials[i].Arm += "-with-a-name-that-is-much-longer-than-any-column"
	}
	long.Summaries = nil
	long.Manifest.Conditions = strings.Repeat("word ", 80) + strings.Repeat("w", 300)
	for _, r := range []record.Results{synthetic(10), long} {
		figures, _ := All(r)
		for _, f := range figures {
			spy := &textSpy{Canvas: outlined{nopCanvas{}}, t: t, f: f}
			f.on(spy)
			if spy.texts < 10 {
				t.Errorf("%s: only %d texts", f.Name, spy.texts)
			}
		}
	}
}

func withoutSummaries(r record.Results) record.Results {
	r.Summaries, r.Claims = nil, nil
	return r
}

func only(r record.Results, keep func(record.Trial) bool) record.Results {
	var trials []record.Trial
	for _, t := range r.Trials {
		if keep(t) {
			trials = append(trials, t)
		}
	}
	r.Trials = trials
	return withoutSummaries(r)
}

// An interrupted or poor run draws what it has and names what it lacks.
func TestPoorRuns(t *testing.T) {
	full := synthetic(6)
	arm := func(name string) func(record.Trial) bool {
		return func(t record.Trial) bool { return t.Arm == name }
	}
	search := func(t record.Trial) bool { return t.Role == record.RoleSearch }
	spoiled := only(full, func(record.Trial) bool { return true })
	for i := range spoiled.Trials {
		s := &spoiled.Trials[i]
		s.LossRatio, s.GoodputFPS, s.MemVMHWMBytes, s.CPUNSPerItem = math.NaN(), 0, math.NaN(), math.NaN()
	}
	for name, c := range map[string]struct {
		run     record.Results
		figures int
	}{
		"nothing":           {record.Results{}, 0},
		"no summary":        {withoutSummaries(full), 5},
		"one block":         {only(full, func(t record.Trial) bool { return t.Block < 2 }), 5},
		"only unavailable":  {only(full, arm("dpdk-ring")), 0},
		"one arm":           {only(full, arm("dpdk-memif")), 4},
		"one socket":        {only(full, arm("socket-recv")), 4},
		"only the ceiling":  {only(full, arm("testpmd-memif")), 2},
		"search only":       {only(full, search), 0},
		"one placement":     {only(full, func(t record.Trial) bool { return t.Placement == "other" }), 5},
		"values missing":    {spoiled, 1},
		"all void":          {voided(full), 0},
		"claim of no trial": {record.Results{Claims: full.Claims, Manifest: full.Manifest}, 0},
	} {
		figures, err := All(c.run)
		if len(figures) != c.figures {
			t.Errorf("%s: %d figures, want %d (%v)", name, len(figures), c.figures, err)
		}
		if missing := len(figureNames()) - len(figures); (missing > 0) != errors.Is(err, ErrNoData) {
			t.Errorf("%s: %d missing figures, error %v", name, missing, err)
		}
		for _, f := range figures {
			wellFormed(t, name, bytesOf(t, f.SVG))
		}
	}
}

func voided(r record.Results) record.Results {
	r = only(r, func(record.Trial) bool { return true })
	for i := range r.Trials {
		r.Trials[i].Status = record.StatusVoid
	}
	return r
}

func wellFormed(t *testing.T, name string, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
		t.Errorf("%s: a coordinate is not a number", name)
	}
}

// Whatever the numbers and words are, drawing neither fails nor hangs nor leaves the paper.
func TestHostileValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	odd := []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 5e-324, 1e-300, 1e300, 1, 11}
	words := []string{"", "same", "other", "\x00\xff", "</svg>", "µ × ≥ 日本", "dpdk-memif",
		strings.Repeat("x", 200)}
	for round := range 40 {
		r := synthetic(1)
		for i := range r.Trials {
			for _, c := range record.Trials().Columns {
				switch v := c.Field(&r.Trials[i]).(type) {
				case *float64:
					if rng.IntN(6) == 0 {
						*v = odd[rng.IntN(len(odd))]
					}
				case *int:
					if rng.IntN(20) == 0 {
						*v = rng.IntN(4) - 2
					}
				case *string:
					if rng.IntN(40) == 0 {
						*v = words[rng.IntN(len(words))]
					}
				}
			}
		}
		for i := range r.Summaries {
			s := &r.Summaries[i]
			for _, v := range []*float64{&s.Median, &s.CILow, &s.CIHigh} {
				if rng.IntN(5) == 0 {
					*v = odd[rng.IntN(len(odd))]
				}
			}
		}
		if round%2 == 0 {
			r.Summaries = nil
		}
		figures, _ := All(r)
		for _, f := range figures {
			wellFormed(t, f.Name, bytesOf(t, f.SVG))
		}
	}
}

func TestLogScale(t *testing.T) {
	for _, c := range []struct {
		values   []float64
		min, max float64
	}{
		{nil, 1, 10},
		{[]float64{0, -5, math.NaN(), math.Inf(1)}, 1, 10},
		{[]float64{1}, 0.5, 5},
		{[]float64{3e5, 7e6}, 2e5, 1e7},
		{[]float64{230, 270}, 200, 1000},
	} {
		s := logScale(c.values...)
		if math.Abs(s.min/c.min-1) > 1e-9 || math.Abs(s.max/c.max-1) > 1e-9 {
			t.Errorf("%v: got %v to %v, want %v to %v", c.values, s.min, s.max, c.min, c.max)
		}
		if at := s.at(0, 10, 20); at != 10 {
			t.Errorf("zero lies at %v", at)
		}
		if n := labels(s.ticks(100, 20)); n < 2 {
			t.Errorf("%v: an axis with %d labels", c.values, n)
		}
	}
}

func TestSI(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1500: "1.5k", 1e6: "1M", 0.5: "0.5", 25e6: "25M",
		999: "999", 2e9: "2G", 11: "11"} {
		if got := si(v); got != want {
			t.Errorf("%v: got %q, want %q", v, got, want)
		}
	}
}

func TestNamesKeepTheirDistance(t *testing.T) {
	for _, heights := range [][]vg.Length{{50, 50, 50}, {99, 98, 2, 1}, {3, 2, 1}, {100, 99, 98}} {
		moved := apart(heights, 8, 0, 100)
		for i, y := range moved {
			if y < 0 || y > 100 || (i > 0 && moved[i-1]-y < 8-1e-9) {
				t.Errorf("%v became %v", heights, moved)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	lines := wrap("a few words of 97.9\u00a0% and averyveryverylongwordindeed", sizeSmall, 40)
	for _, l := range lines {
		if textWidth(l, sizeSmall) > 40 {
			t.Errorf("%q is wider than 40 pt", l)
		}
	}
	if !strings.Contains(strings.Join(lines, "|"), "97.9\u00a0%") {
		t.Errorf("%q broke at a no-break space", lines)
	}
}
