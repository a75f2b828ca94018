//go:build dpdk

package dpdk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"metronome/internal/require"
	"metronome/system/packet"
)

func TestInitOnce(t *testing.T) {
	isolated(t, func(t *testing.T) {
		if _, err := Open(Config{Device: "0"}); !errors.As(err, new(*packet.ErrUnavailable)) {
			t.Errorf("Open before Init: %v", err)
		}
		if _, err := Attach(); err == nil {
			t.Error("Attach before Init")
		}
		initEAL(t, Null{}.Vdev())
		if err := Init(nil); !errors.Is(err, ErrInitialized) {
			t.Errorf("second Init: %v", err)
		}
		for _, dir := range []string{"/var/run", "/tmp", os.Getenv("XDG_RUNTIME_DIR")} {
			left := fmt.Sprintf("%s/dpdk/metronome-%d", dir, os.Getpid())
			if _, err := os.Stat(left); err == nil {
				t.Errorf("%s would outlive a process that is killed", left)
			}
		}
		if err := Shutdown(); err != nil {
			t.Error(err)
		}
		if err := Init(nil); !errors.Is(err, ErrInitialized) {
			t.Errorf("Init after Shutdown: %v", err)
		}
		if _, err := Open(Config{Device: "0"}); err == nil {
			t.Error("Open after Shutdown")
		}
	})
}

func TestInitSaysWhatIsWrong(t *testing.T) {
	isolated(t, func(t *testing.T) {
		wrongInit(t, "net_nonsense0", "net_nonsense0")
	})
}

// A device whose driver is known but fails: EAL starts without it, Init does not.
func TestInitMissesADevice(t *testing.T) {
	isolated(t, func(t *testing.T) {
		vdev := Memif{Server: true, Socket: "/nonexistent/folder/memif.sock"}.Vdev()
		wrongInit(t, vdev, "Invalid socket directory")
	})
}

// wrongInit starts EAL with a device that cannot be, and expects one line that says why.
func wrongInit(t *testing.T, vdev, want string) {
	t.Helper()
	err := Init(EAL{Vdevs: []string{vdev}, MemoryMB: 64}.Args())
	if bad := new(InitError); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
		t.Fatalf("%v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("an error of several lines: %q", err)
	}
}

func TestInitWithoutHugepages(t *testing.T) {
	isolated(t, func(t *testing.T) {
		err := Init(EAL{Hugepages: true, MemoryMB: 1 << 20}.Args())
		var missing *packet.ErrUnavailable
		if !errors.As(err, &missing) || missing.What != "hugepages" {
			t.Fatalf("a terabyte of hugepages: %v", err)
		}
		if !strings.Contains(missing.Next, "nr_hugepages") {
			t.Errorf("no way out is named: %v", err)
		}
	})
}

