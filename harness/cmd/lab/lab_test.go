package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"metronome/harness/record"
	"metronome/harness/spec"
	"metronome/internal/buildtest"
	"metronome/internal/require"
)

var bin string // folder of the programs under test

// TestMain builds the programs once.
func TestMain(m *testing.M) {
	tags := ""
	if exec.Command("pkg-config", "--exists", "libdpdk").Run() == nil {
		tags = "dpdk"
	}
	var err error
	if bin, err = buildtest.Programs(tags, "metronome/harness/cmd/lab", "metronome/system/cmd/metronome"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// workplace is a folder like a clone's root, with the real experiments in it.
func workplace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, experimentsDir), os.DirFS("../../../experiments")); err != nil {
		t.Fatal(err)
	}
	return dir
}

type result struct {
	status      int
	out, errors string
}

func lab(t *testing.T, dir string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "lab"), args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func TestMistakesAreAnsweredInOneLine(t *testing.T) {
	dir := workplace(t)
	bad := filepath.Join(dir, experimentsDir, "bad")
	if err := os.MkdirAll(bad, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "name: bad\nquestion: q\nclaim: []\n"
	if err := os.WriteFile(filepath.Join(bad, "experiment.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"run", "ingest-11y"}, "did you mean ingest-11x?"},
		{[]string{"run", "ingest-11x", "--profile=fast"}, "unknown profile"},
		{[]string{"run", "ingest-11x", "--arms=dpdk-mmif"}, "did you mean dpdk-memif?"},
		{[]string{"run", "bad"}, `line 3: unknown key "claim": did you mean claims?`},
		{[]string{"run", "ingest-11x", "--inventory=rack.yml"}, "this machine only"},
		{[]string{"show", "ingest-11x"}, "no run"},
		{[]string{"check", "nothing"}, "next: make experiment"},
		{[]string{"generate", "xdp", "--digest=md5"}, "use xxh3"},
	} {
		r := lab(t, dir, c.args...)
		if r.status != 1 || !strings.Contains(r.errors, c.want) || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%v: status %d, %q", c.args, r.status, r.errors)
		}
	}
}

func TestListAndPlanChangeNothing(t *testing.T) {
	dir := workplace(t)
	want := strings.Join(spec.List("../../../experiments"), "\n") + "\n"
	if r := lab(t, dir, "list", "--names"); r.out != want || !strings.Contains(r.out, "ingest-11x\n") {
		t.Errorf("list: %q", r.out)
	}
	if r := lab(t, dir, "list"); !strings.Contains(r.out, "up to 11x") || !strings.Contains(r.out, "min") {
		t.Errorf("list: %q", r.out)
	}
	r := lab(t, dir, "run", "ingest-11x", "--dry-run")
	if r.status != 0 || !strings.Contains(r.out, "minutes") || !strings.Contains(r.out, "namespaces") {
		t.Errorf("dry run: %q", r.out)
	}
	if _, err := os.Stat(filepath.Join(dir, resultsDir)); err == nil {
		t.Error("a dry run left results")
	}
	if r := lab(t, dir, "doctor"); r.status != 0 || !strings.Contains(r.out, "cores") {
		t.Errorf("doctor: %q", r.out)
	}
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		require.Skip(t, "root", errors.New("namespaces need it"))
	}
}

// A run of two arms, from measurement to figures, and everything that reads it afterwards.
func TestRunShowCheckDiffFigures(t *testing.T) {
	needsRoot(t)
	dir := workplace(t)
	r := lab(t, dir, "run", "ingest-11x", "--profile=smoke", "--arms=socket-recv,socket-recvmmsg")
	if r.status != 0 || !strings.Contains(r.out, "not judged") || !strings.Contains(r.out, "trials.csv") {
		t.Fatalf("status %d\n%s\n%s", r.status, r.out, r.errors)
	}
	for _, f := range []string{"manifest.json", "trials.csv", "summary.csv", "claims.csv", "offloads.csv",
		"figures/throughput.svg"} {
		if _, err := os.Stat(filepath.Join(dir, resultsDir, "ingest-11x", "latest", f)); err != nil {
			t.Error(err)
		}
	}
	if s := lab(t, dir, "show", "ingest-11x"); !strings.Contains(s.out, "socket-recvmmsg") {
		t.Errorf("show: %q", s.out)
	}
	var shown struct{ Summary, Claims []map[string]any }
	if s := lab(t, dir, "show", "ingest-11x", "--json"); json.Unmarshal([]byte(s.out), &shown) != nil ||
		len(shown.Summary) == 0 || len(shown.Claims) == 0 {
		t.Errorf("show --json: %q", s.out)
	}
	if s := lab(t, dir, "check", "--strict", "ingest-11x"); s.status != 2 {
		t.Errorf("check --strict of what is not judged: status %d", s.status)
	}
	if s := lab(t, dir, "diff", "ingest-11x", "ingest-11x"); s.status != 0 ||
		!strings.Contains(s.out, "1.000") || strings.Contains(s.out, "hosts differ") {
		t.Errorf("diff: %q", s.out)
	}
	if s := lab(t, dir, "figures"); s.status != 0 || !strings.Contains(s.out, "throughput.pdf") {
		t.Errorf("figures: %q %q", s.out, s.errors)
	}
	nothingLeft(t)
}

