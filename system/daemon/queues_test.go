package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"metronome/internal/require"
	"metronome/system/cluster"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/packet/ethernet"
	"metronome/system/wire"
)

// childEnv tells the test binary that it is a test's child, in a network of its own.
const childEnv = "METRONOME_DAEMON_TEST_CHILD"

// inNetwork runs body in a process of its own, with a network of its own. EAL starts once a process.
func inNetwork(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		// What /sys shows of interfaces is the network's of whoever mounted it.
		err := errors.Join(syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
			syscall.Mount("sysfs", "/sys", "sysfs", 0, ""))
		if err != nil {
			require.Skip(t, "root", err)
		}
		body(t)
		return
	}
	if os.Geteuid() != 0 {
		require.Skip(t, "root", errors.New("a network namespace needs root"))
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), childEnv+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("in the child: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		require.Skip(t, "xdp", errors.New(string(out)))
	}
}

// addVeth makes a veth of two queues: va has an address, and all multicast leaves by it; vb is its peer.
func addVeth(t *testing.T) {
	t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "vb",
		PeerNumRxQueues: 2, PeerNumTxQueues: 2}
	veth.Name, veth.NumRxQueues, veth.NumTxQueues = "va", 2, 2
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(netlink.LinkAdd(veth))
	for _, name := range []string{"va", "vb"} {
		link, err := netlink.LinkByName(name)
		must(err)
		must(netlink.LinkSetUp(link))
		if name == "va" {
			at, err := netlink.ParseAddr("10.77.0.1/24")
			must(err)
			must(netlink.AddrAdd(link, at))
			_, groups, err := net.ParseCIDR("239.0.0.0/8")
			must(err)
			must(netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: groups}))
		}
	}
}

// The kernel deals the flows of ordinary sockets out to the queues of a veth; two ingest cores, each with an
// AF_XDP socket on one, get every frame once, those of a flow by one queue and in order. To read fewer
// queues than there are is refused, and so is to read more.
func TestAFXDPQueues(t *testing.T) {
	inNetwork(t, func(t *testing.T) {
		addVeth(t)
		c := cluster.Default()
		c.Multicast.Interface, c.Multicast.Group = "vb", "239.77.0.1:7700"
		c.Port.Kind, c.Port.Mode = "dpdk", modeAFXDP
		me := &cluster.Replica{Datagram: "127.0.0.1:7000"}
		if _, err := receivePort(&c, me, quiet); err == nil || !strings.Contains(err.Error(), "rx 1") {
			t.Errorf("one queue of two: %v", err)
		}
		if _, _, err := receivePorts(&c, me, 3, quiet); err == nil || !strings.Contains(err.Error(), "at most 2") {
			t.Errorf("three queues of two: %v", err)
		}
		ports, shut, err := receivePorts(&c, me, 2, quiet)
		if un := (*packet.ErrUnavailable)(nil); errors.As(err, &un) {
			require.Skip(t, "xdp", un)
		}
		if err != nil || len(ports) != 2 {
			t.Fatal(ports, err)
		}
		defer func() {
			if err := shut(); err != nil {
				t.Error(err)
			}
		}()
		detach, err := dpdk.Attach()
		if err != nil {
			t.Fatal(err)
		}
		defer detach()
		receiveFlows(t, ports)
	})
}

// receiveFlows sends flows, and finds each of their frames on one port.
func receiveFlows(t *testing.T, ports []packet.Port) {
	t.Helper()
	const flows, each = 64, 10
	var got [flows][]string // port and number of a flow's frames, as they came
	var send [flows]net.Conn
	for i := range send {
		var err error
		if send[i], err = net.Dial("udp4", "239.77.0.1:7700"); err != nil {
			t.Fatal(err)
		}
		defer send[i].Close()
	}
	frames := make([][]byte, 64)
	deadline := time.Now().Add(2 * time.Minute)
	for n := range each {
		for i := range send {
			if _, err := send[i].Write([]byte{byte(i), byte(n)}); err != nil {
				t.Fatal(err)
			}
		}
		for here := 0; here < flows && time.Now().Before(deadline); {
			for p := range ports {
				k, err := ports[p].Recv(frames)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range frames[:k] {
					got[f[0]] = append(got[f[0]], fmt.Sprint(p, f[1]))
				}
				here += k
			}
		}
	}
	for i := range got {
		for n := range max(each, len(got[i])) {
			if n >= len(got[i]) || got[i][n] != fmt.Sprint(got[i][0][:1], " ", n) {
				t.Fatalf("flow %d came as %v", i, got[i])
			}
		}
	}
	a, b := ports[0].Stats().RxFrames, ports[1].Stats().RxFrames
	if a+b != flows*each || a == 0 || b == 0 {
		t.Errorf("%d frames by one queue, %d by the other", a, b)
	}
}

// What DPDK may set aside has room for the pools of every queue.
func TestBypassMemory(t *testing.T) {
	for _, mode := range []string{"pci", "memif"} {
		for _, queues := range []int{1, 2, 8, 64} {
			c := cluster.Default()
			c.Port.Kind, c.Port.Mode = "dpdk", mode
			c.Multicast.Group = "239.77.0.1:7700"
			c.Replicas = []cluster.Replica{{Name: "replica-0", Datagram: "10.0.0.1:7700", Device: "0000:00:05.0"}}
			cfg, eal, err := bypassConfig(&c, wire.ReplicaPeer(0), queues)
			if err != nil {
				t.Fatal(err)
			}
			if pools, err := cfg.PoolBytes(); err != nil || pools+24<<20 > uint64(eal.MemoryMB)<<20 {
				t.Errorf("%s, %d queues: pools of %d bytes in %d MiB, %v", mode, queues, pools, eal.MemoryMB, err)
			}
			if mode == "pci" && queues <= 4 && eal.MemoryMB != dpdkMemoryMB {
				t.Errorf("%d queues: %d MiB", queues, eal.MemoryMB)
			}
		}
	}
}

// A NIC that cannot hash ports gets rules for the flows that the proxies send: lanes go to queues in turn, as
// the hash would spread them.
func TestFlowsToSteer(t *testing.T) {
	c, err := cluster.Dev(t.TempDir(), cluster.DevOptions{Replicas: 3, Proxies: 2, Lanes: 3})
	if err != nil {
		t.Fatal(err)
	}
	group := netip.MustParseAddrPort(c.Multicast.Group)
	flows, err := flowsTo(c, group)
	if err != nil || len(flows) != 6 {
		t.Fatalf("%v, %v", flows, err)
	}
	hash := ethernet.NewToeplitz(ethernet.MicrosoftKey[:])
	for i, port := range flows {
		own, err := netip.ParseAddrPort(datagramAddresses(c)[c.Proxies[i/3].Peer()])
		if err != nil || port != hash.SpreadPort(own.Addr(), group, i) {
			t.Errorf("flow %d comes from port %d, %v", i, port, err)
		}
	}
}