func TestInitOnOccupiedSocket(t *testing.T) {
	isolated(t, func(t *testing.T) {
		path := liveSocket(t)
		err := Init(EAL{Vdevs: []string{Memif{Server: true, Socket: path}.Vdev()}, MemoryMB: 64}.Args())
		var occupied *ErrOccupied
		if !errors.As(err, &occupied) || occupied.Path != path || occupied.PID != os.Getpid() {
			t.Fatalf("%v", err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	isolated(t, func(t *testing.T) {
		initEAL(t, Null{}.Vdev())
		for _, c := range []struct {
			cfg  Config
			want string
		}{
			{Config{Device: "net_null7"}, "net_null7"},
			{Config{Device: "77"}, "77"},
			{Config{Device: "net_null0", Queues: 129}, "Queues"},
			{Config{Device: "net_null0", MbufBytes: 1}, "MbufBytes"},
			{Config{Device: "net_null0", Mbufs: 1 << 20}, "-m"},
		} {
			if _, err := Open(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v", c.cfg, err)
			}
		}
	})
}

func TestCloseFreesEverything(t *testing.T) {
	isolated(t, func(t *testing.T) {
		initEAL(t, Null{}.Vdev(), Ring{}.Vdev(), Ring{Index: 1}.Vdev())
		attach(t)
		before := HeapUse()
		for _, device := range []string{Null{}.Name(), Ring{}.Name(), Ring{Index: 1}.Name()} {
			d := open(t, testConfig(device))
			p := d.Port(0)
			p.Send([][]byte{{1}, {2}, {3}})
			p.Reserve(7, 9)
			p.Recv(make([][]byte, 2)) // one stays in the ring, two are held
			if err := d.Close(); err != nil {
				t.Errorf("%s: %v", device, err)
			}
		}
		after := HeapUse()
		if after.Allocated > before.Allocated {
			t.Errorf("%d bytes are allocated after Close, %d before Open", after.Allocated, before.Allocated)
		}
		if err := Shutdown(); err != nil {
			t.Error(err)
		}
	})
}

func TestNullDevice(t *testing.T) {
	isolated(t, func(t *testing.T) {
		initEAL(t, Null{}.Vdev(), Null{Index: 1, PacketBytes: 138}.Vdev())
		attach(t)
		frames := make([][]byte, 32)

		parsing := open(t, testConfig(Null{}.Name())).Port(0)
		if n, err := parsing.Recv(frames); n != 0 || err != nil {
			t.Errorf("%d packets of zeros passed for frames, %v", n, err)
		}
		if s := parsing.Stats(); s.RxForeign != 32 || s.RxEmpty != 1 {
			t.Errorf("%+v", s)
		}

		cfg := testConfig(Null{Index: 1}.Name())
		cfg.Null = true
		counting := open(t, cfg).Port(0)
		for range 10 {
			if n, err := counting.Recv(frames); n != 32 || err != nil {
				t.Fatal(n, err)
			}
		}
		if s := counting.Stats(); s.RxFrames != 320 || s.RxBytes != 320*138 || s.RxForeign != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestInfoAndCounters(t *testing.T) {
	isolated(t, func(t *testing.T) {
		initEAL(t, Null{}.Vdev())
		cfg := testConfig(Null{}.Name())
		cfg.Queues, cfg.MAC = 2, [6]byte{2, 0, 0, 0, 0, 9}
		cfg.RSSKey = bytes.Repeat([]byte{0x6d, 0x5a}, 20)
		d := open(t, cfg)
		info := d.Info()
		if info.Driver != "net_null" || info.Queues != 2 || info.MAC != cfg.MAC || info.Filter == "" {
			t.Errorf("%+v", info)
		}
		if info.RSS != "ipv4_udp" {
			t.Errorf("RSS is %q over two queues", info.RSS)
		}
		if pool, _ := cfg.PoolBytes(); info.PoolBytes != pool || !strings.Contains(info.DPDK, "DPDK") {
			t.Errorf("%+v", info)
		}
		d.Port(1).Recv(make([][]byte, 8))
		if s, err := d.Stats(); err != nil || s.RxPackets != 8 {
			t.Errorf("%+v %v", s, err)
		}
		stats, err := d.XStats()
		if err != nil || !containsStat(stats, XStat{"rx_good_packets", 8}) {
			t.Errorf("%v %v", stats, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err := d.Stats(); err != nil || s.RxPackets != 8 {
			t.Errorf("after Close: %+v %v", s, err)
		}
	})
}

func containsStat(stats []XStat, want XStat) bool {
	for _, s := range stats {
		if s == want {
			return true
		}
	}
	return false
}

// PoolBytes must not promise less than a pool takes.
func TestPoolBytesIsABound(t *testing.T) {
	isolated(t, func(t *testing.T) {
		initEAL(t, Null{}.Vdev())
		before := HeapUse().Allocated
		cfg := testConfig(Null{}.Name())
		cfg.Mbufs = 8191
		open(t, cfg)
		used, bound := HeapUse().Allocated-before, uint64(0)
		bound, err := cfg.PoolBytes()
		if err != nil || used > bound+4<<20 || used < bound/2 {
			t.Errorf("%d bytes used, PoolBytes is %d, %v", used, bound, err)
		}
	})
}

// An ordinary user may run all of it but kernel interfaces: no root, no hugepages, no NIC.
func TestWithoutRoot(t *testing.T) {
	asNobody(t, func(t *testing.T) {
		p := ringPort(t)
		if n, err := p.Send([][]byte{{1}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		collect(t, p, 1, func([]byte) {})
	})
}

func TestKernelInterfaceWithoutRoot(t *testing.T) {
	asNobody(t, func(t *testing.T) {
		err := Init(EAL{Vdevs: []string{AFPacket{Interface: "lo"}.Vdev()}, MemoryMB: 64}.Args())
		var missing *packet.ErrUnavailable
		if !errors.As(err, &missing) || missing.What != "root" {
			t.Fatalf("%v", err)
		}
	})
}

// asNobody runs body in a process of an ordinary user.
func asNobody(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		body(t)
		return
	}
	if os.Geteuid() != 0 {
		require.Skip(t, "root", errors.New("only root can become somebody else"))
	}
	cmd := child(t, t.Name())
	cmd.Path = copyForAll(t, cmd.Path)
	cmd.Dir = filepath.Dir(cmd.Path)
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("as nobody: %v\n%s", err, out)
	}
}

// copyForAll copies a program to where every user may run it.
func copyForAll(t *testing.T, program string) string {
	t.Helper()
	program, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	from, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, "dpdk.test"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return to.Name()
}
