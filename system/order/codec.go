package order

import (
	"encoding/binary"
	"math"
	"slices"
)

// markBytes is the least that one encoded mark takes; a count of marks is believed no further than
// the bytes that are there.
const markBytes = 1 + 1 + 1 + 8

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }
func appendU64(dst []byte, v uint64) []byte     { return binary.LittleEndian.AppendUint64(dst, v) }

func appendMarks(dst []byte, marks []Mark) []byte {
	dst = appendUvarint(dst, uint64(len(marks)))
	next := uint64(0)
	for _, m := range marks {
		dst = appendMark(dst, m, next)
		next = uint64(m.Lane) + 1
	}
	return dst
}

// appendMark writes the lane as its distance from next, the least lane it can be.
func appendMark(dst []byte, m Mark, next uint64) []byte {
	dst = appendUvarint(dst, uint64(m.Lane)-next)
	dst = appendUvarint(dst, m.Frames)
	dst = appendUvarint(dst, m.Items)
	return appendU64(dst, m.Chain)
}

// reader takes an encoding apart. After the first thing that is wrong everything reads as zero, so
// that only finished has to be asked.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) want(ok bool) {
	if !ok {
		r.fail()
	}
}

// finished reports whether everything was read, and nothing was wrong.
func (r *reader) finished() bool { return !r.bad && len(r.b) == 0 }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 { // the last: a longer spelling of the same number
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) upTo(limit uint64) uint64 {
	v := r.uvarint()
	if v > limit {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) u32() uint32 { return uint32(r.upTo(math.MaxUint32)) }

func (r *reader) u8() uint8 {
	if len(r.b) < 1 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) u64() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := slices.Clone(r.b[:n])
	r.b = r.b[n:]
	return v
}

func (r *reader) marks() Cut {
	n := r.upTo(MaxLanes)
	r.want(n <= uint64(len(r.b))/markBytes)
	if r.bad || n == 0 {
		return nil
	}
	cut, next := make(Cut, 0, n), uint64(0)
	for range n {
		m := r.mark(next)
		cut, next = append(cut, m), uint64(m.Lane)+1
	}
	return cut
}

func (r *reader) mark(next uint64) Mark {
	lane := r.uvarint()
	r.want(lane <= math.MaxUint32 && lane+next <= math.MaxUint32)
	m := Mark{Lane: LaneID(lane + next), Frames: r.uvarint(), Items: r.uvarint(), Chain: r.u64()}
	r.want(m.Frames > 0 || m.Items == 0 && m.Chain == 0)
	return m
}
