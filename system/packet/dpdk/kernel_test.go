//go:build dpdk

package dpdk

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"metronome/internal/require"
)

// inNamespace runs body in a process with a network of its own: a veth pair, va and vb, of so many queues
// each, and nothing else.
func inNamespace(t *testing.T, queues int, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		addVeth(t, queues)
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

func addVeth(t *testing.T, queues int) {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "vb",
		PeerNumRxQueues: uint32(queues), PeerNumTxQueues: uint32(queues)}
	veth.Name, veth.NumRxQueues, veth.NumTxQueues = "va", queues, queues
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
	inNamespace(t, 1, func(t *testing.T) {
		a, b := AFPacket{Interface: "va"}, AFPacket{Index: 1, Interface: "vb"}
		initEAL(t, a.Vdev(), b.Vdev())
		across(t, a.Name(), b.Name())
	})
}

func TestAFXDPOverVeth(t *testing.T) {
	inNamespace(t, 1, func(t *testing.T) {
		a, b := AFPacket{Interface: "va"}, AFXDP{Interface: "vb"}
		if err := Init(EAL{Vdevs: []string{a.Vdev(), b.Vdev()}, MemoryMB: 64}.Args()); err != nil {
			require.Skip(t, "xdp", err)
		}
		across(t, a.Name(), b.Name())
	})
}

// Two queues of a veth, each with an AF_XDP socket: what a sender sends on a queue comes in on the queue of
// the same number, all of it and in order, and every frame is counted there and nowhere else. Each queue is
// a device of its own: the driver counts a veth's queues as one.
func TestAFXDPQueuesOverVeth(t *testing.T) {
	inNamespace(t, 2, func(t *testing.T) {
		var names, vdevs []string
		for i := range 4 {
			x := AFXDP{Index: i, Interface: []string{"va", "vb"}[i/2], StartQueue: i % 2}
			names, vdevs = append(names, x.Name()), append(vdevs, x.Vdev())
		}
		if err := Init(EAL{Vdevs: vdevs, MemoryMB: 128}.Args()); err != nil {
			require.Skip(t, "xdp", err)
		}
		attach(t)
		var queues [4]*Device // two that send, two that receive
		for i := range queues {
			config := testConfig(names[i])
			config.Mbufs = 0
			queues[i] = open(t, config)
		}
		for i := range queues {
			waitLink(t, queues[i])
		}
		sent, next := [2]uint64{}, [2]uint64{}
		of := func(q int, n uint64) []byte { return frameOf(n<<1 | uint64(q)) }
		for deadline := time.Now().Add(2 * time.Minute); sent[0] < 400; {
			if time.Now().After(deadline) {
				t.Fatalf("%v frames were sent in two minutes", sent)
			}
			for q, most := range [2]uint64{20, 10} { // twice as many on the first
				for range most {
					n, err := queues[q].Port(0).Send([][]byte{of(q, sent[q])})
					if err != nil {
						t.Fatal(err)
					}
					sent[q] += uint64(n)
				}
				collect(t, queues[2+q].Port(0), int(sent[q]-next[q]), func(frame []byte) {
					if !bytes.Equal(frame, of(q, next[q])) {
						t.Fatalf("queue %d: frame %d of %d bytes differs", q, next[q], len(frame))
					}
					next[q]++
				})
			}
		}
		for q := range next {
			if s := queues[2+q].Port(0).Stats(); s.RxFrames != sent[q] || next[q] != sent[q] || sent[q] == 0 {
				t.Errorf("queue %d: %d sent, %+v", q, sent[q], s)
			}
		}
	})
}
