package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/history"
	"metronome/harness/testbed"
	"metronome/harness/vswitch/vswitchd"
	"metronome/internal/buildtest"
	"metronome/internal/require"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
)

// bins is a folder for the programs under test.
var bins string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// testMain is also what a trial's process and its switch run: the test binary stands in for lab.
func testMain(m *testing.M) int {
	if testbed.Sandboxed() && len(os.Args) == 2 && os.Args[1] == TrialCommand {
		if err := Main(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	if len(os.Args) > 1 && os.Args[1] == "vswitch" {
		cmd := vswitchd.Command()
		cmd.SetArgs(os.Args[2:])
		if err := cmd.ExecuteContext(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	if dir := os.Getenv(victimEnv); dir != "" {
		return victim(dir)
	}
	dir, err := os.MkdirTemp("", "driver-cluster")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bins = dir
	return m.Run()
}

// programs builds metronome once, so that rules can be broken in it: none are unless it is told to.
var programs = sync.OnceValue(func() error {
	tags := "mutation"
	if dpdk.Version() != "" {
		tags += ",dpdk"
	}
	dir, err := buildtest.Programs(tags, "metronome/system/cmd/metronome")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	broken := filepath.Join(dir, "metronome")
	return errors.Join(os.Symlink(broken, filepath.Join(bins, "metronome-mutation")),
		os.Symlink(broken, filepath.Join(bins, "metronome")),
		os.Symlink(self, filepath.Join(bins, "lab")))
})

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// trial carries out one trial as an experiment does.
func trial(t *testing.T, e Experiment, c factorial.Cell) factorial.Outcome {
	t.Helper()
	if os.Geteuid() != 0 {
		require.Skip(t, "root", errors.New("namespaces need it"))
	}
	must(t, programs())
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	logs := t.TempDir()
	s, err := Driver{e}.Open(ctx, factorial.Env{Bin: bins, Logs: logs, Dir: t.TempDir()})
	if err != nil {
		require.Skip(t, "nft", err)
	}
	o, err := s.Trial(ctx, c)
	must(t, errors.Join(err, s.Close()))
	t.Log(o.Values, o.Flags)
	left, err := filepath.Glob(testbed.CgroupRoot + "/*/mtn-" + fmt.Sprint(os.Getpid()) + "-*")
	must(t, err)
	links, err := exec.CommandContext(ctx, "ip", "-brief", "link").Output()
	must(t, err)
	if len(left) > 0 || strings.Contains(string(links), "replica-") || strings.Contains(string(links), "br0") {
		t.Errorf("left behind: %v %s", left, links)
	}
	return o
}

// await repeats a trial until good has nothing to say against it: on a busy machine a second may be over
// before anything has happened. Each trial is twice as long as the last. What must never be is judged by the
// caller, whatever the trial.
func await(t *testing.T, e Experiment, c factorial.Cell,
	good func(factorial.Outcome) error) factorial.Outcome {
	t.Helper()
	const tries = 6
	for n := 1; ; n++ {
		o := trial(t, e, c)
		err := good(o)
		if err == nil {
			return o
		}
		t.Logf("try %d: %v", n, err)
		if n == tries {
			t.Fatalf("%d times; at last: %v", tries, err)
		}
		c.Attempt++
		c.Length *= 2
	}
}

// happened is whether a linearizable history shows so many operations and a fault.
func happened(t *testing.T, operations float64) func(factorial.Outcome) error {
	return func(o factorial.Outcome) error {
		if o.Values["wrong"] != 0 {
			t.Errorf("%v %v", o.Values, o.Flags)
		}
		if o.Values["operations"] < operations || o.Values["placed"] == 0 || o.Values["faults"] == 0 {
			return fmt.Errorf("%v %v", o.Values, o.Flags)
		}
		return nil
	}
}

func linearizable(set, factors map[string]string) factorial.Cell {
	return factorial.Cell{Arm: "metronome", Set: set, Factors: factors, Block: 1, Attempt: 1, Seed: 4,
		Length: 1500 * time.Millisecond}
}

// A schedule of faults against a cluster that is whole, and against one that reads without waiting: the one
// is linearizable, the other is caught, and what shows it is kept.
func TestLinearizability(t *testing.T) {
	factors := map[string]string{"nemesis": "mixed", "replicas": "3", "clients": "8"}
	c := linearizable(map[string]string{"mutation": "none"}, factors)
	if o := await(t, Linearizability, c, happened(t, 100)); len(o.Files["faults.jsonl"]) == 0 {
		t.Errorf("%v %v", o.Values, o.Flags)
	}
	factors["nemesis"] = "calm"
	c = linearizable(map[string]string{"mutation": "stale-read"}, factors)
	o := await(t, Linearizability, c, func(o factorial.Outcome) error {
		if o.Values["caught"] != 1 || o.Values["violations"] != 1 {
			return fmt.Errorf("stale reads were not caught: %v", o.Values)
		}
		return nil
	})
	f, err := history.Read(strings.NewReader(string(o.Files["history.jsonl"])))
	must(t, err)
	if r := history.Judge(&f.History, history.Standard()); r.Verdict != history.Illegal {
		t.Errorf("judged again: %v", &r)
	}
}

// The same through ports of DPDK and the switch, with what only the switch can do.
func TestLinearizabilityOnDPDK(t *testing.T) {
	if dpdk.Version() == "" {
		require.Skip(t, "dpdk", &packet.ErrUnavailable{What: "dpdk", Why: "this build has none",
			Next: "make setup"})
	}
	await(t, Linearizability, linearizable(map[string]string{"mutation": "none", "ports": "dpdk"},
		map[string]string{"nemesis": "bypass", "replicas": "3", "clients": "8"}), happened(t, 50))
}

// One fault under load: what clients felt of it is told.
func TestFaults(t *testing.T) {
	await(t, Faults, factorial.Cell{Arm: "metronome", Set: map[string]string{"system": "metronome"},
		Factors: map[string]string{"fault": "pause-leader", "lasts": "500ms", "rate": "500", "replicas": "3"},
		Block:   1, Attempt: 1, Length: 2 * time.Second}, func(o factorial.Outcome) error {
		if o.Values["outage_ms"] <= 0 || o.Values["before_ops"] < 50 || len(o.Timeline) == 0 {
			return fmt.Errorf("%v", o.Values)
		}
		return nil
	})
}

// A load on kernel ports through the switch, which loses a twentieth of all datagrams: everything is
// acknowledged, repairs are seen, and so is what the switch lost.
func TestNonIdeal(t *testing.T) {
	if err := withDPDK(); err != nil {
		require.Skip(t, "dpdk", err)
	}
	c := nonIdealCell("switch", "random", "5")
	await(t, NonIdeal, c, func(o factorial.Outcome) error {
		for _, name := range []string{"achieved_ops", "p999_us", "repaired", "requests",
			"switch_lost", "cpu_switch", "cpu_replicas"} {
			if !(o.Values[name] > 0) {
				return fmt.Errorf("%s is %v", name, o.Values[name])
			}
		}
		if o.Values["failed_ops"] != 0 || o.Void != "" {
			return fmt.Errorf("%+v", o)
		}
		return nil
	})
}

func nonIdealCell(path, pattern, loss string) factorial.Cell {
	return factorial.Cell{Arm: "metronome", Block: 1, Attempt: 1, Seed: 4, Length: time.Second,
		Set: map[string]string{"path": path, "durability": "memory"},
		Factors: map[string]string{"loss": loss, "pattern": pattern, "rtt": "0s", "jitter": "0s",
			"bandwidth": "0", "hits": "datagrams", "rate": "2000", "value_bytes": "208", "replicas": "3"}}
}

func narrow(path string) factorial.Cell {
	c := nonIdealCell(path, "random", "0")
	c.Factors["bandwidth"] = "50"
	return c
}

// A narrow link is one for the switch, in bits a second.
func TestBandwidth(t *testing.T) {
	w, err := (&task{Cell: narrow("switch")}).weather()
	if err != nil || w.impairment.Rate != 50e6 || w.impairment.Validate() != nil {
		t.Errorf("%+v, %v", w.impairment, err)
	}
}

// A round's cost is told by real processes, without a leader too; the other two views of the same point give
// it about as many messages.
func TestConsensus(t *testing.T) {
	cell := func(set map[string]string) factorial.Cell {
		return factorial.Cell{Arm: "mine", Set: set, Block: 1, Attempt: 1, Length: 400 * time.Millisecond,
			Factors: map[string]string{"fault": "none", "rate": "200", "outstanding": "1000", "reads": "0", "n": "3",
				"lanes": "1", "durability": "fsync"}}
	}
	seen := map[string]float64{} // messages a round
	for view := range views {
		o, err := (&session{experiment: Consensus}).Trial(t.Context(),
			cell(map[string]string{"orderer": "multipaxos", "view": view}))
		must(t, err)
		seen[view] = o.Values["messages_per_round"]
	}
	await(t, Consensus, cell(map[string]string{"orderer": "multipaxos"}), func(o factorial.Outcome) error {
		v := o.Values
		if v["syncs_per_round"] <= 0 || v["cpu_us_per_round"] <= 0 || v["items_per_round"] < 1 {
			return fmt.Errorf("%v %v", v, o.Void)
		}
		for view, a := range seen {
			if b := v["messages_per_round"]; a < 6 || b < a/2 || b > 4*a {
				return fmt.Errorf("%s: %v messages a round, %v by processes", view, a, b)
			}
		}
		return nil
	})
}

// What a trial is not told, or told wrong, is an error that names it.
func TestBadCells(t *testing.T) {
	for name, tc := range map[string]struct {
		e    Experiment
		c    factorial.Cell
		want string
	}{
		"nemesis": {Linearizability, linearizable(nil, map[string]string{"nemesis": "rain"}), "unknown nemesis"},
		"ports": {Linearizability, linearizable(map[string]string{"ports": "rdma"},
			map[string]string{"nemesis": "kill"}), "socket or dpdk"},
		"clients": {Linearizability, linearizable(nil, map[string]string{"nemesis": "kill"}), "clients"},
		"rate":    {Faults, linearizable(nil, nil), "rate"},
		"n":       {Consensus, linearizable(nil, map[string]string{"fault": "none"}), `"n"`},
		"fault":   {Consensus, linearizable(nil, nil), "fault"},
		"kind":    {"weather", linearizable(nil, nil), "unknown experiment"},
		"path":    {NonIdeal, nonIdealCell("string", "random", "1"), "switch or bridge"},
		"pattern": {NonIdeal, nonIdealCell("switch", "rain", "1"), "overtaken"},
		"loss":    {NonIdeal, nonIdealCell("switch", "random", "some"), "a number"},
		"narrow":  {NonIdeal, narrow("bridge"), "use the switch"},
	} {
		_, err := (&task{Experiment: tc.e, Cell: tc.c}).run(t.Context())
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// victimEnv makes the test binary start a trial and wait to be killed.
const victimEnv = "METRONOME_DRIVER_VICTIM"

// victim begins a long trial in a folder with the programs.
func victim(dir string) int {
	c := victimCell()
	s := session{Linearizability, factorial.Env{Bin: dir, Logs: dir, Dir: dir}}
	_, err := s.Trial(context.Background(), c)
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func victimCell() factorial.Cell {
	c := linearizable(map[string]string{"mutation": "none"},
		map[string]string{"nemesis": "mixed", "replicas": "3", "clients": "4"})
	c.Length = time.Hour
	return c
}

// Whoever started a trial is killed with SIGKILL in the middle: every process of the trial ends, and nothing
// is mounted or slowed any more.
func TestKilledInTheMiddle(t *testing.T) {
	if os.Geteuid() != 0 {
		require.Skip(t, "root", errors.New("namespaces need it"))
	}
	must(t, programs())
	dir := t.TempDir()
	for _, name := range []string{"metronome", "metronome-mutation"} {
		must(t, os.Link(filepath.Join(bins, name), filepath.Join(dir, name)))
	}
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), victimEnv+"="+dir)
	must(t, cmd.Start())
	struck := func() bool { // the first fault has been told
		b, _ := os.ReadFile(filepath.Join(dir, victimCell().Folder(), "trial.log"))
		return strings.Contains(string(b), "healed")
	}
	until(t, "a fault", struck)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	until(t, "the end of all processes", func() bool { return len(running(dir)) == 0 })
	mounts, err := os.ReadFile("/proc/mounts")
	must(t, err)
	if strings.Contains(string(mounts), dir) {
		t.Errorf("still mounted: %s", mounts)
	}
	testbed.SweepCgroups()
	groups := fmt.Sprintf("%s/*/mtn-%d-*", testbed.CgroupRoot, cmd.Process.Pid)
	if left, _ := filepath.Glob(groups); len(left) > 0 {
		t.Errorf("control groups %v", left)
	}
}

// until waits for something that happens in its own time.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(4 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// running are the processes whose program lies in a folder.
func running(dir string) (pids []string) {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, e := range exes {
		if to, err := os.Readlink(e); err == nil && strings.HasPrefix(to, dir) {
			pids = append(pids, e)
		}
	}
	return pids
}
