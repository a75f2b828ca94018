package wait4

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"metronome/harness/driver/tool"
)

// eaterEnv tells this test program to use memory and time, and to say how much memory the kernel saw.
const eaterEnv = "METRONOME_TEST_EATER"

// eaten is the time that it uses.
const eaten = 30 * time.Millisecond

func worked() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestMain(m *testing.M) {
	if spec := os.Getenv(eaterEnv); spec != "" {
		mib, _ := strconv.Atoi(spec)
		kept := touched(mib)
		for worked() < eaten {
			kept[0]++
		}
		status, _ := os.ReadFile("/proc/self/status")
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		_, _ = fmt.Fprintln(os.Stdout, strings.Fields(rest)[0])
		runtime.KeepAlive(kept)
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "wait4-")
	if err == nil {
		launch = filepath.Join(dir, "launch")
		err = tool.Go(context.Background(), ".", "metronome/harness/driver/runtimes/launch", launch)
	}
	status := 1
	if err == nil {
		status = m.Run()
	} else {
		_, _ = fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

var launch string

// touched is memory that is really there.
func touched(mib int) []byte {
	b := make([]byte, max(1, mib<<20))
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	return b
}

// Anchors §9: a parent that once held 300 MB makes /bin/true report them. Through the launcher it reports
// its own.
func TestTheMemoryOfTheParentIsNotTheChilds(t *testing.T) {
	runtime.KeepAlive(touched(300))
	cmd := exec.Command("/bin/true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	naive := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	l := Launcher{Path: launch, CPU: -1}
	_, u, err := l.Run(t.Context(), "/bin/true")
	if err != nil && !errors.Is(err, ErrFloor) {
		t.Fatal(err)
	}
	t.Logf("/bin/true from a parent of 300 MiB: %d KiB; through the launcher: %d KiB, floor %d", naive,
		u.MaxRSS, u.Floor)
	if naive < 250<<10 {
		t.Logf("this kernel does not have the trap")
	}
	if u.MaxRSS > 8<<10 || u.Floor > 8<<10 {
		t.Fatalf("the launcher hands on memory: %+v", u)
	}
}

// Two ways to know a peak must agree: wait4's, and what the process reads of itself at its end.
func TestTwoMethodsAgree(t *testing.T) {
	for _, mib := range []int{0, 64} {
		t.Setenv(eaterEnv, strconv.Itoa(mib))
		l := Launcher{Path: launch, CPU: 0}
		out, u, err := l.Run(t.Context(), os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		own, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		// The kernel counts pages per core and adds them up now and then: some hundred KiB.
		if d := u.MaxRSS - own; d < -2048 || d > 2048 || u.MaxRSS < int64(mib)<<10 {
			t.Errorf("%d MiB: wait4 %d KiB, the process itself %d KiB", mib, u.MaxRSS, own)
		}
		if u.CPU() < eaten || u.CPU() > u.Wall+eaten || u.MinorFaults == 0 {
			t.Errorf("implausible: %+v", u)
		}
	}
}

// A program as small as the launcher is not measured, and that is said.
func TestFloor(t *testing.T) {
	u := Usage{MaxRSS: 2000 + slack, Floor: 2000}
	if err := u.judge("tiny", &bounded{}); !errors.Is(err, ErrFloor) {
		t.Fatal(err)
	}
	if u.MaxRSS++; u.judge("less tiny", &bounded{}) != nil {
		t.Fatal("above the floor is refused")
	}
}

func TestProgramsThatFail(t *testing.T) {
	good := Launcher{Path: launch, CPU: -1}
	for _, c := range []struct {
		want string
		l    Launcher
		argv []string
	}{
		{"status 3: so sorry", good, []string{"/bin/sh", "-c", "echo so sorry >&2; exit 3"}},
		{"signal 9", good, []string{"/bin/sh", "-c", "kill -9 $$"}},
		{"no such file", good, []string{"/bin/there-is-none"}},
		{"write launch CPU", good, nil},
		{"core 900", Launcher{Path: launch, CPU: 900}, []string{"/bin/true"}},
		{"build the launcher", Launcher{Path: "/bin/there-is-none"}, []string{"/bin/true"}},
	} {
		if _, _, err := c.l.Run(t.Context(), c.argv...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.argv, err, c.want)
		}
	}
	_, u, _ := good.Run(t.Context(), "/bin/sh", "-c", "exit 3")
	if u.Exit != 3 || u.Wall <= 0 {
		t.Errorf("what a failed program used: %+v", u)
	}
}

// Who is no longer wanted ends, with what it started.
func TestCancel(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	l := Launcher{Path: launch, CPU: -1}
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(dir, "pid")); err == nil {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	script := "cd " + dir + "; echo $$ >tmp; mv tmp pid; exec sleep 600"
	if _, _, err := l.Run(ctx, "/bin/sh", "-c", script); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	for range 6000 { // a minute
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("process %d goes on", pid)
}
