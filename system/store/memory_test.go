package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"metronome/system/wire"
)

// Goal: memory follows what is stored, not what was ever written, whatever becomes of sizes, and cleaning
// is done in bounded steps. Method: churn with changing sizes, then deletion of nearly everything.
func TestGarbageIsReclaimedInSteps(t *testing.T) {
	d := drive(t, Config{Parts: 2})
	rng := rand.New(rand.NewPCG(3, 3))
	keys := map[string]int{}
	live := 0
	round := func(size int) {
		var batch []wire.Item
		for range 500 {
			k := fmt.Sprint("key-", rng.IntN(4000))
			n := rng.IntN(size)
			live += footprint(len(k), n) - keys[k]
			keys[k] = footprint(len(k), n)
			batch = append(batch, wire.Item{Op: wire.OpPut, Key: []byte(k), Value: make([]byte, n)})
		}
		d.together(batch...)
		st := d.s.Stats()
		if limit := st.Used/3 + 2*2*cleanFloor + 500*size; st.Garbage > limit {
			t.Fatalf("%d bytes of garbage, %d of records, at most %d expected", st.Garbage, st.Used, limit)
		}
	}
	for _, size := range []int{100, 3000, 200, 9000, 50} {
		for n := range 25 {
			var sn *Snapshot
			if n%5 == 4 { // cleaning stops half-way, and begins again
				sn = d.s.Capture()
			}
			round(size)
			if sn != nil {
				sn.Release()
			}
		}
		verify(t, d.s)
	}
	for k := range keys {
		d.together(wire.Item{Op: wire.OpDelete, Key: []byte(k)})
	}
	verify(t, d.s)
	if st := d.s.Stats(); st.Keys != 0 || st.Used > 4*chunkBytes {
		t.Errorf("an empty store: %+v", st)
	}
	if b := d.s.Bytes(); b > 2<<20 {
		t.Errorf("an empty store holds %d bytes", b)
	}
}

// The chunk being cleaned may lose its last record otherwise, or be given up half-way: it must be free
// once, not twice, and a record that was moved must not be moved again.
func TestCleaningMayBeInterrupted(t *testing.T) {
	d := drive(t, Config{})
	p := &d.s.parts[0]
	rng := rand.New(rand.NewPCG(5, 5))
	const keys = 30_000
	var batch []wire.Item
	for n := range keys {
		batch = append(batch, put(fmt.Sprint("key-", n), string(make([]byte, 64))))
	}
	d.together(batch...)
	reached := 0
	for n := 0; n < 40_000 && d.s.Len() > 100; n++ {
		remove := func(key []byte) { d.together(wire.Item{Op: wire.OpDelete, Key: bytes.Clone(key)}) }
		if p.cleaning == 0 || p.cleanAt == 0 || p.cleanAt == p.fill[p.cleaning] {
			remove(fmt.Append(nil, "key-", rng.IntN(keys)))
			continue
		}
		if reached++; reached%2 == 0 { // a snapshot makes it begin again
			sn := d.s.Capture()
			remove([]byte("nothing"))
			sn.Release()
			verify(t, d.s)
			continue
		}
		var in []wire.Item
		for at := int32(0); at < p.fill[p.cleaning]; {
			rec := p.at(ref(p.cleaning)<<chunkBits | ref(at>>3))
			if metaOf(rec)&flagDead == 0 {
				in = append(in, wire.Item{Op: wire.OpDelete, Key: bytes.Clone(keyOf(rec))})
			}
			at += int32(metaOf(rec).capacity())
		}
		d.together(in...)
		verify(t, d.s)
	}
	if reached < 10 {
		t.Errorf("cleaning was met half-way only %d times", reached)
	}
}

// 10 M small items must not be 10 M pointers: what the collector sees is chunks and tables.
func TestItemsAreNotPointers(t *testing.T) {
	s := loaded(t, Config{}, 100_000)
	pointers := 0
	for i := range s.parts {
		pointers += len(s.parts[i].chunks) + len(s.parts[i].slots) + len(s.parts[i].bigs)
	}
	if pointers > 4096+200 {
		t.Errorf("%d pointers for 100,000 items", pointers)
	}
	if perItem := float64(s.Bytes()-len(s.owner)*32) / 100_000; perItem > 96+24 {
		t.Errorf("%.1f bytes for an item of 80 bytes", perItem)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	s := loaded(t, Config{Parts: 2}, 20_000)
	var puts, gets, incrs []byte
	for n := range uint64(300) {
		k := benchKey(n)
		puts = encode(t, puts, &wire.Item{Op: wire.OpPut, Key: k[:], Value: make([]byte, 64)})
		gets = encode(t, gets, &wire.Item{Op: wire.OpGet, Key: k[:]})
		it := incr(fmt.Sprint("n", n%7), 1)
		incrs = encode(t, incrs, &it)
	}
	b := Batch{Spans: []Span{{Payloads: [][]byte{puts, gets, incrs}, Answer: true}}}
	if n := testing.AllocsPerRun(100, func() {
		b.Index = s.Index() + 1
		s.Apply(&b)
	}); n != 0 {
		t.Errorf("%g allocations for 900 items", n)
	}
}

// Values around every border of the layout come back as they were, through overwriting and appending.
func TestSizes(t *testing.T) {
	d := drive(t, Config{})
	sizes := []int{0, 1, 7, 8, 9, bigValue - 1, bigValue, bigValue + 1, 3 * bigValue,
		wire.MaxValue}
	fill := func(n int, c byte) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = c + byte(i%7)
		}
		return string(b)
	}
	for i, from := range sizes {
		for j, to := range sizes {
			key := fmt.Sprint("k", i, "-", j)
			d.do(put(key, fill(from, 'a')))
			swap := put(key, fill(to, 'h'))
			swap.Previous = true
			d.expect("before", d.do(swap), wire.StatusOK, 0, fill(from, 'a'))
			r := d.do(wire.Item{Op: wire.OpAppend, Key: []byte(key), Value: []byte("end")})
			if to+3 > wire.MaxValue {
				d.expect("too long", r, wire.StatusTooLong, int64(to), "")
				d.expect("unchanged", d.do(get(key)), wire.StatusOK, int64(to), fill(to, 'h'))
				continue
			}
			d.expect("appended", r, wire.StatusOK, int64(to+3), "")
			d.expect("after", d.do(get(key)), wire.StatusOK, int64(to+3), fill(to, 'h')+"end")
		}
	}
	verify(t, d.s)
}

// An answer is what the item saw, though later items of the batch change the key.
func TestAnswersAreOfTheirIndex(t *testing.T) {
	d := drive(t, Config{})
	long := string(make([]byte, 3*bigValue))
	more := wire.Item{Op: wire.OpAppend, Key: []byte("b"), Value: []byte("x")}
	answers := d.together(put("s", "one"), put("b", long), get("s"), get("b"), put("s", "two"), more,
		get("b"), more, get("s"), get("b"))
	for i, want := range []string{"one", long, "", long + "x", "", "two", long + "xx"} {
		if got := string(answers[i].Result.Value); got != want {
			t.Errorf("answer %d: %d bytes, %.20q", i, len(got), got)
		}
	}
}
