package store

import (
	"bytes"
	"testing"

	"metronome/system/wire"
)

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]Config{
		"slots no power of two": {Slots: 100},
		"slots below one":       {Slots: -4},
		"too many slots":        {Slots: 1 << 17},
		"too many parts":        {Parts: 65},
		"parts below one":       {Parts: -1},
		"more parts than slots": {Slots: 2, Parts: 3},
		"sessions":              {MaxSessions: -1},
		"window":                {SessionWindow: 1 << 20},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	s := newStore(t, Config{Slots: 1})
	if s.Len() != 0 || s.Index() != 0 || len(s.Apply(&Batch{})) != 0 {
		t.Error("a new store is not empty")
	}
}

// I4: a batch at an index that was applied is a fault of the caller, and must not pass.
func TestI4ABatchIsAppliedOnce(t *testing.T) {
	d := drive(t, Config{})
	d.do(put("k", "v"))
	defer func() {
		if recover() == nil {
			t.Error("applied twice")
		}
	}()
	d.s.Apply(&Batch{Index: 1, Spans: []Span{{}}})
}

// Without being asked, a replica executes no reads, but they take an index, and writes are answered.
func TestOnlyTheAskedReplicaReads(t *testing.T) {
	items := []wire.Item{put("a", "1"), get("a"), scanItem("", wire.ScanArgs{Limit: 1}), {Op: wire.OpCount},
		{Op: wire.OpMulti, Value: encode(t, nil, &wire.Item{Op: wire.OpGet, Key: []byte("a")})}, incr("a", 1)}
	asked, other := newStore(t, Config{}), newStore(t, Config{})
	b := Batch{Index: 1, Spans: []Span{{First: 40, Payloads: pack(t, items, 1300), Answer: true}}}
	if n := len(asked.Apply(&b)); n != 5 {
		t.Errorf("asked: %d answers", n)
	}
	b.Spans[0].Answer = false
	got := other.Apply(&b)
	if len(got) != 1 || got[0].Number != 45 || got[0].Index != 6 || got[0].Result.Number != 2 {
		t.Errorf("not asked: %+v", got)
	}
	if asked.Hash() != other.Hash() || other.Index() != 6 {
		t.Error("the states differ")
	}
}

// R27: a multi is one item: one index, its operations in sequence, across all parts.
func TestR27AMultiIsOneItem(t *testing.T) {
	d := drive(t, Config{Parts: 8})
	var value []byte
	remove := wire.Item{Op: wire.OpDelete, Key: []byte("a")}
	for _, it := range []wire.Item{put("a", "1"), get("a"), put("b", "2"), remove, get("a")} {
		value = encode(t, value, &it)
	}
	r := d.do(wire.Item{Op: wire.OpMulti, Value: value})
	want := []wire.Result{{Revision: 1}, {Revision: 1, Number: 1, Value: []byte("1")}, {Revision: 1},
		{Existed: true}, {Status: wire.StatusNotFound}}
	b := r.Value
	for i := range want {
		var got wire.Result
		n, ok := wire.DecodeResult(b, &got)
		if !ok || !same(&got, &want[i]) {
			t.Errorf("operation %d: %+v, want %+v", i, got, want[i])
		}
		b = b[n:]
	}
	if r.Number != 4 || len(b) != 0 || d.s.Index() != 1 {
		t.Errorf("%d fine, %d bytes more, index %d", r.Number, len(b), d.s.Index())
	}
}

// A read of many large values is bounded: what does not fit says so.
func TestAMultiBeyondTheReplyBound(t *testing.T) {
	d := drive(t, Config{MaxReplyBytes: 3000})
	var value []byte
	for _, k := range []string{"a", "b", "c"} {
		d.do(put(k, string(make([]byte, 1400))))
		it := get(k)
		value = encode(t, value, &it)
	}
	r := d.do(wire.Item{Op: wire.OpMulti, Value: value})
	var last wire.Result
	for b := r.Value; len(b) > 0; {
		n, _ := wire.DecodeResult(b, &last)
		b = b[n:]
	}
	if last.Status != wire.StatusTooLong || last.Revision != 3 || r.Number != 2 {
		t.Errorf("the third: %+v, %d fine", last, r.Number)
	}
}

