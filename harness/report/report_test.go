package report

import (
	"bytes"
	"flag"
	"math"
	"os"
	"testing"

	"metronome/harness/record"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func summary(arm, placement, cell, metric string, median, lo, hi float64, censor string) record.Summary {
	return record.Summary{Arm: arm, Placement: placement, Cell: cell, Metric: metric, Median: median, CILow: lo,
		CIHigh: hi, N: 6, Censor: censor}
}

func results() record.Results {
	nan := math.NaN()
	return record.Results{
		Manifest: record.Manifest{Experiment: "ingest-11x", RunID: "run", Profile: "quick", Blocks: 6,
			Conditions: "software path, no NIC", Warnings: []string{"2 cores"}},
		Trials: []record.Trial{
			{Arm: "fast", Placement: "same", Cell: "b=1", Status: record.StatusOK, GeneratorLimited: true},
			{Arm: "fast", Placement: "same", Cell: "b=1", Status: record.StatusVoid, Flags: "steal;merged"},
			{Arm: "absent", Placement: "same", Cell: "b=1", Status: record.StatusUnavailable, Reason: "no dpdk"},
		},
		Summaries: []record.Summary{
			summary("fast", "same", "a=1", record.LossFreeFPS, 9e6, nan, nan, "none"),
			summary("fast", "same", "b=1", record.LossFreeFPS, 7.25e6, 7e6, 7.5e6, "lower"),
			summary("fast", "same", "b=1", record.LossFreeIPS, 7.25e6, 7e6, 7.5e6, "lower"),
			summary("fast", "same", "b=1", record.CPUItemLossFree, 137.9, 130, 140, "none"),
			summary("fast", "same", "b=1", record.RatioPrefix+"slow", 24.2, 22, math.Inf(1), "lower"),
			summary("slow", "same", "b=1", record.LossFreeFPS, 0.3e6, 0.2e6, 0.4e6, "none"),
			summary("reference", "same", "b=1", record.CeilingFPS, 15e6, 14e6, 16e6, "none"),
		},
		Claims: []record.Claim{
			{Claim: "11x", Primary: true, Cell: "b=1", Verdict: record.Reproduced, N: 6, Sentence: "11× vs slow: yes"},
			{Claim: "other", Primary: true, Cell: "b=1", Verdict: record.Inconclusive, N: 2, Sentence: "other: ?"},
			{Claim: "exploratory", Cell: "b=1", Verdict: record.Inconclusive, Sentence: "not printed"},
		},
	}
}

func TestGolden(t *testing.T) {
	var b bytes.Buffer
	if err := Run(&b, results(), "slow"); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/run.txt"
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

func TestAnEmptyRunPrints(t *testing.T) {
	var b bytes.Buffer
	if err := Run(&b, record.Results{}, "slow"); err != nil || b.Len() == 0 {
		t.Error(err, b.Len())
	}
}
