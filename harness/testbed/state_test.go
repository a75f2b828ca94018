package testbed

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestParseProcStat(t *testing.T) {
	const tail = " S 1 4242 4242 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 100"
	for _, c := range []struct {
		in   string
		want procStat
		bad  bool
	}{
		{in: "42 (sleep)" + tail, want: procStat{"sleep", 'S', 987654}},
		{in: "42 (a) b (c)" + tail, want: procStat{"a) b (c", 'S', 987654}},
		{in: "42 ()" + tail, want: procStat{"", 'S', 987654}},
		{in: "42 sleep" + tail, bad: true},
		{in: ")(", bad: true},
		{in: "42 (sleep) S 1 2", bad: true},
		{in: "42 (sleep) S 1 4 4 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 x 1", bad: true},
		{in: "", bad: true},
	} {
		got, err := parseProcStat([]byte(c.in))
		if (err != nil) != c.bad || got != c.want {
			t.Errorf("%q: %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
}

func TestAliveIsMoreThanAPid(t *testing.T) {
	me, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !me.alive() {
		t.Error("this process is said to be dead")
	}
	me.Start++
	if me.alive() {
		t.Error("another process with this pid is said to be alive")
	}
}

func TestStateSurvivesItsFile(t *testing.T) {
	dir := t.TempDir()
	want := &state{ID: "x", Boot: "b", Owner: process{1, 2, "init"}, Netns: []string{"n"},
		Children: []process{{3, 4, "c"}}, Paths: []string{"/p"},
		Huge: []hugeState{{Before: 1, Target: 2, Mounted: "/m", Made: "/m"}}}
	if err := want.save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := loadState(statePath(dir, "x"))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("loaded %+v, %v; want %+v", got, err, want)
	}
}

// A damaged state file must neither be obeyed nor stop the others from being swept.
func TestSweepPastDamagedState(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"bad.json": `{"id":"bad"`, "moved.json": `{"id":"other"}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dead := &state{ID: "dead", Boot: "another boot", Owner: process{1, 1, "x"},
		Children: []process{{os.Getpid(), 0, "must not be killed"}}, Paths: []string{dir + "/none"}}
	if err := dead.save(dir); err != nil {
		t.Fatal(err)
	}
	swept, err := sweepIn(dir)
	if err == nil || len(swept) != 1 || swept[0] != "dead" {
		t.Errorf("swept %v, %v; want dead and an error naming the two others", swept, err)
	}
	if !exists(dir+"/bad.json") || !exists(dir+"/moved.json") || exists(dir+"/dead.json") {
		t.Error("want the damaged files kept and the good one gone")
	}
}
