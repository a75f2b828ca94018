//go:build mutation

package mencius

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"metronome/internal/mutate"
)

const breakWith = "MENCIUS_TEST_MUTATION"

func TestMain(m *testing.M) {
	if name := os.Getenv(breakWith); name != "" {
		broken, _ := mutate.Parse(name)
		mutate.Set(broken)
	}
	os.Exit(m.Run())
}

// Random networks, or a scene, notice each rule of this algorithm that is broken on purpose. The
// simulator does, too; here the run that shows it is short.
func TestEveryMutationIsNoticed(t *testing.T) {
	if os.Getenv(breakWith) != "" {
		return
	}
	for _, m := range mutate.All() {
		if m.Orderer() != "mencius" {
			continue
		}
		cmd := exec.Command(os.Args[0], "-test.run=TestConformance|TestA/RandomNetwork", "-test.failfast",
			"-ordertest.runs=2000")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%v", breakWith, m))
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%v: %s: survived", m, m.Doc())
		}
		t.Logf("%v:\n%.400s", m, out)
	}
}
