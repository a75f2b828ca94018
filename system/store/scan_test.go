package store

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"metronome/system/wire"
)

func scanItem(prefix string, a wire.ScanArgs) wire.Item {
	return wire.Item{Op: wire.OpScan, Key: []byte(prefix), Value: wire.AppendScan(nil, &a)}
}

func entries(t testing.TB, r wire.Result) (keys []string) {
	t.Helper()
	for b := r.Value; len(b) > 0; {
		var e wire.ScanEntry
		n, ok := wire.DecodeScanEntry(b, &e)
		if !ok {
			t.Fatal("an entry cannot be decoded")
		}
		keys = append(keys, string(e.Key))
		b = b[n:]
	}
	if int64(len(keys)) != r.Number {
		t.Fatalf("%d entries, Number says %d", len(keys), r.Number)
	}
	return keys
}

// R27: SCAN's cursor is stateless and survives growth: what is there from beginning to end is returned,
// whatever comes and goes meanwhile.
func TestR27AScanByHashMissesNothing(t *testing.T) {
	d := drive(t, Config{Slots: 16, Parts: 4})
	for n := range 5000 {
		d.do(put(fmt.Sprint("stays-", n), "v"))
	}
	seen := map[string]bool{}
	for a, round := (wire.ScanArgs{Limit: 70, Order: wire.ScanByHash}), 0; ; round++ {
		r := d.do(scanItem("stays-", a))
		for _, k := range entries(t, r) {
			seen[k] = true
		}
		var batch []wire.Item
		for n := range 300 {
			batch = append(batch, put(fmt.Sprint("comes-", round, "-", n), "v"),
				wire.Item{Op: wire.OpDelete, Key: fmt.Append(nil, "comes-", round-2, "-", n)})
		}
		d.together(batch...)
		if a.Cursor = r.Revision; r.More != (a.Cursor != 0) {
			t.Fatalf("More is %v at cursor %d", r.More, a.Cursor)
		}
		if a.Cursor == 0 {
			break
		}
	}
	if len(seen) != 5000 {
		t.Errorf("%d of 5000 keys seen", len(seen))
	}
}

// A prefix nobody has costs a bounded effort a call, and the same whatever the number of parts.
func TestAScanByHashStopsAfterSomeEffort(t *testing.T) {
	one, three := drive(t, Config{Slots: 256}), drive(t, Config{Slots: 256, Parts: 3})
	for n := 0; n < 3*scanEffort; {
		var batch []wire.Item
		for range 5000 {
			batch = append(batch, put(fmt.Sprint(n), ""))
			n++
		}
		one.together(batch...)
		three.together(batch...)
	}
	calls := 0
	for a := (wire.ScanArgs{Limit: 10, Order: wire.ScanByHash}); ; calls++ {
		r, same := one.do(scanItem("no", a)), three.do(scanItem("no", a))
		if r.Revision != same.Revision {
			t.Fatalf("cursors %x and %x", r.Revision, same.Revision)
		}
		if a.Cursor = r.Revision; a.Cursor == 0 {
			break
		}
	}
	if calls < 2 || calls > 4 {
		t.Errorf("%d calls for 3 times the effort of one", calls)
	}
}

// collision returns two keys of 16 bytes with one hash under the given seed: XXH3 of 9 to 16 bytes
// multiplies the two halves, so a half that is its secret hides the product.
func collision(seed, x uint64) (a, b []byte) {
	const k24, k32, k40, k48 = 0x1f67b3b7a4a44072, 0x78e5c0cc4ee679cb, 0x2172ffcc7dd05a82, 0x8e2443f7744608b8
	lo, hi := uint64(k24^k32)+seed, uint64(k40^k48)-seed
	le := binary.LittleEndian
	a = le.AppendUint64(le.AppendUint64(nil, lo), x^hi)
	return a, le.AppendUint64(le.AppendUint64(nil, bits.ReverseBytes64(x)^lo), hi)
}

