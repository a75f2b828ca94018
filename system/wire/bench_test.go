package wire

import (
	"fmt"
	"testing"
)

func benchFrame(b *testing.B, d *Digester, items, value int) []byte {
	b.Helper()
	frame := make([]byte, HeaderSize)
	for range items {
		var err error
		frame, err = AppendItem(frame, &Item{Op: OpPut, Key: make([]byte, 8), Value: make([]byte, value)})
		if err != nil {
			b.Fatal(err)
		}
	}
	frame = append(frame, make([]byte, d.Mode().Overhead())...)
	if err := Seal(frame, &Header{Type: TypeData, Count: uint16(items)}, d); err != nil {
		b.Fatal(err)
	}
	return frame
}

// BenchmarkOpen is the receiver's cost of one frame before its lane sees it.
func BenchmarkOpen(b *testing.B) {
	for _, m := range []Mode{ModeNone, ModeXXH3, ModeCRC32C, ModeMAC, ModeAEAD} {
		for _, items := range []int{1, 16, (MaxPayload - tailSize) / 24} {
			b.Run(fmt.Sprintf("%s/items=%d", m, items), func(b *testing.B) {
				d := testDigester(b, m)
				frame := benchFrame(b, d, items, 8)
				o := Opener{Digest: d}
				var h Header
				b.SetBytes(int64(len(frame)))
				for b.Loop() {
					if c := o.Open(frame, &h); c != OK {
						b.Fatal(c)
					}
				}
			})
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, m := range []Mode{ModeXXH3, ModeMAC, ModeAEAD} {
		for _, items := range []int{1, (MaxPayload - tailSize) / 24} {
			b.Run(fmt.Sprintf("%s/items=%d", m, items), func(b *testing.B) {
				d := testDigester(b, m)
				frame := benchFrame(b, d, items, 8)
				h := Header{Type: TypeData, Count: uint16(items)}
				b.SetBytes(int64(len(frame)))
				for b.Loop() {
					if err := Seal(frame, &h, d); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
