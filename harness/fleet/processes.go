package fleet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// markVar is in the environment of everything that a fleet starts on this machine outside its
// namespaces: Ansible, its workers, its SSH clients.
const markVar = "METRONOME_FLEET"

func (s *state) mark() string { return markVar + "=" + s.Dir }

// controlDir is where SSH keeps the sockets of connections that wait for the next task.
func (s *state) controlDir() string { return filepath.Join(s.Dir, "cp") }

const (
	killWait = 5 * time.Second // a process in an uninterruptible sleep may outlast it
	killPoll = 5 * time.Millisecond
)

// killAll ends every process of a fleet on this machine: those in its namespaces, whoever started
// them, and those marked as its own. It looks again until there are none, since a supervisor may
// start another.
func (s *state) killAll() error {
	for end := time.Now().Add(killWait); ; time.Sleep(killPoll) {
		pids := s.processes()
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %v of fleet %s do not end", pids, s.Name)
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// processes finds them.
func (s *state) processes() (pids []int) {
	var inside []string
	for _, name := range s.Namespaces {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(netnsDir, name), &st) == nil {
			inside = append(inside, fmt.Sprintf("net:[%d]", st.Ino))
		}
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		if pid != os.Getpid() && (isInside(d, inside) || isMarked(d, s.mark()) || isMaster(d, s.controlDir())) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func isInside(proc string, namespaces []string) bool {
	ns, err := os.Readlink(filepath.Join(proc, "ns", "net"))
	return err == nil && slices.Contains(namespaces, ns)
}

// isMaster knows SSH's process that keeps a connection for the next task: it writes its title over
// its environment.
func isMaster(proc, controlDir string) bool {
	title, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	return err == nil && bytes.HasPrefix(title, []byte("ssh: "+controlDir+"/"))
}

func isMarked(proc, mark string) bool {
	env, err := os.ReadFile(filepath.Join(proc, "environ"))
	return err == nil && slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool {
		return string(v) == mark
	})
}
