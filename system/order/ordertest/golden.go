package ordertest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Scenes are interactions that explain an algorithm: every message of a small scene among members 1 to 3,
// one golden file each, testdata/NAME.txt. Only commit a changed file if you understand what changed it.
func Scenes(t *testing.T, by Algorithm, scenes map[string]func(*Cluster)) {
	t.Helper()
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			c := New(t, by, 3, 1, nil)
			c.Trace = &strings.Builder{}
			scene(c)
			compareGolden(t, filepath.Join("testdata", name+".txt"), c.Trace.String())
		})
	}
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update, then read the difference. Now:\n%s", path, got)
	}
}
