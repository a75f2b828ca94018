package wire

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// secretFrame seals one put of a value in mode aead.
func secretFrame(t testing.TB, d *Digester, h Header, value []byte) []byte {
	t.Helper()
	frame, err := AppendItem(make([]byte, HeaderSize), &Item{Op: OpPut, Key: []byte("a key"), Value: value})
	if err != nil {
		t.Fatal(err)
	}
	frame = append(frame, make([]byte, d.Mode().Overhead())...)
	h.Type, h.Count = TypeData, 1
	if err := Seal(frame, &h, d); err != nil {
		t.Fatal(err)
	}
	return frame
}

// mustOpen opens a frame and returns its item.
func mustOpen(t testing.TB, d *Digester, frame []byte) (it Item) {
	t.Helper()
	o := Opener{Digest: d}
	var h Header
	if c := o.Open(frame, &h); c != OK {
		t.Fatalf("a sealed frame: %s", c)
	}
	if n, ok := DecodeItem(Items(o.Opened(frame, &h)), &it); !ok || n != it.Size() {
		t.Fatal("its item cannot be read")
	}
	return it
}

func TestSealedItemsCannotBeRead(t *testing.T) {
	d, value := testDigester(t, ModeAEAD), bytes.Repeat([]byte("nobody may see this "), 10)
	frame := secretFrame(t, d, Header{}, value)
	before := bytes.Clone(frame)
	for _, plain := range [][]byte{value[:8], []byte("a key")} {
		if bytes.Contains(frame, plain) {
			t.Errorf("%q is on the wire", plain)
		}
	}
	it := mustOpen(t, testDigester(t, ModeAEAD), frame)
	if !bytes.Equal(it.Value, value) || string(it.Key) != "a key" {
		t.Errorf("opened: %+v", it)
	}
	if !bytes.Equal(frame, before) {
		t.Error("opening a frame changed it")
	}
	if got := d.Unsealed(frame); len(got) != it.Size() || !bytes.Contains(got, value) {
		t.Errorf("unsealed: %q", got)
	}
	frame[HeaderSize]++
	if d.Unsealed(frame) != nil {
		t.Error("a forged frame was unsealed")
	}
}

// Frames with equal items differ in all of their bytes' secrets: no two lives, lanes, numbers or salts share
// a key and a nonce.
func TestNoNonceServesTwice(t *testing.T) {
	d, value := testDigester(t, ModeAEAD), make([]byte, 64)
	base := Header{Cluster: 1, Proxy: 2, Incarnation: 3, Lane: 4, Frame: 5}
	seen := map[string]string{}
	note := func(name string, h Header) {
		frame := secretFrame(t, d, h, value)
		secret := string(frame[HeaderSize : HeaderSize+64])
		if was, ok := seen[secret]; ok {
			t.Errorf("%s and %s are under one key and nonce", name, was)
		}
		seen[secret] = name
	}
	note("base", base)
	for name, change := range map[string]func(*Header){
		"cluster":     func(h *Header) { h.Cluster++ },
		"proxy":       func(h *Header) { h.Proxy++ },
		"incarnation": func(h *Header) { h.Incarnation++ },
		"lane":        func(h *Header) { h.Lane++ },
		"frame":       func(h *Header) { h.Frame++ },
		"high frame":  func(h *Header) { h.Frame += 1 << 40 },
	} {
		h := base
		change(&h)
		note(name, h)
	}
	d.SetSalt(77)
	note("salt", base)
}

// A repair is the frame that was sent: what GCM saw is byte for byte the same, however often it is opened
// and sealed again, and only the header's flag, marks and digest are new.
func TestResealedIsWhatWasSent(t *testing.T) {
	sender, d := testDigester(t, ModeAEAD), testDigester(t, ModeAEAD)
	sender.SetSalt(0x1234)
	d.SetSalt(0x9999) // whoever repairs has a salt of its own, and does not use it
	frame := secretFrame(t, sender, Header{Frame: 9, Tail: 1, HighWater: 9}, []byte("value"))
	for i := range uint64(3) {
		o := Opener{Digest: d}
		var h Header
		if c := o.Open(frame, &h); c != OK {
			t.Fatal(c)
		}
		again := bytes.Clone(o.Opened(frame, &h))
		Restamp(again, 100+i, 50+i, d)
		d.Reseal(again)
		if !bytes.Equal(again[HeaderSize:], frame[HeaderSize:]) || !bytes.Equal(again[56:64], frame[56:64]) {
			t.Fatal("a repair is not what was sent")
		}
		if c := o.Open(again, &h); c != OK || h.Flags&FlagRepair == 0 || h.HighWater != 100+i {
			t.Fatalf("the repair: %s, %+v", c, h)
		}
		frame = again
	}
}

