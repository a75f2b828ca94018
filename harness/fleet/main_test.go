package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"metronome/harness/testbed"
	"metronome/internal/buildtest"
	"metronome/internal/require"
)

const (
	victimEnv = "METRONOME_FLEET_VICTIM"

	replicasEnv = "METRONOME_FLEET_VICTIM_REPLICAS"
)

// binary is the metronome program, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// testMain runs the tests in namespaces of their own for network, mounts and processes, so that
// what a test lists is its own and nothing else's.
func testMain(m *testing.M) int {
	if os.Getenv(victimEnv) != "" {
		return victim()
	}
	if os.Geteuid() != 0 {
		return m.Run()
	}
	outside, code, err := testbed.Sandbox()
	if outside && err == nil {
		return code
	}
	if err = errors.Join(err, furnish()); err != nil {
		fmt.Fprintln(os.Stderr, "furnish the sandbox:", err)
		return 1
	}
	dir, err := buildtest.Programs("", "metronome/system/cmd/metronome")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "metronome")
	return m.Run()
}

// furnish gives the sandbox its own folder of fleets.
func furnish() error { return syscall.Mount("none", "/var/tmp", "tmpfs", 0, "") }

// need skips tests where clusters cannot be brought up.
func need(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		require.Skip(t, "root", errors.New("namespaces need it"))
	}
	for _, tool := range []string{"ansible-playbook", "ssh", "/usr/sbin/sshd", "runsv", "ip",
		"start-stop-daemon"} {
		if _, err := exec.LookPath(tool); err != nil {
			require.Skip(t, "root", fmt.Errorf("%w. Next: make setup", err)) // CI is root and set up
		}
	}
}

// options are of a cluster as small as may be: one replica and a proxy, as few machines as that
// takes.
func options(name string) Options {
	return Options{Name: name, Replicas: 1, Binary: binary, Playbooks: "../../ansible", SkipMachines: true,
		Vars: map[string]any{"metronome_least_replicas": 1}}
}

// patience bounds what a test waits for. Nothing is timed; a machine may be slow.
const patience = 7 * time.Minute

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inventory of the machine: everything that a fleet could leave.
func snapshot(t *testing.T) []string {
	t.Helper()
	var all []string
	add := func(kind string, list ...string) {
		for _, l := range list {
			all = append(all, kind+" "+l)
		}
	}
	for _, pattern := range []string{"/run/*", "/run/metronome/fleet/*", "/run/metronome/fleet/.*",
		"/run/netns/*", "/var/tmp/*", "/var/lib/metronome/*", "/opt/metronome*", "/etc/systemd/system/metronome*"} {
		files, _ := filepath.Glob(pattern)
		add("file", files...)
	}
	links, err := exec.Command("ip", "-brief", "link").Output()
	must(t, err)
	add("link", strings.Split(string(links), "\n")...)
	pages, err := os.ReadFile("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
	must(t, err)
	add("hugepages", string(pages))
	add("process", processes(t)...)
	return all
}

// processes lists all in the sandbox that live, but the one that asks. It is the parent of orphans,
// and reaps none, so the dead are not counted.
func processes(t *testing.T) (all []string) {
	t.Helper()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		stat, err := os.ReadFile(filepath.Join(d, "stat"))
		if err != nil || strings.Contains(string(stat), ") Z ") || filepath.Base(d) == fmt.Sprint(os.Getpid()) {
			continue
		}
		cmd, _ := os.ReadFile(filepath.Join(d, "cmdline"))
		all = append(all, filepath.Base(d)+" "+strings.ReplaceAll(string(cmd), "\x00", " "))
	}
	return all
}

// clean fails the test if anything is there that was not there before.
func clean(t *testing.T, before []string) {
	t.Helper()
	ignored := func(line string) bool { return line == "file /run/metronome" || line == "file /run/netns" }
	for _, line := range snapshot(t) {
		if !slices.Contains(before, line) && !ignored(line) {
			t.Errorf("left behind: %s", line)
		}
	}
	for _, line := range before {
		if !slices.Contains(snapshot(t), line) {
			t.Errorf("gone: %s", line)
		}
	}
}

// victim brings a fleet up, says each task, and is killed on the way.
func victim() int {
	binary = os.Getenv(victimEnv)
	o := options("victim")
	o.Replicas, _ = strconv.Atoi(os.Getenv(replicasEnv))
	o.Progress = func(task string) { fmt.Fprintln(os.Stdout, task) }
	f, _, err := Up(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stdout, "error", err)
		return 1
	}
	fmt.Fprintln(os.Stdout, "up", f.Name())
	time.Sleep(time.Hour)
	return 0
}

// kill starts a victim and kills it when it begins a task.
func kill(t *testing.T, at string, replicas int) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(testContext(t), exe)
	cmd.Env = append(os.Environ(), victimEnv+"="+binary, replicasEnv+"="+strconv.Itoa(replicas))
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	seen := false
	for !seen && lines.Scan() {
		seen = strings.HasPrefix(lines.Text(), at)
		if strings.HasPrefix(lines.Text(), "error") {
			t.Error(lines.Text())
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !seen {
		t.Fatalf("the victim never came to %q", at)
	}
}
