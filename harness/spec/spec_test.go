package spec

import (
	"fmt"
	"strings"
	"testing"
)

func declared(t *testing.T) *Experiment {
	t.Helper()
	e, err := Load("../../experiments", "ingest-11x")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Every profile of the real declaration yields a plan that fits its stated minutes.
func TestProfilesFitTheirMinutes(t *testing.T) {
	e := declared(t)
	for name, p := range e.Profiles {
		plan, err := e.Plan(Selection{Profile: name, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		minutes := plan.Estimate().Minutes()
		t.Logf("%s: %.1f minutes, %d groups, %d blocks", name, minutes, len(plan.Groups), len(plan.Blocks))
		if minutes > p.Minutes*1.1 {
			t.Errorf("%s is estimated at %.1f minutes, stated are %g", name, minutes, p.Minutes)
		}
	}
}

func TestPlanIsAFunctionOfItsSeed(t *testing.T) {
	e := declared(t)
	order := func(seed uint64) string {
		p, err := e.Plan(Selection{Profile: "quick", Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, block := range p.Blocks {
			for _, g := range block.Groups {
				fmt.Fprintln(&b, block.Number, g.Key(), p.TrialSeed(g, block.Number))
			}
		}
		return b.String()
	}
	if order(1) != order(1) {
		t.Error("two plans of one seed differ")
	}
	if order(1) == order(2) {
		t.Error("the seed does not matter")
	}
}

// Every block holds every group once; blocks differ in order only.
func TestBlocksAreComplete(t *testing.T) {
	e := declared(t)
	p, err := e.Plan(Selection{Profile: "full", Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	orders := map[string]bool{}
	for _, b := range p.Blocks {
		seen, order := map[string]bool{}, ""
		for _, g := range b.Groups {
			if seen[g.Key()] {
				t.Fatalf("block %d runs %s twice", b.Number, g.Key())
			}
			seen[g.Key()] = true
			order += g.Key() + "\n"
		}
		if len(seen) != len(p.Groups) {
			t.Errorf("block %d has %d of %d groups", b.Number, len(seen), len(p.Groups))
		}
		orders[order] = true
	}
	if len(orders) < 2 {
		t.Error("all blocks run in one order")
	}
}

func TestSelection(t *testing.T) {
	e := declared(t)
	p, err := e.Plan(Selection{Profile: "quick", Arms: []string{"dpdk-memif"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range p.Groups {
		if g.Arm.Name != "dpdk-memif" {
			t.Errorf("%s was not selected", g.Key())
		}
	}
}

func TestErrorsSayWhereAndWhatWasMeant(t *testing.T) {
	e := declared(t)
	_, noExperiment := Load("../../experiments", "ingest-11y")
	_, noProfile := e.Plan(Selection{Profile: "quik"})
	_, noArm := e.Plan(Selection{Profile: "quick", Arms: []string{"socket-rcv"}})
	_, badKey := Parse([]byte("name: x\nquestion: y\narms:\n  - {name: a, wath: b}\n"))
	_, badSyntax := Parse([]byte("name: [x\n"))
	_, badPlacement := Parse([]byte(valid +
		"profiles: {p: {blocks: 1, trial_ms: 100, search_ms: 100, placements: [sane]}}\n"))
	_, badFactor := Parse([]byte(valid + "slices: [{factor: brst, values: ['1'], arms: [a]}]\n"))
	_, badItems := Parse([]byte(valid + "slices: [{factor: items, values: ['99'], arms: [a]}]\n"))
	for _, c := range []struct {
		err  error
		want []string
	}{
		{noExperiment, []string{"did you mean ingest-11x?"}},
		{noProfile, []string{"did you mean quick?", "full"}},
		{noArm, []string{"did you mean socket-recv?"}},
		{badKey, []string{"line 4", `unknown key "wath"`, "did you mean what?"}},
		{badSyntax, []string{"line 1"}},
		{badPlacement, []string{"did you mean same?"}},
		{badFactor, []string{"did you mean burst?"}},
		{badItems, []string{"use 1 to 58"}},
	} {
		if c.err == nil {
			t.Errorf("no error that says %q", c.want)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(c.err.Error(), w) {
				t.Errorf("%q does not say %q", c.err, w)
			}
		}
		if strings.Contains(c.err.Error(), "\n") {
			t.Errorf("more than one line: %q", c.err)
		}
	}
}

const valid = `name: x
question: y
primary: {item_bytes: 16, items: "1", burst: 32, digest: xxh3, lanes: 1}
arms: [{name: a, what: b}]
search: {loss_limit: 0.01, precision: 0.1, bracket: [1]}
`

func TestValid(t *testing.T) {
	if _, err := Parse([]byte(valid)); err != nil {
		t.Fatal(err)
	}
}
