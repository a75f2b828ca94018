package daemon

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"metronome/system/packet"
	"metronome/system/packet/memory"
	"metronome/system/wire"
)

var quiet = slog.New(slog.DiscardHandler)

// Three hands pass frames on, each in order and whole; what is refused, and only that, comes out empty.
func TestRing(t *testing.T) {
	r := newRing(8)
	const frames = 20000
	var hands sync.WaitGroup
	hands.Go(func() {
		b := make([]byte, 2*placeBytes)
		for i := 0; i < frames; {
			n := min(r.room(), frames-i, 3)
			for range n {
				binary.LittleEndian.PutUint32(b, uint32(i))
				r.put(b[:4+i%placeBytes])
				i++
			}
			r.fill()
			if n == 0 {
				runtime.Gosched()
			}
		}
	})
	hands.Go(func() {
		for at := uint64(0); at < frames; {
			from, to := r.unjudged()
			for i := from; i != to; i++ {
				if i%5 == 0 {
					r.refuse(i)
				}
			}
			r.verified.Store(to)
			if at = to; from == to {
				runtime.Gosched()
			}
		}
	})
	for at := uint64(0); at < frames; {
		from, to := r.judged()
		for i := from; i != to; i++ {
			f, want := r.frame(i), min(4+int(i)%placeBytes, placeBytes)
			if i%5 == 0 {
				want = 0
			}
			if len(f) != want || want > 0 && binary.LittleEndian.Uint32(f) != uint32(i) {
				t.Fatalf("frame %d has %d bytes, want %d", i, len(f), want)
			}
		}
		r.taken.Store(to)
		if at = to; from == to {
			runtime.Gosched()
		}
	}
	hands.Wait()
}

// taker stands for a replica's core, and keeps what comes.
type taker struct {
	frames [][]byte
}

func (k *taker) Verified(_ int64, f []byte) { k.frames = append(k.frames, bytes.Clone(f)) }

func testDigest() (*wire.Digester, error) { return wire.NewDigester(wire.ModeMAC, []byte("key")) }

const testCluster = 3

