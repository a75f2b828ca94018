package store

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"github.com/cockroachdb/swiss"
	"github.com/zeebo/xxh3"

	"metronome/system/wire"
)

const (
	benchKeys  = 1 << 20
	benchItems = 1 << 18 // items prepared beforehand, taken in turn
	benchBatch = 1 << 12 // items a batch
)

// benchKey is the n-th of benchKeys keys of 16 bytes.
func benchKey(n uint64) (k [16]byte) {
	binary.LittleEndian.PutUint64(k[:], n*0x9E3779B97F4A7C15)
	binary.LittleEndian.PutUint64(k[8:], n)
	return k
}

// benchFrames are payloads of 1400 bytes with one operation on random keys.
func benchFrames(b testing.TB, op wire.Op, items int) (frames [][]byte, perFrame int) {
	rng := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 64)
	perFrame = 15
	for range items / perFrame {
		var f []byte
		for range perFrame {
			k := benchKey(rng.Uint64N(benchKeys))
			it := wire.Item{Op: op, Key: k[:]}
			if op == wire.OpPut {
				binary.LittleEndian.PutUint64(value, rng.Uint64())
				it.Value = value
			}
			f = encode(b, f, &it)
		}
		frames = append(frames, f)
	}
	return frames, perFrame
}

// loaded is a store with keys keys.
func loaded(b testing.TB, cfg Config, keys int) *Store {
	s := newStore(b, cfg)
	value := make([]byte, 64)
	for n := 0; n < keys; {
		var f []byte
		first := n
		for ; n < min(keys, first+4096); n++ {
			k := benchKey(uint64(n))
			f = encode(b, f, &wire.Item{Op: wire.OpPut, Key: k[:], Value: value})
		}
		s.Apply(&Batch{Index: uint64(first + 1), Spans: []Span{{Payloads: [][]byte{f}}}})
	}
	return s
}

func benchApply(b *testing.B, op wire.Op, parts int) {
	s := loaded(b, Config{Parts: parts}, benchKeys)
	frames, perFrame := benchFrames(b, op, benchItems)
	per := benchBatch / perFrame
	b.ResetTimer()
	defer ticking(b)()
	for n, at := 0, 0; n < b.N; n += per * perFrame {
		if at+per > len(frames) {
			at = 0
		}
		s.Apply(&Batch{Index: s.Index() + 1, Spans: []Span{{Payloads: frames[at : at+per], Answer: true}}})
		at += per
	}
}

// What counts: decoding, hashing, the write, the state hash; 16-byte keys, 64-byte values, 1 Mi keys,
// uniform, one core.
func BenchmarkPut(b *testing.B)       { benchApply(b, wire.OpPut, 1) }
func BenchmarkPut8Parts(b *testing.B) { benchApply(b, wire.OpPut, 8) } // one after another
func BenchmarkGet(b *testing.B)       { benchApply(b, wire.OpGet, 1) }

// decodePuts hands the keys and values of prepared frames to put, for the maps.
func decodePuts(b *testing.B, put func(key, value []byte)) {
	frames, _ := benchFrames(b, wire.OpPut, benchItems)
	b.ResetTimer()
	defer ticking(b)()
	for n, at := 0, 0; n < b.N; at++ {
		f := frames[at%len(frames)]
		for len(f) > 0 {
			var it wire.Item
			k, _ := wire.DecodeItem(f, &it)
			put(it.Key, it.Value)
			f = f[k:]
			n++
		}
	}
}

// inline is the best case of a map in Go: keys and values of fixed size within the map.
type inline struct {
	revision uint64
	value    [64]byte
}

func BenchmarkPutGoMapInline(b *testing.B) {
	m := make(map[[16]byte]inline, benchKeys)
	for n := range uint64(benchKeys) {
		m[benchKey(n)] = inline{}
	}
	var sum, rev uint64
	decodePuts(b, func(key, value []byte) {
		rev++
		k, v := [16]byte(key), inline{rev, [64]byte(value)}
		h := xxh3.Hash(key)
		old := m[k]
		sum += term(h, rev, xxh3.Hash(value)) - term(h, old.revision, xxh3.Hash(old.value[:]))
		m[k] = v
	})
}

// general is what a map must hold for keys and values of any length.
type general struct {
	revision uint64
	value    []byte
}

