package local

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"metronome/system/edge"
)

// An entry is: version 1, check sum 8, revision 8, length of type 1, type, value. All integers big-endian.
// The check sum covers what follows it, and the key by its seed.
const (
	entryVersion = 1
	sumAt        = 1
	revisionAt   = 9
	typeAt       = 17
	entryHead    = typeAt + 1
)

// head is what the writer needs to know of an entry that is there.
type head struct {
	revision uint64 // 0 = absent
	sum      uint64
	size     uint64 // of key and value
}

func entrySum(key, entry []byte) uint64 { return xxh3.HashSeed(entry[revisionAt:], xxh3.Hash(key)) }

// entrySize is how many bytes an operation's entry takes.
func entrySize(op *edge.Op) int { return entryHead + len(op.Type) + len(op.Value) }

// putEntry writes an entry into b, which has entrySize bytes, and returns its check sum.
func putEntry(b []byte, op *edge.Op, revision uint64) uint64 {
	b[0] = entryVersion
	binary.BigEndian.PutUint64(b[revisionAt:], revision)
	b[typeAt] = byte(len(op.Type))
	copy(b[entryHead:], op.Type)
	copy(b[entryHead+len(op.Type):], op.Value)
	sum := entrySum(op.Key, b)
	binary.BigEndian.PutUint64(b[sumAt:], sum)
	return sum
}

// headOf reads what the writer needs, without checking the sum.
func headOf(key, b []byte) (head, error) {
	if len(b) < entryHead || b[0] != entryVersion || len(b) < entryHead+int(b[typeAt]) {
		return head{}, fmt.Errorf("%w: key %q", edge.ErrDamaged, key)
	}
	return head{
		revision: binary.BigEndian.Uint64(b[revisionAt:]),
		sum:      binary.BigEndian.Uint64(b[sumAt:]),
		size:     uint64(len(key) + len(b) - entryHead - int(b[typeAt])),
	}, nil
}

// parse reads an entry into copies of its parts, once its sum is right.
func parse(key, b []byte, keysOnly bool) (e edge.Entry, size int, err error) {
	h, err := headOf(key, b)
	if err != nil {
		return e, 0, err
	}
	if entrySum(key, b) != h.sum {
		return e, 0, fmt.Errorf("%w: key %q fails its check", edge.ErrDamaged, key)
	}
	value := b[entryHead+int(b[typeAt]):]
	e = edge.Entry{Key: clone(key), Type: string(b[entryHead : entryHead+int(b[typeAt])]), Revision: h.revision}
	if !keysOnly {
		e.Value = clone(value)
	}
	return e, len(value), nil
}

func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }
