package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"metronome/system/cluster"
)

// up is a cluster of metronome dev that serves clients.
func up(t *testing.T, dir, addr string, more ...string) *run {
	t.Helper()
	r := metronome(t, append([]string{"dev", "--dir", dir, "--resp", addr}, more...)...)
	r.says("Ctrl-C stops everything")
	return r
}

// isRelaxed reports whether a process was started again by relaxTimers, which keeps its number.
func isRelaxed(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "environ"))
	return err == nil && strings.Contains(string(b), relaxed+"=1")
}

func TestDevFromStartToCtrlC(t *testing.T) {
	dir, addr := filepath.Join(t.TempDir(), "new"), freePort(t)
	r := up(t, dir, addr)
	mustResp(t, addr, "SET greeting hello", "+OK")
	mustResp(t, addr, "GET greeting", "hello")
	mustResp(t, addr, "INCR n", ":1")
	host, port, _ := net.SplitHostPort(addr)
	r.says("redis-cli -h " + host + " -p " + port)
	r.says("Durability is fsync")

	file := filepath.Join(dir, "cluster.yaml")
	check := metronome(t, "config", "check", file)
	if check.code() != 0 || !strings.Contains(check.out.String(), "3 replicas, 1 proxies, durability fsync: good") {
		t.Errorf("config check: %s", check.out.String())
	}
	status := metronome(t, "cluster", "status", "--config", file)
	if status.code() != 0 {
		t.Error("status fails")
	}
	for _, want := range []string{"replica-0/1", "replica-1/1", "replica-2/1", "each has logged"} {
		if !strings.Contains(status.out.String(), want) {
			t.Errorf("status does not say %q:\n%s", want, status.out.String())
		}
	}
	again := metronome(t, "cluster", "init", "--config", file)
	if again.code() == 0 || !strings.Contains(again.out.String(), "belongs to a cluster already") {
		t.Errorf("cluster init of a cluster: %s", again.out.String())
	}

	pids := children(r.cmd.Process.Pid)
	if len(pids) != 4 {
		t.Fatalf("%d processes: want three replicas and a proxy", len(pids))
	}
	if !slices.ContainsFunc(pids, isRelaxed) {
		t.Error("no server runs with relaxed timers")
	}
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if c := r.code(); c != 0 {
		t.Errorf("Ctrl-C: exit code %d:\n%s", c, r.out.String())
	}
	gone(t, pids)
	for _, name := range []string{"replica-0", "proxy-1"} {
		b, err := os.ReadFile(filepath.Join(dir, "logs", name+".log"))
		if err != nil || !strings.Contains(string(b), "stopped") {
			t.Errorf("%s was not stopped in order: %v\n%s", name, err, b)
		}
	}
}

// Where every proxy is in reserve nobody speaks the Redis protocol, and nothing is said of it.
func TestDevNamesWhatIsThere(t *testing.T) {
	c, err := cluster.Dev(t.TempDir(), cluster.DevOptions{Proxies: 2})
	if err != nil {
		t.Fatal(err)
	}
	for reserve, want := range []struct{ redis, loads, proxies int }{{2, 0, 2}, {2, 1, 1}, {0, 2, 0}} {
		var out strings.Builder
		cmd := &cobra.Command{}
		cmd.SetOut(&out)
		describe(cmd, &devOptions{dir: "d", reserve: reserve}, c, "replica-0/1")
		for text, n := range map[string]int{"redis-": want.redis, "bench load --config": want.loads,
			"/proxy-": want.proxies, "metrics http": 3 + want.proxies} {
			if got := strings.Count(out.String(), text); got != n {
				t.Errorf("%d in reserve: %q %d times, want %d:\n%s", reserve, text, got, n, out.String())
			}
		}
	}
}

// A folder is used again, with the same ports and keys, after kill -9 of everything at once. What was
// acknowledged is there again, and with durability memory it is not.
func TestDevAgainAndKilled(t *testing.T) {
	t.Run("fsync", func(t *testing.T) { againAndKilled(t, "fsync", ":0", ":1", ":2") })
	t.Run("memory", func(t *testing.T) { againAndKilled(t, "memory", ":0", ":0") })
}

func againAndKilled(t *testing.T, durability string, keys ...string) {
	dir, addr := t.TempDir(), freePort(t)
	var file []byte
	for i, found := range keys {
		r := up(t, dir, addr, "--durability", durability)
		mustResp(t, addr, "DBSIZE", found)
		mustResp(t, addr, "SET k"+itoa(i)+" v", "+OK")
		pids := children(r.cmd.Process.Pid)
		if err := r.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		r.code()
		gone(t, pids)
		now, err := os.ReadFile(filepath.Join(dir, "cluster.yaml"))
		if err != nil || file != nil && string(now) != string(file) {
			t.Errorf("the cluster file has changed: %v", err)
		}
		file = now
	}
	other := metronome(t, "dev", "--durability", durability, "--dir", dir, "--resp", addr, "--replicas", "5")
	if other.code() == 0 || !strings.Contains(other.out.String(), "holds another cluster: 3 replicas") {
		t.Errorf("dev over another cluster: %s", other.out.String())
	}
}

// The cluster outlives a replica, says how to start it again, and takes it back.
func TestDevOutlivesAReplica(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	r := up(t, dir, addr)
	mustResp(t, addr, "SET k v", "+OK")
	for _, pid := range children(r.cmd.Process.Pid) {
		b, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "cmdline"))
		if strings.Contains(string(b), "replica-1") {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.says("start it again  metronome replica --config")
	mustResp(t, addr, "GET k", "v")
	metronome(t, "replica", "--config", filepath.Join(dir, "cluster.yaml"), "--name", "replica-1")
	eventually(t, "replica-1 to go on", func() error {
		s := metronome(t, "cluster", "status", "--config", filepath.Join(dir, "cluster.yaml"))
		s.code()
		if line := lineOf(s.out.String(), "replica-1 "); !strings.Contains(line, "replica-0/1,replica-1/1,replica-2/1") {
			return errorf("%s", s.out.String())
		}
		return nil
	})
	mustResp(t, addr, "GET k", "v")
}

func TestDevRefuses(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	busy := l.Addr().String()
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"busy port", []string{"--resp", busy}, "name another address with --resp"},
		{"no address", []string{"--resp", "here"}, "missing port in address"},
		{"durability", []string{"--durability", "disk"}, "use fsync or memory"},
		{"unknown flag", []string{"--replica", "3"}, "unknown flag: --replica"},
		{"argument", []string{"now"}, "unknown command"},
		{"even", []string{"--replicas", "4"}, "use an odd number"},
		{"none", []string{"--replicas", "-1"}, "replicas"},
		{"no proxies", []string{"--proxies", "-1"}, "at least one proxy"},
		{"lanes", []string{"--lanes", "1000"}, "lanes"},
		{"folder", []string{"--dir", "/proc/no/such"}, "folder of the cluster"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"dev", "--dir", filepath.Join(t.TempDir(), "d"), "--resp", freePort(t)}
			r := metronome(t, append(args, tc.args...)...)
			if r.code() == 0 || !strings.Contains(r.out.String(), tc.want) {
				t.Errorf("exit code %d, want an error with %q:\n%s", r.code(), tc.want, r.out.String())
			}
		})
	}
}

// Sockets of operators have names of at most 107 bytes, folders may have longer ones.
func TestDevInADeepFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30), "d")
	addr := freePort(t)
	up(t, dir, addr)
	mustResp(t, addr, "SET k v", "+OK")
	s := metronome(t, "cluster", "status", "--config", filepath.Join(dir, "cluster.yaml"))
	if s.code() != 0 || !strings.Contains(s.out.String(), "replica-2/1") {
		t.Errorf("status: %s", s.out.String())
	}
}

// A cluster grows: a fourth replica is written into the cluster file of everybody, who are told, and
// admitted. Then it is removed, and its directory is of no more use (R1).
func TestDevGrows(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	r := up(t, dir, addr)
	mustResp(t, addr, "SET k v", "+OK")
	file := filepath.Join(dir, "cluster.yaml")
	grow(t, file)
	if init := metronome(t, "pki", "init", "--config", file); init.code() != 0 {
		t.Fatal(init.out.String())
	}
	for _, pid := range children(r.cmd.Process.Pid) {
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	fourth := metronome(t, "replica", "--config", file, "--name", "replica-3")
	add := metronome(t, "cluster", "add", "replica-3", "--timeout", "3m", "--config", file)
	if add.code() != 0 || !strings.Contains(add.out.String(), "replica-3/1 votes") {
		b, _ := os.ReadFile(filepath.Join(dir, "logs", "replica-0.log"))
		t.Fatalf("%s\n%s\n%s", add.out.String(), fourth.out.String(), b)
	}
	mustResp(t, addr, "GET k", "v")
	remove := metronome(t, "cluster", "remove", "replica-3", "--timeout", "3m", "--config", file)
	if remove.code() != 0 || !strings.Contains(remove.out.String(), "replica-3 is removed") {
		t.Fatal(remove.out.String())
	}
	fourth.says("this seat's life has ended")
	again := metronome(t, "replica", "--config", file, "--name", "replica-3")
	again.says("this seat's life has ended")
	mustResp(t, addr, "GET k", "v")
}

// grow adds a replica to a cluster file.
func grow(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(b), "proxies:")
	if !ok {
		t.Fatalf("no proxies in\n%s", b)
	}
	entry := "- name: replica-3\n  stream: " + freePort(t) + "\n  datagram: " + freePort(t) + "\n  ops: " + freePort(t) + "\n"
	if err := os.WriteFile(file, []byte(before+entry+"proxies:"+after), 0o600); err != nil {
		t.Fatal(err)
	}
}
