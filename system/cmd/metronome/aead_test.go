package main

import (
	"bytes"
	"net/netip"
	"path/filepath"
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
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.code()
	gone(t, pids)
	up(t, dir, addr, "--integrity", m.String())
	mustResp(t, addr, "GET key", secret)
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
