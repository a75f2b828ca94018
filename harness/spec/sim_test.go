package spec

import (
	"strings"
	"testing"
)

const validSim = `name: x
kind: sim
question: y
claims: [{name: c, words: w, metric: violations, at: most}]
profiles: {p: {blocks: 2, seeds: 10, mutation_seeds: 5}}
`

// Every seed of every block is asked for once by one family, and each mutation gets its share.
func TestSimTasks(t *testing.T) {
	e, err := ParseSim([]byte(validSim))
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Profile("p")
	if err != nil {
		t.Fatal(err)
	}
	seen, broken := map[uint64]int{}, 0
	for _, task := range p.Tasks([]string{"a", "b", "c"}, []string{"m", "n"}, 1000) {
		if task.Mutation != "" {
			broken += task.Seeds
			continue
		}
		for i := range task.Seeds {
			seen[task.First+uint64(i)]++
		}
	}
	if len(seen) != 2*10 || broken != 2*2*5 {
		t.Errorf("%d seeds, %d of mutations", len(seen), broken)
	}
	for seed, n := range seen {
		if n != 1 {
			t.Errorf("seed %d is asked for %d times", seed, n)
		}
	}
	p.MutationSeeds = 0
	for _, task := range p.Tasks([]string{"a"}, []string{"m"}, 0) {
		if task.Mutation != "" {
			t.Errorf("%+v", task)
		}
	}
}

func TestSimErrors(t *testing.T) {
	for want, source := range map[string]string{
		"did you mean seeds?":            strings.Replace(validSim, "seeds:", "seds:", 1),
		"use sim":                        strings.Replace(validSim, "kind: sim", "kind: store", 1),
		"name and question":              strings.Replace(validSim, "question: y", "", 1),
		"did you mean most?":             strings.Replace(validSim, "at: most", "at: msot", 1),
		"words and metric must be given": strings.Replace(validSim, "words: w, ", "", 1),
		"seeds must be at least 1":       strings.Replace(validSim, "seeds: 10, ", "", 1),
	} {
		if _, err := ParseSim([]byte(source)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// The profiles of the real declarations fit their minutes on two cores.
func TestSimProfilesFitTheirMinutes(t *testing.T) {
	for _, name := range List("../../experiments") {
		if kind, err := KindOf("../../experiments", name); err != nil || kind != KindSim {
			continue
		}
		e, err := LoadSim("../../experiments", name)
		if err != nil {
			t.Fatal(err)
		}
		for as, p := range e.Profiles {
			minutes := p.Estimate(30, 2).Minutes()
			t.Logf("%s %s: %.1f minutes of %g", name, as, minutes, p.Minutes)
			if minutes > p.Minutes*1.1 || !p.NotJudged && p.Blocks < 6 {
				t.Errorf("%s %s: %.1f minutes of %g, %d blocks", name, as, minutes, p.Minutes, p.Blocks)
			}
		}
	}
}
