package queue

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzRecord: whatever bytes lie in the log, decoding neither panics nor reads outside, and what it
// accepts is what would be written.
func FuzzRecord(f *testing.F) {
	f.Add(AppendOp(nil, &Op{Kind: KindPut, Key: []byte("k"), Value: []byte("v"), At: 1}))
	f.Add(AppendOp(nil, &Op{Kind: KindDelete, Cond: IfMatch, Match: 7, Key: []byte("k")}))
	f.Add(AppendOp(nil, &Op{Kind: KindBarrier}))
	f.Add(AppendNote(nil, &Note{Next: 5, Counters: Counters{Enqueued: 1 << 40}}))
	f.Fuzz(func(t *testing.T, record []byte) {
		var op Op
		switch err := DecodeOp(record, &op); {
		case err == nil:
			again := AppendOp(nil, &op)
			var other Op
			if err := DecodeOp(again, &other); err != nil || !same(&op, &other) {
				t.Fatalf("%+v became %+v, %v", op, other, err)
			}
		case !errors.Is(err, ErrRecord):
			t.Fatal(err)
		}
		if n, err := DecodeNote(record); err == nil {
			if m, err := DecodeNote(AppendNote(nil, &n)); err != nil || m != n {
				t.Fatalf("%+v became %+v, %v", n, m, err)
			}
		} else if !errors.Is(err, ErrRecord) {
			t.Fatal(err)
		}
	})
}

func same(a, b *Op) bool {
	return a.Kind == b.Kind && a.Cond == b.Cond && a.Match == b.Match && a.At == b.At &&
		bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
}
