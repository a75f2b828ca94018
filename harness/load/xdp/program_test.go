package xdp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"metronome/internal/require"
	"metronome/system/packet"
	"metronome/system/wire"
)

// The fixture: who sends what to whom in every test of this package.
var (
	testSrcMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	testSrc    = netip.MustParseAddr("10.77.0.1")
	testGroup  = netip.MustParseAddr("239.77.0.1")
)

const (
	testPort    = 7700
	testCluster = 0xC0FFEE
	testItems   = 3
)

// fixture is a config and what is needed to know its frames independently.
type fixture struct {
	Config
	digester *wire.Digester
	head     wire.Header // of every frame, but for lane, incarnation and numbers
}

// newFixture makes a config whose frames have frameBytes of UDP payload, filled with noise.
func newFixture(t testing.TB, mode wire.Mode, frameBytes, lanes int) *fixture {
	t.Helper()
	d, err := wire.NewDigester(mode, []byte("key of the test cluster"))
	if err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, frameBytes-wire.HeaderSize)
	noise := rand.NewChaCha8([32]byte{byte(mode), byte(lanes)})
	_, _ = noise.Read(payload)
	f := &fixture{digester: d, head: wire.Header{Type: wire.TypeData, Mode: mode,
		Cluster: testCluster, Proxy: 0x01020304, Count: testItems, Length: uint16(len(payload)),
		PayloadHash: d.Payload(payload)}}
	header := make([]byte, wire.HeaderSize)
	f.head.Put(header)
	f.Config = Config{Device: "lo", SrcMAC: testSrcMAC, Src: testSrc, Dst: testGroup,
		SrcPort: 7701, DstPort: testPort, Lanes: lanes, Header: header, Payload: payload,
		HeaderSeed: d.HeaderSeed(), Window: 1000}
	return f
}

// frame is the frame a lane must send under a number: package wire's doing, and zeebo/xxh3's.
func (f *fixture) frame(dst []byte, lane int, number uint64, incarnation uint32) []byte {
	h := f.head
	h.Lane, h.Incarnation, h.Frame, h.HighWater = uint16(lane), incarnation, number, number
	h.First = number * testItems
	if number+1 > f.Window {
		h.Tail = number + 1 - f.Window
	}
	dst = append(append(dst[:0], f.Header...), f.Payload...)
	h.Put(dst)
	h.Digest = f.digester.Header(dst)
	h.Put(dst)
	return dst
}

// checkPacket examines a packet from Ethernet to frame, byte for byte.
func (f *fixture) checkPacket(pkt []byte, lane int, number uint64, incarnation uint32) error {
	be := binary.BigEndian
	want := []byte{0x01, 0x00, 0x5e, 77, 0, 1}
	want = append(append(want, testSrcMAC...), 0x08, 0x00)
	length := uint16(len(pkt) - 14)
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 77, 0, 1, 239, 77, 0, 1}
	be.PutUint16(ip[2:], length)
	be.PutUint16(ip[10:], naiveChecksum(ip))
	udp := be.AppendUint16(nil, 7701+uint16(lane))
	udp = be.AppendUint16(udp, testPort)
	udp = be.AppendUint16(udp, length-20)
	udp = be.AppendUint16(udp, 0)
	datagram := append(udp, f.frame(nil, lane, number, incarnation)...)
	pseudo := append(append([]byte{}, ip[12:20]...), 0, 17)
	pseudo = be.AppendUint16(pseudo, length-20)
	sum := naiveChecksum(append(pseudo, datagram...))
	if sum == 0 {
		sum = 0xffff
	}
	be.PutUint16(datagram[6:], sum)
	want = append(append(want, ip...), datagram...)
	for i := range min(len(want), len(pkt)) {
		if want[i] != pkt[i] {
			return fmt.Errorf("lane %d frame %d: byte %d is %#x, want %#x", lane, number, i, pkt[i], want[i])
		}
	}
	if len(want) != len(pkt) {
		return fmt.Errorf("%d bytes, want %d", len(pkt), len(want))
	}
	return nil
}

