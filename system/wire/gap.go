package wire

import "encoding/binary"

// Gap is a range of frame numbers, From ≤ n < To.
type Gap struct{ From, To uint64 }

const gapSize = 16

// MaxGaps is how many gaps one NACK names.
const MaxGaps = MaxPayload / gapSize

// AppendGaps appends gaps, 16 bytes each.
func AppendGaps(dst []byte, gaps []Gap) []byte {
	for _, g := range gaps {
		dst = binary.LittleEndian.AppendUint64(dst, g.From)
		dst = binary.LittleEndian.AppendUint64(dst, g.To)
	}
	return dst
}

// DecodeGaps appends the gaps in b to dst, up to dst's capacity. ok is false if b holds anything
// but well-formed gaps in ascending order.
func DecodeGaps(b []byte, dst []Gap) (gaps []Gap, ok bool) {
	if len(b)%gapSize != 0 {
		return dst, false
	}
	last := uint64(0)
	for ; len(b) > 0; b = b[gapSize:] {
		g := Gap{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
		if g.From >= g.To || g.From < last {
			return dst, false
		}
		last = g.To
		if len(dst) < cap(dst) {
			dst = append(dst, g)
		}
	}
	return dst, true
}
