package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"metronome/harness/load/kv"
)

// The libraries bring no state machine: a table is the plainest that can be, a Go map, with keys and
// values of the usual sizes held in the map itself.

// The sizes that are held in the map itself.
const (
	usualKey   = 16
	usualValue = 64
)

// table is one node's state. One goroutine applies; anyone may look.
type table struct {
	mu      sync.Mutex
	usual   map[[usualKey]byte][usualValue]byte
	other   map[string][]byte
	applied atomic.Uint64 // operations
}

func newTable() *table {
	return &table{usual: make(map[[usualKey]byte][usualValue]byte), other: make(map[string][]byte)}
}

// commandHeader is the head of each operation of a command: what it is, and how long key and value are.
const commandHeader = 1 + 2 + 4

var errMalformed = errors.New("malformed command")

// appendCommand encodes a batch.
func appendCommand(dst []byte, ops []kv.Op) []byte {
	for i := range ops {
		op := &ops[i]
		kind := byte('p')
		if op.Read {
			kind = 'g'
		}
		dst = append(dst, kind)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(op.Key)))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(op.Value)))
		dst = append(append(dst, op.Key...), op.Value...)
	}
	return dst
}

// commandBytes is the length of a batch's encoding.
func commandBytes(ops []kv.Op) (n int) {
	for i := range ops {
		n += commandHeader + len(ops[i].Key) + len(ops[i].Value)
	}
	return n
}

// apply executes a command.
func (t *table) apply(b []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := uint64(0)
	for len(b) > 0 {
		if len(b) < commandHeader {
			return errMalformed
		}
		read := b[0] == 'g'
		keyLen, valueLen := int(binary.LittleEndian.Uint16(b[1:])), int(binary.LittleEndian.Uint32(b[3:]))
		b = b[commandHeader:]
		if len(b) < keyLen+valueLen {
			return errMalformed
		}
		if key, value := b[:keyLen], b[keyLen:keyLen+valueLen]; read {
			_, _ = t.get(key) // its cost is what counts
		} else {
			t.put(key, value)
		}
		b = b[keyLen+valueLen:]
		n++
	}
	t.applied.Add(n)
	return nil
}

func (t *table) put(key, value []byte) {
	if len(key) == usualKey && len(value) == usualValue {
		t.usual[[usualKey]byte(key)] = [usualValue]byte(value)
		return
	}
	if old, ok := t.other[string(key)]; ok && len(old) == len(value) {
		copy(old, value)
		return
	}
	t.other[string(key)] = append([]byte(nil), value...)
}

func (t *table) get(key []byte) ([]byte, bool) {
	if len(key) == usualKey {
		if v, ok := t.usual[[usualKey]byte(key)]; ok {
			return v[:], true
		}
	}
	v, ok := t.other[string(key)]
	return v, ok
}

// look returns a copy of a value.
func (t *table) look(key []byte) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.get(key)
	if !ok {
		return nil, ErrNoKey
	}
	return append([]byte(nil), v...), nil
}

// digest is a hash of all keys and values, whatever their order.
func (t *table) digest() (sum uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b []byte
	for k, v := range t.usual {
		b = append(append(b[:0], k[:]...), v[:]...)
		sum += xxh3.Hash(b)
	}
	for k, v := range t.other {
		b = append(append(b[:0], k...), v...)
		sum += xxh3.Hash(b)
	}
	return sum
}

// sameTables waits, within ctx, until all nodes have applied as many operations, at least the number
// acknowledged, and then compares what they hold.
func sameTables(ctx context.Context, acknowledged uint64, tables []*table) error {
	for {
		err := appliedBy(acknowledged, tables)
		if err == nil {
			return sameContents(tables)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(tryAgain):
		}
	}
}

func appliedBy(acknowledged uint64, tables []*table) error {
	most := acknowledged
	for _, t := range tables {
		most = max(most, t.applied.Load())
	}
	for i, t := range tables {
		if n := t.applied.Load(); n < most {
			return fmt.Errorf("node %d has applied %d of %d operations", i, n, most)
		}
	}
	return nil
}

func sameContents(tables []*table) error {
	want := tables[0].digest()
	for i, t := range tables {
		if t.digest() != want {
			return fmt.Errorf("node %d holds something else than node 0", i)
		}
	}
	return nil
}
