package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var leaderIs = regexp.MustCompile(`leader (replica-[0-9]+)`)

// A cluster ordered by multipaxos outlives its leader, takes it back with what its disk holds, and does
// not let it in under another algorithm.
func TestDevWithMultipaxos(t *testing.T) {
	dir, addr := t.TempDir(), freePort(t)
	r := up(t, dir, addr, "--consensus", "multipaxos")
	mustResp(t, addr, "SET k v", "+OK")
	leader := leaderIs.FindStringSubmatch(r.out.String())[1]
	killChild(t, r, leader)
	r.says("start it again  metronome replica --config")
	eventually(t, "a new leader", func() error {
		if got, err := ask(addr, "SET after kill"); err != nil || got != "+OK" {
			return errorf("%q, %v", got, err)
		}
		return nil
	})
	mustResp(t, addr, "GET k", "v")

	file := filepath.Join(dir, "cluster.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.ReplaceAll(string(b), "consensus: multipaxos", "consensus: raft")
	if err := os.WriteFile(filepath.Join(dir, "other.yaml"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := metronome(t, "replica", "--config", filepath.Join(dir, "other.yaml"), "--name", leader)
	if refused.code() == 0 || !strings.Contains(refused.out.String(), "consensus multipaxos") {
		t.Errorf("its data under another algorithm: %s", refused.out.String())
	}
	metronome(t, "replica", "--config", file, "--name", leader)
	eventually(t, leader+" to go on", func() error {
		s := metronome(t, "cluster", "status", "--config", file)
		s.code()
		if line := lineOf(s.out.String(), leader+" "); !strings.Contains(line, "replica-0/1,replica-1/1,replica-2/1") {
			return errorf("%s", s.out.String())
		}
		return nil
	})
	mustResp(t, addr, "GET after", "kill")

	again := metronome(t, "dev", "--dir", dir, "--resp", freePort(t), "--consensus", "raft")
	if again.code() == 0 || !strings.Contains(again.out.String(), "consensus multipaxos") {
		t.Errorf("dev over a cluster of another algorithm: %s", again.out.String())
	}
	unknown := metronome(t, "dev", "--dir", dir, "--consensus", "paxos")
	if unknown.code() == 0 || !strings.Contains(unknown.out.String(), "use raft or multipaxos") {
		t.Errorf("an algorithm that there is not: %s", unknown.out.String())
	}
}

// killChild kills one of a cluster's processes.
func killChild(t *testing.T, r *run, name string) {
	t.Helper()
	for _, pid := range children(r.cmd.Process.Pid) {
		b, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "cmdline"))
		if strings.Contains(string(b), name) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
}
