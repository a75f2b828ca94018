package spec

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

const validFactorial = `name: x
kind: factorial
driver: d
question: y
claims: [{name: c, words: w, metric: ops, bound: 1, arm: a, cell: {batch: 4}, rungs: [b],
  rung_cell: {batch: 1}}]
arms: [{name: a, what: w}, {name: b, what: w, set: {k: v}, only: {batch: [1, 4]}}]
factors: [{name: batch, what: w}, {name: bytes, unit: B, what: w}]
base: {batch: 1, bytes: 64}
metrics: [{name: ops, unit: ops/s, better: more, what: w}]
figures: [{name: f, kind: lines, what: w, x: batch, y: [ops]}]
profiles:
  p: {what: w, minutes: 1, blocks: 2, trial_ms: 100, vary: {batch: [4, 16], bytes: [64, 1024]}, noise_pair: a}
  all: {what: w, minutes: 1, blocks: 1, product: true, vary: {batch: [4, 16], bytes: [64, 1024]},
    cells: [{batch: 256}]}
`

// pointNames are the points of a profile of the valid declaration.
func pointNames(t *testing.T, profile string) []string {
	t.Helper()
	e, err := ParseFactorial([]byte(validFactorial))
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Profile(profile)
	if err != nil {
		t.Fatal(err)
	}
	return namesOf(e.Points(p), func(p Point) string { return p.Name })
}

func TestFactorialPoints(t *testing.T) {
	slices := pointNames(t, "p")
	if got := strings.Join(slices, "; "); got != "batch=1 bytes=64; batch=4 bytes=64; batch=16 bytes=64; "+
		"batch=1 bytes=1024" {
		t.Error(got)
	}
	product := pointNames(t, "all")
	if got := strings.Join(product, "; "); got != "batch=4 bytes=64; batch=4 bytes=1024; batch=16 bytes=64; "+
		"batch=16 bytes=1024; batch=256 bytes=64" {
		t.Error(got)
	}
}

func TestFactorialPlan(t *testing.T) {
	e, err := ParseFactorial([]byte(validFactorial))
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range []string{OrderTrials, OrderArms} {
		e.Order = order
		plan, err := e.Plan(Selection{Profile: "p", Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		again, err := e.Plan(Selection{Profile: "p", Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		// Arm a at four points and once more at the base; b has not the batch of 16.
		if plan.Trials() != 2*(5+3) {
			t.Errorf("%s: %d trials", order, plan.Trials())
		}
		for i, block := range plan.Blocks {
			checkBlock(t, order, block, again.Blocks[i])
		}
	}
	if plan, err := e.Plan(Selection{Profile: "p", Arms: []string{"b"}}); err != nil || plan.Trials() != 2*3 {
		t.Error(err)
	}
	if _, err := e.Plan(Selection{Profile: "p", Arms: []string{"c"}}); err == nil {
		t.Error("there is no arm c")
	}
}

func checkBlock(t *testing.T, order string, block, again []FactorialTask) {
	t.Helper()
	changes, noise := 0, 0
	for i, task := range block {
		if task.Arm.Name != again[i].Arm.Name || task.Point.Name != again[i].Point.Name {
			t.Errorf("%s: the same seed gives another order", order)
		}
		if i > 0 && task.Arm.Name != block[i-1].Arm.Name {
			changes++
		}
		if task.Repeat == 2 {
			noise++
			if !slices.ContainsFunc(block[:i], func(f FactorialTask) bool {
				return f.Arm.Name == "a" && f.Point.Name == task.Point.Name && f.Repeat == 1
			}) {
				t.Errorf("%s: the second of a pair comes first", order)
			}
		}
	}
	if order == OrderArms && changes != 1 || noise != 1 {
		t.Errorf("%s: %d changes of arms, %d noise pairs", order, changes, noise)
	}
}

func TestFactorialErrors(t *testing.T) {
	for want, edit := range map[string][2]string{
		"did you mean trial_ms?":         {"trial_ms: 100", "trail_ms: 100"},
		"use factorial":                  {"kind: factorial", "kind: store"},
		"driver must be given":           {"driver: d\n", ""},
		"value of bytes must be given":   {", bytes: 64}", "}"},
		`did you mean batch?`:            {"cell: {batch: 4}", "cell: {bacth: 4}"},
		`base: unknown factor "bites"`:   {"base: {batch: 1,", "base: {batch: 1, bites: 2,"},
		"claim c: unknown metric":        {"metric: ops", "metric: opz"},
		`unknown arm "z"`:                {"rungs: [b]", "rungs: [z]"},
		"rungs must be given":            {"rungs: [b],", ""},
		"bound 0 must be above 0":        {"bound: 1", "bound: 0"},
		"figure f: unknown kind":         {"kind: lines", "kind: pie"},
		"figure f: x must be given":      {"x: batch, ", ""},
		`figure f: unknown factor "ops"`: {"x: batch", "x: ops"},
		"metric ops: unknown better":     {"better: more", "better: most"},
		`bytes "a b"`:                    {"bytes: [64, 1024], ", "bytes: [64, a b]}, "},
		"blocks must be at least 1":      {"blocks: 2", "blocks: 0"},
		"unknown session":                {"driver: d", "driver: d\nsession: week"},
		"arm \"b\" is declared twice":    {"{name: a, what: w}", "{name: b, what: w}"},
		"profile p: unknown arm":         {"noise_pair: a", "noise_pair: q"},
	} {
		source := strings.Replace(validFactorial, edit[0], edit[1], 1)
		if want == `bytes "a b"` {
			source = strings.Replace(validFactorial, "bytes: [64, 1024]}, noise_pair: a}", "bytes: [64, a b]}}", 1)
		}
		if _, err := ParseFactorial([]byte(source)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// The profiles of the real declarations fit their minutes, and those that are judged have blocks enough.
func TestFactorialProfilesFitTheirMinutes(t *testing.T) {
	for _, name := range List("../../experiments") {
		if kind, err := KindOf("../../experiments", name); err != nil || kind != KindFactorial {
			continue
		}
		e, err := LoadFactorial("../../experiments", name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, as := range slices.Sorted(maps.Keys(e.Profiles)) {
			plan, err := e.Plan(Selection{Profile: as, Seed: 1})
			if err != nil {
				t.Errorf("%s %s: %v", name, as, err)
				continue
			}
			minutes := plan.Estimate().Minutes()
			t.Logf("%s %s: %.1f minutes of %g", name, as, minutes, plan.Profile.Minutes)
			if minutes > plan.Profile.Minutes*1.1 || !plan.Profile.NotJudged && plan.Profile.Blocks < 6 {
				t.Errorf("%s %s: %.1f minutes of %g, %d blocks", name, as, minutes, plan.Profile.Minutes,
					plan.Profile.Blocks)
			}
		}
	}
}

// The outline of every real declaration can be read, whatever its kind.
func TestOutlines(t *testing.T) {
	for _, name := range List("../../experiments") {
		o, err := ReadOutline("../../experiments", name)
		if err != nil {
			t.Error(err)
			continue
		}
		if o.Name != name || o.Question == "" || len(o.Claims) == 0 || o.Claims[0].Source == "" ||
			o.Profiles["quick"].Minutes == 0 || o.Profiles["quick"].Explanation == "" {
			t.Errorf("%s: %+v", name, o)
		}
	}
}