func BenchmarkPutGoMap(b *testing.B) {
	m := make(map[string]general, benchKeys)
	for n := range uint64(benchKeys) {
		k := benchKey(n)
		m[string(k[:])] = general{value: make([]byte, 64)}
	}
	var sum, rev uint64
	decodePuts(b, func(key, value []byte) {
		rev++
		h := xxh3.Hash(key)
		old := m[string(key)]
		sum += term(h, rev, xxh3.Hash(value)) - term(h, old.revision, xxh3.Hash(old.value))
		m[string(key)] = general{rev, append(old.value[:0], value...)}
	})
}

func BenchmarkPutSwissInline(b *testing.B) {
	m := swiss.New[[16]byte, inline](benchKeys)
	for n := range uint64(benchKeys) {
		m.Put(benchKey(n), inline{})
	}
	var sum, rev uint64
	decodePuts(b, func(key, value []byte) {
		rev++
		k, v := [16]byte(key), inline{rev, [64]byte(value)}
		h := xxh3.Hash(key)
		old, _ := m.Get(k)
		sum += term(h, rev, xxh3.Hash(value)) - term(h, old.revision, xxh3.Hash(old.value[:]))
		m.Put(k, v)
	})
}

func BenchmarkPutSwiss(b *testing.B) {
	m := swiss.New[string, general](benchKeys)
	for n := range uint64(benchKeys) {
		k := benchKey(n)
		m.Put(string(k[:]), general{value: make([]byte, 64)})
	}
	var sum, rev uint64
	decodePuts(b, func(key, value []byte) {
		rev++
		h := xxh3.Hash(key)
		old, _ := m.Get(string(key))
		sum += term(h, rev, xxh3.Hash(value)) - term(h, old.revision, xxh3.Hash(old.value))
		m.Put(string(key), general{rev, append(old.value[:0], value...)})
	})
}

// BenchmarkInsert adds keys to an empty store: tables grow, chunks are filled.
func BenchmarkInsert(b *testing.B) {
	defer ticking(b)()
	loaded(b, Config{}, b.N)
}

// BenchmarkSnapshot reports the longest stall while 1 Mi keys are captured under a full load of puts:
// what the longest Step takes, and how much longer than its median the longest Apply does.
func BenchmarkSnapshot(b *testing.B) {
	frames, perFrame := benchFrames(b, wire.OpPut, benchItems)
	per := benchBatch / perFrame
	s := loaded(b, Config{}, benchKeys)
	b.ResetTimer()
	var capture, step, apply watch
	for range b.N {
		var sn *Snapshot
		capture.time(b, func() { sn = s.Capture() })
		for at := 0; !sn.Done(); at = (at + per) % (len(frames) - per) {
			apply.time(b, func() {
				s.Apply(&Batch{Index: s.Index() + 1, Spans: []Span{{Payloads: frames[at : at+per]}}})
			})
			step.time(b, func() { sn.Step(256 << 10) })
		}
		sn.Release()
	}
	b.ReportMetric(capture.longest(), "capture-max-ms")
	b.ReportMetric(step.longest(), "step-max-ms")
	b.ReportMetric(apply.longest(), "apply-max-ms")
	b.ReportMetric(apply.median(), "apply-median-ms")
}

// BenchmarkMemory reports what ten million small items cost: bytes of heap an item, all included, and how
// long the collector takes to look at them.
func BenchmarkMemory(b *testing.B) {
	const keys = 10_000_000
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := loaded(b, Config{}, keys)
		runtime.GC()
		runtime.ReadMemStats(&after)
		var gc watch
		gc.time(b, runtime.GC)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/keys, "heap-B/item")
		b.ReportMetric(float64(s.Bytes())/keys, "est-B/item")
		b.ReportMetric(gc.longest(), "gc-ms")
		runtime.KeepAlive(s)
	}
}

func BenchmarkScanByKey(b *testing.B) {
	for _, limit := range []uint32{10, 1000} {
		b.Run(strconv.Itoa(int(limit)), func(b *testing.B) {
			s := loaded(b, Config{}, benchKeys)
			it := wire.Item{Op: wire.OpScan, Value: wire.AppendScan(nil, &wire.ScanArgs{Limit: limit})}
			scan := [][]byte{encode(b, nil, &it)}
			var first watch
			first.time(b, func() { s.Read(scan) })
			b.ResetTimer()
			for range b.N {
				s.Read(scan)
			}
			b.ReportMetric(first.longest(), "first-scan-ms")
		})
	}
}