// laneFrame is the n-th frame of a lane, with one item.
func laneFrame(t *testing.T, d *wire.Digester, lane uint16, n uint64) []byte {
	t.Helper()
	f, err := wire.AppendItem(make([]byte, wire.HeaderSize), &wire.Item{Op: wire.OpPut, Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	h := wire.Header{Type: wire.TypeData, Cluster: testCluster, Proxy: 1, Incarnation: 1, Lane: lane, Count: 1,
		Frame: n, First: n}
	if err := wire.Seal(f, &h, d); err != nil {
		t.Fatal(err)
	}
	return f
}

// testCores makes ingest cores on memory ports, and a port for each to send to it.
func testCores(t *testing.T, cores, queues, ring int) (g *ingestCores, send []packet.Port,
	woken chan struct{},
) {
	t.Helper()
	woken = make(chan struct{}, 1)
	cfg := ingestConfig{cpus: make([]int, cores), burst: 32, cluster: testCluster, digest: testDigest,
		close: func() error { return nil }, clock: newClock(), wake: func() {
			select {
			case woken <- struct{}{}:
			default:
			}
		}}
	for range queues {
		hub := memory.NewHub(ring, 2048)
		send = append(send, hub.Join())
		cfg.ports = append(cfg.ports, hub.Join())
	}
	g, err := newIngestCores(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	})
	return g, send, woken
}

// Goal: whatever the number of queues and cores, every frame that is whole is handed over once, those of
// a lane in their order, and the others are counted. Method: lanes on queues as a NIC would spread
// them, or all on one and distributed in software; many times as many as the rings hold, while the
// ordering thread dawdles.
func TestIngestCoresHandOverEverything(t *testing.T) {
	for _, c := range []struct{ cores, queues int }{{1, 1}, {2, 2}, {3, 1}, {2, 1}, {4, 4}} {
		t.Run(fmt.Sprintf("cores=%d/queues=%d", c.cores, c.queues), func(t *testing.T) {
			const lanes, each = 6, 700
			g, send, woken := testCores(t, c.cores, c.queues, lanes*each*2)
			d, err := testDigest()
			if err != nil {
				t.Fatal(err)
			}
			bad := 0
			for n := range uint64(each) {
				for lane := range uint16(lanes) {
					f := laneFrame(t, d, lane, n)
					burst := [][]byte{f}
					if n%10 == 3 {
						f = bytes.Clone(f)
						f[len(f)-1] ^= 1
						burst = append(burst, f, []byte("short"), nil, make([]byte, 2000))
						bad += 4
					}
					if _, err := send[int(lane)%c.queues].Send(burst); err != nil {
						t.Fatal(err)
					}
				}
			}
			g.start(quiet)
			var k taker
			for len(k.frames) < lanes*each {
				if n, err := g.take(0, &k); err != nil {
					t.Fatal(err)
				} else if n == 0 {
					select {
					case <-woken:
					case <-time.After(patience):
						t.Fatalf("%d frames of %d", len(k.frames), lanes*each)
					}
				}
			}
			var next [lanes]uint64
			for _, f := range k.frames {
				var h wire.Header
				h.Get(f)
				if h.Frame != next[h.Lane] {
					t.Fatalf("frame %d of lane %d came in place of %d", h.Frame, h.Lane, next[h.Lane])
				}
				next[h.Lane]++
			}
			checkCounts(t, g, lanes*each, bad, c.cores > c.queues)
		})
	}
}

// checkCounts ends the cores, which publish what they count with the last they do.
func checkCounts(t *testing.T, g *ingestCores, whole, bad int, software bool) {
	t.Helper()
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	var verified, handed, dropped, spread, received uint64
	for _, v := range g.views() {
		verified += v.Verified.Frames
		handed += v.Handed
		dropped += v.Verified.Dropped()
		spread += v.Spread
		received += v.Port.RxFrames
		if v.Software != software {
			t.Errorf("%+v", v)
		}
		if v.Handed == 0 {
			t.Errorf("a core had nothing to do: %+v", v)
		}
	}
	if handed != uint64(whole) || verified != dropped+handed || received < verified {
		t.Errorf("%d frames received, %d verified, %d handed on of %d, %d dropped of %d", received, verified,
			handed, whole, dropped, bad)
	}
	if software && spread < verified || !software && spread != 0 {
		t.Errorf("%d of %d frames distributed in software", spread, verified)
	}
}

// A core whose ring is full stops polling, and goes on when there is room: nothing is dropped here.
func TestIngestCoreWaitsForRoom(t *testing.T) {
	g, send, _ := testCores(t, 1, 1, 3*ringFrames)
	d, err := testDigest()
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(3 * ringFrames) {
		if _, err := send[0].Send([][]byte{laneFrame(t, d, 0, n)}); err != nil {
			t.Fatal(err)
		}
	}
	c := g.cores[0]
	turn := func() {
		t.Helper()
		if _, err := c.turn(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 * ringFrames / 32 {
		turn()
	}
	if n := c.port.Stats().RxFrames; n != ringFrames || !c.short.Load() || c.n.Full != 1 {
		t.Fatalf("%d frames received, short %t, %d times", n, c.short.Load(), c.n.Full)
	}
	var k taker
	for range 3 {
		if _, err := g.take(0, &k); err != nil {
			t.Fatal(err)
		}
		for range ringFrames / 32 {
			turn()
		}
	}
	if len(k.frames) != 3*ringFrames || c.short.Load() {
		t.Errorf("%d frames, short %t", len(k.frames), c.short.Load())
	}
}

// A port that fails ends the replica.
func TestIngestCoreFails(t *testing.T) {
	g, _, woken := testCores(t, 2, 2, 8)
	if err := g.cores[1].port.Close(); err != nil {
		t.Fatal(err)
	}
	g.start(quiet)
	<-woken
	if _, err := g.take(0, &taker{}); err == nil {
		t.Error("nobody noticed")
	}
}

// Receiving, verifying and handing over allocates nothing.
func TestIngestCoreAllocatesNothing(t *testing.T) {
	g, send, _ := testCores(t, 2, 1, 256)
	d, err := testDigest()
	if err != nil {
		t.Fatal(err)
	}
	burst := [][]byte{laneFrame(t, d, 0, 0), laneFrame(t, d, 1, 0)}
	var sink discard
	if n := testing.AllocsPerRun(100, func() {
		_, _ = send[0].Send(burst)
		_, _ = g.cores[0].turn()
		_, _ = g.cores[1].turn()
		_, _ = g.take(0, &sink)
	}); n != 0 {
		t.Errorf("%v allocations a turn", n)
	}
	if sink == 0 {
		t.Error("nothing was handed over")
	}
}

type discard int

func (d *discard) Verified(int64, []byte) { *d++ }

// Ports that are joined all get their turn, whatever the burst.
func TestJoined(t *testing.T) {
	for _, burst := range []int{1, 2, 3, 64} {
		j := &joined{}
		var send []packet.Port
		for i := range 3 {
			hub := memory.NewHub(256, 16)
			send = append(send, hub.Join())
			j.ports = append(j.ports, hub.Join())
			for range 200 {
				if _, err := send[i].Send([][]byte{{byte(i)}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		var got [3]int
		frames := make([][]byte, burst)
		for calls := range 600 {
			n, err := j.Recv(frames)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range frames[:n] {
				got[f[0]]++
			}
			if calls == 30 && min(got[0], got[1], got[2]) < 5 {
				t.Errorf("burst %d: after 30 calls %v", burst, got)
			}
		}
		if got != [3]int{200, 200, 200} || j.Stats().RxFrames != 600 {
			t.Errorf("burst %d: %v, %+v", burst, got, j.Stats())
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An interface with one queue gives all cores that one; so does one that is not there, for whoever opens
// it says more.
func TestUsableQueues(t *testing.T) {
	for name, want := range map[string]int{"lo": 1, "no-such-interface": 1, "../../etc": 1} {
		if got, err := usableQueues(name, 3, true); got != want || err != nil {
			t.Errorf("%s: %d queues, %v, want %d", name, got, err, want)
		}
	}
	want := "daemon: cores.ingest names 4 CPUs, eth0 has 2 queues: name at most 2, or one"
	if err := tooFew("eth0", 4, 2); err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Frames of a lane are all one core's share, lanes that follow each other are not, and anything is some
// core's.
func TestShare(t *testing.T) {
	d, err := testDigest()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		for lane := range uint16(8) {
			a, b := laneFrame(t, d, lane, 0), laneFrame(t, d, lane, 7)
			next := laneFrame(t, d, lane+1, 0)
			if got := share(a, n+1); got != share(b, n+1) || n > 0 && got == share(next, n+1) {
				t.Errorf("%d cores: lane %d is core %d's", n+1, lane, got)
			}
		}
		for _, f := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte{0xff}, 100)} {
			if got := share(f, n+1); got < 0 || got > n {
				t.Errorf("%d cores: core %d", n+1, got)
			}
		}
	}
}
