package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// beMetronome makes the test's own binary the program under test.
const beMetronome = "METRONOME_TEST_BE"

func TestMain(m *testing.M) {
	if os.Getenv(beMetronome) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patient bounds every wait: machines are slow and shared, and nothing here is timed.
const patient = 3 * time.Minute

// run is a metronome command as a user runs it.
type run struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  output
	done chan struct{}
	err  error
}

// output is what a command has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func metronome(t *testing.T, args ...string) *run {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &run{t: t, cmd: exec.Command(exe, args...), done: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), beMetronome+"=1")
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	// It ends when this program is killed, and what it started ends with it.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	r.cmd.WaitDelay = patient / 10 // a grandchild may hold the pipe
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // its parent is this thread, which waits for it
		err := r.cmd.Start()
		if started <- err; err == nil {
			r.err = r.cmd.Wait()
			close(r.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.done
	})
	return r
}

// code waits for the end and returns the exit code, -1 for a signal.
func (r *run) code() int {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(patient):
		r.t.Fatalf("%v does not end:\n%s", r.cmd.Args[1:], r.out.String())
	}
	return r.cmd.ProcessState.ExitCode()
}

// says waits until the command has written something.
func (r *run) says(text string) {
	r.t.Helper()
	eventually(r.t, "output of "+strings.Join(r.cmd.Args[1:], " ")+" with "+text, func() error {
		out := r.out.String()
		if strings.Contains(out, text) {
			return nil
		}
		select {
		case <-r.done:
			r.t.Fatalf("ended (%v) without %q:\n%s", r.err, text, out)
		default:
		}
		return fmt.Errorf("so far:\n%s", out)
	})
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(patient); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %v", patient, what, err)
		}
	}
}

// handedOut counts the addresses of freePort; where they begin is drawn, for a port stays in use a while
// after those of an earlier run.
var handedOut atomic.Int64

const portsApart = 20 // a smart home takes those that follow

var firstPort = rand.IntN(5000 / portsApart)

// freePort is an address that nobody listens on, or is given again. It lies below the ports that the
// kernel gives to outgoing connections, and below those that metronome dev draws.
func freePort(t *testing.T) string {
	t.Helper()
	for range 200 {
		n := (firstPort + int(handedOut.Add(1))) % (5000 / portsApart)
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", itoa(10000+portsApart*n)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// ask sends one inline command and returns the first line of the reply.
func ask(addr, command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patient))
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		return "", err
	}
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if err == nil && line[0] == '$' && line != "$-1\r\n" {
		line, err = in.ReadString('\n')
	}
	return strings.TrimRight(line, "\r\n"), err
}

func mustResp(t *testing.T, addr, command, want string) {
	t.Helper()
	got, err := ask(addr, command)
	if err != nil || got != want {
		t.Fatalf("%s: %q, %v: want %q", command, got, err, want)
	}
}

// children are the processes that a process started and that live.
func children(pid int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (name, which may hold anything) state ppid …
		rest := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if parent, _ := strconv.Atoi(rest[1]); parent == pid && rest[0] != "Z" {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, n)
		}
	}
	return pids
}

// ending reports whether a process that was killed has not closed its files yet: it has no command line any
// more, and its locks still.
func ending(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	return slices.ContainsFunc(stats, func(path string) bool {
		b, err := os.ReadFile(path)
		return err == nil && !bytes.HasPrefix(b[bytes.LastIndexByte(b, ')')+1:], []byte(" Z"))
	})
}

// gone waits until processes have ended. A pid that is another program by now has ended, too.
func gone(t *testing.T, pids []int) {
	t.Helper()
	eventually(t, "the end of all processes", func() error {
		for _, pid := range pids {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if err == nil && (bytes.Contains(b, []byte("cluster.yaml")) || len(b) == 0 && ending(pid)) {
				return fmt.Errorf("%d lives: %s", pid, bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
			}
		}
		return nil
	})
}

func itoa(n int) string { return strconv.Itoa(n) }

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// lineOf is the first line that begins with a prefix.
func lineOf(text, prefix string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	return ""
}
