package check

import (
	"slices"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"metronome/harness/record"
)

// storeRun is six blocks: ours does 100 k, 110 k, … ops/s, a tenth of which theirs does; other is missing in
// the last block.
func storeRun() (all []record.StoreTrial) {
	row := func(block int, arm, load string, ops float64) record.StoreTrial {
		t := record.NewStoreTrial()
		t.Block, t.Arm, t.Setup, t.Load, t.AchievedOPS = block, arm, "default", load, ops
		t.Role, t.Repeat, t.Attempt, t.Status = record.RoleClosed, 1, 1, record.StatusOK
		t.PeerItemBytes, t.LatencyP50 = 0, float64(100+block)
		return t
	}
	for b := 1; b <= 6; b++ {
		ops := 100e3 + 10e3*float64(b)
		all = append(all, row(b, "ours", "most", ops), row(b, "theirs", "most", ops/10))
		if b < 6 {
			all = append(all, row(b, "other", "most", ops/5))
		}
		again := row(b, "ours", "most", ops*1.01)
		again.Role, again.Repeat = record.RoleAA, 2
		stolen := row(b, "ours", "most", 1)
		stolen.Attempt = 0
		all = append(all, again, stolen)
	}
	missing := row(1, "absent", "most", 0)
	missing.Status, missing.Reason = record.StatusUnavailable, "it is not built"
	return append(all, missing)
}

func TestJudgeStores(t *testing.T) {
	x := NewStores(storeRun())
	ref := Ref{"ours", "default", "most"}
	at := Ref{Placement: "default", Cell: "most"}
	for _, tc := range []struct {
		name    string
		c       StoreClaim
		verdict string
		says    string
	}{
		{"a rate", StoreClaim{Metric: record.StoreOPS, Bound: 100e3}, record.Reproduced, "135 k ops/s"},
		{"a rate not reached", StoreClaim{Metric: record.StoreOPS, Bound: 1e6}, record.NotReproduced, "by ours"},
		{"at most", StoreClaim{Metric: record.StoreP50, Bound: 200, AtMost: true}, record.Reproduced, "n = 6"},
		{"more than at most", StoreClaim{Metric: record.StoreP50, Bound: 99, AtMost: true},
			record.NotReproduced, ""},
		{"within", StoreClaim{Metric: record.StoreP50, Bound: 103, AtMost: true}, record.Inconclusive, "contains"},
		{"nothing at all", StoreClaim{Metric: record.StorePeerItemBytes, AtMost: true}, record.Reproduced, "0"},
		{"a ratio", StoreClaim{Metric: record.StoreOPS, Bound: 9, Rungs: []string{"theirs"}}, record.Reproduced,
			"vs theirs: 10×"},
		{"the best of two, one of them not in all blocks",
			StoreClaim{Metric: record.StoreOPS, Bound: 4, Rungs: []string{"theirs", "other"}}, record.Inconclusive,
			"vs theirs or other: 5.0×, n = 5"},
		{"always", StoreClaim{Metric: record.StoreP50, Bound: 106, AtMost: true, Always: true}, record.Reproduced,
			""},
		{"not always", StoreClaim{Metric: record.StoreP50, Bound: 105, AtMost: true, Always: true},
			record.NotReproduced, "in 1 of 6 blocks, at worst by 106"},
		{"never less", StoreClaim{Metric: record.StoreOPS, Bound: 110e3, Always: true}, record.Reproduced, ""},
		{"sometimes less", StoreClaim{Metric: record.StoreOPS, Bound: 125e3, Always: true}, record.NotReproduced,
			"in 2 of 6 blocks, at worst by 110000"},
		{"an absent rung", StoreClaim{Metric: record.StoreOPS, Bound: 1, Rungs: []string{"absent"}},
			record.Inconclusive, "absent unavailable: it is not built"},
	} {
		tc.c.Name, tc.c.Words, tc.c.Ref, tc.c.RungRef = tc.name, tc.name, ref, at
		rows, err := x.Judge(tc.c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r := rows[0]; !r.Primary || r.Verdict != tc.verdict || !strings.Contains(r.Sentence, tc.says) {
			t.Errorf("%s: %s: %q, want %s and %q", tc.name, r.Verdict, r.Sentence, tc.verdict, tc.says)
		}
		for _, r := range rows[1:] {
			if r.Primary {
				t.Errorf("%s: more than one primary row", tc.name)
			}
		}
	}
	for _, bad := range []StoreClaim{{Metric: "speed", Bound: 1}, {Metric: record.StoreOPS},
		{Metric: record.StoreOPS, Bound: -1, AtMost: true}} {
		if _, err := x.Judge(bad, Options{}); err == nil {
			t.Errorf("%+v was judged", bad)
		}
	}
	void := storeRun()[0]
	void.Block, void.Status, void.Reason = 7, record.StatusVoid, "it hangs"
	seven := NewStores(append(storeRun(), void))
	always := StoreClaim{Metric: record.StoreP50, Bound: 106, AtMost: true, Always: true, Ref: ref}
	if rows, _ := seven.Judge(always, Options{}); rows[0].Verdict != record.Inconclusive ||
		!strings.Contains(rows[0].Sentence, "it hangs") {
		t.Errorf("with a void block: %+v", rows)
	}
	smoke := StoreClaim{Metric: record.StoreOPS, Bound: 1, Ref: ref}
	if rows, _ := x.Judge(smoke, Options{NotJudged: true}); rows[0].Verdict != record.NotJudged {
		t.Errorf("judged: %+v", rows)
	}
}

func TestSummariseStores(t *testing.T) {
	rows := NewStores(storeRun()).Summarise()
	found := map[string]float64{}
	for _, r := range rows {
		if r.Arm == "ours" {
			found[r.Metric] = r.Median
		}
	}
	if found[record.StoreOPS] != 135e3 || found[record.StoreP50] != 103.5 {
		t.Errorf("summaries %v", found)
	}
	if n := found[record.StoreNoise]; n < 1.009 || n > 1.011 {
		t.Errorf("noise floor %v", n)
	}
	if _, ok := found[record.StoreRounds]; ok {
		t.Error("a metric that nobody measured is summarised")
	}
}

// Percentiles are those of all blocks' operations, and lie between the blocks' own.
func TestLatenciesAreMerged(t *testing.T) {
	rows := storeRun()
	for i := range rows {
		h := hdrhistogram.New(1, 1e9, 3)
		for n := range 100 {
			if err := h.RecordValue(int64(rows[i].Block*1e6 + n)); err != nil {
				t.Fatal(err)
			}
		}
		rows[i].LatencyP50 = float64(h.ValueAtQuantile(50)) / 1e3
		b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			t.Fatal(err)
		}
		rows[i].LatencyHDR = string(b)
	}
	p50 := func(rows []record.StoreTrial) record.Summary {
		for _, r := range NewStores(rows).Summarise() {
			if r.Arm == "ours" && r.Metric == record.StoreP50 {
				return r
			}
		}
		t.Fatal("no median")
		return record.Summary{}
	}
	// Half of all operations took 3 ms or less; the median of the blocks' medians is 3.5 ms, which none took.
	if got := p50(rows); got.Median < 2990 || got.Median > 3010 || !strings.Contains(got.Method, "all blocks") ||
		got.CILow > 1010 || got.CIHigh < 5990 {
		t.Errorf("merged: %+v", got)
	}
	rows[len(rows)-5].LatencyHDR = "AAAA" // of the last block of ours
	if got := p50(rows); strings.Contains(got.Method, "all blocks") {
		t.Errorf("merged without one of them: %+v", got)
	}
}

