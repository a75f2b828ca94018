package testbed

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"metronome/internal/require"
	"metronome/system/packet"
)

// victimEnv makes the test binary play a harness that is about to be killed; see TestMain.
const victimEnv = "METRONOME_TESTBED_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		victim(dir)
	}
	os.Exit(m.Run())
}

// victim sets up a testbed with everything in it, says so, and waits for its end.
func victim(dir string) {
	child := exec.Command("sleep", "1000")
	err := func() error {
		tb, err := openIn(dir, victimID(os.Getpid()))
		if err != nil {
			return err
		}
		link, err := tb.Link()
		if err != nil {
			return err
		}
		if err := tb.Track(filepath.Join(dir, "socket")); err != nil {
			return err
		}
		return link.Dut.Netns.Start(child)
	}()
	if err != nil {
		fmt.Fprintln(os.Stdout, "error", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, "ready", child.Process.Pid)
	time.Sleep(time.Hour)
}

func victimID(pid int) string { return fmt.Sprintf("tbvictim-%d", pid) }

// open makes a testbed for a test, in a run directory of the test's own.
func open(t *testing.T) *Testbed {
	t.Helper()
	tb, err := openIn(t.TempDir(), fmt.Sprintf("tbtest-%d-%s", os.Getpid(), t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tb.Close(); err != nil {
			t.Error(err)
		}
	})
	return tb
}

// openLink makes a testbed with a link in it, or skips.
func openLink(t *testing.T) (*Testbed, *Link) {
	t.Helper()
	tb := open(t)
	l, err := tb.Link()
	if un := new(packet.ErrUnavailable); errors.As(err, &un) {
		require.Skip(t, "root", un)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tb, l
}

// A datagram sent to the group in one namespace arrives in the other.
func TestLinkCarriesMulticast(t *testing.T) {
	_, l := openLink(t)
	group := [4]byte{239, 77, 0, 9}
	var rx, tx int
	err := l.Dut.Netns.Do(func() (err error) {
		if rx, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		err = unix.SetsockoptIPMreqn(rx, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
			&unix.IPMreqn{Multiaddr: group, Ifindex: int32(l.Dut.Index)})
		tv := unix.Timeval{Sec: 10}
		return errors.Join(err, unix.SetsockoptTimeval(rx, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
			unix.Bind(rx, &unix.SockaddrInet4{Port: 7709, Addr: group}))
	})
	defer unix.Close(rx)
	if err != nil {
		t.Fatal(err)
	}
	err = l.Gen.Netns.Do(func() (err error) {
		if tx, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Sendto(tx, []byte("tick"), 0, &unix.SockaddrInet4{Port: 7709, Addr: group})
	})
	defer unix.Close(tx)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, from, err := unix.Recvfrom(rx, buf, 0)
	if err != nil || string(buf[:n]) != "tick" {
		t.Fatalf("received %q, %v; want tick", buf[:max(n, 0)], err)
	}
	if got := from.(*unix.SockaddrInet4).Addr; got != GenAddr.As4() {
		t.Errorf("source address %v, want %v", got, GenAddr)
	}
}

func TestPlace(t *testing.T) {
	_, l := openLink(t)
	for _, want := range []struct {
		place Placement
		core  int
		sched uint32
	}{{Same, 0, unix.SCHED_NORMAL}, {Other, 1, unix.SCHED_FIFO}, {Same, 0, unix.SCHED_NORMAL}} {
		var allowed unix.CPUSet
		if err := unix.SchedGetaffinity(0, &allowed); err != nil || allowed.Count() < 2 {
			require.Skip(t, "xdp", &packet.ErrUnavailable{What: "second core",
				Why: fmt.Sprintf("this process may use %d", allowed.Count())})
		}
		got, err := l.Place(want.place, 0, 1)
		if un := new(packet.ErrUnavailable); errors.As(err, &un) {
			require.Skip(t, "xdp", un)
		}
		if err != nil {
			t.Fatal(err)
		}
		attr, err := unix.SchedGetAttr(got.TID, 0)
		if err != nil {
			t.Fatal(err)
		}
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(got.TID, &set); err != nil {
			t.Fatal(err)
		}
		if attr.Policy != want.sched || got.Core != want.core || !set.IsSet(want.core) || set.Count() != 1 {
			t.Errorf("%s: policy %d, core %d, affinity %v; want policy %d on core %d alone",
				want.place, attr.Policy, got.Core, set, want.sched, want.core)
		}
	}
	if _, err := l.Place("elsewhere", 0, 1); err == nil {
		t.Error("an unknown placement was taken")
	}
}

// Two testbeds have devices of the same name; each must find its own NAPI thread.
func TestNAPIThreadsAreToldApart(t *testing.T) {
	_, a := openLink(t)
	tb, err := openIn(t.TempDir(), fmt.Sprintf("tbtest-%d-second", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer tb.Close()
	b, err := tb.Link()
	if err != nil {
		t.Fatal(err)
	}
	ta, errA := a.napiTID()
	tc, errB := b.napiTID()
	if errA != nil || errB != nil || ta == tc {
		t.Fatalf("threads %d (%v) and %d (%v), want two different ones", ta, errA, tc, errB)
	}
	for _, l := range []*Link{a, b} {
		if asked, err := askNAPI(l.Dut.Netns, l.Dut.Index); err == nil && l.napi != asked {
			t.Errorf("found thread %d by its appearance, the kernel says %d", l.napi, asked)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	tb, l := openLink(t)
	inNs, onHost := exec.Command("sleep", "1000"), exec.Command("sleep", "1000")
	if err := errors.Join(l.Dut.Netns.Start(inNs, 0), tb.Start(onHost)); err != nil {
		t.Fatal(err)
	}
	var set unix.CPUSet
	err := unix.SchedGetaffinity(inNs.Process.Pid, &set)
	if err != nil || set.Count() != 1 || !set.IsSet(0) {
		t.Errorf("child started on core 0 has affinity %v, %v", set, err)
	}
	here, _ := os.Readlink("/proc/self/ns/net")
	for cmd, same := range map[*exec.Cmd]bool{inNs: false, onHost: true} {
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
		if err != nil || (ns == here) != same {
			t.Errorf("child's namespace %s, %v; ours %s; want same = %v", ns, err, here, same)
		}
	}
	sock := filepath.Join(t.TempDir(), "memif.sock")
	if err := os.WriteFile(sock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tb.Track(sock); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tb.Close(), tb.Close()); err != nil {
		t.Fatal(err)
	}
	_, _ = inNs.Process.Wait()
	_, _ = onHost.Process.Wait()
	for _, p := range []string{sock, statePath(tb.dir, tb.ID()),
		filepath.Join(netnsDir, l.Gen.Netns.Name()), filepath.Join(netnsDir, l.Dut.Netns.Name()),
		fmt.Sprintf("/proc/%d", inNs.Process.Pid), fmt.Sprintf("/proc/%d", onHost.Process.Pid)} {
		if exists(p) {
			t.Errorf("%s is still there after Close", p)
		}
	}
	if err := tb.Start(exec.Command("true")); err == nil {
		t.Error("a closed testbed started a command")
	}
	if _, err := tb.Link(); err == nil {
		t.Error("a closed testbed made a link")
	}
}

// Goal: a harness killed by SIGKILL leaves nothing for good. Method: this binary runs itself as the
// harness, kills it, and sweeps.
func TestSweepAfterKill(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "socket"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	var child int
	if _, err := fmt.Sscanf(line, "ready %d", &child); err != nil {
		_ = cmd.Wait()
		if os.Geteuid() != 0 {
			require.Skip(t, "root", errors.New(strings.TrimSpace(line)))
		}
		t.Fatalf("victim said %q", line)
	}
	was, err := identify(child)
	if err != nil {
		t.Fatal(err)
	}
	if swept, err := sweepIn(dir); err != nil || len(swept) != 0 {
		t.Fatalf("swept %v, %v while the owner lived", swept, err)
	}
	if _, err := openIn(dir, victimID(cmd.Process.Pid)); !errors.Is(err, errOwned) {
		t.Errorf("opening a living testbed again: %v, want %v", err, errOwned)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	swept, err := sweepIn(dir)
	if err != nil || len(swept) != 1 || swept[0] != victimID(cmd.Process.Pid) {
		t.Errorf("swept %v, %v; want the victim", swept, err)
	}
	if was.alive() {
		t.Error("the victim's child lives")
	}
	left, _ := filepath.Glob(filepath.Join(netnsDir, "*"+victimID(cmd.Process.Pid)))
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) != 0 || len(files) != 1 || filepath.Base(files[0]) != "lock" {
		t.Errorf("left behind: namespaces %v, files %v", left, files)
	}
}

func TestOpenRefusesBadID(t *testing.T) {
	for _, id := range []string{"", "../x", "a/b", "-x", strings.Repeat("x", 65), "a b"} {
		if tb, err := openIn(t.TempDir(), id); err == nil {
			_ = tb.Close()
			t.Errorf("id %q was taken", id)
		}
	}
}
