package buildtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What is built works, is built once, and a package that does not exist is named.
func TestPrograms(t *testing.T) {
	dir, err := Programs("buildtest", "metronome/there/is/none")
	if err == nil || !strings.Contains(err.Error(), "there/is/none") {
		t.Errorf("built %s of nothing: %v", dir, err)
	}
	const program = "metronome/experiments/runtime-profile/clients/go"
	built := func() os.FileInfo {
		dir, err := Programs("buildtest", program)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Base(program))
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := exec.Command(path, "--help").CombinedOutput(); len(out) == 0 {
			t.Error("it says nothing")
		}
		return info
	}
	if !os.SameFile(built(), built()) { // times say nothing: the go command touches what is up to date
		t.Error("it was built again")
	}
}
