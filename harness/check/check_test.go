package check

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"metronome/harness/record"
	"metronome/harness/stats"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// trial returns a usable bracket trial that was offered fps and lost a share of it.
func trial(arm string, block int, fps, loss float64) record.Trial {
	t := record.NewTrial()
	t.Arm, t.Placement, t.Cell, t.Role = arm, record.PlacementSame, "c", record.RoleBracket
	t.Block, t.Status, t.Attempt = block, record.StatusOK, 1
	t.ItemBytes, t.ItemsPerFrame, t.Burst, t.Digest = 16, 1, 32, "xxh3"
	t.OfferedFPS, t.OfferedActualFPS, t.LossRatio = fps, fps, loss
	t.GoodputFPS = fps * (1 - loss)
	return t
}

// bracket returns an arm's trials in one block: 0.85, 0.95, 1.05 and 1.15 of rate, of which those
// above rate lose.
func bracket(arm string, block int, rate float64) []record.Trial {
	var rows []record.Trial
	for _, f := range []float64{0.85, 0.95, 1.05, 1.15} {
		loss := 0.001
		if f > 1 {
			loss = 0.2
		}
		rows = append(rows, trial(arm, block, f*rate, loss))
	}
	return rows
}

func TestLossFree(t *testing.T) {
	limited := trial("a", 1, 200, 0)
	limited.GeneratorLimited = true
	unreadable := trial("a", 1, 400, math.NaN())
	overload := trial("a", 1, 900, 0)
	overload.Role = record.RoleOverload
	for name, c := range map[string]struct {
		rows     []record.Trial
		want     stats.Value
		inverted bool
	}{
		"highest that passes": {[]record.Trial{trial("a", 1, 300, 0.2), trial("a", 1, 100, 0),
			trial("a", 1, 200, 0.005)}, stats.Exactly(200), false},
		"all pass": {[]record.Trial{trial("a", 1, 100, 0), trial("a", 1, 200, 0.004)},
			stats.AtLeast(200), false},
		"none passes": {[]record.Trial{trial("a", 1, 200, 0.3), trial("a", 1, 100, 0.0051)},
			stats.AtMost(100), false},
		"generator-limited": {[]record.Trial{limited, trial("a", 1, 300, 0.9)},
			stats.AtLeast(200), false},
		"unsteady": {[]record.Trial{trial("a", 1, 100, 0.1), trial("a", 1, 200, 0),
			trial("a", 1, 300, 0.1)}, stats.Exactly(200), true},
		"other rows do not count": {[]record.Trial{overload, unreadable, trial("a", 1, 100, 0),
			trial("a", 1, 300, 1)}, stats.Exactly(100), false},
	} {
		got, ok := LossFree(c.rows, record.LossLimit)
		if !ok || got.FPS != c.want || got.Inverted != c.inverted {
			t.Errorf("%s: got %+v, %v; want %v", name, got, ok, c.want)
		}
	}
	if _, ok := LossFree([]record.Trial{overload, unreadable}, record.LossLimit); ok {
		t.Error("a rate out of nothing")
	}
}

func TestIndexTakesTheLastAttempt(t *testing.T) {
	stolen, again := trial("a", 1, 100, 0.4), trial("a", 1, 100, 0)
	again.Attempt = 2
	search := trial("a", 0, 50, 0)
	search.Role = record.RoleSearch
	void := trial("b", 1, 100, 0)
	void.Status, void.Reason = record.StatusVoid, "unbalanced"
	x := NewIndex([]record.Trial{again, stolen, search, void})
	got := x.Values(Ref{"a", "same", "c"}, record.LossFreeFPS)
	if len(got) != 1 || got[1] != stats.AtLeast(100) {
		t.Errorf("%v", got)
	}
	if x.Why("b") != "void: unbalanced" || len(x.Refs()) != 1 {
		t.Errorf("%q, %v", x.Why("b"), x.Refs())
	}
	// A last attempt that is void takes the trial with it.
	// (NewTrial leaves the offered rate missing; a missing rate must still equal itself.)
	stolen.OfferedFPS, again.OfferedFPS = math.NaN(), math.NaN()
	void = again
	void.Status = record.StatusVoid
	if x = NewIndex([]record.Trial{stolen, void}); len(x.Refs()) != 0 {
		t.Errorf("%v", x.Refs())
	}
}