func TestJudgeSims(t *testing.T) {
	var rows []record.SimTrial
	for b := 1; b <= 6; b++ {
		rows = append(rows, record.SimTrial{Block: b, Family: "calm", Seeds: 10, Status: record.StatusOK},
			record.SimTrial{Block: b, Family: "crash", Seeds: 5, Status: record.StatusOK},
			record.SimTrial{Block: b, Mutation: "skip", Seeds: b, Caught: true, Status: record.StatusOK})
	}
	safe := StoreClaim{Name: "safe", Words: "violations", Metric: "violations", AtMost: true}
	caught := StoreClaim{Name: "caught", Words: "missed", Metric: "missed_mutations", AtMost: true}
	verdict := func(rows []record.SimTrial, c StoreClaim) string {
		row, err := NewSims(rows).Judge(c, Options{})
		if err != nil || !row.Primary {
			t.Fatal(row, err)
		}
		return row.Verdict
	}
	if verdict(rows, safe) != record.Reproduced || verdict(rows, caught) != record.Reproduced {
		t.Error("not reproduced")
	}
	bad := slices.Clone(rows)
	bad[4].Violations, bad[5].Caught = 1, false
	if verdict(bad, safe) != record.NotReproduced || verdict(bad, caught) != record.NotReproduced {
		t.Error("one violation, or one mutation that is missed, must refute")
	}
	void := append(slices.Clone(rows), record.SimTrial{Block: 6, Mutation: "none", Status: record.StatusVoid})
	if verdict(void, caught) != record.Inconclusive {
		t.Error("what could not be run may have been missed")
	}
	if _, err := NewSims(rows).Judge(StoreClaim{Name: "x", Metric: "speed"}, Options{}); err == nil {
		t.Error("an unknown metric was judged")
	}
	found := map[string]float64{}
	for _, s := range NewSims(rows).Summarise() {
		found[s.Placement+" "+s.Arm+" "+s.Metric] = s.Median
	}
	if found["all all seeds"] != 15 || found["mutation skip seeds_to_catch"] != 3.5 ||
		found["family calm seeds"] != 10 {
		t.Errorf("summaries %v", found)
	}
}
