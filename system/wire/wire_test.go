package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/xxh3"
)

func TestAnyFlippedBitIsRejected(t *testing.T) {
	for _, m := range []Mode{ModeXXH3, ModeCRC32C, ModeMAC, ModeAEAD} {
		d := testDigester(t, m)
		frame, _ := sampleFrame(t, d)
		o := Opener{Cluster: sampleHeader().Cluster, Digest: d}
		var h Header
		if c := o.Open(frame, &h); c != OK {
			t.Fatalf("%s: the whole frame: %s", m, c)
		}
		for bit := range len(frame) * 8 {
			frame[bit/8] ^= 1 << (bit % 8)
			if c := o.Open(frame, &h); c == OK {
				t.Errorf("%s: bit %d flipped and accepted", m, bit)
			}
			frame[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestCauses(t *testing.T) {
	d := testDigester(t, ModeXXH3)
	other, err := NewDigester(ModeXXH3, []byte("another key"))
	if err != nil {
		t.Fatal(err)
	}
	reseal := func(f []byte) {
		binary.LittleEndian.PutUint64(f[56:], d.Payload(f[HeaderSize:]))
		binary.LittleEndian.PutUint64(f[DigestOffset:], d.Header(f))
	}
	for _, c := range []struct {
		name   string
		mangle func(f []byte) []byte
		want   Cause
	}{
		{"whole", func(f []byte) []byte { return f }, OK},
		{"empty", func([]byte) []byte { return nil }, BadShort},
		{"one byte short of a header", func(f []byte) []byte { return f[:HeaderSize-1] }, BadShort},
		{"garbage", func(f []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(f)) }, BadMagic},
		{"next version", func(f []byte) []byte { f[2]++; reseal(f); return f }, BadVersion},
		{"foreign cluster", func(f []byte) []byte { f[8]++; reseal(f); return f }, BadCluster},
		{"digest switched off by a stranger", func(f []byte) []byte { f[4] = 0; return f }, BadMode},
		{"truncated", func(f []byte) []byte { return f[:len(f)-1] }, BadLength},
		{"trailing byte", func(f []byte) []byte { return append(f, 0) }, BadLength},
		{"longer than a frame may be", func(f []byte) []byte {
			f = append(f, make([]byte, MaxFrame)...)
			binary.LittleEndian.PutUint16(f[22:], uint16(len(f)-HeaderSize))
			reseal(f)
			return f
		}, BadLength},
		{"another cluster's key", func(f []byte) []byte {
			h := sampleHeader()
			if err := Seal(f, &h, other); err != nil {
				t.Fatal(err)
			}
			return f
		}, BadDigest},
		{"unknown type", func(f []byte) []byte { f[3] = 9; reseal(f); return f }, BadType},
		{"heartbeat with items", func(f []byte) []byte {
			f[3] = byte(TypeHeartbeat)
			reseal(f)
			return f
		}, BadLength},
		{"payload changed", func(f []byte) []byte { f[HeaderSize+12]++; return f }, BadPayload},
		{"unknown op", func(f []byte) []byte { f[HeaderSize] = 77; reseal(f); return f }, BadItem},
		{"unknown item flag", func(f []byte) []byte { f[HeaderSize+1] = 64; reseal(f); return f }, BadItem},
		{"empty key", func(f []byte) []byte { f[HeaderSize+2] = 0; reseal(f); return f }, BadItem},
		{"key past the end", func(f []byte) []byte { f[HeaderSize+3] = 2; reseal(f); return f }, BadItem},
		{"value past the end", func(f []byte) []byte { f[HeaderSize+7] = 0xff; reseal(f); return f }, BadItem},
		{"more items announced", func(f []byte) []byte { f[20]++; reseal(f); return f }, BadItem},
		{"fewer items announced", func(f []byte) []byte { f[20]--; reseal(f); return f }, BadItem},
		{"data without items", func(f []byte) []byte {
			f = f[:HeaderSize]
			f[20], f[22], f[23] = 0, 0, 0
			reseal(f)
			return f
		}, BadItem},
	} {
		t.Run(c.name, func(t *testing.T) {
			frame, _ := sampleFrame(t, d)
			o := Opener{Cluster: sampleHeader().Cluster, Digest: d}
			var h Header
			if got := o.Open(c.mangle(frame), &h); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestRestampKeepsPayloadAndMovesMarks(t *testing.T) {
	d := testDigester(t, ModeMAC)
	frame, before := sampleFrame(t, d)
	Restamp(frame, 1000, 900, d)
	o := Opener{Cluster: before.Cluster, Digest: d}
	var h Header
	if c := o.Open(frame, &h); c != OK {
		t.Fatal(c)
	}
	if h.Flags&FlagRepair == 0 || h.HighWater != 1000 || h.Tail != 900 ||
		h.PayloadHash != before.PayloadHash {
		t.Errorf("restamped header: %+v", h)
	}
}

func TestItemsRoundTrip(t *testing.T) {
	for _, want := range []Item{
		{Op: OpPut, Key: []byte("k"), Value: []byte{}},
		{Op: OpPut, Key: bytes.Repeat([]byte("k"), MaxKey), Value: []byte("v")},
		{Op: OpGet, Key: []byte("k"), Value: []byte{}},
		{Op: OpDelete, Key: []byte("k"), Value: []byte{}, HasSession: true, Session: 1, Number: 2},
		{Op: OpCAS, Key: []byte("k"), Value: []byte("v"), Expect: 3},
		{Op: OpCAS, Key: []byte("k"), Value: []byte("v"), Expect: 3, HasSession: true, Session: 4,
			Number: 5, Fragment: true, Total: 100, Offset: 99},
	} {
		b, err := AppendItem([]byte("before"), &want)
		if err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		b = b[len("before"):]
		var got Item
		n, ok := DecodeItem(append(b, "after"...), &got)
		if !ok || n != len(b) || n != want.Size() {
			t.Fatalf("%+v: decoded %v, %d bytes of %d, Size %d", want, ok, n, len(b), want.Size())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAppendItemRefuses(t *testing.T) {
	for name, it := range map[string]Item{
		"no op":               {Key: []byte("k")},
		"unknown op":          {Op: 5, Key: []byte("k")},
		"no key":              {Op: OpPut},
		"long key":            {Op: OpPut, Key: make([]byte, MaxKey+1)},
		"long value":          {Op: OpPut, Key: []byte("k"), Value: make([]byte, MaxValue+1)},
		"get with a value":    {Op: OpGet, Key: []byte("k"), Value: []byte("v")},
		"delete in fragments": {Op: OpDelete, Key: []byte("k"), Fragment: true, Total: 1},
		"fragment past its value": {Op: OpPut, Key: []byte("k"), Value: []byte("v"), Fragment: true,
			Total: 1, Offset: 1},
		"empty fragment": {Op: OpPut, Key: []byte("k"), Fragment: true, Total: 1},
	} {
		if b, err := AppendItem([]byte("x"), &it); err == nil || string(b) != "x" {
			t.Errorf("%s: appended %q, error %v", name, b, err)
		}
	}
}

// A value of 1 MiB crosses in fragments, is one item, and comes together byte for byte.
func TestFragmentsOfTheLargestValue(t *testing.T) {
	value := make([]byte, MaxValue)
	for i := range value {
		value[i] = byte(i * 31)
	}
	whole := Item{Op: OpPut, Key: bytes.Repeat([]byte("k"), MaxKey), Value: value}
	d := testDigester(t, ModeXXH3)
	o := Opener{Digest: d}
	var got []byte
	for frameNo := uint64(0); len(got) < len(value); frameNo++ {
		part, err := NextFragment(&whole, len(got), MaxPayload)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := AppendItem(make([]byte, HeaderSize), &part)
		if err != nil {
			t.Fatal(err)
		}
		h := Header{Type: TypeData, Frame: frameNo, First: 7}
		if part.Completes() {
			h.Count = 1
		}
		if err := Seal(frame, &h, d); err != nil {
			t.Fatal(err)
		}
		if c := o.Open(frame, &h); c != OK {
			t.Fatalf("fragment at %d: %s", len(got), c)
		}
		var it Item
		DecodeItem(frame[HeaderSize:], &it)
		if int(it.Offset) != len(got) || it.Completes() != (h.Count == 1) {
			t.Fatalf("fragment %+v at %d, count %d", it, len(got), h.Count)
		}
		got = append(got, it.Value...)
	}
	if !bytes.Equal(got, value) {
		t.Error("the value changed on the way")
	}
	if _, err := NextFragment(&whole, len(value), MaxPayload); !errors.Is(err, ErrTooLong) {
		t.Errorf("a fragment past the end: %v", err)
	}
	if _, err := NextFragment(&whole, 0, MaxKey); !errors.Is(err, ErrTooLong) {
		t.Errorf("a fragment without room: %v", err)
	}
}

func TestSealRefusesImpossibleLengths(t *testing.T) {
	d := testDigester(t, ModeXXH3)
	for _, n := range []int{0, HeaderSize - 1, MaxFrame + 1} {
		if err := Seal(make([]byte, n), &Header{}, d); !errors.Is(err, ErrTooLong) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestChainSeparatesHistories(t *testing.T) {
	d := testDigester(t, ModeXXH3)
	base := Header{First: 10, Count: 2, Length: 30, PayloadHash: 99}
	seen := map[uint64]string{}
	for name, h := range map[string]Header{"base": base,
		"other bytes": {First: 10, Count: 2, Length: 30, PayloadHash: 98},
		"other place": {First: 11, Count: 2, Length: 30, PayloadHash: 99},
		"other count": {First: 10, Count: 1, Length: 30, PayloadHash: 99},
	} {
		for _, prev := range []uint64{0, 1} {
			c := d.Chain(prev, &h)
			if was, ok := seen[c]; ok {
				t.Errorf("%s and %s have one chain", name, was)
			}
			seen[c] = name
		}
	}
	if d.Chain(0, &base) != d.Chain(0, &base) {
		t.Error("the chain is not a function")
	}
}

// The vectors of RFC 4493 section 4.
func TestCMACVectors(t *testing.T) {
	key, _ := hex.DecodeString("2b7e151628aed2a6abf7158809cf4f3c")
	msg, _ := hex.DecodeString("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" +
		"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	c, err := newCMAC(key)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{
		0:  "bb1d6929e95937287fa37d129b756746",
		16: "070a16b46b4d4144f79bdd9dd04a287c",
		40: "dfa66747de9ae63030ca32611497c827",
		64: "51f0bebf7e3b9d92fc49741779363cfe",
	} {
		c.sum(msg[:n])
		if got := hex.EncodeToString(c.state[:]); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

func TestModeNames(t *testing.T) {
	for _, m := range []Mode{ModeNone, ModeXXH3, ModeCRC32C, ModeMAC, ModeAEAD} {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	if _, err := ParseMode("md5"); err == nil {
		t.Error("md5 was accepted")
	}
	if _, err := NewDigester(Mode(9), nil); err == nil {
		t.Error("mode 9 was accepted")
	}
}

func TestNothingAllocates(t *testing.T) {
	for _, m := range []Mode{ModeNone, ModeXXH3, ModeCRC32C, ModeMAC} {
		d := testDigester(t, m)
		frame, h := sampleFrame(t, d)
		o := Opener{Cluster: h.Cluster, Digest: d}
		it := Item{Op: OpPut, Key: []byte("key"), Value: []byte("value")}
		buf := make([]byte, 0, 64)
		var chain uint64
		n := testing.AllocsPerRun(100, func() {
			if err := Seal(frame, &h, d); err != nil {
				t.Fatal(err)
			}
			if c := o.Open(frame, &h); c != OK {
				t.Fatal(c)
			}
			chain = d.Chain(chain, &h)
			DecodeItem(frame[HeaderSize:], &it)
			buf, _ = AppendItem(buf[:0], &it)
		})
		if n != 0 {
			t.Errorf("%s: %g allocations a frame", m, n)
		}
	}
}

// Our XXH3 of 64 bytes is the library's.
func FuzzXXH3of64(f *testing.F) {
	f.Add([]byte("seed corpus"), uint64(0))
	f.Add(bytes.Repeat([]byte{0xff}, 64), ^uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		var b [64]byte
		copy(b[:], data)
		key := seeded(seed)
		if got, want := xxh3of64(b[:], &key), xxh3.HashSeed(b[:], seed); got != want {
			t.Fatalf("%x under seed %x: %x, want %x", b, seed, got, want)
		}
	})
}