func TestPartner(t *testing.T) {
	at := func(arm, cell string, burst, items int) record.Trial {
		r := trial(arm, 1, 100, 0)
		r.Cell, r.Burst, r.ItemsPerFrame = cell, burst, items
		return r
	}
	x := NewIndex([]record.Trial{
		at("memif", "i1,b32", 32, 1), at("memif", "i1,b256", 256, 1), at("memif", "i58,b32", 32, 58),
		at("recv", "i1,b1", 1, 1), at("recv", "i58,b1", 1, 58),
		at("mmsg", "i1,b32", 32, 1), at("mmsg", "i1,b256", 256, 1), at("mmsg", "i1,b8", 8, 1),
	})
	for _, c := range []struct{ cell, arm, want string }{
		{"i1,b32", "recv", "i1,b1"},
		{"i1,b256", "recv", "i1,b1"},
		{"i58,b32", "recv", "i58,b1"},
		{"i1,b32", "mmsg", "i1,b32"},
		{"i1,b256", "mmsg", "i1,b256"},
		{"i58,b32", "mmsg", ""},
	} {
		got, _ := x.Partner(Ref{"memif", "same", c.cell}, c.arm, "same")
		if got.Cell != c.want {
			t.Errorf("%s with %s: got %q, want %q", c.cell, c.arm, got.Cell, c.want)
		}
	}
}

// Every metric that is documented must be formed here, and the reverse.
func TestMetricsAreTheDocumentedOnes(t *testing.T) {
	documented := 0
	for _, m := range record.Metrics() {
		if strings.HasPrefix(m.Name, record.RatioPrefix) {
			continue
		}
		documented++
		if perBlock()[m.Name] == nil {
			t.Errorf("%s is documented but not formed", m.Name)
		}
	}
	if documented != len(perBlock()) {
		t.Errorf("%d metrics documented, %d formed", documented, len(perBlock()))
	}
}

func TestMetricsOfABlock(t *testing.T) {
	rows := bracket("a", 1, 100)
	for i := range rows {
		rows[i].ItemsPerFrame = 4
		rows[i].CPUNSPerItem = float64(10 * (i + 1))
		rows[i].MemVMHWMBytes, rows[i].MemHugeBytes = float64(i), 0
		rows[i].MemSocketBytes, rows[i].MemUMEMBytes = 5, 0
	}
	for i, fps := range []float64{30, 10, 20} {
		r := trial("a", 1, 150, 0.5)
		r.Role, r.Repeat, r.GoodputFPS = record.RoleOverload, i, fps
		rows = append(rows, r)
	}
	for i, fps := range []float64{44, 40} {
		r := trial("a", 1, 0, 0.5)
		r.Role, r.Repeat, r.GoodputFPS = record.RoleAA, 1-i, fps
		rows = append(rows, r)
	}
	for metric, want := range map[string]float64{
		record.LossFreeFPS: 95, record.LossFreeIPS: 380, record.OverloadFPS: 20,
		record.CPUItemLossFree: 20, record.MemVMHWM: 3, record.MemTotal: 8,
		record.NoiseFloor: 1.1,
	} {
		got, ok := perBlock()[metric](rows)
		if !ok || got != stats.Exactly(want) {
			t.Errorf("%s: got %v, %v; want %v", metric, got, ok, want)
		}
	}
	for _, metric := range []string{record.MaxFPS, record.AllocsPerFrame, record.BusyLossFree} {
		if got, ok := perBlock()[metric](rows); ok {
			t.Errorf("%s: %v out of nothing", metric, got)
		}
	}
	if got, _ := perBlock()[record.ZeroLossFPS](rows); got != stats.AtMost(85) {
		t.Errorf("zero loss: %v", got)
	}
}

// run returns blocks of brackets; rates are multiplied by a wobble that is common to a block, which
// pairing must remove.
func run(blocks int, rates map[string]float64) []record.Trial {
	var rows []record.Trial
	for b := 1; b <= blocks; b++ {
		wobble := 1 + 0.3*math.Sin(float64(b))
		for _, arm := range []string{"memif", "recv", "mmsg", "gro"} {
			if rates[arm] > 0 {
				rate := rates[arm] * wobble
				if arm == "memif" {
					rate *= 1 + 0.04*math.Cos(float64(b))
				}
				rows = append(rows, bracket(arm, b, rate)...)
			}
		}
	}
	return rows
}

func elevenTimes() Claim {
	return Claim{Name: "11x", Source: "abstract", Words: "11×", Kind: KindRatio, Bound: 11,
		Arm: "memif", Placement: "same", Cell: "c", Rung: "recv", Others: []string{"mmsg", "gro"}}
}

