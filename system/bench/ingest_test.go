package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/packet/memory"
	"metronome/system/wire"
)

// rig is a device under test over a memory port, driven as the harness drives it.
type rig struct {
	t  *testing.T
	tx *memory.Port
	rx *memory.Port
	// clock is what the device under test reads; it moves by a microsecond a look, and by leaps of the
	// test's.
	clock atomic.Int64
	in    *io.PipeWriter
	out   *bufio.Scanner
	done  chan error
	key   []byte
}

func start(t *testing.T, null bool) *rig {
	t.Helper()
	hub := memory.NewHub(256, wire.MaxFrame)
	rx := hub.Join()
	r := &rig{t: t, tx: hub.Join(), rx: rx, done: make(chan error, 1), key: []byte("key")}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	r.in, r.out = inW, bufio.NewScanner(outR)
	go func() {
		r.done <- RunIngest(IngestConfig{
			Open:    func() (packet.Port, Ready, error) { return rx, Ready{}, nil },
			Polling: true, Null: null, NullItems: 3, Burst: 8, Mode: wire.ModeXXH3, ClusterKey: r.key,
			Cluster: 1, Proxy: 1, Lanes: 1, Lane: lane.Config{Window: 64, Arena: 1 << 16},
			Now: func() int64 { return r.clock.Add(1000) },
		}, inR, outW)
		_ = outW.Close()
	}()
	var ready Ready
	r.hear("ready", &ready)
	if !null && ready.BoundBytes == 0 {
		t.Error("no bound on memory was told")
	}
	return r
}

func (r *rig) say(format string, args ...any) {
	r.t.Helper()
	if _, err := fmt.Fprintf(r.in, format+"\n", args...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) hear(event string, into any) {
	r.t.Helper()
	if !r.out.Scan() {
		r.t.Fatalf("no %q: %v", event, <-r.done)
	}
	var head struct{ Event string }
	if err := json.Unmarshal(r.out.Bytes(), &head); err != nil || head.Event != event {
		r.t.Fatalf("%q instead of %q (%v)", r.out.Text(), event, err)
	}
	if err := json.Unmarshal(r.out.Bytes(), into); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) send(incarnation uint32, n uint64) {
	r.t.Helper()
	d, err := wire.NewDigester(wire.ModeXXH3, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	f, err := wire.AppendItem(make([]byte, wire.HeaderSize), &wire.Item{Op: wire.OpPut, Key: []byte("k")})
	if err != nil {
		r.t.Fatal(err)
	}
	h := wire.Header{Type: wire.TypeData, Cluster: 1, Proxy: 1, Incarnation: incarnation, Count: 1,
		Frame: n, First: n, HighWater: n}
	if err := wire.Seal(f, &h, d); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.tx.Send([][]byte{f}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) stop() {
	r.t.Helper()
	r.say(`{"cmd":"stop"}`)
	if err := <-r.done; err != nil {
		r.t.Error(err)
	}
}

// received waits until the device under test has taken n more frames out of its port.
func (r *rig) received(n uint64) {
	for r.rx.Stats().RxFrames < n {
		runtime.Gosched()
	}
}

// pass moves the clock past the deadline and waits until the device has looked at it twice.
func (r *rig) pass(deadline int64) {
	leap := r.clock.Add(deadline)
	for r.clock.Load() < leap+2000 {
		runtime.Gosched()
	}
}

const deadline = int64(time.Hour)

// Frames after the deadline are not in the frozen counters; each trial starts from zero, in lanes
// of its own.
func TestTrialsOfADeviceUnderTest(t *testing.T) {
	r := start(t, false)
	for trial := uint32(1); trial <= 2; trial++ {
		at := r.clock.Load() + deadline
		r.say(`{"cmd":"arm","incarnation":%d,"deadline_ns":%d}`, trial, at)
		r.hear("armed", &Armed{})
		before := r.rx.Stats().RxFrames
		for n := range uint64(10) {
			r.send(trial, n)
		}
		r.send(99, 0) // another incarnation's
		r.received(before + 11)
		r.pass(deadline)
		for n := range uint64(5) {
			r.send(trial, 10+n)
		}
		var report Report
		r.say(`{"cmd":"report"}`)
		r.hear("report", &report)
		frozen, final := report.AtDeadline, report.Final
		if frozen.Released != 10 || frozen.Items != 10 || frozen.Bad["lane"] != 1 || final.Released != 15 {
			t.Errorf("trial %d: %+v, then %+v", trial, frozen, final)
		}
		if report.FrozenNS < at {
			t.Errorf("frozen %d ns before the deadline", at-report.FrozenNS)
		}
	}
	r.stop()
}

func TestNullCountsAndSkipsThePipeline(t *testing.T) {
	r := start(t, true)
	r.say(`{"cmd":"arm","incarnation":1,"deadline_ns":%d}`, r.clock.Load()+deadline)
	r.hear("armed", &Armed{})
	for range 4 {
		if _, err := r.tx.Send([][]byte{[]byte("not a frame at all")}); err != nil {
			t.Fatal(err)
		}
	}
	r.received(4)
	r.pass(deadline)
	var report Report
	r.say(`{"cmd":"report"}`)
	r.hear("report", &report)
	if f := report.Final; f.Released != 4 || f.Items != 12 || len(f.Bad) != 0 {
		t.Errorf("%+v", f)
	}
	r.stop()
}

func TestUnknownCommandEndsIt(t *testing.T) {
	r := start(t, false)
	r.say(`{"cmd":"dance"}`)
	if err := <-r.done; err == nil {
		t.Error("no error")
	}
}

func TestEndOfInputEndsIt(t *testing.T) {
	r := start(t, false)
	_ = r.in.Close()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}
