package main

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"metronome/internal/require"
	"metronome/system/master/api"
)

// smartHome is metronome dev --iot that is up.
type smartHome struct {
	*run
	t    *testing.T
	dir  string
	args []string
}

func newSmartHome(t *testing.T, more ...string) *smartHome {
	t.Helper()
	h := &smartHome{t: t, dir: filepath.Join(t.TempDir(), "home")}
	h.args = append([]string{"dev", "--iot", "--edges", "2", "--dir", h.dir, "--page", freePort(t), "--edge",
		freePort(t), "--speed", "60"}, more...)
	h.start()
	return h
}

func (h *smartHome) start() {
	h.t.Helper()
	h.run = metronome(h.t, h.args...)
	h.says("Ctrl-C stops everything")
}

// stop is Ctrl-C. It leaves nothing behind.
func (h *smartHome) stop() {
	h.t.Helper()
	pids := children(h.cmd.Process.Pid)
	if err := h.cmd.Process.Signal(os.Interrupt); err != nil {
		h.t.Fatal(err)
	}
	if c := h.code(); c != 0 {
		h.t.Errorf("Ctrl-C: exit code %d:\n%s", c, h.out.String())
	}
	gone(h.t, pids)
}

// line is what the command says to paste for something.
func (h *smartHome) line(what string) string {
	h.t.Helper()
	line := strings.TrimSpace(lineOf(h.out.String(), "  "+what+" "))
	line, found := strings.CutPrefix(line, what)
	if !found {
		h.t.Fatalf("no line for %q in\n%s", what, h.out.String())
	}
	return strings.TrimSpace(line)
}

// paste runs such a line in a shell.
func (h *smartHome) paste(what string) string {
	h.t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		require.Skip(h.t, "curl", err)
	}
	out, err := exec.CommandContext(h.t.Context(), "sh", "-c", h.line(what)).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", h.line(what), err, out)
	}
	return string(out)
}

// pasteOurs runs a line that begins with metronome.
func (h *smartHome) pasteOurs(what string) string {
	h.t.Helper()
	args := strings.Fields(h.line(what))
	if args[0] != "metronome" {
		h.t.Fatalf("%v", args)
	}
	r := metronome(h.t, args[1:]...)
	if r.code() != 0 {
		h.t.Fatalf("%v:\n%s", args, r.out.String())
	}
	return r.out.String()
}

// status is what the master knows.
func (h *smartHome) status() (s api.Status) {
	h.t.Helper()
	r := metronome(h.t, "master", "status", "--json", "--dir", filepath.Join(h.dir, "master"))
	if r.code() != 0 || json.Unmarshal([]byte(r.out.String()), &s) != nil {
		h.t.Fatalf("%s", r.out.String())
	}
	return s
}

// reach is up to which revision each edge is backed up.
func (h *smartHome) reach() map[string]uint64 {
	all := map[string]uint64{}
	for _, e := range h.status().Edges {
		if e.Newest != nil {
			all[e.Name] = e.Newest.Reach
		}
	}
	return all
}

// moves waits until new readings of both edges are in backups.
func (h *smartHome) moves(from map[string]uint64) map[string]uint64 {
	h.t.Helper()
	var now map[string]uint64
	eventually(h.t, "new readings in the backups", func() error {
		now = h.reach()
		for _, name := range []string{"edge-1", "edge-2"} {
			if now[name] <= from[name] {
				return errorf("%v, from %v on", now, from)
			}
		}
		return nil
	})
	return now
}

// TestASmartHomeFromStartToCtrlC pastes every line that the command prints, and starts it again.
func TestASmartHomeFromStartToCtrlC(t *testing.T) {
	h := newSmartHome(t)
	h.says("a master, 2 edges (store local) and 20 devices are up")
	reach := h.moves(nil)
	var reading struct{ At, Value float64 }
	eventually(t, "a reading of what is read", func() error { // others may have come first
		if out := h.paste("read"); json.Unmarshal([]byte(out), &reading) != nil || reading.At == 0 {
			return errorf("read: %s", out)
		}
		return nil
	})
	if out := h.paste("list"); !strings.Contains(out, `"key":"home/`) {
		t.Errorf("list: %s", out)
	}
	if out := h.paste("write"); !strings.Contains(out, "201 Created") {
		t.Errorf("write: %s", out)
	}
	h.follows()
	if out := h.pasteOurs("who is alive"); strings.Count(out, "fresh") != 2 {
		t.Errorf("who is alive: %s", out)
	}
	if out := h.pasteOurs("prove backups"); strings.Count(out, "proven: backup") != 2 {
		t.Errorf("prove backups: %s", out)
	}
	if out := h.pasteOurs("restore one"); !strings.Contains(out, "revision") {
		t.Errorf("restore one: %s", out)
	}
	reach = h.moves(reach)
	h.stop()
	h.start() // the data is there, and goes on
	h.moves(reach)
	if out := h.paste("write"); !strings.Contains(out, "204 No Content") {
		t.Errorf("the lamp was forgotten: %s", out)
	}
	h.stop()
}