func judged(t *testing.T, rows []record.Trial, c Claim, o Options) []record.Claim {
	t.Helper()
	claims, err := NewIndex(rows).Judge(c, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestVerdictsGolden(t *testing.T) {
	var b strings.Builder
	show := func(title string, rows []record.Claim) {
		fmt.Fprintf(&b, "%s (status %d)\n", title, Strict(rows))
		for _, r := range rows {
			fmt.Fprintf(&b, "  %s\n", r.Sentence)
		}
	}
	nic := Options{Conditions: "software path, no NIC"}
	rates := map[string]float64{"memif": 7.2e6, "recv": 3e5, "mmsg": 6.5e5, "gro": 8e5}
	show("n = 6", judged(t, run(6, rates), elevenTimes(), nic))
	show("n = 4", judged(t, run(4, rates), elevenTimes(), nic))
	show("smoke", judged(t, run(2, rates), elevenTimes(), Options{NotJudged: true}))

	limited := run(10, rates)
	for i := range limited {
		limited[i].GeneratorLimited = limited[i].Arm == "memif"
	}
	show("generator-limited bypass", judged(t, limited, elevenTimes(), nic))
	for i := range limited {
		limited[i].GeneratorLimited = limited[i].Arm != "memif"
	}
	show("generator-limited sockets", judged(t, limited, elevenTimes(), nic))

	gone := record.NewTrial()
	gone.Arm, gone.Status, gone.Reason = "memif", record.StatusUnavailable, "no libdpdk"
	delete(rates, "memif")
	show("no bypass", judged(t, append(run(6, rates), gone), elevenTimes(), nic))

	millions := Claim{Name: "millions", Words: "millions of data items per second", Kind: KindRate,
		Metric: record.LossFreeIPS, Bound: 2e6, Arm: "memif", Placement: "same", Cell: "c"}
	show("rate", judged(t, run(10, map[string]float64{"memif": 7.2e6}), millions, nic))
	show("slow", judged(t, run(10, map[string]float64{"memif": 7.2e5}), millions, nic))

	path := filepath.Join("testdata", "verdicts.txt")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// A limited generator on one side supports one verdict only, whatever the rates are.
func TestCensoringSupportsOneSideOnly(t *testing.T) {
	for _, rate := range []float64{1e5, 1e6, 3.3e6, 3.6e6, 1e7, 1e9} {
		rows := run(10, map[string]float64{"memif": rate, "recv": 3e5})
		for i := range rows {
			rows[i].GeneratorLimited = rows[i].Arm == "memif"
		}
		if v := judged(t, rows, elevenTimes(), Options{})[0].Verdict; v == record.NotReproduced {
			t.Errorf("%v: a limited bypass arm was judged %s", rate, v)
		}
		for i := range rows {
			rows[i].GeneratorLimited = rows[i].Arm == "recv"
		}
		if v := judged(t, rows, elevenTimes(), Options{})[0].Verdict; v == record.Reproduced {
			t.Errorf("%v: a limited socket arm was judged %s", rate, v)
		}
	}
}

func TestPlacements(t *testing.T) {
	rows := run(6, map[string]float64{"memif": 7.2e6, "recv": 3e5, "mmsg": 4e5})
	for _, r := range run(6, map[string]float64{"recv": 6e5}) {
		r.Placement = record.PlacementOther
		rows = append(rows, r)
	}
	claims := judged(t, rows, elevenTimes(), Options{})
	var got []string
	for _, c := range claims {
		got = append(got, fmt.Sprintf("%s/%s %.0f %v", c.Rung, c.Placement, c.Measured, c.Primary))
	}
	want := []string{"recv/same 24 true", "recv/other 12 false", "mmsg/same 18 false",
		"gro/same NaN false", "recv/same 24 false"} // the last: maximum of 2 cells
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	// An arm that runs at both placements is compared at each with itself there, not crosswise.
	for _, r := range run(6, map[string]float64{"memif": 8.4e6}) {
		r.Placement = record.PlacementOther
		rows = append(rows, r)
	}
	if m := judged(t, rows, elevenTimes(), Options{})[1].Measured; math.Abs(m-14) > 0.5 {
		t.Errorf("in other: %v", m)
	}
}

func TestSummarise(t *testing.T) {
	x := NewIndex(run(10, map[string]float64{"memif": 7.2e6, "recv": 3e5}))
	rows := x.Summarise([]string{"recv", "gro"})
	find := func(arm, metric string) record.Summary {
		for _, r := range rows {
			if r.Arm == arm && r.Metric == metric {
				return r
			}
		}
		t.Fatalf("no %s of %s", metric, arm)
		return record.Summary{}
	}
	ratio := find("memif", record.RatioPrefix+"recv")
	if math.Abs(ratio.Median-24) > 1 || ratio.N != 10 || ratio.Censor != "none" ||
		ratio.Method != "median; order statistics, 97.9 %" {
		t.Errorf("%+v", ratio)
	}
	if r := find("recv", record.LossFreeFPS); r.CILow >= r.Median || r.CIHigh <= r.Median {
		t.Errorf("%+v", r)
	}
	for _, r := range rows {
		if r.Arm == "recv" && strings.HasPrefix(r.Metric, record.RatioPrefix) {
			t.Errorf("an arm is compared with itself: %+v", r)
		}
	}
	for i := range 5 {
		again := NewIndex(run(10, map[string]float64{"memif": 7.2e6, "recv": 3e5}))
		if !reflect.DeepEqual(names(again.Summarise([]string{"recv", "gro"})), names(rows)) {
			t.Fatalf("round %d: the order of rows changes", i)
		}
	}
}

func names(rows []record.Summary) []string {
	var s []string
	for _, r := range rows {
		s = append(s, r.Arm+r.Placement+r.Cell+r.Metric)
	}
	return s
}

func TestOffloadsClaim(t *testing.T) {
	ledger := func(states map[string]string) []record.Offload {
		var rows []record.Offload
		for arm, on := range states {
			for _, name := range Offloads() {
				row := record.Offload{Arm: arm, Offload: name, State: record.OffloadOff}
				if strings.Contains(on, name) {
					row.State = record.OffloadOn
				}
				rows = append(rows, row)
			}
		}
		return rows
	}
	claim := Claim{Name: "less", Words: "less hardware acceleration", Kind: KindOffloads,
		Arm: "memif", Rung: "recv", Others: []string{"gro"}}
	for _, c := range []struct{ memif, recv, want string }{
		{"", "checksum", record.Reproduced},
		{"rss", "rss checksum", record.Reproduced},
		{"", "", record.NotReproduced},
		{"rss", "rss", record.NotReproduced},
		{"rss", "checksum gro", record.NotReproduced},
	} {
		all := ledger(map[string]string{"memif": c.memif, "recv": c.recv, "gro": "gro"})
		rows, err := NewIndex(nil).Judge(claim, all, Options{})
		if err != nil || len(rows) != 2 || rows[0].Verdict != c.want || !rows[0].Primary {
			t.Errorf("%q against %q: %+v, %v", c.memif, c.recv, rows, err)
		}
	}
	rows, err := NewIndex(nil).Judge(claim, ledger(map[string]string{"memif": ""}), Options{})
	if err != nil || rows[0].Verdict != record.Inconclusive ||
		!strings.Contains(rows[0].Sentence, "unknown: recv multicast-filter") {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestBadDeclarations(t *testing.T) {
	for want, spoil := range map[string]func(*Claim){
		"unknown kind":  func(c *Claim) { c.Kind = "guess" },
		"must be above": func(c *Claim) { c.Bound = math.NaN() },
		"no metric":     func(c *Claim) { c.Metric = "speed" },
		"names no arm":  func(c *Claim) { c.Rung = "" },
	} {
		c := elevenTimes()
		spoil(&c)
		_, err := NewIndex(nil).Judge(c, nil, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestStrict(t *testing.T) {
	row := func(verdict string, primary bool) record.Claim {
		return record.Claim{Verdict: verdict, Primary: primary}
	}
	for _, c := range []struct {
		rows []record.Claim
		want int
	}{
		{nil, 2},
		{[]record.Claim{row(record.Reproduced, false)}, 2},
		{[]record.Claim{row(record.Reproduced, true), row(record.NotReproduced, false)}, 0},
		{[]record.Claim{row(record.Reproduced, true), row(record.Inconclusive, true)}, 2},
		{[]record.Claim{row(record.NotJudged, true)}, 2},
		{[]record.Claim{row(record.Inconclusive, true), row(record.NotReproduced, true)}, 1},
	} {
		if got := Strict(c.rows); got != c.want {
			t.Errorf("%v: got %d, want %d", c.rows, got, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v, bound float64
		want     string
	}{
		{24.3, 11, "24"}, {5.34, 11, "5.3"}, {0.0532, 11, "0.053"}, {0, 11, "0"}, {123456, 11, "123456"},
		{10.97, 11, "10.97"}, {10.6, 11, "10.6"}, {11.02, 11, "11"}, {math.Inf(1), 11, "∞"},
		{999.6, math.NaN(), "1000"},
	} {
		if got := number(c.v, c.bound); got != c.want {
			t.Errorf("%v beside %v: got %q, want %q", c.v, c.bound, got, c.want)
		}
	}
}
