package xdp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/probe"
	"metronome/harness/testbed"
	"metronome/internal/require"
	"metronome/system/packet"
	"metronome/system/wire"
)

// setupLead is the time before a trial's start that loading its map and entering the kernel take.
const setupLead = 100 * time.Millisecond

// bench is a veth link.
type bench struct {
	*testbed.Link
}

// newBench makes a link, or skips.
func newBench(t testing.TB) *bench {
	t.Helper()
	tb, err := testbed.Open(fmt.Sprintf("xdptest-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tb.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := tb.Link()
	skipUnavailable(t, "root", err)
	return &bench{Link: l}
}

// skipUnavailable ends the test if err says that this machine cannot, and fails it for other errors.
func skipUnavailable(t testing.TB, what string, err error) {
	t.Helper()
	if un := new(packet.ErrUnavailable); errors.As(err, &un) {
		require.Skip(t, what, un)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// generator opens a generator on the link.
func (b *bench) generator(t testing.TB, f *fixture) *Generator {
	t.Helper()
	f.Device = b.Gen.Device
	var g *Generator
	err := b.Gen.Netns.Do(func() (err error) { g, err = Open(f.Config); return })
	skipUnavailable(t, "xdp", err)
	t.Cleanup(g.Close)
	return g
}

// run runs a trial of the given length that starts as soon as it can.
func (b *bench) run(ctx context.Context, g *Generator, t Trial) (rep Report, err error) {
	err = b.Gen.Netns.Do(func() (err error) {
		t.Start = monotonic() + int64(setupLead)
		rep, err = g.Run(ctx, t)
		return
	})
	return rep, err
}

// snapshot reads the counters of the receiving namespace.
func (b *bench) snapshot(t testing.TB) probe.Snapshot {
	t.Helper()
	s, err := probe.Read(probe.Target{ProcNet: b.Dut.Netns.ProcNet()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// listen opens a socket joined to the group, with room for a good many frames.
func (b *bench) listen(t testing.TB) int {
	t.Helper()
	group := testGroup.As4()
	var fd int
	err := b.Dut.Netns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		wait := unix.Timeval{Usec: 300_000}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
			unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
				&unix.IPMreqn{Multiaddr: group, Ifindex: int32(b.Dut.Index)}),
			unix.Bind(fd, &unix.SockaddrInet4{Port: testPort, Addr: group}))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// collect reads frames until none comes for the socket's wait after done is closed, and compares each
// with what its lane must have sent under its number.
func collect(fd int, f *fixture, incarnation uint32, done <-chan struct{}) (uint64, error) {
	next := make([]uint64, f.Lanes) // the lowest number each lane may still send
	buf, want := make([]byte, 2048), make([]byte, 0, 2048)
	var frames uint64
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EAGAIN) {
			select {
			case <-done:
				return frames, nil
			default:
				continue
			}
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return frames, err
		}
		lane := from.(*unix.SockaddrInet4).Port - int(f.SrcPort)
		if lane < 0 || lane >= f.Lanes || n < wire.HeaderSize {
			return frames, fmt.Errorf("%d bytes from lane %d of %d", n, lane, f.Lanes)
		}
		var h wire.Header
		h.Get(buf)
		want = f.frame(want, lane, h.Frame, incarnation)
		if !bytes.Equal(buf[:n], want) {
			return frames, fmt.Errorf("lane %d frame %d: got\n%x\nwant\n%x", lane, h.Frame, buf[:n], want)
		}
		if h.Frame < next[lane] {
			return frames, fmt.Errorf("lane %d: frame %d after %d", lane, h.Frame, next[lane]-1)
		}
		next[lane] = h.Frame + 1
		frames++
	}
}

// exchange runs a trial and collects its frames, and balances every frame that was emitted.
func (b *bench) exchange(t *testing.T, f *fixture, g *Generator, fd int, trial Trial) uint64 {
	t.Helper()
	before := b.snapshot(t)
	done := make(chan struct{})
	var rep Report
	var runErr error
	go func() {
		defer close(done)
		rep, runErr = b.run(t.Context(), g, trial)
	}()
	frames, err := collect(fd, f, trial.Incarnation, done)
	<-done
	if err := errors.Join(runErr, err); err != nil {
		t.Fatal(err)
	}
	if rep.Emitted+rep.Missed != rep.Due || rep.Runs != 1 {
		t.Errorf("emitted %d + missed %d of %d due in %d runs", rep.Emitted, rep.Missed, rep.Due, rep.Runs)
	}
	if rep.Last-rep.First >= int64(trial.Duration) {
		t.Errorf("sent for %d ns in a trial of %v", rep.Last-rep.First, trial.Duration)
	}
	d := probe.Between(before, b.snapshot(t))
	if d.Net.UDPChecksum != 0 || d.Net.IPHeader != 0 || d.Net.IPTruncated != 0 {
		t.Errorf("the kernel found damaged frames: %+v", d.Net)
	}
	if known := frames + rep.RingFull + d.Net.UDPRcvbuf; known != rep.Emitted {
		t.Errorf("emitted %d frames, but received %d + ring full %d + buffer full %d = %d\n%+v",
			rep.Emitted, frames, rep.RingFull, d.Net.UDPRcvbuf, known, d)
	}
	t.Logf("due %d, missed %d, received %d, ring full %d, buffer full %d, headroom %.1f", rep.Due,
		rep.Missed, frames, rep.RingFull, d.Net.UDPRcvbuf, rep.Headroom())
	return frames
}

// Goal: a million frames cross a real device and the kernel's UDP, each byte as it must be, each frame
// accounted for. Method: trials are repeated, each under a new incarnation, until a million came.
func TestMillionFrames(t *testing.T) {
	want := uint64(1_000_000)
	if testing.Short() {
		want /= 20
	}
	b := newBench(t)
	f := newFixture(t, wire.ModeXXH3, 96, 4)
	g, fd := b.generator(t, f), b.listen(t)
	var got uint64
	for i := uint32(1); got < want; i++ {
		n := b.exchange(t, f, g, fd, Trial{Rate: 150_000, Duration: 2 * time.Second, Incarnation: i})
		if n == 0 || t.Failed() {
			t.Fatalf("%d frames in trial %d", n, i)
		}
		got += n
	}
}

func TestEveryModeAndLength(t *testing.T) {
	b := newBench(t)
	fd := b.listen(t)
	for _, mode := range []wire.Mode{wire.ModeNone, wire.ModeXXH3, wire.ModeCRC32C} {
		for i, size := range []int{96, 144, 336, wire.MaxFrame} {
			t.Run(fmt.Sprintf("%s-%d", mode, size), func(t *testing.T) {
				f := newFixture(t, mode, size, i+1)
				g := b.generator(t, f)
				trial := Trial{Rate: 50_000, Duration: 100 * time.Millisecond, Incarnation: 7}
				if b.exchange(t, f, g, fd, trial) == 0 {
					t.Error("no frame came")
				}
			})
		}
	}
}

// Goal: a trial ends when its context does, with its report, and the next one is whole.
func TestRunStopsEarly(t *testing.T) {
	b := newBench(t)
	f := newFixture(t, wire.ModeXXH3, 96, 2)
	g := b.generator(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		time.Sleep(2 * setupLead)
		cancel()
	}()
	rep, err := b.run(ctx, g, Trial{Rate: 1000, Duration: time.Hour})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want the context's", err)
	}
	if rep.Emitted+rep.Missed != rep.Due || rep.Due != 3_600_000 {
		t.Errorf("emitted %d + missed %d, due %d", rep.Emitted, rep.Missed, rep.Due)
	}
	for try := 1; ; try++ { // on a busy machine a trial may be over before its thread gets a core
		rep, err = b.run(t.Context(), g, Trial{Duration: 50 * time.Millisecond})
		if err != nil || rep.Due != rep.Emitted || rep.Missed != 0 || rep.Emitted == 0 && try == 20 {
			t.Fatalf("next trial at full rate: %+v, %v", rep, err)
		}
		if rep.Emitted > 0 {
			return
		}
	}
}

// A trial whose time is over before it begins sends nothing and says that it missed everything.
func TestRunTooLate(t *testing.T) {
	b := newBench(t)
	g := b.generator(t, newFixture(t, wire.ModeXXH3, 96, 2))
	err := b.Gen.Netns.Do(func() error {
		rep, err := g.Run(t.Context(), Trial{Rate: 1e6, Start: 1, Duration: time.Millisecond})
		if rep.Emitted != 0 || rep.Missed != 1000 || rep.Due != 1000 {
			t.Errorf("%+v, want 1000 slots missed", rep)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