// naiveChecksum is RFC 1071 as written: big-endian words, one at a time.
func naiveChecksum(b []byte) uint16 {
	var sum uint32
	for i, x := range b {
		sum += uint32(x) << (8 * (1 - i%2))
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// loadClocked loads a generator that takes the time from its map, or skips. It needs no device.
func loadClocked(t *testing.T, c Config) *Generator {
	t.Helper()
	g, err := prepare(c, true)
	if un := new(packet.ErrUnavailable); errors.As(err, &un) {
		require.Skip(t, "xdp", un)
	}
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(g.Close)
	return g
}

// step runs the program once at a time and returns its verdict and the packet as it left it. The
// packet goes in full of garbage, like a page that has been used.
func (g *Generator) step(t *testing.T, now int64) (verdict uint32, pkt []byte) {
	t.Helper()
	in := bytes.Clone(g.frame)
	for i := range in[:imageSize] {
		in[i] ^= byte(i*7 + 0x55)
	}
	if err := g.read(); err != nil {
		t.Fatal(err)
	}
	g.val.put(stateClock, uint64(now))
	if err := g.write(); err != nil {
		t.Fatal(err)
	}
	opts := ebpf.RunOptions{Data: in, DataOut: make([]byte, len(in)+256), Repeat: 1}
	verdict, err := g.prog.Run(&opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.read(); err != nil {
		t.Fatal(err)
	}
	return verdict, opts.DataOut
}

// Goal: every header byte of a packet is right, whatever the page held before, in every mode and
// length, up to the largest numbers.
func TestPacketBytes(t *testing.T) {
	modes := []wire.Mode{wire.ModeNone, wire.ModeXXH3, wire.ModeCRC32C}
	numbers := []uint64{0, 1, 998, 999, 1000, 1001, 0xffff, 0x10000, 1<<32 - 1, 1 << 32,
		0xfedcba9876543210, math.MaxUint64 - 1}
	for _, mode := range modes {
		for _, size := range []int{wire.HeaderSize, 96, 97, 144, 336, 1471, wire.MaxFrame} {
			t.Run(fmt.Sprintf("%s-%d", mode, size), func(t *testing.T) {
				f := newFixture(t, mode, size, 3)
				g := loadClocked(t, f.Config)
				const incarnation = 0xdeadbeef
				if err := g.arm(Trial{Start: 100, Duration: 10, Incarnation: incarnation}, 0); err != nil {
					t.Fatal(err)
				}
				for i, n := range numbers {
					lane := i % f.Lanes
					g.val.lane(lane).put(laneNext, n)
					if err := g.write(); err != nil {
						t.Fatal(err)
					}
					verdict, pkt := g.step(t, 105)
					if verdict != xdpTx {
						t.Fatalf("verdict %d", verdict)
					}
					if err := f.checkPacket(pkt, lane, n, incarnation); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// Goal: a checksum that comes out as zero is sent as 0xffff. Method: enough frames that one does.
func TestChecksumIsNeverZero(t *testing.T) {
	f := newFixture(t, wire.ModeNone, 96, 1)
	g := loadClocked(t, f.Config)
	if err := g.arm(Trial{Start: 1, Duration: 1}, 0); err != nil {
		t.Fatal(err)
	}
	// Without a digest, numbers n and n+1 differ by 2 + items in the sum, so some n below 65536 has
	// sum 0xffff; find it by the independent checksum.
	for n := uint64(0); n < 1<<17; n++ {
		g.val.lane(0).put(laneNext, n)
		if s := onesSum(g.constantSumOf(n), nil); s != 0xffff {
			continue
		}
		if err := g.write(); err != nil {
			t.Fatal(err)
		}
		_, pkt := g.step(t, 1)
		if got := binary.BigEndian.Uint16(pkt[sumOffset:]); got != 0xffff {
			t.Errorf("frame %d: checksum %#x, want 0xffff", n, got)
		}
		if err := f.checkPacket(pkt, 0, n, 0); err != nil {
			t.Error(err)
		}
		return
	}
	t.Fatal("no frame with sum 0xffff found")
}

// constantSumOf adds a frame's numbers to the lane's constant sum.
func (g *Generator) constantSumOf(n uint64) uint16 {
	b := binary.LittleEndian.AppendUint64(nil, n)
	b = binary.LittleEndian.AppendUint64(b, n)
	b = binary.LittleEndian.AppendUint64(b, n*testItems)
	if n+1 > g.cfg.Window {
		b = binary.LittleEndian.AppendUint64(b, n+1-g.cfg.Window)
	}
	return onesSum(uint16(g.val.lane(0).get(laneSum)), b)
}

func TestLanesTakeTurns(t *testing.T) {
	for _, lanes := range []int{1, 2, 3, MaxLanes} {
		f := newFixture(t, wire.ModeXXH3, 96, lanes)
		g := loadClocked(t, f.Config)
		if err := g.arm(Trial{Start: 1, Duration: 1, Incarnation: 9}, 0); err != nil {
			t.Fatal(err)
		}
		for i := range 2*lanes + 1 {
			verdict, pkt := g.step(t, 1)
			if verdict != xdpTx {
				t.Fatalf("verdict %d", verdict)
			}
			if err := f.checkPacket(pkt, i%lanes, uint64(i/lanes), 9); err != nil {
				t.Errorf("%d lanes: %v", lanes, err)
			}
		}
	}
}

// pacer is the program's pacing, said again in Go and in whole slots.
type pacer struct {
	interval, next  uint64 // fixed point
	emitted, missed uint64
}

func (p *pacer) step(elapsed, duration int64) (send bool) {
	if elapsed < 0 || elapsed >= duration {
		return false
	}
	for p.next+p.interval*MaxBehind <= uint64(elapsed)<<fracBits {
		p.next += p.interval
		p.missed++
	}
	if p.next > uint64(elapsed)<<fracBits {
		return false
	}
	p.next += p.interval
	p.emitted++
	return true
}

// Goal: the program sends in exactly the slots the model says, catches up with at most MaxBehind, and
// sends nothing before the start or from the end on. Method: a clock of the test's own, which
// creeps, stalls and jumps, and meets slots to the nanosecond where they lie on one.
func TestPacing(t *testing.T) {
	f := newFixture(t, wire.ModeNone, 96, 2)
	g := loadClocked(t, f.Config)
	for _, rate := range []float64{1e3, 123456.789, 1e6, 3e6, 8e6} {
		trial := Trial{Rate: rate, Start: 1 << 40, Duration: 4 * time.Millisecond}
		interval, err := trial.interval()
		if err != nil {
			t.Fatal(err)
		}
		if err := g.arm(trial, interval); err != nil {
			t.Fatal(err)
		}
		model := pacer{interval: interval}
		for _, now := range instants(trial, rate) {
			verdict, _ := g.step(t, now)
			want := model.step(now-trial.Start, int64(trial.Duration))
			if (verdict == xdpTx) != want || verdict != xdpTx && verdict != xdpDrop {
				t.Fatalf("rate %g, %d ns after start: verdict %d, want sent = %v",
					rate, now-trial.Start, verdict, want)
			}
		}
		rep, err := g.report(trial, interval)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Emitted != model.emitted || g.val.get(stateMissed) != model.missed ||
			model.emitted == 0 || model.missed == 0 && rate > 1e5 {
			t.Errorf("rate %g: emitted %d, missed %d; want %d, %d, neither 0", rate,
				rep.Emitted, g.val.get(stateMissed), model.emitted, model.missed)
		}
		due := rate * trial.Duration.Seconds()
		if rep.Emitted+rep.Missed != rep.Due || math.Abs(float64(rep.Due)-due) > 1 {
			t.Errorf("rate %g: %d emitted + %d missed, %d due", rate, rep.Emitted, rep.Missed, rep.Due)
		}
		if rep.Last >= trial.Start+int64(trial.Duration) || rep.First < trial.Start {
			t.Errorf("sent from %d to %d, outside the trial", rep.First, rep.Last)
		}
	}
}

// Exactly MaxBehind slots are caught up with: the next one to fall due pushes the oldest out.
func TestCatchUpIsBounded(t *testing.T) {
	g := loadClocked(t, newFixture(t, wire.ModeNone, 96, 1).Config)
	const slot = 1000 // ns
	for late, missed := range map[int64]uint64{MaxBehind*slot - 1: 0, MaxBehind * slot: 1,
		(MaxBehind+5)*slot - 1: 5} {
		trial := Trial{Rate: 1e9 / slot, Start: 1 << 20, Duration: time.Second}
		interval, err := trial.interval()
		if err != nil {
			t.Fatal(err)
		}
		if err := g.arm(trial, interval); err != nil {
			t.Fatal(err)
		}
		if verdict, _ := g.step(t, trial.Start); verdict != xdpTx {
			t.Fatalf("verdict %d in the first slot", verdict)
		}
		sent := 0
		for {
			verdict, _ := g.step(t, trial.Start+slot+late)
			if verdict != xdpTx {
				break
			}
			sent++
		}
		if sent != MaxBehind || g.val.get(stateMissed) != missed {
			t.Errorf("%d ns late: sent %d, missed %d; want %d, %d", late,
				sent, g.val.get(stateMissed), MaxBehind, missed)
		}
	}
}

// instants are the times at which the program runs in TestPacing, some 2000 a trial.
func instants(trial Trial, rate float64) []int64 {
	end := trial.Start + int64(trial.Duration)
	rng := rand.New(rand.NewPCG(1, uint64(rate)))
	slot := 1e9 / rate
	var times []int64
	for now := trial.Start - 50; now < end; now++ {
		times = append(times, now, now) // the clock may stand still
		switch r := rng.IntN(100); {
		case r < 40:
			now += int64(slot * rng.Float64())
		case r < 70: // on to a slot
			k := math.Ceil(float64(now-trial.Start) / slot)
			now = max(now, trial.Start+int64(k*slot)-1)
		case r < 98:
			now += int64(slot * 2)
		default:
			now += int64(slot * float64(rng.IntN(200)))
		}
		if len(times)%100 == 0 {
			now += int64(trial.Duration) / 100
		}
	}
	edges := []int64{trial.Start - 1, trial.Start, end - 1, end, end + 1, end + 1<<30}
	times = append(times, edges...)
	slices.Sort(times)
	return times
}

func TestOpenRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no device":       func(c *Config) { c.Device = "no-such-device" },
		"device, no MAC":  func(c *Config) { c.SrcMAC = net.HardwareAddr{1} },
		"IPv6":            func(c *Config) { c.Dst = netip.MustParseAddr("ff02::1") },
		"unicast, no MAC": func(c *Config) { c.Dst = netip.MustParseAddr("10.77.0.2") },
		"no lanes":        func(c *Config) { c.Lanes = 0 },
		"too many lanes":  func(c *Config) { c.Lanes = MaxLanes + 1 },
		"ports wrap":      func(c *Config) { c.SrcPort = 65535 },
		"short header":    func(c *Config) { c.Header = c.Header[:71] },
		"length":          func(c *Config) { c.Payload = c.Payload[:8] },
		"too long":        func(c *Config) { c.Payload = make([]byte, wire.MaxPayload+1) },
		"mode":            func(c *Config) { c.Header[4] = 77 },
	} {
		c := newFixture(t, wire.ModeXXH3, 96, 2).Config
		spoil(&c)
		if g, err := Open(c); err == nil {
			g.Close()
			t.Errorf("%s: opened", name)
		}
	}
	_, err := Open(newFixture(t, wire.ModeMAC, 96, 1).Config)
	if un := new(packet.ErrUnavailable); !errors.As(err, &un) || un.Next == "" {
		t.Errorf("mode mac: %v, want it unavailable with a next step", err)
	}
}

func TestTrialRefuses(t *testing.T) {
	g := loadClocked(t, newFixture(t, wire.ModeNone, 96, 2).Config)
	good := Trial{Rate: 1e6, Start: 1, Duration: time.Second}
	for name, spoil := range map[string]func(*Trial){
		"negative rate":   func(t *Trial) { t.Rate = -1 },
		"rate NaN":        func(t *Trial) { t.Rate = math.NaN() },
		"rate infinite":   func(t *Trial) { t.Rate = math.Inf(1) },
		"rate tiny":       func(t *Trial) { t.Rate = 1e-9 },
		"no duration":     func(t *Trial) { t.Duration = 0 },
		"endless":         func(t *Trial) { t.Duration = math.MaxInt64 },
		"no start":        func(t *Trial) { t.Start = 0 },
		"before the boot": func(t *Trial) { t.Start = -5 },
	} {
		trial := good
		spoil(&trial)
		if _, err := g.Run(t.Context(), trial); err == nil {
			t.Errorf("%s: ran", name)
		}
	}
}
