package testbed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// state is what one testbed changed on this host, or was about to change. It is saved before every
// change, so it may name things that do not exist; removing those must succeed.
type state struct {
	ID       string      `json:"id"`
	Boot     string      `json:"boot_id"` // a state from before a reboot names dead processes
	Owner    process     `json:"owner"`
	Netns    []string    `json:"netns,omitempty"`
	Children []process   `json:"children,omitempty"`
	Paths    []string    `json:"paths,omitempty"`
	Huge     []hugeState `json:"hugepages,omitempty"`
}

// process names a process beyond the reuse of its pid.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start_ticks"` // field 22 of /proc/<pid>/stat, ticks since boot
	Name  string `json:"name"`
}

// runDir is where state files live: a directory that does not outlive the boot where possible.
func runDir() string {
	if os.Geteuid() == 0 {
		return "/run/metronome"
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "metronome")
	}
	return filepath.Join(os.TempDir(), "metronome-"+strconv.Itoa(os.Getuid()))
}

// statePath is the state file of a testbed.
func statePath(dir, id string) string { return filepath.Join(dir, id+".json") }

// save writes the state so that a reader sees the old or the new one, never half of either.
func (s *state) save(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode testbed state: %w", err)
	}
	path := statePath(dir, s.ID)
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("save testbed state: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("save testbed state: %w", err)
	}
	return nil
}

// loadState reads a state file.
func loadState(path string) (*state, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load testbed state: %w", err)
	}
	s := new(state)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("load testbed state %s: %w; next: remove it by hand", path, err)
	}
	if filepath.Base(path) != s.ID+".json" {
		return nil, fmt.Errorf("load testbed state %s: names another run, %q; "+
			"next: remove it by hand", path, s.ID)
	}
	return s, nil
}

// bootID tells boots apart; empty if it cannot be read, which then compares equal.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// procStat holds the fields of /proc/<pid>/stat that identify a process.
type procStat struct {
	name  string
	state byte // R, S, D, Z, …
	start uint64
}

// parseProcStat reads one /proc/<pid>/stat line. The name is in parentheses and may hold any
// character, parentheses and blanks too, so fields are counted from the last ')'.
func parseProcStat(b []byte) (procStat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return procStat{}, errors.New("process stat: no name in parentheses")
	}
	f := strings.Fields(string(b[end+1:]))
	const startField = 22 - 3 // the first field after the name is field 3
	if len(f) <= startField {
		return procStat{}, fmt.Errorf("process stat: %d fields after the name", len(f))
	}
	start, err := strconv.ParseUint(f[startField], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("process stat: start time: %w", err)
	}
	return procStat{name: string(b[open+1 : end]), state: f[0][0], start: start}, nil
}

// identify describes a running process.
func identify(pid int) (process, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	st, err := parseProcStat(b)
	if err != nil {
		return process{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return process{PID: pid, Start: st.start, Name: st.name}, nil
}

// alive reports whether the process still runs: same pid, same start time, not a zombie.
func (p process) alive() bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/stat")
	if err != nil {
		return false
	}
	st, err := parseProcStat(b)
	return err == nil && st.start == p.Start && st.state != 'Z' && st.state != 'X'
}

// withLock runs f while no other harness on this host changes shared things: hugepages, the set of
// NAPI threads, the directory of states itself.
func withLock(dir string, f func() error) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make run directory: %w", err)
	}
	fd, err := unix.Open(filepath.Join(dir, "lock"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("open lock of run directory %s: %w", dir, err)
	}
	defer unix.Close(fd)
	for {
		err = unix.Flock(fd, unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock run directory %s: %w", dir, err)
	}
	return f()
}
