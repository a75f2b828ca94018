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
			CompareGolden(t, filepath.Join("testdata", name+".txt"), c.Trace.String())
		})
	}
}

// FetchState is such a scene, where nobody leads: 3 is back, and what it missed is in no log any more.
func FetchState(c *Cluster) {
	c.Unseen(func() {
		m := c.Elect(1)
		c.Tick()
		c.Lost = func(from, to uint64) bool { return from == 3 || to == 3 }
		c.Holds(7, 1, 2)
		c.Propose(m, At(7, 1))
		c.Outwait()
		for _, id := range []uint64{1, 2} {
			c.Members[id].O.Compact(c.Members[id].Place.Position)
			c.Ready(c.Members[id])
		}
	})
	c.Say("3 is back.")
	c.Lost = nil
	for range 4 {
		c.Tick()
	}
	c.Say("The replica offers its state.")
	c.Members[1].O.Snapshot(c.Members[1].Place.Position)
	for range 4 {
		c.Tick()
	}
	c.Glance(1, 3)
}

// CompareGolden compares with a file, or rewrites it with -update.
func CompareGolden(t *testing.T, path, got string) {
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
