package spec

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// storeExperiments are the declarations of kind store.
func storeExperiments(t *testing.T) (all []*Store) {
	t.Helper()
	for _, name := range List("../../experiments") {
		kind, err := KindOf("../../experiments", name)
		if err != nil {
			t.Fatal(err)
		}
		if kind != KindStore {
			continue
		}
		e, err := LoadStore("../../experiments", name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		t.Fatal("there is no experiment on stores")
	}
	return all
}

// Every profile of the real declarations yields a plan that fits its stated minutes, with six blocks where
// claims are judged.
func TestStoreProfilesFitTheirMinutes(t *testing.T) {
	for _, e := range storeExperiments(t) {
		for name, p := range e.Profiles {
			plan, err := e.Plan(Selection{Profile: name, Seed: 1})
			if err != nil {
				t.Fatal(e.Name, name, err)
			}
			minutes := plan.Estimate().Minutes()
			t.Logf("%s %s: %.1f minutes of %g", e.Name, name, minutes, p.Minutes)
			if minutes > p.Minutes*1.1 {
				t.Errorf("%s %s is estimated at %.1f minutes, stated are %g", e.Name, name, minutes, p.Minutes)
			}
			if !p.NotJudged && p.Blocks < 6 {
				t.Errorf("%s %s has %d blocks: no interval, no verdict", e.Name, name, p.Blocks)
			}
		}
	}
}

// What a claim speaks of is measured by the profiles that judge it.
func TestStoreClaimsAreMeasured(t *testing.T) {
	for _, e := range storeExperiments(t) {
		for name, p := range e.Profiles {
			plan, err := e.Plan(Selection{Profile: name})
			if err != nil || p.NotJudged {
				continue
			}
			has := func(arm, setup, load string) bool {
				return slices.ContainsFunc(plan.Groups, func(g StoreGroup) bool {
					return g.Arm.Name == arm && (setup == "" && g.Setup.Name == e.Setups[0].Name || g.Setup.Name == setup) &&
						slices.ContainsFunc(g.Loads, func(l StoreLoad) bool { return l.Name == load })
				})
			}
			for _, c := range e.Claims {
				if !has(c.Arm, c.Setup, c.Load) {
					t.Errorf("%s %s: claim %s: %s %s %s is not measured", e.Name, name, c.Name, c.Arm, c.Setup, c.Load)
				}
				for _, r := range c.Rungs {
					if !has(r, first(c.RungSetup, c.Setup), first(c.RungLoad, c.Load)) {
						t.Errorf("%s %s: claim %s: rung %s is not measured", e.Name, name, c.Name, r)
					}
				}
			}
		}
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func TestStorePlan(t *testing.T) {
	e, err := ParseStore([]byte(validStore))
	if err != nil {
		t.Fatal(err)
	}
	order := func(seed uint64) string {
		p, err := e.Plan(Selection{Profile: "p", Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for i, block := range p.Blocks {
			if len(block) != len(p.Groups) {
				t.Fatalf("block %d has %d of %d groups", i, len(block), len(p.Groups))
			}
			for _, g := range block {
				if !g.Loads[0].Saturation() {
					t.Errorf("%s: %s before saturation", g.Key(), g.Loads[0].Name)
				}
				fmt.Fprintln(&b, i, g.Key(), g.Noise, p.TrialSeed(g, g.Loads[0], i))
			}
		}
		return b.String()
	}
	if order(1) != order(1) || order(1) == order(2) {
		t.Error("the order is not a function of the seed")
	}
	p, err := e.Plan(Selection{Profile: "p", Arms: []string{"b"}})
	if err != nil || len(p.Groups) != 1 || p.Groups[0].Key() != "b/plain" || p.Groups[0].Noise {
		t.Errorf("selected %+v: %v", p.Groups, err)
	}
	if p.Workload.Keys != 50 || len(p.Groups[0].Loads) != 2 {
		t.Errorf("keys %d, loads %+v", p.Workload.Keys, p.Groups[0].Loads)
	}
}

// Every setting reaches the command line, and a setup's are put on top of the arm's.
func TestSettings(t *testing.T) {
	all := Settings{}
	v := reflect.ValueOf(&all).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x")
		case reflect.Bool:
			f.SetBool(true)
		default:
			f.SetInt(int64(7 * time.Millisecond))
		}
	}
	text := all.String()
	for f := range reflect.TypeFor[Settings]().Fields() {
		if !strings.Contains(","+text, ","+f.Tag.Get("yaml")+"=") {
			t.Errorf("%s lacks %s", text, f.Tag.Get("yaml"))
		}
	}
	if got := (Settings{}).with(all); got != all {
		t.Errorf("on top of nothing: %+v", got)
	}
	if got := all.with(Settings{Replicas: 5}); got.Replicas != 5 || got.Multicast != "x" {
		t.Errorf("on top of all: %+v", got)
	}
}

const validStore = `name: x
kind: store
question: y
workload: {keys: 100, key_bytes: 16, value_bytes: 64}
arms: [{name: a, peer: p, what: w}, {name: b, peer: q, what: v, set: {replicas: 5}}]
setups: [{name: plain}, {name: slow, set: {apply_per_item: 1us}, arms: [a]}]
loads: [{name: half, fraction: 0.5}, {name: most}, {name: one, outstanding: 1, arms: [a]}]
profiles: {p: {blocks: 3, window_ms: 100, keys: 50, noise_pair: a}}
`

// kills is a declaration whose only load kills.
func kills(load, profile string) string {
	return "name: x\nkind: store\nquestion: y\nworkload: {keys: 100, key_bytes: 16, value_bytes: 64}\n" +
		"arms: [{name: a, peer: p, what: w}]\nloads: [" + load + "]\n" +
		"profiles: {p: {window_ms: 100, blocks: 1, " + strings.TrimPrefix(profile, "blocks: 1") + "}}\n"
}

// TestStoreErrors is every message, as people see it.
func TestStoreErrors(t *testing.T) {
	edit := func(from, to string) string {
		if !strings.Contains(validStore, from) {
			t.Fatalf("the declaration has no %q", from)
		}
		return strings.Replace(validStore, from, to, 1)
	}
	var b strings.Builder
	for _, tc := range []struct{ name, source string }{
		{"unknown key", edit("question:", "questoin:")},
		{"unknown setting", edit("apply_per_item", "aply_per_item")},
		{"not a duration", edit("1us", "soon")},
		{"syntax", "name: [x\n"},
		{"another kind", edit("kind: store", "kind: shop")},
		{"no arms", edit("arms: [{name: a, peer: p, what: w}, {name: b, peer: q, what: v, "+
			"set: {replicas: 5}}]", "")},
		{"no workload", edit("keys: 100, ", "")},
		{"arm twice", edit("{name: b, peer: q", "{name: a, peer: q")},
		{"load without a name", edit("{name: most}", "{fraction: 1}")},
		{"arm without a system", edit("peer: p, ", "")},
		{"setup of an unknown arm", edit("arms: [a]}]\nloads", "arms: [c]}]\nloads")},
		{"two kinds of load", edit("fraction: 0.5", "fraction: 0.5, rate_ops: 5")},
		{"negative rate", edit("fraction: 0.5", "rate_ops: -5")},
		{"claim of nothing", validStore + "claims: [{name: c}]\n"},
		{"claim of an unknown load", validStore + "claims: [{name: c, words: w, metric: m, arm: a, load: hlaf}]\n"},
		{"claim in a wrong direction", validStore +
			"claims: [{name: c, words: w, metric: m, arm: a, load: half, at: lest}]\n"},
		{"ratio to nothing", validStore +
			"claims: [{name: c, words: w, metric: m, arm: a, load: half, rung_load: most}]\n"},
		{"short window", edit("window_ms: 100", "window_ms: 10")},
		{"noise pair of an unknown arm", edit("noise_pair: a", "noise_pair: c")},
		{"profile of an unknown load", edit("noise_pair: a", "loads: [mots]")},
		{"some loads kill", edit("fraction: 0.5", "rate_ops: 5, kill: [leader]")},
		{"kills at no rate", kills("{name: k, kill: [leader]}", "kills: 2")},
		{"kills of an unknown role", kills("{name: k, rate_ops: 5, kill: [leeder]}", "kills: 2")},
		{"no number of kills", kills("{name: k, rate_ops: 5, kill: [leader]}", "blocks: 1")},
	} {
		_, err := ParseStore([]byte(tc.source))
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v: want one line", tc.name, err)
		}
		fmt.Fprintf(&b, "== %s\n%v\n\n", tc.name, err)
	}
	good := kills("{name: k, rate_ops: 5, kill: [leader, proxy]}", "kills: 2")
	if _, err := ParseStore([]byte(good)); err != nil {
		t.Error(err)
	}
	_, err := ParseStore([]byte(edit("question:", "questoin:") + "clams: []\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two findings: %v", err)
	}
	path := filepath.Join("testdata", "store-errors.txt")
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
		t.Errorf("got\n%s\nwant\n%s\n(-update rewrites %s)", b.String(), want, path)
	}
}

func TestKindOf(t *testing.T) {
	for name, want := range map[string]string{"ingest-11x": KindIngest, "ordering-batch": KindStore,
		"linearizability-sim": KindSim} {
		if got, err := KindOf("../../experiments", name); got != want || err != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		o, err := ReadOutline("../../experiments", name)
		if err != nil || o.Name != name || o.Question == "" || len(o.Claims) == 0 ||
			o.Profiles["smoke"].Minutes == 0 {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	if _, err := KindOf("../../experiments", "ordering-bacth"); err == nil ||
		!strings.Contains(err.Error(), "did you mean ordering-batch?") {
		t.Error(err)
	}
}
