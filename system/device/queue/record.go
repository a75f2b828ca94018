package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The greatest key and value that a record holds, in bytes. An edge may allow less.
const (
	MaxKey   = 1024
	MaxValue = 1 << 20
)

// ErrRecord is wrapped by every error of decoding: the bytes are whole (the journal checks that)
// but mean nothing here. A newer version of this program may have written them.
var ErrRecord = errors.New("queue: a record of the log that this version does not know")

// An operation's record:
//
//	kind u8 │ condition u8 │ at varint │ match uvarint, if IfMatch │ key length uvarint │ key │ value
//
// The journal around it keeps number, length and checksum.

// AppendOp appends the record of op to dst.
func AppendOp(dst []byte, op *Op) []byte {
	dst = append(dst, byte(op.Kind), byte(op.Cond))
	dst = binary.AppendVarint(dst, op.At)
	if op.Cond == IfMatch {
		dst = binary.AppendUvarint(dst, op.Match)
	}
	dst = binary.AppendUvarint(dst, uint64(len(op.Key)))
	dst = append(dst, op.Key...)
	return append(dst, op.Value...)
}

// RecordKind tells what record holds; 0 is none that this version knows.
func RecordKind(record []byte) Kind {
	if len(record) == 0 || record[0] == 0 || Kind(record[0]) > KindMark {
		return 0
	}
	return Kind(record[0])
}

// DecodeOp reads an operation's record into op, whose Key and Value then lie in record.
func DecodeOp(record []byte, op *Op) error {
	if !RecordKind(record).isOp() || len(record) < 2 || Condition(record[1]) > IfPresent {
		return fmt.Errorf("%w: kind or condition", ErrRecord)
	}
	*op = Op{Number: op.Number, Kind: Kind(record[0]), Cond: Condition(record[1])}
	r := reader{rest: record[2:]}
	op.At = r.varint()
	if op.Cond == IfMatch {
		op.Match = r.uvarint()
	}
	op.Key = r.bytes(r.uvarint())
	op.Value = r.rest
	return op.check(r.bad)
}

func (o *Op) check(bad bool) error {
	switch {
	case bad, len(o.Key) > MaxKey, len(o.Value) > MaxValue:
		return fmt.Errorf("%w: its lengths", ErrRecord)
	case (o.Kind == KindBarrier) != (len(o.Key) == 0), o.Kind != KindPut && len(o.Value) > 0:
		return fmt.Errorf("%w: a %v with a key of %d and a value of %d bytes", ErrRecord, o.Kind,
			len(o.Key), len(o.Value))
	case o.Kind == KindBarrier && o.Cond != Always:
		return fmt.Errorf("%w: a barrier with a condition", ErrRecord)
	}
	return nil
}

// reader takes a record apart; once bad it stays so and yields zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) skip(n int) {
	if n <= 0 || r.bad {
		r.rest, r.bad = nil, true
		return
	}
	r.rest = r.rest[n:]
}

func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.rest, r.bad = nil, true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}
