package wire

import (
	"bytes"
	"testing"
)

// Open never panics or reads outside, and whatever it accepts decodes item by item to its end and
// encodes back to the same bytes.
func FuzzOpen(f *testing.F) {
	d := testDigester(f, ModeNone)
	frame, _ := sampleFrame(f, d)
	f.Add(frame)
	f.Add(frame[:HeaderSize])
	part, _ := NextFragment(&Item{Op: OpPut, Key: []byte("k"), Value: make([]byte, 4000)}, 0, 500)
	fragment, _ := AppendItem(make([]byte, HeaderSize), &part)
	_ = Seal(fragment, &Header{Type: TypeData, Cluster: sampleHeader().Cluster}, d)
	f.Add(fragment)
	o := Opener{Cluster: sampleHeader().Cluster, Digest: d}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Header
		if o.Open(b, &h) != OK {
			return
		}
		items, completed := b[HeaderSize:], 0
		var again []byte
		for len(items) > 0 {
			var it Item
			n, ok := DecodeItem(items, &it)
			if !ok {
				t.Fatalf("Open accepted an item DecodeItem refuses: % x", items)
			}
			if it.Completes() {
				completed++
			}
			var err error
			if again, err = AppendItem(again, &it); err != nil {
				t.Fatal(err)
			}
			items = items[n:]
		}
		if !bytes.Equal(again, b[HeaderSize:]) {
			t.Fatal("encode∘decode is not the identity on items")
		}
		if completed != int(h.Count) {
			t.Fatalf("%d items completed, header says %d", completed, h.Count)
		}
		head := make([]byte, HeaderSize)
		h.Put(head)
		if !bytes.Equal(head, b[:HeaderSize]) {
			t.Fatal("encode∘decode is not the identity on headers")
		}
	})
}

func FuzzItemRoundTrip(f *testing.F) {
	f.Add(byte(1), []byte("k"), []byte("v"), true, uint64(1), uint64(2), uint64(3), true, uint32(9), uint32(0))
	f.Fuzz(func(t *testing.T, op byte, key, value []byte, session bool, sid, num, expect uint64,
		fragment bool, total, offset uint32) {
		in := Item{Op: Op(op), Key: key, Value: value, HasSession: session, Fragment: fragment}
		if session {
			in.Session, in.Number = sid, num
		}
		if in.Op == OpCAS {
			in.Expect = expect
		}
		if fragment {
			in.Total, in.Offset = total, offset
		}
		b, err := AppendItem(nil, &in)
		var out Item
		n, ok := DecodeItem(b, &out)
		if (err == nil) != ok {
			t.Fatalf("AppendItem: %v, DecodeItem: %v", err, ok)
		}
		if !ok {
			return
		}
		if n != len(b) || !bytes.Equal(in.Key, out.Key) || !bytes.Equal(in.Value, out.Value) {
			t.Fatalf("%+v became %+v", in, out)
		}
		in.Key, in.Value, out.Key, out.Value = nil, nil, nil, nil
		if in.Session != out.Session || in.Number != out.Number || in.Expect != out.Expect ||
			in.Total != out.Total || in.Offset != out.Offset || in.Op != out.Op {
			t.Fatalf("%+v became %+v", in, out)
		}
	})
}

// With a digest on, no single flipped bit of any frame is accepted.
func FuzzFlippedBit(f *testing.F) {
	f.Add([]byte("value"), byte(1), uint16(3))
	f.Fuzz(func(t *testing.T, value []byte, mode byte, bit uint16) {
		d := testDigester(t, Mode(mode%4)+1)
		frame, err := AppendItem(make([]byte, HeaderSize), &Item{Op: OpPut, Key: []byte("k"), Value: value})
		frame = append(frame, make([]byte, d.Mode().Overhead())...)
		if err != nil || len(frame) > MaxFrame {
			return
		}
		h := Header{Type: TypeData, Count: 1}
		if err := Seal(frame, &h, d); err != nil {
			t.Fatal(err)
		}
		o := Opener{Digest: d}
		if c := o.Open(frame, &h); c != OK {
			t.Fatal(c)
		}
		i := int(bit) % (len(frame) * 8)
		frame[i/8] ^= 1 << (i % 8)
		if o.Open(frame, &h) == OK {
			t.Fatalf("bit %d of %d bytes flipped and accepted", i, len(frame))
		}
	})
}
