package mutate_test

import (
	"testing"

	"metronome/internal/mutate"
)

func TestEveryMutationHasANameAndADoc(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range mutate.All() {
		if m.String() == "" || m.Doc() == "" || seen[m.String()] {
			t.Errorf("mutation %d: name %q, doc %q", m, m.String(), m.Doc())
		}
		seen[m.String()] = true
		if got, ok := mutate.Parse(m.String()); !ok || got != m {
			t.Errorf("Parse(%q) = %v, %v", m.String(), got, ok)
		}
	}
	if _, ok := mutate.Parse("no-such-mutation"); ok {
		t.Error("Parse finds a mutation nobody wrote")
	}
}

func TestNoBuildOfOursIsBroken(t *testing.T) {
	defer mutate.Set(mutate.None)
	for _, m := range mutate.All() {
		mutate.Set(m)
		if mutate.On(m) != mutate.Enabled {
			t.Errorf("%v: On = %v in a build with Enabled = %v", m, mutate.On(m), mutate.Enabled)
		}
	}
}