// An interrupted run keeps its rows, says so, and leaves nothing on the host; nor does a killed
// one, once the next run has started.
func TestInterruptedRuns(t *testing.T) {
	needsRoot(t)
	dir := workplace(t)
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGKILL} {
		cmd := exec.Command(filepath.Join(bin, "lab"), "run", "ingest-11x", "--arms=socket-recv")
		cmd.Dir = dir
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitForRows(t, dir)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if sig == unix.SIGKILL {
			break
		}
		if status := cmd.ProcessState.ExitCode(); status != 130 || !strings.Contains(errs.String(), "partial") {
			t.Errorf("interrupted: status %d, %q", status, errs.String())
		}
		res, err := record.ReadRun(filepath.Join(dir, resultsDir, "ingest-11x", "latest"))
		if err != nil || res.Manifest.Status != "partial" || len(res.Trials) == 0 {
			t.Errorf("left behind: %v, %q, %d rows", err, res.Manifest.Status, len(res.Trials))
		}
		nothingLeft(t)
		if err := os.RemoveAll(filepath.Join(dir, resultsDir)); err != nil {
			t.Fatal(err)
		}
	}
	if r := lab(t, dir, "run", "ingest-11x", "--profile=smoke", "--arms=socket-net"); r.status != 0 {
		t.Errorf("the next run: %s", r.errors)
	}
	nothingLeft(t)
}