// Frames are checked on arrival; should anything broken come this far, it is the same everywhere.
func TestMalformedItemsAreAnsweredAsSuch(t *testing.T) {
	large := put("k", string(make([]byte, 3000)))
	frags := pack(t, []wire.Item{large}, 1300)
	fine := encode(t, nil, &wire.Item{Op: wire.OpCount})
	bad := func(it wire.Item) []byte { return encode(t, nil, &it) }
	nested := bad(wire.Item{Op: wire.OpMulti, Value: bad(wire.Item{Op: wire.OpCount})})
	scan := bad(wire.Item{Op: wire.OpScan, Value: make([]byte, 16)})
	const ok, no = wire.StatusOK, wire.StatusMalformed
	for name, c := range map[string]struct {
		payloads [][]byte
		want     []wire.Status
	}{
		"garbage":               {[][]byte{{0xff, 1, 2}, fine}, []wire.Status{no, ok}},
		"garbage after an item": {[][]byte{append(bytes.Clone(fine), 9), fine}, []wire.Status{ok, no, ok}},
		"first fragment only":   {[][]byte{frags[0], fine}, []wire.Status{no, ok}},
		"last fragment only":    {[][]byte{frags[2], fine}, []wire.Status{no, ok}},
		"a gap in fragments":    {[][]byte{frags[0], frags[2], fine}, []wire.Status{no, no, ok}},
		"fragments begun twice": {[][]byte{frags[0], frags[0], frags[1], frags[2], fine}, []wire.Status{no, ok}},
		"unfinished at the end": {[][]byte{fine, frags[0], frags[1]}, []wire.Status{ok, no}},
		"count in a multi":      {[][]byte{nested, fine}, []wire.Status{no, ok}},
		"scan of nothing":       {[][]byte{scan, fine}, []wire.Status{no, ok}},
	} {
		s := newStore(t, Config{Parts: 3})
		got := s.Apply(&Batch{Index: 1, Spans: []Span{{Payloads: c.payloads, Answer: true}}})
		var statuses []wire.Status
		for i := range got {
			statuses = append(statuses, got[i].Result.Status)
		}
		if !bytes.Equal(asBytes(statuses), asBytes(c.want)) {
			t.Errorf("%s: %v, want %v", name, statuses, c.want)
		}
	}
}

func asBytes(st []wire.Status) (b []byte) {
	for _, s := range st {
		b = append(b, byte(s))
	}
	return b
}

// R26: reads between batches see the state of the last one and change nothing.
func TestReadsBetweenBatches(t *testing.T) {
	d := drive(t, Config{Parts: 3})
	d.do(put("a", "1"))
	d.do(put("b", "22"))
	hash := d.s.Hash()
	stat := get("b")
	stat.Stat = true
	first := get("a")
	both := wire.Item{Op: wire.OpMulti, Value: encode(t, encode(t, nil, &first), &stat)}
	items := []wire.Item{first, stat, get("c"), {Op: wire.OpCount}, scanItem("", wire.ScanArgs{Limit: 9}), both,
		put("a", "2")}
	var payloads [][]byte
	for i := range items {
		if i%3 == 0 {
			payloads = append(payloads, nil)
		}
		last := &payloads[len(payloads)-1]
		*last = encode(t, *last, &items[i])
	}
	payloads[1] = append(payloads[1], "no item"...)
	got := d.s.Read(payloads)
	if len(got) != len(items) {
		t.Fatalf("%d answers to %d reads", len(got), len(items))
	}
	for i, want := range []wire.Result{{Revision: 1, Number: 1, Value: []byte("1")}, {Revision: 2, Number: 2},
		{Status: wire.StatusNotFound}, {Number: 2}, {Number: 2, Value: got[4].Result.Value},
		{Number: 2, Value: got[5].Result.Value}, {Status: wire.StatusMalformed}} {
		if a := &got[i]; !same(&a.Result, &want) || a.Index != 2 || a.Span != i/3 ||
			a.Number != uint64(i%3) {
			t.Errorf("read %d: %+v, want %+v", i, *a, want)
		}
	}
	if d.s.Hash() != hash || d.s.Index() != 2 {
		t.Error("reading changed the state")
	}
}

// FuzzPrepare: whatever a payload holds, stores that differ in their number of parts agree, and nothing
// panics.
func FuzzPrepare(f *testing.F) {
	w := newWorkload(1)
	for range 20 {
		items := make([]wire.Item, 30)
		for i := range items {
			items[i] = w.item(f)
		}
		payloads := pack(f, items, 1300)
		f.Add(payloads[0], payloads[len(payloads)-1])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		one, four := newStore(t, small(1)), newStore(t, small(4))
		open := encode(t, nil, &wire.Item{Op: wire.OpSession})
		batch := Batch{Index: 1, Time: 1, Spans: []Span{{Payloads: [][]byte{open, open}},
			{Payloads: [][]byte{a, b}, Answer: true}, {Payloads: [][]byte{b, a}}}}
		want := four.Apply(&batch)
		got := one.Apply(&batch)
		if len(got) != len(want) || one.Hash() != four.Hash() || one.Index() != four.Index() {
			t.Fatalf("%d and %d answers, hashes %x and %x", len(got), len(want), one.Hash(), four.Hash())
		}
		for i := range got {
			if !same(&got[i].Result, &want[i].Result) || got[i].Index != want[i].Index {
				t.Fatalf("answer %d: %s and %s", i, show(&got[i]), show(&want[i]))
			}
		}
		verify(t, one)
		verify(t, four)
	})
}
