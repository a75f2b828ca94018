//go:build dpdk

package vswitchd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/vswitch"
	"metronome/internal/require"
)

// alone is the network namespace of a process of its own, which sleeps.
func alone(t *testing.T) (pid string) {
	t.Helper()
	cmd := exec.Command("sleep", "300")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return fmt.Sprint(cmd.Process.Pid)
}

func shell(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, script)
	}
}

// within runs body on a thread in the network namespace of a process; the thread ends with it.
func within(t *testing.T, pid string, body func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		ns, err := os.Open(filepath.Join("/proc", pid, "ns/net"))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			_ = ns.Close()
		}
		if err == nil {
			err = body()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Kernel sockets at the far ends of two veth pairs: exactly those datagrams are lost that the seed says, and
// none comes before its time.
func TestKernelPorts(t *testing.T) {
	if os.Geteuid() != 0 {
		require.Skip(t, "root", errors.New("namespaces need it"))
	}
	if os.Getenv(childEnv) == "" { // the switch's namespace vanishes with its process
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err == nil {
			defer home.Close()
			err = unix.Unshare(unix.CLONE_NEWNET)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) }()
	}
	isolated(t, func() { kernelPorts(t) })
}

func kernelPorts(t *testing.T) {
	const datagrams, delay = 200, 20 * time.Millisecond
	cfg := Config{Seed: 7, Flood: true, CPU: -1}
	var nodes []string
	for i, name := range []string{"a", "b"} {
		pid := alone(t)
		nodes = append(nodes, pid)
		near := "near" + name
		inside := "nsenter --net=/proc/" + pid + "/ns/net "
		shell(t, "ip link add "+near+" type veth peer name eth0 netns "+pid+"\nip link set "+near+" up\n"+
			inside+fmt.Sprintf("ip addr add 10.9.0.%d/24 dev eth0\n", i+1)+inside+"ethtool -K eth0 tx off >/dev/null\n"+
			inside+"ip link set eth0 up")
		cfg.Ports = append(cfg.Ports, Port{Name: name, Interface: near})
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, quit := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		quit()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var from, to *net.UDPConn
	within(t, nodes[1], func() (err error) {
		to, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 9, 0, 2), Port: 7700})
		return err
	})
	within(t, nodes[0], func() (err error) {
		from, err = net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
		return err
	})
	defer from.Close()
	defer to.Close()
	met(t, from, to)
	bad := Request{Cmd: "impair", From: "a", To: "b", Impairment: vswitch.Impairment{Loss: .3,
		Delay: vswitch.Span(delay)}}
	if err := s.do(ctx, func() { err = s.core.Impair(s.now(), bad.From, bad.To, bad.Impairment) }); err != nil {
		t.Fatal(err)
	}
	var sent [datagrams]time.Time
	for i := range sent {
		sent[i] = time.Now()
		if _, err := from.Write(binary.BigEndian.AppendUint64(nil, uint64(i))); err != nil {
			t.Fatal(err)
		}
	}
	var got []int
	for _, i := range fated(t, cfg, bad.Impairment, datagrams) {
		n := next(t, to)
		got = append(got, n)
		if n != i {
			t.Fatalf("datagram %d came, want %d; so far %v", n, i, got)
		}
		if took := time.Since(sent[n]); took < delay {
			t.Errorf("datagram %d took %v, want at least %v", n, took, delay)
		}
	}
	if len(got) == 0 || len(got) == datagrams || !slices.IsSorted(got) {
		t.Errorf("%d came", len(got))
	}
}

// met waits until one has heard the other: addresses are known then.
func met(t *testing.T, from, to *net.UDPConn) {
	t.Helper()
	b := make([]byte, 64)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if _, err := from.Write([]byte("hello")); err != nil && !strings.Contains(err.Error(), "refused") {
			t.Fatal(err)
		}
		_ = to.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := to.Read(b); err == nil {
			return
		}
	}
	t.Fatal("they never met")
}

// next is the number of the next datagram.
func next(t *testing.T, c *net.UDPConn) int {
	t.Helper()
	b := make([]byte, 64)
	for {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if n == 8 {
			return int(binary.BigEndian.Uint64(b))
		}
	}
}

// fated are the packets that the seed lets pass.
func fated(t *testing.T, cfg Config, m vswitch.Impairment, packets int) (pass []int) {
	t.Helper()
	m.Delay = 0
	core, err := vswitch.New(coreConfig(cfg))
	if err == nil {
		err = core.Impair(1, "a", "b", m)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		if len(core.Step(1, 0, [][]byte{multicast(uint64(i))})) > 0 {
			pass = append(pass, i)
		}
	}
	return pass
}
