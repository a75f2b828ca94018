package report

import (
	"bytes"
	"os"
	"testing"

	"metronome/harness/record"
)

func factorialResults() record.Results {
	row := func(arm, cell, status, flags, reason string) record.FactorialRow {
		r := record.NewFactorialRow()
		r.Block, r.Repeat, r.Attempt = 1, 1, 1
		r.Arm, r.Cell, r.Status, r.Flags, r.Reason = arm, cell, status, flags, reason
		return r
	}
	return record.Results{
		Manifest: record.Manifest{Experiment: "edge-load", RunID: "run", Profile: "quick", Blocks: 6,
			Conditions: "loopback", Warnings: []string{"2 cores"}, Design: &record.Design{
				Arms:    []record.DesignName{{Name: "edge"}, {Name: "etcd"}},
				Factors: []record.DesignName{{Name: "batch"}, {Name: "bytes"}},
				Metrics: []record.DesignName{{Name: "ops_per_s", Unit: "ops/s"}, {Name: "p99_ms", Unit: "ms"}}}},
		Factorials: []record.FactorialRow{
			row("etcd", "batch=1 bytes=64", record.StatusUnavailable, "",
				"etcd is unavailable here; next: make peers"),
			row("edge", "batch=16 bytes=64", record.StatusOK, "steal", ""),
			row("edge", "batch=16 bytes=64", record.StatusOK, "steal;odd", ""),
			row("edge", "batch=1 bytes=64", record.StatusVoid, "", "it lost count"),
		},
		Summaries: []record.Summary{
			summary("edge", "", "batch=16 bytes=64", "ops_per_s", 160000, 150000, 170000, "none"),
			summary("edge", "", "batch=16 bytes=64", "p99_ms", 4.25, 4, 5, "lower"),
		},
		Claims: []record.Claim{{Claim: "fast", Primary: true, Verdict: record.Inconclusive, N: 2,
			Sentence: "fast: ?"}},
	}
}

func TestFactorialGolden(t *testing.T) {
	var b bytes.Buffer
	if err := Factorial(&b, factorialResults()); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/factorial.txt"
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// A run whose manifest is of another version says so.
func TestFactorialWithoutDesign(t *testing.T) {
	if err := Factorial(&bytes.Buffer{}, record.Results{}); err == nil {
		t.Error("printed without a design")
	}
}
