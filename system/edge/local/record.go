package local

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/zeebo/xxh3"

	"metronome/system/edge"
)

// A record is: version 1, check sum of what follows 8, first revision 8, last 8, log bytes before it 8,
// time in ms 8; then varints: the session's key and row, or two empty strings, and the operations.
const (
	recordVersion = 1
	firstAt       = 9
	lastAt        = 17
	offsetAt      = 25
	timeAt        = 33
	recordHead    = 41
)

// Record is one batch in the log of changes.
type Record struct {
	First, Last uint64    // revisions it took; operation i has First+i
	Time        time.Time // of the edge's clock
	Ops         []edge.Op // that were executed; slices into what was decoded
	sessionKey  []byte
	sessionRow  []byte
	offset      uint64
}

// Encoded records are opaque to whoever ships them; this is what they need to know of one.
func recordSpan(b []byte) (first, last, offset uint64, err error) {
	if len(b) < recordHead || b[0] != recordVersion {
		return 0, 0, 0, fmt.Errorf("%w: a record of the log", edge.ErrDamaged)
	}
	return binary.BigEndian.Uint64(b[firstAt:]), binary.BigEndian.Uint64(b[lastAt:]),
		binary.BigEndian.Uint64(b[offsetAt:]), nil
}

// DecodeRecord checks a record and takes it apart. Its slices are b's.
func DecodeRecord(b []byte) (r Record, err error) {
	r.First, r.Last, r.offset, err = recordSpan(b)
	if err != nil {
		return r, err
	}
	if xxh3.Hash(b[firstAt:]) != binary.BigEndian.Uint64(b[sumAt:]) {
		return r, fmt.Errorf("%w: the log's record of revision %d fails its check", edge.ErrDamaged, r.First)
	}
	r.Time = time.UnixMilli(int64(binary.BigEndian.Uint64(b[timeAt:])))
	in := reader{b: b[recordHead:]}
	r.sessionKey, r.sessionRow = in.bytes(), in.bytes()
	r.Ops = make([]edge.Op, in.count())
	for i := range r.Ops {
		op := &r.Ops[i]
		if op.Kind, op.Key = edge.Kind(in.byte()), in.bytes(); op.Kind == edge.Put {
			op.Type, op.Value = string(in.bytes()), in.bytes()
		}
	}
	return r, in.end("a record of the log")
}

// recordBuilder gathers a record while a batch is executed.
type recordBuilder struct {
	ops   []byte
	count int
	out   []byte
}

func (r *recordBuilder) reset() { r.ops, r.count = r.ops[:0], 0 }

func (r *recordBuilder) add(op *edge.Op) {
	r.count++
	r.ops = append(r.ops, byte(op.Kind))
	r.ops = appendBytes(r.ops, op.Key)
	if op.Kind == edge.Put {
		r.ops = appendBytes(r.ops, op.Type)
		r.ops = appendBytes(r.ops, op.Value)
	}
}

// finish returns the whole record, valid until the next is finished.
func (r *recordBuilder) finish(first, last, offset uint64, now time.Time, key, row []byte) []byte {
	b := append(r.out[:0], recordVersion)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, n := range []uint64{first, last, offset, uint64(now.UnixMilli())} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = appendBytes(b, key)
	b = appendBytes(b, row)
	b = binary.AppendUvarint(b, uint64(r.count))
	b = append(b, r.ops...)
	binary.BigEndian.PutUint64(b[sumAt:], xxh3.Hash(b[firstAt:]))
	r.out = b
	return b
}