func TestForgedTailIsRefused(t *testing.T) {
	d := testDigester(t, ModeAEAD)
	for name, mangle := range map[string]func(f []byte) []byte{
		"other items":  func(f []byte) []byte { f[HeaderSize]++; return f },
		"other tag":    func(f []byte) []byte { f[len(f)-tailSize]++; return f },
		"other salt":   func(f []byte) []byte { f[len(f)-1]++; return f },
		"no tail":      func(f []byte) []byte { return f[:HeaderSize+tailSize-1] },
		"no items":     func(f []byte) []byte { return f[:HeaderSize+tailSize] },
		"other number": func(f []byte) []byte { f[24]++; return f },
	} {
		f := mangle(secretFrame(t, d, Header{}, []byte("value")))
		binary.LittleEndian.PutUint16(f[22:], uint16(len(f)-HeaderSize))
		// Whoever did this can compute MACs, and still cannot move a tag.
		binary.LittleEndian.PutUint64(f[56:], d.Payload(f[max(HeaderSize, len(f)-tailSize):]))
		binary.LittleEndian.PutUint64(f[DigestOffset:], d.Header(f))
		var h Header
		if c := (&Opener{Digest: d}).Open(f, &h); c != BadPayload && c != BadLength {
			t.Errorf("%s: %s", name, c)
		}
	}
}

// More lives than keys are remembered all open, again and again.
func TestManyLives(t *testing.T) {
	d := testDigester(t, ModeAEAD)
	for range 2 {
		for life := range uint32(aeadLives + 9) {
			mustOpen(t, d, secretFrame(t, testDigester(t, ModeAEAD), Header{Incarnation: life}, []byte("value")))
		}
	}
	if len(d.active.sealer.lives) != aeadLives {
		t.Errorf("%d keys are remembered, at most %d may be", len(d.active.sealer.lives), aeadLives)
	}
}

func TestControlFramesAreNotEncrypted(t *testing.T) {
	d := testDigester(t, ModeAEAD)
	gaps := []Gap{{From: 3, To: 5}}
	nack := AppendGaps(make([]byte, HeaderSize), gaps)
	beat := make([]byte, HeaderSize)
	for kind, frame := range map[Type][]byte{TypeNack: nack, TypeHeartbeat: beat} {
		h := Header{Type: kind}
		if err := Seal(frame, &h, d); err != nil {
			t.Fatal(err)
		}
		if c := (&Opener{Digest: d}).Open(frame, &h); c != OK {
			t.Errorf("type %d: %s", kind, c)
		}
	}
	if got, ok := DecodeGaps(nack[HeaderSize:], make([]Gap, 0, 1)); !ok || got[0] != gaps[0] {
		t.Errorf("gaps: %v, %v", got, ok)
	}
}

func TestSealingAllocatesNothing(t *testing.T) {
	d := testDigester(t, ModeAEAD)
	h := Header{Type: TypeData, Count: 1, Frame: 1}
	frame := secretFrame(t, d, h, make([]byte, 1000))
	plain := bytes.Clone(Items((&Opener{Digest: d}).opened(t, frame)))
	o := Opener{Digest: d}
	n := testing.AllocsPerRun(100, func() {
		copy(frame[HeaderSize:], plain)
		if err := Seal(frame, &h, d); err != nil {
			t.Fatal(err)
		}
		if c := o.Open(frame, &h); c != OK {
			t.Fatal(c)
		}
		d.Reseal(o.Opened(frame, &h))
	})
	if n != 0 {
		t.Errorf("%g allocations a frame", n)
	}
}

func (o *Opener) opened(t testing.TB, frame []byte) []byte {
	t.Helper()
	var h Header
	if c := o.Open(frame, &h); c != OK {
		t.Fatal(c)
	}
	return o.Opened(frame, &h)
}

// Whatever is sealed opens to itself and hides what it holds; whatever else stands under right MACs is
// refused, and nothing is read outside.
func FuzzSealed(f *testing.F) {
	f.Add([]byte("a value nobody may see"), uint32(1), uint16(2), uint64(3), uint64(4), []byte("payload"))
	f.Fuzz(func(t *testing.T, value []byte, life uint32, lane uint16, number, salt uint64, forged []byte) {
		if len(value) > 1000 || len(forged) > MaxPayload {
			return
		}
		d := testDigester(t, ModeAEAD)
		d.SetSalt(salt)
		frame := secretFrame(t, d, Header{Incarnation: life, Lane: lane, Frame: number}, value)
		if len(value) >= 8 && bytes.Contains(frame[HeaderSize:], value) {
			t.Fatalf("%q is on the wire", value)
		}
		if it := mustOpen(t, testDigester(t, ModeAEAD), frame); !bytes.Equal(it.Value, value) {
			t.Fatalf("%q became %q", value, it.Value)
		}
		forged = append(bytes.Clone(frame[:HeaderSize]), forged...)
		binary.LittleEndian.PutUint16(forged[22:], uint16(len(forged)-HeaderSize))
		binary.LittleEndian.PutUint64(forged[56:], d.Payload(forged[max(HeaderSize, len(forged)-tailSize):]))
		binary.LittleEndian.PutUint64(forged[DigestOffset:], d.Header(forged))
		var h Header
		if c := (&Opener{Digest: d}).Open(forged, &h); c == OK && !bytes.Equal(forged, frame) {
			t.Fatal("a forged payload was opened")
		}
	})
}
