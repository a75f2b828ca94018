package ordertest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"metronome/internal/mutate"
)

// Mutants breaks each rule that is an algorithm's own, in a process each, and demands that the tests which
// run names (a pattern of go test -run) notice: random networks, or scenes. The simulator does, too; here
// the run that shows it is short. It is for builds with the tag mutation.
func Mutants(t *testing.T, by Algorithm, run string) {
	t.Helper()
	for _, m := range mutate.All() {
		if m.Orderer() != by.Name {
			continue
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+run, "-test.failfast",
			"-ordertest.runs=2000")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%v", mutate.EnvName, m))
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%v: %s: survived", m, m.Doc())
		}
		t.Logf("%v:\n%.400s", m, out)
	}
}