// Goal: keys with one hash live side by side, and a scan by hash never parts them, since its cursor
// could not come back between them.
func TestEqualHashes(t *testing.T) {
	d := drive(t, Config{Seed: 77})
	for x := range uint64(20) {
		a, b := collision(77, x<<40+3)
		if d.s.parts[0].hashOf(a) != d.s.parts[0].hashOf(b) {
			t.Fatal("no collision")
		}
		d.do(put(string(a), fmt.Sprint("a", x)))
		d.do(put(string(b), fmt.Sprint("b", x)))
	}
	var all []string
	for args := (wire.ScanArgs{Limit: 1, Order: wire.ScanByHash}); ; {
		r := d.do(scanItem("", args))
		keys := entries(t, r)
		if len(keys) != 2 && r.More { // the last page may be empty
			t.Fatalf("%d keys where two have one hash", len(keys))
		}
		all = append(all, keys...)
		if args.Cursor = r.Revision; args.Cursor == 0 {
			break
		}
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != 40 {
		t.Errorf("%d of 40 keys", len(all))
	}
	a, b := collision(77, 3)
	d.do(wire.Item{Op: wire.OpDelete, Key: a})
	d.expect("one deleted", d.do(get(string(a))), wire.StatusNotFound, 0, "")
	d.expect("the other", d.do(get(string(b))), wire.StatusOK, 2, "b0")
	verify(t, d.s)
}

// Puts pay nothing for the ordered index before the first scan, and it goes when nobody scans any more.
func TestOrderedIndexIsLazy(t *testing.T) {
	d := drive(t, Config{})
	fill := func(what string, n int) {
		var batch []wire.Item
		for i := range n {
			batch = append(batch, put(fmt.Sprint(what, i), "v"))
		}
		d.together(batch...)
	}
	fill("a", 2000)
	if n := d.s.Stats().Ordered; n != 0 {
		t.Fatalf("%d keys in the index before a scan", n)
	}
	first := wire.ScanArgs{Limit: 3}
	if got := entries(t, d.do(scanItem("a19", first))); !slices.Equal(got, []string{"a19", "a190", "a1900"}) {
		t.Errorf("scanned %q", got)
	}
	fill("b", 10)
	if n := d.s.Stats().Ordered; n != 2010 {
		t.Errorf("%d keys in the index", n)
	}
	for range 8 { // all new keys are deleted again, so that the state does not grow
		fill("c", 1000)
		var batch []wire.Item
		for i := range 1000 {
			batch = append(batch, wire.Item{Op: wire.OpDelete, Key: fmt.Append(nil, "c", i)})
		}
		d.together(batch...)
		if n := d.s.Stats().Ordered; n > 2*d.s.Len()+5000 {
			t.Fatalf("%d keys in the index, %d in the store", n, d.s.Len())
		}
	}
	if n := d.s.Stats().Ordered; n != 0 {
		t.Errorf("%d keys in an index that nobody uses", n)
	}
	if got := entries(t, d.do(scanItem("b", first))); !slices.Equal(got, []string{"b0", "b1", "b2"}) {
		t.Errorf("scanned %q", got)
	}
}

// Keys that come and go where nobody scans do not pile up in the index either.
func TestTheIndexForgetsDeletedKeys(t *testing.T) {
	d := drive(t, Config{})
	d.do(put("a", ""))
	for round := range 50 {
		var puts, deletes []wire.Item
		for i := range 500 {
			puts = append(puts, put(fmt.Sprint("b", round, "-", i), ""))
			deletes = append(deletes, wire.Item{Op: wire.OpDelete, Key: fmt.Append(nil, "b", round, "-", i)})
		}
		d.together(puts...)
		d.do(scanItem("a", wire.ScanArgs{Limit: 1}))
		d.together(deletes...)
		if n := d.s.Stats().Ordered; n > 4000 {
			t.Fatalf("%d keys in the index, %d in the store", n, d.s.Len())
		}
	}
}

// Many deleted keys in a scan's way are passed once or twice, then the index is built without them.
func TestDeletedKeysDoNotStayInTheWay(t *testing.T) {
	d := drive(t, Config{})
	var puts, deletes []wire.Item
	for i := range 4000 {
		k := fmt.Sprintf("a%04d", i)
		puts = append(puts, put(k, ""), put("b"+k, ""))
		deletes = append(deletes, wire.Item{Op: wire.OpDelete, Key: []byte(k)})
	}
	d.together(puts...)
	scan := scanItem("a", wire.ScanArgs{Limit: 1})
	d.do(scan)
	d.together(deletes...)
	for range 5 {
		d.expect("nothing is left", d.do(scan), wire.StatusOK, 0, "")
	}
	if n := d.s.Stats().Ordered; n != 4000 {
		t.Errorf("%d keys in the index, 4000 in the store", n)
	}
}