// follows reads an event off the stream.
func (h *smartHome) follows() {
	h.t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+h.line("follow"))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: {") && strings.Contains(lines.Text(), "home/") {
			return
		}
	}
	h.t.Error("the stream brought no event")
}

// TestASmartHomeOutlivesAnEdge: devices keep what they measure while their edge is gone, and it
// comes back by the line that is printed. A third edge joins at the next start.
func TestASmartHomeOutlivesAnEdge(t *testing.T) {
	h := newSmartHome(t)
	reach := h.moves(nil)
	for _, pid := range children(h.cmd.Process.Pid) {
		b, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "cmdline"))
		if strings.Contains(string(b), filepath.Join("edge-2", "member")) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.says("start it again  metronome edge --member")
	args := strings.Fields(h.line("start it again"))
	again := metronome(t, args[1:]...)
	reach = h.moves(reach)
	if err := again.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if c := again.code(); c != 0 {
		t.Errorf("exit code %d: %s", c, again.out.String())
	}
	h.stop()

	h.args[3] = "3"
	h.start()
	h.says("a master, 3 edges")
	h.moves(reach)
	h.stop()
	h.args[3] = "2"
	less := metronome(t, h.args...)
	if less.code() == 0 || !strings.Contains(less.out.String(), "holds another home: 3 edges") {
		t.Errorf("%s", less.out.String())
	}
}

// TestASmartHomeOverTheCore: with one cluster's data behind both edges, the devices of an edge that
// is killed go on at the other, which serves all keys.
func TestASmartHomeOverTheCore(t *testing.T) {
	h := newSmartHome(t, "--store", "metronome", "--resp", freePort(t))
	h.says("2 edges (store metronome)")
	was := h.meter(0)
	for _, pid := range children(h.cmd.Process.Pid) {
		b, _ := os.ReadFile(filepath.Join("/proc", itoa(pid), "cmdline"))
		if strings.Contains(string(b), filepath.Join("edge-2", "member")) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.says("start it again  metronome edge --member")
	was = h.meter(was)
	if out := h.pasteOurs("who is alive"); strings.Count(out, "cluster's") != 2 {
		t.Errorf("who is alive: %s", out)
	}
	h.pasteOurs("the cluster")
	h.stop()
	h.start()
	h.meter(was)
	h.stop()
}

// meter waits until a later reading of the meter is at the first edge, whose device it is not.
func (h *smartHome) meter(after float64) float64 {
	h.t.Helper()
	var reading struct{ At float64 }
	eventually(h.t, "a later reading", func() error {
		out := h.paste("from any edge")
		if err := json.Unmarshal([]byte(out), &reading); err != nil || reading.At <= after {
			return errorf("after %v: %s", after, out)
		}
		return nil
	})
	return reading.At
}

func TestASmartHomeRefuses(t *testing.T) {
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
		{"busy page", []string{"--page", busy}, "name another address with --page"},
		{"busy edge", []string{"--edge", busy}, "name another address with --edge"},
		{"far away", []string{"--edge", "0.0.0.0:7443"}, "loopback"},
		{"page far away", []string{"--page", "0.0.0.0:7601"}, "loopback"},
		{"no edges", []string{"--edges", "0"}, "use 1 to 16"},
		{"many edges", []string{"--edges", "17"}, "use 1 to 16"},
		{"many shared", []string{"--edges", "5", "--store", "metronome"}, "use 1 to 4"},
		{"store", []string{"--store", "cloud"}, "use local or metronome"},
		{"speed", []string{"--speed", "-1"}, "use more than 0"},
		{"folder", []string{"--dir", "/proc/no/such"}, "folder of the home"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"dev", "--iot", "--dir", filepath.Join(t.TempDir(), "d"), "--page", freePort(t),
				"--edge", freePort(t)}
			r := metronome(t, append(args, tc.args...)...)
			if r.code() == 0 || !strings.Contains(r.out.String(), tc.want) {
				t.Errorf("exit code %d, want an error with %q:\n%s", r.code(), tc.want, r.out.String())
			}
		})
	}
}
