package local

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"metronome/system/edge"
)

// format is of everything this package writes.
const format = 1

// epochShift is where a revision holds how often the data was restored.
const epochShift = 48

// state is the store's totals.
type state struct {
	revision uint64
	keys     uint64
	bytes    uint64 // of keys and values
	digest   uint64 // the sum of all entries' check sums
	logTail  uint64 // bytes ever written to the log
}

func (s *state) encode(b []byte) []byte {
	for _, n := range []uint64{s.revision, s.keys, s.bytes, s.digest, s.logTail} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func (s *state) decode(b []byte) error {
	if len(b) != 5*8 {
		return fmt.Errorf("%w: the store's totals", edge.ErrDamaged)
	}
	for i, n := range []*uint64{&s.revision, &s.keys, &s.bytes, &s.digest, &s.logTail} {
		*n = binary.BigEndian.Uint64(b[8*i:])
	}
	return nil
}

// add counts a change of one entry.
func (s *state) add(before, now head) {
	if before.revision != 0 {
		s.keys--
	}
	if now.revision != 0 {
		s.keys++
	}
	s.bytes += now.size - before.size
	s.digest += now.sum - before.sum
}

// identity tells one life of the data from another.
type identity struct {
	incarnation [16]byte
	epoch       uint16 // how often it was restored
}

func newIdentity(epoch uint16) (id identity) {
	_, _ = rand.Read(id.incarnation[:]) // never fails
	id.epoch = epoch
	return id
}

func (id identity) String() string { return hex.EncodeToString(id.incarnation[:]) }

// base is the lowest revision of this life.
func (id identity) base() uint64 { return uint64(id.epoch) << epochShift }

func (id identity) encode() []byte {
	b := binary.BigEndian.AppendUint16([]byte{format}, id.epoch)
	return append(b, id.incarnation[:]...)
}

// beingRestored is in place of an identity while a restore is under way.
var beingRestored = []byte{0}

func (id *identity) decode(b []byte) error {
	if bytes.Equal(b, beingRestored) {
		return errors.New("edge/local: a restore of this directory did not end: begin it again with a fresh copy")
	}
	if len(b) > 0 && b[0] != format {
		return fmt.Errorf("edge/local: the data has format %d, this program knows %d: use the program that "+
			"wrote it",
			b[0], format)
	}
	if len(b) != 3+len(id.incarnation) {
		return fmt.Errorf("%w: the store's identity", edge.ErrDamaged)
	}
	id.epoch = binary.BigEndian.Uint16(b[1:])
	copy(id.incarnation[:], b[3:])
	return nil
}

// get returns a copy of what a key of Pebble's holds, or nil.
func get(r pebble.Reader, key []byte) ([]byte, error) {
	b, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, damage(err)
	}
	defer func() { _ = closer.Close() }()
	return clone(b), nil
}

// damage makes what Pebble says about its files ours.
func damage(err error) error {
	if err != nil && pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", edge.ErrDamaged, err)
	}
	return err
}

// load reads identity, totals and the backup's mark of a store, which may be a checkpoint.
func load(r pebble.Reader) (id identity, s state, backedUp uint64, err error) {
	parts := []struct {
		key    []byte
		decode func([]byte) error
	}{
		{identityKey, id.decode},
		{stateKey, s.decode},
		{backupKey, func(b []byte) error {
			if len(b) == 8 {
				backedUp = binary.BigEndian.Uint64(b)
			}
			return nil
		}},
	}
	for _, p := range parts {
		b, err := get(r, p.key)
		if err == nil {
			err = p.decode(b)
		}
		if err != nil {
			return id, s, 0, err
		}
	}
	return id, s, backedUp, nil
}
