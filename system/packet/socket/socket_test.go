package socket

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"metronome/internal/require"
	"metronome/system/packet"
	"metronome/system/packet/porttest"
)

// freePort is a UDP port nobody had a moment ago.
func freePort(t *testing.T) uint16 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(sa.(*unix.SockaddrInet4).Port)
}

func openPort(t *testing.T, c Config) packet.Port {
	t.Helper()
	p, err := Open(c)
	var un *packet.ErrUnavailable
	if errors.As(err, &un) {
		require.Skip(t, "root", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// pair is a sender and a receiver of a group on the loopback interface.
func pair(t *testing.T, rx Config, gso bool) (packet.Port, packet.Port) {
	t.Helper()
	group := netip.AddrPortFrom(netip.MustParseAddr("239.77.0.9"), freePort(t))
	rx.Listen, rx.Interface, rx.Wait = group, "lo", 20*time.Millisecond
	r := openPort(t, rx)
	s := openPort(t, Config{Destination: group, Interface: "lo", GSO: gso, Loop: true,
		Source: netip.MustParseAddrPort("127.0.0.1:0")})
	return s, r
}

var receivers = []struct {
	name string
	c    Config
	root bool
}{
	{"recv", Config{Mode: Recv}, false},
	{"net", Config{Mode: Net}, false},
	{"recvmmsg", Config{Mode: Recvmmsg, Batch: 8}, false},
	{"gro", Config{Mode: GRO, Batch: 4}, false},
	{"busypoll", Config{Mode: Recvmmsg, BusyPoll: 50 * time.Microsecond}, true},
	{"af_packet", Config{Mode: AFPacket}, true},
}

func each(t *testing.T, f func(t *testing.T, c Config, gso bool)) {
	t.Helper()
	for _, r := range receivers {
		for name, gso := range map[string]bool{"": false, "+gso": true} {
			if gso && r.c.Mode == AFPacket {
				continue // on loopback the device is given the segmented datagram whole
			}
			t.Run(r.name+name, func(t *testing.T) {
				if r.root && os.Geteuid() != 0 {
					require.Skip(t, "root", errors.New("needs root"))
				}
				if r.root {
					alone(t)
				}
				f(t, r.c, gso)
			})
		}
	}
}

// alone gives the test a network namespace of its own. A packet socket is given what all processes of its
// namespace send over loopback, and their frames would push ours out.
func alone(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		require.Skip(t, "root", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
}

func TestFramesArriveAsSent(t *testing.T) {
	each(t, func(t *testing.T, c Config, gso bool) {
		tx, rx := pair(t, c, gso)
		porttest.Exchange(t, tx, rx, 2000, nil)
	})
}

func TestHostileFramesAreCountedByCause(t *testing.T) {
	each(t, func(t *testing.T, c Config, gso bool) {
		tx, rx := pair(t, c, gso)
		porttest.Hostile(t, tx, rx, nil)
	})
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	each(t, func(t *testing.T, c Config, gso bool) {
		tx, rx := pair(t, c, gso)
		porttest.Allocations(t, tx, rx)
	})
}

// A burst of equal frames sent as one segmented datagram crosses loopback in one piece.
func TestGROMergesWhatGSOJoined(t *testing.T) {
	tx, rx := pair(t, Config{Mode: GRO}, true)
	frames := make([][]byte, 32)
	for i := range frames {
		frames[i] = make([]byte, 96)
	}
	if n, err := tx.Send(frames); n != len(frames) || err != nil {
		t.Fatal(n, err)
	}
	got, err := rx.Recv(make([][]byte, 64))
	if err != nil || got != len(frames) {
		t.Fatal(got, err)
	}
	if s := rx.Stats(); s.RxSegs != 1 {
		t.Errorf("%d frames came in %d buffers", got, s.RxSegs)
	}
}

func TestDropsAreCounted(t *testing.T) {
	tx, rx := pair(t, Config{Mode: Recv, ReceiveBuffer: 8 << 10}, false)
	sent := 0
	for range 100 {
		n, err := tx.Send([][]byte{make([]byte, 1400)})
		if err != nil {
			t.Fatal(err)
		}
		sent += n
	}
	got := 0
	for buf := make([][]byte, 1); ; {
		n, err := rx.Recv(buf)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		got += n
	}
	s := rx.Stats()
	if s.RxDropped == 0 || s.RxDropped+uint64(got) != uint64(sent) {
		t.Errorf("%d sent = %d received + %d dropped?", sent, got, s.RxDropped)
	}
}

func TestRecvReturnsWhenNothingComes(t *testing.T) {
	for _, m := range []Mode{Recv, Net, Recvmmsg, GRO} {
		_, rx := pair(t, Config{Mode: m}, false)
		if n, err := rx.Recv(make([][]byte, 4)); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", m, n, err)
		}
	}
}

func TestImpossibleConfigs(t *testing.T) {
	lo := netip.MustParseAddrPort("127.0.0.1:0")
	for name, c := range map[string]Config{
		"nothing to do":       {},
		"IPv6":                {Listen: netip.MustParseAddrPort("[::1]:1")},
		"unknown mode":        {Mode: "pigeon", Listen: lo},
		"huge batch":          {Mode: Recvmmsg, Listen: lo, Batch: packet.MaxBurst + 1},
		"no interface":        {Mode: AFPacket, Listen: lo},
		"unknown interface":   {Listen: netip.MustParseAddrPort("239.1.1.1:1"), Interface: "nope0"},
		"not our own address": {Listen: netip.MustParseAddrPort("192.0.2.1:1")},
	} {
		if p, err := Open(c); err == nil {
			_ = p.Close()
			t.Errorf("%s: opened", name)
		} else if len(err.Error()) < 10 {
			t.Errorf("%s: unhelpful error %q", name, err)
		}
	}
}

func TestAfterClose(t *testing.T) {
	p, err := Open(Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Recv(make([][]byte, 1)); !errors.Is(err, packet.ErrClosed) {
		t.Error(err)
	}
}
