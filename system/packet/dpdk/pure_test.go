package dpdk

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// seqpacket binds a socket of memif's kind to a new path.
func seqpacket(t *testing.T) (fd int, path string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "memif.sock")
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	return fd, path
}

// liveSocket is a path that this process listens on.
func liveSocket(t *testing.T) string {
	t.Helper()
	fd, path := seqpacket(t)
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	return path
}

// staleSocket is a path left behind by a server that died.
func staleSocket(t *testing.T) string {
	t.Helper()
	fd, path := seqpacket(t)
	unix.Close(fd)
	return path
}

func TestClaimSocket(t *testing.T) {
	if err := claimSocket(filepath.Join(t.TempDir(), "free.sock")); err != nil {
		t.Errorf("a free path: %v", err)
	}
	stale := staleSocket(t)
	if err := claimSocket(stale); err != nil {
		t.Errorf("a stale socket: %v", err)
	}
	if _, err := os.Lstat(stale); !os.IsNotExist(err) {
		t.Errorf("a stale socket stays: %v", err)
	}
}

func TestClaimSocketRefuses(t *testing.T) {
	live := liveSocket(t)
	err := claimSocket(live)
	var occupied *ErrOccupied
	if !errors.As(err, &occupied) || occupied.PID != os.Getpid() {
		t.Fatalf("a living socket: %v", err)
	}
	for _, part := range []string{live, "is occupied", "next:"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := claimSocket(file); err == nil {
		t.Error("a file passed for a socket")
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}

func TestEALArgs(t *testing.T) {
	memif := Memif{Server: true, Socket: "/tmp/m.sock", RingLog2: 12}
	for _, c := range []struct {
		name string
		eal  EAL
		want string
	}{
		{"zero", EAL{}, "-m 256 --no-huge --no-shconf --no-pci"},
		{"memif", EAL{Vdevs: []string{memif.Vdev()}, MemoryMB: 64},
			"-m 64 --no-huge --no-shconf --no-pci --vdev=net_memif0,role=server,socket=/tmp/m.sock," +
				"socket-abstract=no,id=0,rsize=12,bsize=2048"},
		{"NIC", EAL{PCI: []string{"0000:00:04.0"}, Hugepages: true, Extra: []string{"--log-level=debug"}},
			"-m 256 --in-memory -a 0000:00:04.0 --log-level=debug"},
	} {
		if got := strings.Join(c.eal.Args(), " "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestCompleteArgs(t *testing.T) {
	got := strings.Join(completeArgs([]string{"--no-huge"}), " ")
	for _, part := range []string{"metronome --no-huge", "--file-prefix=metronome-", "--no-telemetry",
		"--lcores=0@("} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %q", part, got)
		}
	}
	given := []string{"--file-prefix", "x", "--telemetry", "-l1"}
	if diff := cmp.Diff(append([]string{"metronome"}, given...), completeArgs(given)); diff != "" {
		t.Error(diff)
	}
}

func TestVdevStrings(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Memif{Index: 3, Socket: "s", ID: 2, BufferBytes: 192}.Vdev(),
			"net_memif3,role=client,socket=s,socket-abstract=no,id=2,rsize=10,bsize=192"},
		{AFXDP{Interface: "v0", StartQueue: 1}.Vdev(),
			"net_af_xdp0,iface=v0,start_queue=1,queue_count=1,busy_budget=0"},
		{AFXDP{Interface: "v0", ForceCopy: true, Queues: 2, BusyBudget: 64}.Vdev(),
			"net_af_xdp0,iface=v0,start_queue=0,queue_count=2,busy_budget=64,force_copy=1"},
		{AFPacket{Interface: "v0"}.Vdev(),
			"net_af_packet0,iface=v0,qpairs=1,blocksz=4096,framesz=2048,framecnt=512"},
		{Null{}.Vdev(), "net_null0,size=64"},
		{Ring{Index: 1}.Vdev(), "net_ring1"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestMemifArgs(t *testing.T) {
	args := []string{
		"--vdev=" + Memif{Server: true, Socket: "/a"}.Vdev(),
		"--vdev", Memif{Index: 1, Server: true, Socket: "/b"}.Vdev(),
		"--vdev=" + Memif{Index: 2, Socket: "/c", BufferBytes: 192}.Vdev(),
		"--vdev=net_memif9,role=server,socket=abstract",
		"--vdev=" + Null{}.Vdev(), "--vdev",
	}
	want := []memifArg{
		{"net_memif0", true, "/a", 2048}, {"net_memif1", true, "/b", 2048},
		{"net_memif2", false, "/c", 192}, {"net_memif9", true, "", 2048},
	}
	if diff := cmp.Diff(want, memifArgs(args), cmp.AllowUnexported(memifArg{})); diff != "" {
		t.Error(diff)
	}
	live := liveSocket(t)
	if err := (memifArg{server: true, socket: live}).claim(); err == nil {
		t.Error("a server claims an occupied path")
	}
	if err := (memifArg{socket: live}).claim(); err != nil {
		t.Errorf("a client claims its server's path: %v", err)
	}
}

func TestMemifRegionBytes(t *testing.T) {
	if got := (Memif{RingLog2: 12}).RegionBytes(1); got != 2*4096*(2048+16) {
		t.Errorf("%d", got)
	}
	if got := (Memif{BufferBytes: 192}).RegionBytes(2); got != 4*1024*208 {
		t.Errorf("%d", got)
	}
}

func TestHugepagesMissing(t *testing.T) {
	const meminfo = "MemFree: 1 kB\nHugePages_Total: %T\nHugePages_Free:  %F\nHugepagesize: 2048 kB\n"
	of := func(total, free string) string {
		return strings.NewReplacer("%T", total, "%F", free).Replace(meminfo)
	}
	args := EAL{Hugepages: true, MemoryMB: 64}.Args()
	for _, c := range []struct {
		meminfo string
		args    []string
		want    string
	}{
		{of("0", "0"), args, "echo 32 >"},
		{of("100", "10"), args, "echo 122 >"},
		{of("100", "32"), args, ""},
		{of("0", "0"), EAL{}.Args(), ""},
		{"", args, ""},
	} {
		err := hugepagesMissing(c.args, c.meminfo)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.meminfo, err, c.want)
		}
	}
	taken := hugepagesMissing(args, of("100", "10"))
	if !strings.Contains(taken.Error(), "other processes") {
		t.Errorf("%v", taken)
	}
}

func TestConfigRefuses(t *testing.T) {
	six := netip.MustParseAddrPort("[ff02::1]:7700")
	four := netip.MustParseAddrPort("239.77.0.1:7700")
	for _, c := range []Config{
		{Queues: -1}, {RxRing: 1 << 16}, {TxRing: -1}, {Mbufs: 1}, {MbufBytes: 1 << 17},
		{Listen: six}, {Source: six}, {Destination: six}, {Destination: four},
	} {
		if _, err := c.withDefaults(); err == nil {
			t.Errorf("%+v was taken", c)
		}
		if _, err := c.PoolBytes(); err == nil {
			t.Errorf("%+v has a size", c)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	c, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if c.Mbufs < c.RxRing+c.TxRing+2*packet.MaxBurst || c.Queues != 1 {
		t.Errorf("%+v", c)
	}
	if mac := (Config{}).destinationMAC(); mac != [6]byte{255, 255, 255, 255, 255, 255} {
		t.Errorf("%x", mac)
	}
	multicast := Config{Destination: netip.MustParseAddrPort("239.77.0.1:7700")}
	if mac := multicast.destinationMAC(); mac != [6]byte{1, 0, 0x5e, 77, 0, 1} {
		t.Errorf("%x", mac)
	}
}
