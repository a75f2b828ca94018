//go:build dpdk

package dpdk

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// EAL starts once per process, so every test that needs it runs in a child: the test binary again,
// told by childEnv which test it is for.
const childEnv = "METRONOME_DPDK_TEST_CHILD"

// isolated runs body in a process of its own, as if it were the body of t.
func isolated(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		body(t)
		return
	}
	t.Parallel()
	cmd := child(t, t.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in the child: %v\n%s", err, out)
	}
}

// child is the command that runs the test again in another process; role tells it what to be there.
func child(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	name := strings.ReplaceAll(t.Name(), "/", "$/^")
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+name+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), childEnv+"="+role)
	return cmd
}

// pair runs two processes at once, one after the other's socket is there, and fails with what
// either says.
func pair(t *testing.T, first, second func(t *testing.T, socket string)) {
	t.Helper()
	role, socket, isChild := strings.Cut(os.Getenv(childEnv), " ")
	switch {
	case isChild && role == t.Name()+":first":
		first(t, socket)
		return
	case isChild && role == t.Name()+":second":
		second(t, socket)
		return
	}
	socket = filepath.Join(t.TempDir(), "memif.sock")
	errs := make(chan error, 2)
	for _, role := range []string{":first", ":second"} {
		cmd := child(t, t.Name()+role+" "+socket)
		go func() {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("process %s: %w\n%s", role, err, out)
			}
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

var (
	testGroup  = netip.MustParseAddrPort("239.77.0.1:7700")
	testSource = netip.MustParseAddrPort("10.77.0.1:7701")
)

// testConfig both sends to the group and listens to it.
func testConfig(device string) Config {
	return Config{
		Device: device, Listen: testGroup, VerifyChecksum: true,
		Source: testSource, Destination: testGroup, SendChecksum: true, Mbufs: 2047,
	}
}

// initEAL starts EAL with the devices in little memory.
func initEAL(t *testing.T, vdevs ...string) {
	t.Helper()
	if err := Init(EAL{Vdevs: vdevs, MemoryMB: 64}.Args()); err != nil {
		t.Fatal(err)
	}
}

// open opens a device that is closed, checked for lost buffers, when the test ends.
func open(t *testing.T, cfg Config) *Device {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// attach makes the test's goroutine a polling thread.
func attach(t *testing.T) {
	t.Helper()
	detach, err := Attach()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(detach)
}

// waitLink waits until the peer is there.
func waitLink(t *testing.T, d *Device) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := d.WaitLink(ctx); err != nil {
		t.Fatal(err)
	}
}

// collect receives until it has n frames, handing each to take.
func collect(t *testing.T, p *Port, n int, take func(frame []byte)) {
	t.Helper()
	frames := make([][]byte, 256)
	deadline := time.Now().Add(2 * time.Minute)
	for got := 0; got < n; {
		k, err := p.Recv(frames)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames[:k] {
			take(f)
		}
		got += k
		if k == 0 && time.Now().After(deadline) {
			t.Fatalf("%d of %d frames came; %+v", got, n, p.Stats())
		}
	}
}
