package main

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"metronome/system/cluster"
	"metronome/system/packet/socket"
	"metronome/system/wire"
)

// What a client writes is on the wire in mode xxh3, and is not in mode aead; there a cluster goes on after
// kill -9 of everything, too, from journals of encrypted frames.
func TestDevWithEncryptedFrames(t *testing.T) {
	for _, m := range []wire.Mode{wire.ModeXXH3, wire.ModeAEAD} {
		t.Run(m.String(), func(t *testing.T) { devOnTheWire(t, m) })
	}
}

func devOnTheWire(t *testing.T, m wire.Mode) {
	const secret = "nobody-may-see-this"
	dir, addr := t.TempDir(), freePort(t)
	r := up(t, dir, addr, "--integrity", m.String())
	seen := listen(t, dir)
	mustResp(t, addr, "SET key "+secret, "+OK")
	eventually(t, "the frame with the value", func() error {
		n, readable := seen(m, secret)
		if n == 0 || readable != (m != wire.ModeAEAD) {
			return errorf("%d frames, the value among them: %t", n, readable)
		}
		return nil
	})
	mustResp(t, addr, "GET key", secret)
	if m != wire.ModeAEAD {
		return
	}
	pids := children(r.cmd.Process.Pid)
	rotateDev(t, dir, addr, pids)
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.code()
	gone(t, pids)
	up(t, dir, addr, "--integrity", m.String())
	mustResp(t, addr, "GET key", secret)
}

// rotateDev rotates the key of frames as an operator does; the journals then have frames under both.
func rotateDev(t *testing.T, dir, addr string, pids []int) {
	t.Helper()
	file := filepath.Join(dir, cluster.FileName)
	for i, step := range []string{"add", "activate", "retire"} {
		if i > 0 {
			early := metronome(t, "cluster", "rotate-key", step, "--config", file, "--timeout", "10ms")
			if early.code() == 0 || !strings.Contains(early.out.String(), "nothing was changed") {
				t.Fatalf("%s before the step before has reached anybody: %s", step, early.out.String())
			}
			for _, pid := range pids {
				if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
			}
		}
		r := metronome(t, "cluster", "rotate-key", step, "--config", file)
		if r.code() != 0 || !strings.Contains(r.out.String(), "Next: copy ") {
			t.Fatalf("%s: %s", step, r.out.String())
		}
		mustResp(t, addr, "SET "+step+" x", "+OK")
	}
	c, err := cluster.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := c.Ring()
	if err != nil || ring.Active().Number != 1 {
		t.Fatalf("%+v, %v", ring, err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "logs", "*"))
	if err != nil || len(logs) == 0 {
		t.Fatal(err)
	}
	for _, f := range logs {
		if b, err := os.ReadFile(f); err != nil || bytes.Contains(b, []byte(hex.EncodeToString(ring.Active().Secret)[:16])) {
			t.Errorf("%s names a key, or %v", f, err)
		}
	}
}

// listen joins the cluster's group. The function counts the data frames seen since, all of which must be
// of the mode, and says whether any held the secret.
func listen(t *testing.T, dir string) func(m wire.Mode, secret string) (n int, readable bool) {
	t.Helper()
	c, err := cluster.Load(filepath.Join(dir, cluster.FileName))
	if err != nil {
		t.Fatal(err)
	}
	port, err := socket.Open(socket.Config{Interface: c.Multicast.Interface,
		Listen: netip.MustParseAddrPort(c.Multicast.Group), ReceiveBuffer: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	frames, data, readable := make([][]byte, 32), 0, false
	return func(m wire.Mode, secret string) (int, bool) {
		n, err := port.Recv(frames)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames[:n] {
			var h wire.Header
			if h.Get(f); h.Mode != m {
				t.Fatalf("a frame of mode %v: %q", h.Mode, f)
			}
			if h.Type == wire.TypeData {
				data++
			}
			readable = readable || bytes.Contains(f, []byte(secret))
		}
		return data, readable
	}
}
