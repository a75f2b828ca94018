package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"metronome/system/wire"
)

// workload makes random items that meet each other: few keys, few sessions, all operations.
type workload struct {
	rng      *rand.Rand
	keys     int
	sessions []uint64 // ids, some ended
	numbers  map[uint64]uint64
	cursor   uint64
	revs     []uint64
}

func newWorkload(seed uint64) *workload {
	rng := rand.New(rand.NewPCG(seed, 7))
	return &workload{rng: rng, keys: []int{3, 30, 300, 3000}[rng.IntN(4)], numbers: map[uint64]uint64{}}
}

func (w *workload) key() []byte {
	n := w.rng.IntN(w.keys)
	k := fmt.Appendf(nil, "%c/key-%d", 'a'+n%3, n)
	if n%50 == 0 {
		k = append(k, make([]byte, 900)...)
	}
	return k
}

func (w *workload) value() []byte {
	n := w.rng.IntN(100)
	switch w.rng.IntN(40) {
	case 0:
		n = w.rng.IntN(9000)
	case 1:
		n = bigValue - 2 + w.rng.IntN(4)
	case 2, 3, 4, 5:
		return fmt.Append(nil, w.rng.IntN(1000)-500)
	case 6:
		return []byte("9223372036854775807")
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return b
}

func (w *workload) chance(n int) bool { return w.rng.IntN(n) == 0 }

// single is an operation on one key; simple ones may be part of a multi.
func (w *workload) single(simple bool) wire.Item {
	it := wire.Item{Key: w.key()}
	ops := []wire.Op{wire.OpPut, wire.OpPut, wire.OpGet, wire.OpDelete, wire.OpCAS, wire.OpIncr, wire.OpAppend}
	if simple {
		ops = ops[:4]
	}
	it.Op = ops[w.rng.IntN(len(ops))]
	switch it.Op {
	case wire.OpPut:
		it.Value, it.Previous, it.Present = w.value(), w.chance(4), w.chance(4)
	case wire.OpGet:
		it.Stat = w.chance(4)
	case wire.OpDelete:
		it.Previous = w.chance(2)
	case wire.OpCAS:
		it.Value, it.Previous = w.value(), w.chance(2)
		if len(w.revs) > 0 && w.chance(2) {
			it.Expect = w.revs[w.rng.IntN(len(w.revs))]
		}
	case wire.OpIncr:
		it.Value = binary.LittleEndian.AppendUint64(nil, uint64(w.rng.IntN(2000)-1000))
		if w.chance(10) {
			it.Value = binary.LittleEndian.AppendUint64(nil, 1<<63-1)
		}
	case wire.OpAppend:
		it.Value = w.value()
	}
	return it
}

func (w *workload) scan() wire.Item {
	a := wire.ScanArgs{Limit: 1 + w.rng.Uint32N(20), Values: w.chance(2), Order: wire.ScanOrder(w.rng.IntN(2))}
	if w.chance(4) {
		a.Limit = wire.MaxScan
	}
	if a.Order == wire.ScanByHash {
		a.Cursor = []uint64{0, w.rng.Uint64(), w.cursor}[w.rng.IntN(3)]
	} else if w.chance(2) {
		a.After = w.key()
	}
	prefix := [][]byte{nil, []byte("a/"), []byte("b/key-1"), []byte("z")}[w.rng.IntN(4)]
	return wire.Item{Op: wire.OpScan, Key: prefix, Value: wire.AppendScan(nil, &a)}
}

func (w *workload) multi(t testing.TB) wire.Item {
	it := wire.Item{Op: wire.OpMulti}
	reads := w.chance(3)
	for range 1 + w.rng.IntN(8) {
		sub := w.single(true)
		if reads {
			sub = wire.Item{Op: wire.OpGet, Key: w.key()}
		}
		it.Value = encode(t, it.Value, &sub)
	}
	if w.chance(20) {
		it.Value = append(it.Value, 1)
	}
	return it
}

func encode(t testing.TB, dst []byte, it *wire.Item) []byte {
	t.Helper()
	b, err := wire.AppendItem(dst, it)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (w *workload) item(t testing.TB) wire.Item {
	var it wire.Item
	switch n := w.rng.IntN(100); {
	case n < 3:
		it = wire.Item{Op: wire.OpSession}
	case n < 5:
		it = w.scan()
	case n < 6:
		it = wire.Item{Op: wire.OpCount}
	case n < 12:
		it = w.multi(t)
	case n < 50:
		it = wire.Item{Op: wire.OpPut, Key: w.key(), Value: w.value()}
	default:
		it = w.single(false)
	}
	if w.chance(4) {
		w.inSession(&it)
	}
	return it
}

// inSession gives an item a number that is mostly the next, else used before, or far off.
func (w *workload) inSession(it *wire.Item) {
	it.HasSession, it.Session = true, w.rng.Uint64N(40)
	if len(w.sessions) > 0 && !w.chance(20) {
		it.Session = w.sessions[max(0, len(w.sessions)-1-w.rng.IntN(6))]
	}
	next := w.numbers[it.Session] + 1
	switch w.rng.IntN(12) {
	case 0:
		it.Number = next + w.rng.Uint64N(40)
	case 1, 2, 3:
		it.Number = next - min(next, w.rng.Uint64N(8))
	default:
		it.Number = next
		w.numbers[it.Session] = next
	}
	if w.chance(3) && it.Number > 10 {
		it.Low = it.Number - w.rng.Uint64N(10)
	}
	if w.chance(300) {
		it.Low = w.rng.Uint64() | 1<<63
	}
	if w.chance(300) {
		it.Low, it.Number = math.MaxUint64-w.rng.Uint64N(3), math.MaxUint64
	}
}

// learn takes what answers tell, so that later items refer to it.
func (w *workload) learn(it *wire.Item, r *wire.Result) {
	if r.Status != wire.StatusOK {
		return
	}
	switch it.Op {
	case wire.OpSession:
		w.sessions = append(w.sessions, uint64(r.Number))
	case wire.OpScan:
		w.cursor = r.Revision
	default:
		if w.revs = append(w.revs, r.Revision); len(w.revs) > 20 {
			w.revs = w.revs[1:]
		}
	}
}

// spans packs items into frames' payloads, a few lanes after another, as a decision lays them out.
func (w *workload) spans(t testing.TB, items []wire.Item) (spans []Span) {
	for len(items) > 0 {
		n := 1 + w.rng.IntN(len(items))
		sp := Span{Lane: uint32(len(spans)), First: w.rng.Uint64N(1 << 40), Answer: !w.chance(3)}
		sp.Payloads = pack(t, items[:n], 1300)
		spans = append(spans, sp)
		items = items[n:]
	}
	return spans
}

func pack(t testing.TB, items []wire.Item, room int) (payloads [][]byte) {
	var open []byte
	flush := func() {
		if open != nil {
			payloads = append(payloads, open)
			open = nil
		}
	}
	for i := range items {
		it := &items[i]
		if it.Size() > room {
			flush()
			for at := 0; at < len(it.Value); {
				part, err := wire.NextFragment(it, at, room)
				if err != nil {
					t.Fatal(err)
				}
				payloads = append(payloads, encode(t, nil, &part))
				at += len(part.Value)
			}
			continue
		}
		if len(open)+it.Size() > room {
			flush()
		}
		open = encode(t, open, it)
	}
	flush()
	return payloads
}
