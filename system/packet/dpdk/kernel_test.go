//go:build dpdk

package dpdk

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"metronome/internal/require"
)

// inNamespace runs body in a process with a network of its own: a veth pair, va and vb, and nothing
// else.
func inNamespace(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		addVeth(t)
		body(t)
		return
	}
	if os.Geteuid() != 0 {
		require.Skip(t, "root", errors.New("a network namespace needs root"))
	}
	cmd := child(t, t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		require.Skip(t, "root", err)
	}
	if err != nil {
		t.Fatalf("in the child: %v\n%s", err, out)
	}
	if bytes.Contains(out, []byte("--- SKIP")) {
		require.Skip(t, "xdp", errors.New(string(out)))
	}
}

func addVeth(t *testing.T) {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "vb"}
	veth.Name = "va"
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"va", "vb"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
}

// across sends frames from one device to the other and compares them.
func across(t *testing.T, from, to string) {
	t.Helper()
	attach(t)
	config := testConfig(to)
	config.Mbufs = 0
	rx := open(t, config)
	config.Device = from
	tx := open(t, config)
	waitLink(t, tx)
	waitLink(t, rx)
	const frames = 500
	next := uint64(0)
	for sent := uint64(0); sent < frames; {
		n, err := tx.Port(0).Send([][]byte{frameOf(sent)})
		if err != nil {
			t.Fatal(err)
		}
		sent += uint64(n)
		if sent%50 == 0 {
			collect(t, rx.Port(0), int(sent-next), func(frame []byte) {
				if !bytes.Equal(frame, frameOf(next)) {
					t.Fatalf("frame %d of %d bytes differs", next, len(frame))
				}
				next++
			})
		}
	}
	if info := rx.Info(); info.Filter == "" {
		t.Errorf("%+v", info)
	}
}

func TestAFPacketOverVeth(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		a, b := AFPacket{Interface: "va"}, AFPacket{Index: 1, Interface: "vb"}
		initEAL(t, a.Vdev(), b.Vdev())
		across(t, a.Name(), b.Name())
	})
}

func TestAFXDPOverVeth(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		a, b := AFPacket{Interface: "va"}, AFXDP{Interface: "vb"}
		if err := Init(EAL{Vdevs: []string{a.Vdev(), b.Vdev()}, MemoryMB: 64}.Args()); err != nil {
			require.Skip(t, "xdp", err)
		}
		across(t, a.Name(), b.Name())
	})
}
