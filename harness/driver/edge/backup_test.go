package edge

import (
	"errors"
	"maps"
	"os"
	"testing"
	"time"

	"metronome/harness/driver/edgeproc/edgeproctest"
	"metronome/harness/factorial"
	"metronome/system/packet"
)

// TestMain makes this program an edge or a master when it is called as one.
func TestMain(m *testing.M) { os.Exit(edgeproctest.Main(m.Run)) }

// backupCell is a cell of edge-backup, small.
func backupCell(set map[string]string) factorial.Cell {
	c := factorial.Cell{Arm: set["measure"], Seed: 7, Block: 1, Length: 600 * time.Millisecond,
		Set: map[string]string{"op": "put", "keys": "100"}, Factors: map[string]string{"batch": "1",
			"connections": "2", "value_bytes": "64", "rate": "200", "store_mib": "1", "changing_mib": "1",
			"item_bytes": "4096", "changed": "0.1"}}
	maps.Copy(c.Set, set)
	return c
}

// Every arm of edge-backup tells something plausible of a real edge and a real master.
func TestBackupTrials(t *testing.T) {
	s, err := Backup{Program: os.Args[0]}.Open(t.Context(), factorial.Env{Dir: t.TempDir(), Logs: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	trial := func(set map[string]string, want ...string) map[string]float64 {
		t.Helper()
		o, err := s.Trial(t.Context(), backupCell(set))
		if err != nil {
			t.Fatal(set, err)
		}
		if o.Void != "" {
			t.Errorf("%v: void: %s", set, o.Void)
		}
		for _, m := range want {
			if o.Values[m] <= 0 {
				t.Errorf("%v: %s is %v", set, m, o.Values[m])
			}
		}
		return o.Values
	}
	trial(map[string]string{"measure": "alone"}, "ops_per_s", "server_cpu_us")
	trial(map[string]string{"measure": "exposure"}, "ops_per_s", "server_cpu_us", "master_cpu_us", "rpo_max_s")
	for _, at := range []string{"edge", "master"} {
		trial(map[string]string{"measure": "restore", "at": at}, "restore_s", "copy_s", "over_copy", "disk_mb")
	}
	// A tenth of 256 items: the log has them once, and a checkpoint has less than everything.
	v := trial(map[string]string{"measure": "increment", "keys": "scattered"}, "log_mb", "checkpoint_mb")
	if v["changed_mb"] < 0.1 || v["log_mb"] < v["changed_mb"] || v["amplification"] > 20 {
		t.Errorf("%v", v)
	}
}

func TestBackupRefusesNonsense(t *testing.T) {
	s := &backupSession{program: os.Args[0], dir: t.TempDir(), logs: t.TempDir(), filled: map[string]*bed{
		"changing_mib 1 4096 increment 0.1": {items: 4, dir: t.TempDir()}}}
	for _, set := range []map[string]string{{}, {"measure": "weigh"}, {"measure": "alone", "op": "delete"},
		{"measure": "increment", "keys": "odd"}, {"measure": "restore"}} {
		if _, err := s.Trial(t.Context(), backupCell(set)); err == nil {
			t.Errorf("%v was accepted", set)
		}
	}
	for factor, value := range map[string]string{"changed": "2", "changing_mib": "0", "item_bytes": "2000000"} {
		c := backupCell(map[string]string{"measure": "increment", "keys": "scattered"})
		c.Factors[factor] = value
		if _, err := s.Trial(t.Context(), c); err == nil {
			t.Errorf("%s=%s was accepted", factor, value)
		}
	}
	var missing *packet.ErrUnavailable
	if _, err := (Backup{}).Open(t.Context(), factorial.Env{Bin: t.TempDir()}); !errors.As(err, &missing) {
		t.Errorf("no metronome: %v", err)
	}
}

// What would be lost is what was acknowledged and has not reached the master, and nothing else.
func TestBacklogAge(t *testing.T) {
	var b backlog
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	for i := range 5 {
		b.acknowledged(uint64(10*i+10), at(i))
	}
	for _, c := range []struct {
		reach uint64
		now   int
		want  time.Duration
	}{
		{0, 4, 4 * time.Second}, {9, 5, 5 * time.Second}, {10, 5, 4 * time.Second}, {35, 6, 3 * time.Second},
		{20, 6, 3 * time.Second}, {50, 9, 0}, {60, 9, 0},
	} {
		if got := b.age(c.reach, at(c.now)); got != c.want {
			t.Errorf("the master has %d at %d s: %v, want %v", c.reach, c.now, got, c.want)
		}
	}
	b.acknowledged(70, at(10))
	if got := b.age(60, at(9)); got != 0 {
		t.Errorf("acknowledged in the future: %v", got)
	}
}

// Scattered and neighbouring items are each drawn once.
func TestChoice(t *testing.T) {
	for _, how := range []string{"scattered", "together"} {
		which, err := choice(backupCell(map[string]string{"keys": how}), 100)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int]bool{}
		for i := range 100 {
			seen[which(i)] = true
		}
		if len(seen) != 100 || seen[-1] || seen[100] {
			t.Errorf("%s: %d different ones", how, len(seen))
		}
		if how == "together" && (which(1)-which(0)+100)%100 != 1 {
			t.Error("neighbours are not neighbours")
		}
	}
}