// waitForRows waits until the run has written a row.
func waitForRows(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); {
		paths, _ := filepath.Glob(filepath.Join(dir, resultsDir, "ingest-11x", "2*", "trials.csv"))
		for _, p := range paths {
			if b, err := os.ReadFile(p); err == nil && bytes.Count(b, []byte("\n")) > 2 {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("no row was written")
}

// nothingLeft looks for namespaces, state files and sockets of testbeds whose owner is gone. Other
// tests may be running their own.
func nothingLeft(t *testing.T) {
	t.Helper()
	states, _ := filepath.Glob("/run/metronome/*.json")
	for _, s := range states {
		var state struct{ Owner struct{ PID int } }
		b, err := os.ReadFile(s)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil || json.Unmarshal(b, &state) != nil || state.Owner.PID == 0 {
			t.Errorf("cannot tell whose %s is: %v", s, err)
		} else if errors.Is(unix.Kill(state.Owner.PID, 0), unix.ESRCH) {
			t.Errorf("left behind: %s", s)
		}
	}
}

// A full disk is one clear line, and what was measured before stays.
func TestFullDisk(t *testing.T) {
	needsRoot(t)
	dir := workplace(t)
	results := filepath.Join(dir, resultsDir)
	if err := os.Mkdir(results, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", results, "tmpfs", 0, "size=28k"); err != nil {
		require.Skip(t, "root", err)
	}
	defer func() {
		if err := unix.Unmount(results, 0); err != nil {
			t.Error(err)
		}
	}()
	r := lab(t, dir, "run", "ingest-11x", "--profile=smoke", "--arms=socket-recv,socket-net")
	if r.status == 0 || !strings.Contains(r.errors, "no space left") {
		t.Errorf("status %d, %q", r.status, r.errors)
	}
	rows, _ := filepath.Glob(filepath.Join(results, "ingest-11x", "2*", "trials.csv"))
	if len(rows) != 1 {
		t.Errorf("rows: %v", rows)
	}
	nothingLeft(t)
}

// An experiment on stores runs from its declaration to its verdicts, and can be shown and drawn again.
func TestStoreExperiment(t *testing.T) {
	dir := workplace(t)
	r := lab(t, dir, "run", "throughput-latency", "--profile=smoke", "--arms=etcd-raft,etcd")
	if r.status != 0 || !strings.Contains(r.out, "unavailable: etcd: ") ||
		!strings.Contains(r.out, "not judged") {
		t.Fatalf("status %d\n%s\n%s", r.status, r.out, r.errors)
	}
	res, err := record.ReadRun(filepath.Join(dir, resultsDir, "throughput-latency", "latest"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0 // a busy machine may make a trial void, which is kept beside its second attempt
	for _, row := range res.Stores {
		if row.Status == record.StatusOK {
			ran++
		}
	}
	if res.Manifest.Kind != record.ExperimentStore || ran == 0 || len(res.Summaries) == 0 {
		t.Errorf("%d rows, of them ok %d, %d summaries", len(res.Stores), ran, len(res.Summaries))
	}
	if r := lab(t, dir, "show", "throughput-latency"); r.status != 0 || !strings.Contains(r.out, "etcd-raft") {
		t.Errorf("show: status %d\n%s", r.status, r.errors)
	}
	if r := lab(t, dir, "figures"); r.status != 0 || !strings.Contains(r.out, "saturation.svg") {
		t.Errorf("figures: status %d\n%s", r.status, r.out+r.errors)
	}
	if r := lab(t, dir, "run", "limits", "--dry-run"); r.status != 0 || !strings.Contains(r.out, "127.0.0.1") {
		t.Errorf("dry run: status %d\n%s", r.status, r.errors)
	}
	if r := lab(t, dir, "run", "limits", "--arms=metronmoe"); r.status == 0 ||
		!strings.Contains(r.errors, "did you mean metronome?") {
		t.Errorf("unknown arm: status %d\n%s", r.status, r.errors)
	}
	nothingLeft(t)
}

// An experiment on the simulator runs from its declaration to its verdicts; without the build that can break
// the protocol, it says how to get it.
func TestSimExperiment(t *testing.T) {
	dir := workplace(t)
	r := lab(t, dir, "run", "linearizability-sim", "--profile=smoke", "--seed=1")
	if r.status != 0 || !strings.Contains(r.out, "go build -tags mutation") || !strings.Contains(r.out, "not judged") {
		t.Fatalf("status %d\n%s\n%s", r.status, r.out, r.errors)
	}
	res, err := record.ReadRun(filepath.Join(dir, resultsDir, "linearizability-sim", "latest"))
	if err != nil {
		t.Fatal(err)
	}
	if res.Manifest.Kind != record.ExperimentSim || len(res.Sims) == 0 || len(res.Coverage) == 0 ||
		len(res.Summaries) == 0 || len(res.Claims) != 2 {
		t.Errorf("%d rows, %d branches, %d summaries", len(res.Sims), len(res.Coverage), len(res.Summaries))
	}
	if r := lab(t, dir, "show", "linearizability-sim"); r.status != 0 || !strings.Contains(r.out, "violations") {
		t.Errorf("show: status %d\n%s", r.status, r.errors)
	}
	if r := lab(t, dir, "run", "linearizability-sim", "--arms=x"); r.status == 0 {
		t.Error("there are no arms to select")
	}
	if r := lab(t, dir, "list"); r.status != 0 || !strings.Contains(r.out, "linearizability-sim") {
		t.Errorf("list: status %d\n%s", r.status, r.errors)
	}
}

// A factorial experiment runs from its declaration to its verdicts and figures, and can be shown, judged,
// compared and drawn again, to the same bytes. One whose server is missing has rows that say so.
func TestFactorialExperiment(t *testing.T) {
	dir := workplace(t)
	if r := lab(t, dir, "run", "edge-liveness", "--dry-run"); r.status != 0 ||
		!strings.Contains(r.out, "threshold=8 interval=10s") || !strings.Contains(r.out, "127.0.0.1") {
		t.Errorf("dry run: status %d\n%s", r.status, r.out+r.errors)
	}
	if r := lab(t, dir, "run", "edge-liveness", "--arms=phy"); r.status == 0 || !strings.Contains(r.errors, "phi") {
		t.Errorf("unknown arm: status %d\n%s", r.status, r.errors)
	}
	r := lab(t, dir, "run", "edge-liveness", "--profile=smoke", "--seed=1")
	if r.status != 0 || !strings.Contains(r.out, "not judged") {
		t.Fatalf("status %d\n%s\n%s", r.status, r.out, r.errors)
	}
	latest := filepath.Join(dir, resultsDir, "edge-liveness", "latest")
	res, err := record.ReadRun(latest)
	if err != nil {
		t.Fatal(err)
	}
	if res.Manifest.Kind != record.ExperimentFactorial || len(res.Factorials) == 0 || len(res.Points) == 0 ||
		len(res.Summaries) == 0 || len(res.Claims) == 0 || len(res.Manifest.Design.Metrics) == 0 {
		t.Errorf("%d rows, %d points, %d summaries", len(res.Factorials), len(res.Points), len(res.Summaries))
	}
	if r := lab(t, dir, "show", "edge-liveness"); r.status != 0 || !strings.Contains(r.out, "heartbeat-phi") {
		t.Errorf("show: status %d\n%s", r.status, r.errors)
	}
	if r := lab(t, dir, "check", "edge-liveness"); r.status != 0 || !strings.Contains(r.out, "false alarms") {
		t.Errorf("check: status %d\n%s", r.status, r.errors)
	}
	if r := lab(t, dir, "diff", "edge-liveness", "edge-liveness"); !strings.Contains(r.out, "1.000") {
		t.Errorf("diff: status %d\n%s", r.status, r.errors)
	}
	if r := lab(t, dir, "figures"); r.status != 0 || !strings.Contains(r.out, "edge-liveness/threshold.svg") {
		t.Errorf("figures: status %d\n%s", r.status, r.out+r.errors)
	}
	for _, ext := range []string{"svg", "pdf", "png"} {
		first, err1 := os.ReadFile(filepath.Join(latest, "figures", "threshold."+ext))
		again, err2 := os.ReadFile(filepath.Join(dir, figuresDir, "edge-liveness", "threshold."+ext))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(first, again) {
			t.Errorf("%s drawn again: %v", ext, err)
		}
	}
	r = lab(t, dir, "run", "edge-load", "--profile=smoke", "--arms=etcd")
	if r.status != 0 || !strings.Contains(r.out, "next: make peers") {
		t.Errorf("without etcd: status %d\n%s", r.status, r.out+r.errors)
	}
}

// Processes are killed, what was felt is in tables of its own, and figures show it.
func TestCrashExperiment(t *testing.T) {
	dir := workplace(t)
	r := lab(t, dir, "run", "crash", "--profile=smoke")
	if r.status != 0 || !strings.Contains(r.out, " 0 lost, 0 phantoms") {
		t.Fatalf("status %d\n%s\n%s", r.status, r.out, r.errors)
	}
	res, err := record.ReadRun(filepath.Join(dir, resultsDir, "crash", "latest"))
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Stores) != 1 || len(res.Kills) != 5 || len(res.Timeline) == 0 || res.Kills[0].Arm != "metronome" {
		t.Errorf("%d trials, %d kills, %d moments", len(res.Stores), len(res.Kills), len(res.Timeline))
	}
	if r := lab(t, dir, "figures"); r.status != 0 || !strings.Contains(r.out, "crash-timeline.svg") {
		t.Errorf("figures: status %d\n%s", r.status, r.out+r.errors)
	}
	nothingLeft(t)
}

// Whoever asks a command for help is shown a line to type.
func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Runnable() && !c.Hidden && c.Example == "" {
			t.Errorf("%s has none", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand())
	if r := lab(t, t.TempDir(), "sim", "--help"); r.status != 0 || !strings.Contains(r.out, "lab sim --seeds 1000") ||
		!strings.Contains(r.out, "-orderer") {
		t.Errorf("sim --help: status %d\n%s", r.status, r.out+r.errors)
	}
}

// lab peers hands over to package peer, its statuses included.
func TestPeersCommand(t *testing.T) {
	dir := workplace(t)
	if r := lab(t, dir, "peers", "list"); r.status != 0 || !strings.Contains(r.out, `"name":"metronome"`) {
		t.Errorf("list: status %d\n%s", r.status, r.out)
	}
	if r := lab(t, dir, "peers", "run", "etcd"); r.status != 3 || !strings.Contains(r.out, "make peers") {
		t.Errorf("what is missing: status %d\n%s", r.status, r.out)
	}
}

// The dictionary of columns that is committed is the one the code would write.
func TestResultsReadmeIsCurrent(t *testing.T) {
	got, err := os.ReadFile("../../../results/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != record.Readme() {
		t.Error("results/README.md is out of date; next: go run ./harness/cmd/lab columns > results/README.md")
	}
}
