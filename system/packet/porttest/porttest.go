// Package porttest holds what every packet.Port must do, to be called from each implementation's
// tests.
package porttest

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/wire"
)

// patience is how long nothing may come before a test gives up: machines are slow and shared.
const patience = time.Minute

// Exchange sends count frames of varying lengths and contents in bursts and checks that the same
// bytes arrive in the same order. idle is called after an empty poll; it may sleep or be nil.
func Exchange(t *testing.T, tx, rx packet.Port, count int, idle func()) {
	t.Helper()
	want := make([][]byte, count)
	for i := range want {
		want[i] = make([]byte, 8+(i*37)%(wire.MaxFrame-7))
		for k := range want[i] {
			want[i][k] = byte(i + k)
		}
		binary.LittleEndian.PutUint64(want[i], uint64(i))
	}
	got := 0
	burst := make([][]byte, 32)
	for sent := 0; got < count; {
		if sent < count && sent-got < 256 { // never more under way than any port can hold
			n, err := tx.Send(want[sent:min(sent+len(burst), count)])
			if err != nil {
				t.Fatal(err)
			}
			sent += n
		}
		got += receive(t, rx, burst, idle, func(i int, f []byte) {
			if !bytes.Equal(f, want[got+i]) {
				t.Fatalf("frame %d: %d bytes arrived, not the %d sent", got+i, len(f), len(want[got+i]))
			}
		})
		if t.Failed() {
			return
		}
	}
	s := rx.Stats()
	if s.RxFrames < uint64(count) || tx.Stats().TxFrames < uint64(count) {
		t.Errorf("%d frames crossed; statistics say %d sent, %d received", count, tx.Stats().TxFrames, s.RxFrames)
	}
}

// receive polls until something arrives and hands every frame on.
func receive(t *testing.T, rx packet.Port, burst [][]byte, idle func(), each func(int, []byte)) int {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		n, err := rx.Recv(burst)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range burst[:n] {
			each(i, f)
		}
		if n > 0 {
			return n
		}
		if idle != nil {
			idle()
		}
	}
	t.Fatalf("nothing arrived: %+v", rx.Stats())
	return 0
}

const cluster = 0xC1

// Hostile sends garbage, truncated, foreign, wrong-version and bit-flipped frames among good ones
// through the ports into the ingest pipeline, and checks that each is dropped and counted by its
// cause, and the good ones accepted.
func Hostile(t *testing.T, tx, rx packet.Port, idle func()) {
	t.Helper()
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("porttest"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := lane.NewIngest(cluster, d, lane.Config{Window: 64, Arena: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Open(1, 1, 1); err != nil {
		t.Fatal(err)
	}
	var want lane.Counters
	var frames [][]byte
	for i, c := range hostile {
		f := c.mangle(good(t, d, uint64(i)), d)
		want.Bad[c.cause]++
		frames = append(frames, f)
	}
	for i := range frames { // and the same numbers again, unharmed
		frames = append(frames, good(t, d, uint64(i)))
	}
	for sent := 0; sent < len(frames); {
		n, err := tx.Send(frames[sent:])
		if err != nil {
			t.Fatal(err)
		}
		sent += n
	}
	burst := make([][]byte, 8)
	for got := 0; got < len(frames); {
		got += receive(t, rx, burst, idle, func(_ int, f []byte) { in.Frame(f) })
	}
	want.Bad[wire.OK] = 0
	if got := in.Counters(); got.Bad != want.Bad || got.Queued != uint64(len(hostile)) {
		t.Errorf("dropped by cause %v, want %v; %d good frames held, want %d",
			got.Bad, want.Bad, got.Queued, len(hostile))
	}
}

func good(t *testing.T, d *wire.Digester, n uint64) []byte {
	t.Helper()
	f, err := wire.AppendItem(make([]byte, wire.HeaderSize),
		&wire.Item{Op: wire.OpPut, Key: []byte("key"), Value: []byte("value")})
	if err != nil {
		t.Fatal(err)
	}
	h := wire.Header{Type: wire.TypeData, Cluster: cluster, Proxy: 1, Incarnation: 1, Count: 1,
		Frame: n, First: n, HighWater: n}
	if err := wire.Seal(f, &h, d); err != nil {
		t.Fatal(err)
	}
	return f
}

var hostile = []struct {
	name   string
	cause  wire.Cause
	mangle func([]byte, *wire.Digester) []byte
}{
	{"garbage", wire.BadMagic, func(f []byte, _ *wire.Digester) []byte {
		return bytes.Repeat([]byte{0x5a}, len(f))
	}},
	{"one byte", wire.BadShort, func(f []byte, _ *wire.Digester) []byte { return f[:1] }},
	{"truncated header", wire.BadShort, func(f []byte, _ *wire.Digester) []byte {
		return f[:wire.HeaderSize-1]
	}},
	{"truncated payload", wire.BadLength, func(f []byte, _ *wire.Digester) []byte { return f[:len(f)-1] }},
	{"foreign cluster", wire.BadCluster, func(f []byte, d *wire.Digester) []byte {
		f[8]++
		return restamp(f, d)
	}},
	{"wrong version", wire.BadVersion, func(f []byte, d *wire.Digester) []byte {
		f[2]++
		return restamp(f, d)
	}},
	{"digest mode none", wire.BadMode, func(f []byte, _ *wire.Digester) []byte { f[4] = 0; return f }},
	{"bit flipped in the header", wire.BadDigest, func(f []byte, _ *wire.Digester) []byte {
		f[24] ^= 4
		return f
	}},
	{"bit flipped in the payload", wire.BadPayload, func(f []byte, _ *wire.Digester) []byte {
		f[len(f)-1] ^= 1
		return f
	}},
	{"unknown type", wire.BadType, func(f []byte, d *wire.Digester) []byte {
		f[3] = 200
		return restamp(f, d)
	}},
	{"unknown lane", wire.BadLane, func(f []byte, d *wire.Digester) []byte {
		f[6] = 9
		return restamp(f, d)
	}},
	{"old incarnation", wire.BadLane, func(f []byte, d *wire.Digester) []byte {
		f[16] = 0
		return restamp(f, d)
	}},
	{"empty key", wire.BadItem, func(f []byte, d *wire.Digester) []byte {
		f[wire.HeaderSize+2] = 0
		binary.LittleEndian.PutUint64(f[56:], d.Payload(f[wire.HeaderSize:]))
		return restamp(f, d)
	}},
}

func restamp(f []byte, d *wire.Digester) []byte {
	binary.LittleEndian.PutUint64(f[wire.DigestOffset:], d.Header(f))
	return f
}

// Allocations fails if moving a frame through the ports, or reading their counters, allocates. Each
// run sends one burst and receives until it is through.
func Allocations(t *testing.T, tx, rx packet.Port) {
	t.Helper()
	frames := [][]byte{make([]byte, 96), make([]byte, 96), make([]byte, 96), make([]byte, 96)}
	burst := make([][]byte, 8)
	exchange := func() {
		if n, err := tx.Send(frames); err != nil || n != len(frames) {
			t.Fatal(n, err)
		}
		end := time.Now().Add(patience)
		for got := 0; got < len(frames); {
			n, err := rx.Recv(burst)
			if err != nil || n == 0 && time.Now().After(end) {
				t.Fatal(n, err)
			}
			got += n
		}
		_ = rx.Stats()
	}
	if n := testing.AllocsPerRun(500, exchange); n != 0 {
		t.Errorf("%g allocations a burst", n)
	}
}
